// SPDX-License-Identifier: Apache-2.0
//! `mqadmin`: administration under the reference's name and with its flags.

use std::process::ExitCode;

use clap::Parser;
use kerolox_server::cli;

#[derive(Debug, Parser)]
#[command(version, about = "RocketMQ without a JVM: administration")]
struct Arguments {
    #[command(flatten)]
    args: cli::admin::Args,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    cli::run(|| cli::admin::run(&arguments.args))
}
