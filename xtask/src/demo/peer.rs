// SPDX-License-Identifier: Apache-2.0
//! A program of the demo: started with pipes, heard through its standard output, asked to stop by closing its standard input.
//!
//! It prints, one line each: `assigned N` when the number of its queues changes, `lines NUMBER:CRC ...` for each batch that it
//! sent or got. Its standard error is ours.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::ledger::Line;

pub enum Event {
    Assigned(usize),
    Lines(Vec<Line>),
    /// The standard output was closed: nothing more comes.
    Ended,
}

pub struct Peer {
    name: &'static str,
    child: Child,
    stdin: Option<ChildStdin>,
    listener: Option<JoinHandle<Result<()>>>,
}

const STOPS_WITHIN: Duration = Duration::from_secs(15);

impl Peer {
    pub fn start(
        name: &'static str,
        id: usize,
        command: &mut Command,
        events: Sender<(usize, Event)>,
    ) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting the {name} program: {command:?}"))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("stdout is piped")?;
        let listener = thread::spawn(move || {
            let heard = listen(name, stdout, |event| drop(events.send((id, event))));
            drop(events.send((id, Event::Ended)));
            heard
        });
        Ok(Self {
            name,
            child,
            stdin,
            listener: Some(listener),
        })
    }

    /// Asks the program to stop and waits until it has.
    pub fn finish(mut self) -> Result<()> {
        drop(self.stdin.take());
        let deadline = Instant::now() + STOPS_WITHIN;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            ensure!(
                Instant::now() < deadline,
                "the {} program did not stop within {STOPS_WITHIN:?}",
                self.name
            );
            thread::sleep(Duration::from_millis(10));
        };
        if let Some(Err(_)) | Some(Ok(Err(_))) = self.listener.take().map(JoinHandle::join) {
            bail!(
                "the {} program printed something else than its report",
                self.name
            );
        }
        ensure!(
            status.success(),
            "the {} program ended with {status}",
            self.name
        );
        Ok(())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // After `finish` both fail, which is as it should be; before it nobody is left to tell.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn listen(name: &str, stdout: ChildStdout, emit: impl Fn(Event)) -> Result<()> {
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        match parse(&line) {
            Some(event) => emit(event),
            None => {
                eprintln!("{name}: {line}");
                bail!("unexpected output");
            }
        }
    }
    Ok(())
}

fn parse(line: &str) -> Option<Event> {
    let (word, rest) = line.split_once(' ')?;
    match word {
        "assigned" => rest.parse().ok().map(Event::Assigned),
        "lines" => rest
            .split_whitespace()
            .map(Line::parse)
            .collect::<Option<Vec<_>>>()
            .map(Event::Lines),
        _ => None,
    }
}
