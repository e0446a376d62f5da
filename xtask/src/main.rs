// SPDX-License-Identifier: Apache-2.0
//! The project's automation in one program: `cargo xtask <command>`. `cargo xtask help` lists the commands.
#![forbid(unsafe_code)]

mod bench;
mod demo;
mod generate;
mod parity;
mod steps;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

use workspace::Workspace;

const HELP: &str = "\
cargo xtask <command>

  demo [FILE] [--limit N]  send each line of FILE (default: a text file of the repository) from Python through our own
                           servers, consume it in one group from Python, Node and C at once, and compare
  test [STEP...]           every check and test there is, or only the named steps; --list names them
  ci                       test, and the slower checks: generated files, licences
  tidy                     import directions, file sizes, unsafe code, first lines
  gen [--check]            write the generated files; --check fails when that changes one
  parity                   compare the facade's methods with C, Python and Node
  bench [ARGS...]          our servers beside the official ones (tests/bench)
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_else(|| "help".to_owned());
    let rest: Vec<String> = args.collect();
    let workspace = Workspace::find()?;
    match command.as_str() {
        "demo" => demo::run(&workspace, &rest),
        "test" => steps::test(&workspace, &rest),
        "ci" => steps::ci(&workspace, &rest),
        "tidy" => tidy::run(&workspace.root),
        "gen" => generate::run(&workspace, &rest),
        "parity" => parity::run(&workspace),
        "bench" => bench::run(&workspace, &rest),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        other => bail!("unknown command `{other}`\n\n{HELP}"),
    }
}
