// SPDX-License-Identifier: Apache-2.0
//! `kerolox`: servers and tools in one program.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use kerolox_server::{bench, cli};

/// RocketMQ without a JVM: name server, broker and tools.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a name server and a broker in one process.
    Serve(cli::serve::Args),
    /// Run a name server.
    Namesrv(cli::namesrv::Args),
    /// Run a broker.
    Broker(cli::broker::Args),
    /// Administer brokers and name servers.
    Admin(cli::admin::Args),
    /// Measure a broker.
    Bench(bench::Args),
    /// Look into a store directory without changing it.
    Store(cli::store::Args),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Command::Store(args) = &arguments.command {
        // Its exit status says more than success or failure.
        return cli::store::run(args);
    }
    cli::run(|| match &arguments.command {
        Command::Serve(args) => cli::serve::run(args),
        Command::Namesrv(args) => cli::namesrv::run(args),
        Command::Broker(args) => cli::broker::run(args),
        Command::Admin(args) => cli::admin::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Store(_) => Ok(()),
    })
}
