// SPDX-License-Identifier: Apache-2.0
//! The command lines: arguments in, servers run, one line of error out. The programs in `bin/` only name them.

pub mod admin;
pub mod broker;
pub mod namesrv;
pub mod serve;
pub mod store;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::Settings;

/// Runs a program: its error becomes one line on standard error and a failing exit code.
pub fn run(program: impl FnOnce() -> anyhow::Result<()>) -> ExitCode {
    match program() {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has read enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell if this fails.
            drop(writeln!(std::io::stderr(), "error: {}", line(&error)));
            ExitCode::FAILURE
        }
    }
}

/// The error with its causes, as far as it does not name them itself.
fn line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !line.contains(&cause) {
            let separator = if line.is_empty() { "" } else { ": " };
            line = format!("{line}{separator}{cause}");
        }
    }
    line.replace('\n', " ")
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Logs go to standard error; `KEROLOX_LOG` says which, for example `debug` or `kerolox_server::store=trace`.
fn log(default: LevelFilter) {
    let wanted = std::env::var("KEROLOX_LOG").ok();
    let filter = wanted.and_then(|wanted| wanted.parse::<Targets>().ok());
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let subscriber = tracing_subscriber::registry()
        .with(filter.unwrap_or_else(|| Targets::new().with_default(default)))
        .with(lines);
    // A subscriber that is already there stays.
    drop(subscriber.try_init());
}

/// Prints one line that programs wait for.
fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Prints settings as the reference does: `key=value` lines, nothing after `=` where a key is not set.
fn print_settings(settings: &impl Settings, only: Option<&[&str]>) -> std::io::Result<()> {
    for (key, value) in settings.all() {
        if only.is_none_or(|only| only.contains(&key)) {
            say(&format!("{key}={}", value.unwrap_or_default()))?;
        }
    }
    Ok(())
}

/// SIGTERM and SIGINT, which no longer end the process. Taken before the line that says it is ready: who reads that may stop it
/// at once.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn take() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for one of them.
    async fn received(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
