// SPDX-License-Identifier: Apache-2.0
//! Runs a command beside the official name server and broker, for tests written in other languages:
//! `cargo run -p kerolox-tests --example with_official -- CMD ARGS…`. `NAMESRV_ADDR` is set for it, its exit code becomes
//! ours. With `--ours` first, beside `kerolox serve` instead.
#![forbid(unsafe_code)]

use std::process::{Command, ExitCode};

use anyhow::Context;
use kerolox_tests::cluster::Kind;

fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = std::env::args_os().skip(1).peekable();
    let kind = if arguments.next_if(|first| first == "--ours").is_some() {
        Kind::Ours
    } else {
        Kind::Official
    };
    let program = arguments
        .next()
        .context("usage: with_official [--ours] CMD ARGS…")?;
    let mut cluster = kind.start()?;
    eprintln!(
        "{}: name server {}, broker {}",
        kind.name(),
        cluster.namesrv_addr(),
        cluster.broker_addr()
    );
    let status = Command::new(&program)
        .args(arguments)
        .envs(cluster.env())
        .status()
        .with_context(|| format!("start {}", program.display()))?;
    if !status.success() {
        eprintln!("{}", cluster.logs());
    }
    cluster.stop()?;
    Ok(
        match status.code().and_then(|code| u8::try_from(code).ok()) {
            Some(code) => ExitCode::from(code),
            None => ExitCode::FAILURE,
        },
    )
}
