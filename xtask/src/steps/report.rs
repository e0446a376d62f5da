// SPDX-License-Identifier: Apache-2.0
//! Runs steps one after the other, counts what they counted, and prints the table at the end.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::tally::{Reader, Tally};

/// Why a step, or a part of one, did not run: something that is not installed here.
#[derive(Debug)]
pub struct Missing(pub String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

/// What a running step reports to.
pub struct Run {
    step: &'static str,
    tally: Tally,
    notes: Vec<String>,
    on_ci: bool,
}

impl Run {
    /// Counts one passed check that no test runner counted.
    pub fn passed(&mut self) {
        self.tally.passed += 1;
    }

    /// Runs a command, shows its output, and lets `reader` find the counts in it. Fails when the command does.
    pub fn cmd(&mut self, command: &mut Command, reader: Reader) -> Result<()> {
        println!("$ {}", shown(command));
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", command.get_program().to_string_lossy()))?;
        let (lines, inbox) = mpsc::channel();
        let readers = [
            forward(
                child.stdout.take().context("stdout is piped")?,
                lines.clone(),
            ),
            forward(child.stderr.take().context("stderr is piped")?, lines),
        ];
        let mut counted = Tally::default();
        let deadline = Instant::now() + COMMAND_LIMIT;
        loop {
            let line = match inbox.recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => line,
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    child.kill()?;
                    bail!("{}: still running after {COMMAND_LIMIT:?}", shown(command));
                }
            };
            println!("{line}");
            let part = reader.read(&line);
            counted.add(part);
            if let Some(note) = line.trim().strip_prefix("SKIPPED ") {
                self.notes.push(note.to_owned());
                if self.on_ci {
                    counted.failed += 1;
                } else {
                    counted.skipped += 1;
                }
            }
        }
        for reader in readers {
            ensure!(
                reader.join().is_ok(),
                "the output of {} could not be read",
                shown(command)
            );
        }
        let status = child.wait()?;
        if reader == Reader::None && status.success() {
            counted.passed += 1;
        }
        self.tally.add(counted);
        ensure!(status.success(), "{}: {status}", shown(command));
        Ok(())
    }

    /// Says that a part of the step is left out. With `CI=true` that is a failure.
    pub fn skip(&mut self, reason: &str) -> Result<()> {
        if self.on_ci {
            bail!("{reason} (with CI=true nothing may be skipped)");
        }
        println!("SKIPPED {}: {reason}", self.step);
        self.tally.skipped += 1;
        self.notes.push(reason.to_owned());
        Ok(())
    }
}

/// What hangs must not hang the whole run.
const COMMAND_LIMIT: Duration = Duration::from_secs(20 * 60);

fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    text
}

fn forward(from: impl Read + Send + 'static, to: mpsc::Sender<String>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&line)
                .trim_end_matches(['\n', '\r'])
                .to_owned();
            if to.send(text).is_err() {
                return;
            }
            line.clear();
        }
    })
}

struct Row {
    name: &'static str,
    time: Duration,
    tally: Tally,
    outcome: &'static str,
    notes: Vec<String>,
}

/// The outcome of all steps so far.
pub struct Report {
    rows: Vec<Row>,
    started: Instant,
    on_ci: bool,
}

impl Report {
    pub fn new() -> Self {
        let on_ci = std::env::var("CI").is_ok_and(|v| v == "true" || v == "1");
        Self {
            rows: Vec::new(),
            started: Instant::now(),
            on_ci,
        }
    }

    pub fn step(
        &mut self,
        name: &'static str,
        about: &str,
        step: impl FnOnce(&mut Run) -> Result<()>,
    ) {
        println!("\n=== {name}: {about}");
        let started = Instant::now();
        let mut run = Run {
            step: name,
            tally: Tally::default(),
            notes: Vec::new(),
            on_ci: self.on_ci,
        };
        let mut outcome = "ok";
        if let Err(error) = step(&mut run) {
            match error.downcast_ref::<Missing>() {
                Some(missing) if !self.on_ci => {
                    println!("SKIPPED {name}: {missing}");
                    run.notes.push(missing.to_string());
                    run.tally.skipped += 1;
                    outcome = "skipped";
                }
                _ => {
                    println!("FAILED {name}: {error:#}");
                    run.tally.failed = run.tally.failed.max(1);
                    outcome = "FAILED";
                }
            }
        }
        if run.tally.failed > 0 {
            outcome = "FAILED";
        }
        let time = started.elapsed();
        println!(
            "--- {name}: {outcome} in {:.1} s, {}",
            time.as_secs_f64(),
            run.tally
        );
        self.rows.push(Row {
            name,
            time,
            tally: run.tally,
            outcome,
            notes: run.notes,
        });
    }

    /// Prints the table and the closing line; fails when a step failed.
    pub fn close(self) -> Result<()> {
        let mut sum = Tally::default();
        println!(
            "\n{:<12} {:>8} {:>7} {:>7} {:>8}  outcome",
            "step", "seconds", "passed", "failed", "skipped"
        );
        for row in &self.rows {
            let Tally {
                passed,
                failed,
                skipped,
            } = row.tally;
            let seconds = row.time.as_secs_f64();
            println!(
                "{:<12} {seconds:>8.1} {passed:>7} {failed:>7} {skipped:>8}  {}",
                row.name, row.outcome
            );
            sum.add(row.tally);
        }
        for row in &self.rows {
            for note in &row.notes {
                println!("SKIPPED {}: {note}", row.name);
            }
        }
        println!("\ntotal time {:.0} s", self.started.elapsed().as_secs_f64());
        println!("{sum}");
        let failed: Vec<&str> = self
            .rows
            .iter()
            .filter(|r| r.outcome == "FAILED")
            .map(|r| r.name)
            .collect();
        ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
        Ok(())
    }
}
