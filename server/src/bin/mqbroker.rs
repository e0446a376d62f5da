// SPDX-License-Identifier: Apache-2.0
//! `mqbroker`: a broker under the reference's name and with its flags.

use std::process::ExitCode;

use clap::Parser;
use kerolox_server::cli;

#[derive(Debug, Parser)]
#[command(version, about = "RocketMQ without a JVM: a broker")]
struct Arguments {
    #[command(flatten)]
    args: cli::broker::Args,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    cli::run(|| cli::broker::run(&arguments.args))
}
