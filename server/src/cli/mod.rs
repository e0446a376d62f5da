// SPDX-License-Identifier: Apache-2.0
//! The command lines: arguments in, servers run, one line of error out. The programs in `bin/` only name them.

pub mod admin;
pub mod broker;
pub mod namesrv;
pub mod serve;

use std::io::Write;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Runs a program: its error becomes one line on standard error and a failing exit code.
pub fn run(program: impl FnOnce() -> anyhow::Result<()>) -> ExitCode {
    match program() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let line = format!("{error:#}").replace('\n', " ");
            // Nobody is left to tell if this fails.
            drop(writeln!(std::io::stderr(), "error: {line}"));
            ExitCode::FAILURE
        }
    }
}

/// Logs go to standard error; `KEROLOX_LOG` says which, for example `debug` or `kerolox_server::store=trace`.
fn log(default: &str) {
    let filter = EnvFilter::try_from_env("KEROLOX_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A subscriber that is already there stays.
    drop(subscriber.try_init());
}

/// Prints one line that programs wait for.
fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Waits for SIGTERM or SIGINT.
async fn stop_signal() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
