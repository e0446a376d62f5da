// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask demo`: the lines of a file, sent from Python through our own servers, shared by one consumer group whose
//! members are written in Python, Node and C.
//!
//! Each line travels with its number, so that equal lines are told apart. Every program prints what it sent or got as
//! `number:crc32` (see `peer.rs`); the counting is done here, and the exit status is 0 only if every line arrived once and whole.

mod ledger;
mod peer;
mod servers;

use std::fs;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::{self, Workspace};
use ledger::Ledger;
use peer::{Event, Peer};
use servers::Servers;

const TOPIC: &str = "demo";
const GROUP: &str = "demo-readers";
const QUEUES: usize = 12;
const DEFAULT_FILE: &str = "Cargo.lock";
const READY_WITHIN: Duration = Duration::from_secs(30);
/// The demo gives up when nothing has arrived for so long.
const STALLED_AFTER: Duration = Duration::from_secs(20);

/// The members of the group, in the order of the table.
const LANGUAGES: [&str; 3] = ["Python", "Node", "C"];

struct Arguments {
    file: PathBuf,
    limit: Option<usize>,
}

fn parse(workspace: &Workspace, args: &[String]) -> Result<Arguments> {
    let mut parsed = Arguments {
        file: workspace.root.join(DEFAULT_FILE),
        limit: None,
    };
    let mut rest = args.iter();
    let mut files = 0;
    while let Some(arg) = rest.next() {
        if arg == "--limit" {
            let value = rest.next().context("--limit needs a number of lines")?;
            parsed.limit = Some(
                value
                    .parse()
                    .with_context(|| format!("--limit {value}: not a number"))?,
            );
        } else if arg.starts_with('-') {
            bail!("unknown option `{arg}`; usage: cargo xtask demo [FILE] [--limit N]");
        } else {
            parsed.file = PathBuf::from(arg);
            files += 1;
        }
    }
    ensure!(
        files <= 1,
        "one file at a time; usage: cargo xtask demo [FILE] [--limit N]"
    );
    Ok(parsed)
}

pub fn run(workspace: &Workspace, args: &[String]) -> Result<()> {
    let Arguments { file, limit } = parse(workspace, args)?;
    let text = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
    let ledger = Ledger::new(&text, limit);
    ensure!(ledger.expected() > 0, "{} has no lines", file.display());

    let programs = build(workspace)?;
    let servers = Servers::start(workspace)?;
    println!(
        "servers: name server {}, broker {}",
        servers.name_server, servers.broker
    );
    servers.create_topic(workspace, TOPIC, QUEUES)?;

    println!(
        "sending {} lines of {} from Python, reading them in Python, Node and C",
        ledger.expected(),
        file.display()
    );
    let outcome = relay(workspace, &programs, &servers, &file, ledger)?;
    servers.stop()?;
    outcome.print();
    outcome.verdict()
}

struct Programs {
    python: String,
    python_path: PathBuf,
    node: String,
    c: PathBuf,
}

fn build(workspace: &Workspace) -> Result<Programs> {
    let python = workspace::python()?;
    let node = workspace::node()?;
    ensure!(
        workspace::exists(&workspace::c_compiler()),
        "no C compiler (`{}`)",
        workspace::c_compiler()
    );
    println!("building servers and bindings");
    let packages = [
        "-p",
        "kerolox-server",
        "-p",
        "kerolox-python",
        "-p",
        "kerolox-node",
        "-p",
        "kerolox-c",
    ];
    let status = workspace
        .cargo(&["build"])
        .args(packages)
        .status()
        .context("starting cargo build")?;
    ensure!(status.success(), "the build failed");
    workspace.stage_node_addon()?;
    let python_path = workspace.stage_python_package()?;
    let (mut compile, c) = workspace.compile_c(
        &[workspace.root.join("xtask/demo/consume.c")],
        "demo-consume",
    )?;
    workspace::quietly(&mut compile)?;
    Ok(Programs {
        python,
        python_path,
        node,
        c,
    })
}

impl Programs {
    fn python(&self, workspace: &Workspace, script: &str) -> std::process::Command {
        let mut command = workspace.command(&self.python);
        command.arg(workspace.root.join("xtask/demo").join(script));
        command
            .env("PYTHONPATH", &self.python_path)
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    fn consumer(&self, workspace: &Workspace, language: &str) -> std::process::Command {
        match language {
            "Python" => self.python(workspace, "consume.py"),
            "Node" => {
                let mut command = workspace.command(&self.node);
                command.arg(workspace.root.join("xtask/demo/consume.mjs"));
                command
            }
            _ => workspace.command(&self.c),
        }
    }
}

/// What the table shows.
struct Outcome {
    ledger: Ledger,
    sending: Duration,
    total: Duration,
}

fn relay(
    workspace: &Workspace,
    programs: &Programs,
    servers: &Servers,
    file: &std::path::Path,
    mut ledger: Ledger,
) -> Result<Outcome> {
    let (events, inbox) = std::sync::mpsc::channel();
    let mut readers = Vec::new();
    for (member, language) in LANGUAGES.into_iter().enumerate() {
        let mut command = programs.consumer(workspace, language);
        command.args([&servers.name_server, TOPIC, GROUP]);
        readers.push(Peer::start(language, member, &mut command, events.clone())?);
    }
    await_assignment(&inbox)?;

    let started = Instant::now();
    let sender_id = LANGUAGES.len();
    let mut command = programs.python(workspace, "send.py");
    command
        .args([&servers.name_server, TOPIC])
        .arg(file)
        .arg(ledger.expected().to_string());
    let sender = Peer::start("Python sender", sender_id, &mut command, events)?;

    let mut progress = Progress::new();
    let mut sending = None;
    let mut last_news = Instant::now();
    while sending.is_none() || ledger.acknowledged() > ledger.arrived() {
        match inbox.recv_timeout(Duration::from_millis(200)) {
            Ok((id, Event::Lines(lines))) => {
                last_news = Instant::now();
                for line in lines {
                    if id == sender_id {
                        ledger.sent(line)
                    } else {
                        ledger.received(id, line)
                    }
                }
            }
            Ok((id, Event::Ended)) if id == sender_id => sending = Some(started.elapsed()),
            Ok((id, Event::Ended)) => bail!(
                "the {} reader ended before all lines had arrived",
                LANGUAGES[id]
            ),
            Ok((_, Event::Assigned(_))) => {}
            Err(_) if last_news.elapsed() > STALLED_AFTER => {
                eprintln!(
                    "nothing has arrived for {} s, giving up",
                    STALLED_AFTER.as_secs()
                );
                break;
            }
            Err(_) => {}
        }
        progress.show(&ledger, false);
    }
    let total = started.elapsed();
    progress.show(&ledger, true);
    sender.finish()?;
    // One after the other, so that those which stay take over: an offset that was not committed would show as a duplicate.
    for reader in readers {
        reader.finish()?;
    }
    while let Ok((id, event)) = inbox.try_recv() {
        if let Event::Lines(lines) = event {
            lines.into_iter().for_each(|line| ledger.received(id, line));
        }
    }
    Ok(Outcome {
        ledger,
        sending: sending.unwrap_or(total),
        total,
    })
}

/// Waits until the queues are spread over all members: from then on nobody has to hand any over.
fn await_assignment(inbox: &std::sync::mpsc::Receiver<(usize, Event)>) -> Result<()> {
    let mut assigned = [0; LANGUAGES.len()];
    let deadline = Instant::now() + READY_WITHIN;
    while assigned.contains(&0) || assigned.iter().sum::<usize>() != QUEUES {
        match inbox.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok((id, Event::Assigned(queues))) => assigned[id] = queues,
            Ok((id, Event::Ended)) => bail!("the {} reader ended at once", LANGUAGES[id]),
            Ok((_, Event::Lines(_))) => bail!("a line arrived before one was sent"),
            Err(_) => {
                bail!("the readers shared {assigned:?} of {QUEUES} queues after {READY_WITHIN:?}")
            }
        }
    }
    let shares: Vec<String> = LANGUAGES
        .iter()
        .zip(assigned)
        .map(|(l, n)| format!("{l} {n}"))
        .collect();
    println!("queues: {}", shares.join(", "));
    Ok(())
}

/// One line that is rewritten on a terminal, and a line now and then elsewhere.
struct Progress {
    on_terminal: bool,
    shown: Instant,
}

impl Progress {
    fn new() -> Self {
        Self {
            on_terminal: std::io::stdout().is_terminal(),
            shown: Instant::now(),
        }
    }

    fn show(&mut self, ledger: &Ledger, last: bool) {
        let pause = if self.on_terminal {
            Duration::from_millis(100)
        } else {
            Duration::from_secs(2)
        };
        if !last && self.shown.elapsed() < pause {
            return;
        }
        self.shown = Instant::now();
        let by: Vec<String> = LANGUAGES
            .iter()
            .enumerate()
            .map(|(i, l)| format!("{l} {}", ledger.by(i)))
            .collect();
        let line = format!(
            "sent {} of {}, received {}",
            ledger.acknowledged(),
            ledger.expected(),
            by.join(", ")
        );
        if self.on_terminal {
            print!("\r\x1b[K{line}{}", if last { "\n" } else { "" });
            // A terminal that cannot be written to is no reason to stop.
            drop(std::io::stdout().flush());
        } else {
            println!("{line}");
        }
    }
}

impl Outcome {
    fn print(&self) {
        let ledger = &self.ledger;
        println!();
        println!("{:<22}{:>10}", "sent (Python)", ledger.acknowledged());
        for (member, language) in LANGUAGES.iter().enumerate() {
            println!(
                "{:<22}{:>10}",
                format!("received by {language}"),
                ledger.by(member)
            );
        }
        println!("{:<22}{:>10}", "lost", ledger.lost());
        println!("{:<22}{:>10}", "duplicated", ledger.duplicated());
        println!(
            "{:<22}{:>10}",
            "checksum",
            if ledger.checksums_equal() {
                "equal"
            } else {
                "DIFFERS"
            }
        );
        let (total, sending) = (self.total.as_secs_f64(), self.sending.as_secs_f64());
        println!("{:<22}{total:>8.1} s  (sending {sending:.1} s)", "time");
    }

    fn verdict(&self) -> Result<()> {
        let ledger = &self.ledger;
        let unsent = ledger.expected() - ledger.acknowledged();
        ensure!(unsent == 0, "{unsent} lines were not acknowledged");
        ensure!(ledger.lost() == 0, "{} lines were lost", ledger.lost());
        ensure!(
            ledger.duplicated() == 0,
            "{} lines arrived more than once",
            ledger.duplicated()
        );
        ensure!(
            ledger.checksums_equal(),
            "what arrived differs from what was sent"
        );
        let idle: Vec<&str> = (0..LANGUAGES.len())
            .filter(|m| ledger.by(*m) == 0)
            .map(|m| LANGUAGES[m])
            .collect();
        ensure!(
            idle.is_empty() || ledger.expected() < QUEUES * 2,
            "{} received nothing",
            idle.join(" and ")
        );
        Ok(())
    }
}
