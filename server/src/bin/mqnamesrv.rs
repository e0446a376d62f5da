// SPDX-License-Identifier: Apache-2.0
//! `mqnamesrv`: a name server under the reference's name and with its flags.

use std::process::ExitCode;

use clap::Parser;
use kerolox_server::cli;

#[derive(Debug, Parser)]
#[command(version, about = "RocketMQ without a JVM: a name server")]
struct Arguments {
    #[command(flatten)]
    args: cli::namesrv::Args,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    cli::run(|| cli::namesrv::run(&arguments.args))
}
