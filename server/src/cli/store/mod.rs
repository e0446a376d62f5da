// SPDX-License-Identifier: Apache-2.0
//! `kerolox store`: looks into a store directory, ours or the reference's, without changing it.
//!
//! The exit status says more than success and failure: 0 clean, 1 something was found, 2 it could not be examined.

mod dump;
mod message;
mod progress;
mod verify;

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use tracing_subscriber::filter::LevelFilter;

use super::{is_broken_pipe, line, log};
use crate::config::{BrokerConfig, Settings};
use crate::store::StoreError;
use crate::store::inspect::StoreLayout;

/// Arguments of `kerolox store`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    /// Compare records, queue entries, index and offsets of a store.
    ///
    /// Nothing is changed; the broker may run. Findings go to standard output, one a line, progress to standard error.
    /// Exit status: 0 clean, 1 findings, 2 the store could not be examined.
    Verify(verify::Args),
    /// Print the records of a store as JSON lines.
    ///
    /// Nothing is changed; the broker may run. Exit status: 0 no damage met, 1 damaged ranges, 2 the store could not be
    /// examined.
    Dump(dump::Args),
}

/// Where a store lies.
#[derive(Clone, Debug, clap::Args)]
struct Place {
    /// Root of the store (storePathRootDir).
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Directory of the commit log if it is elsewhere (storePathCommitLog); may be repeated.
    #[arg(long, value_name = "DIR")]
    commit_log_dir: Vec<PathBuf>,
    /// Length of a commit-log file (mappedFileSizeCommitLog); found from the files if not given.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(4096..=0x7FFF_FFFF))]
    mapped_file_size_commit_log: Option<u64>,
}

impl Place {
    fn layout(&self) -> StoreLayout {
        StoreLayout {
            commit_log_dirs: self.commit_log_dir.clone(),
            commit_log_file_size: self.mapped_file_size_commit_log,
            ..StoreLayout::new(&self.dir)
        }
    }
}

/// What a command came to.
enum Outcome {
    Clean,
    Found,
}

/// Runs one command.
pub fn run(args: &Args) -> ExitCode {
    log(LevelFilter::WARN);
    let outcome = match &args.command {
        Command::Verify(args) => verify::run(args),
        Command::Dump(args) => dump::run(args),
    };
    match outcome {
        Ok(Outcome::Clean) => ExitCode::SUCCESS,
        Ok(Outcome::Found) => ExitCode::from(1),
        // Whoever read the output has read enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let hint = hint(&error).unwrap_or_default();
            // Nobody is left to tell if this fails.
            drop(writeln!(std::io::stderr(), "error: {}{hint}", line(&error)));
            ExitCode::from(2)
        }
    }
}

/// What to do about an error of the file system.
fn hint(error: &anyhow::Error) -> Option<&'static str> {
    match error.downcast_ref::<StoreError>()? {
        StoreError::Io { source, .. } => match source.kind() {
            ErrorKind::PermissionDenied => Some("; run this as the broker's user"),
            ErrorKind::NotADirectory => Some("; give the root directory of a store"),
            ErrorKind::FileTooLarge => Some("; this is no table of a broker, move it away"),
            _ => Some("; see the system's log for trouble with the disk, and try on a copy"),
        },
        _ => None,
    }
}

/// The delays of a `messageDelayLevel`.
fn delay_levels_ms(text: &str) -> Result<Vec<i64>> {
    let mut config = BrokerConfig::default();
    config.set("messageDelayLevel", text)?;
    config.check()?;
    Ok(config.delay_levels_ms())
}
