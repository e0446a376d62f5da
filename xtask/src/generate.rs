// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask gen`: the committed files that a program writes. Never from a `build.rs`: they are reviewed like code.

use std::fs;

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::Workspace;

/// A cargo command and the files that it writes when it runs in the repository's root.
struct Generator {
    /// The source without which there is nothing to generate.
    needs: &'static str,
    cargo: &'static [&'static str],
    outputs: &'static [&'static str],
}

const GENERATORS: &[Generator] = &[
    Generator {
        needs: "core/examples/tables.rs",
        cargo: &["run", "--quiet", "-p", "kerolox", "--example", "tables"],
        outputs: &["docs/options.md", "docs/errors.md"],
    },
    Generator {
        needs: "bindings/c/cbindgen.toml",
        cargo: &[
            "run",
            "--quiet",
            "-p",
            "kerolox-c",
            "--features",
            "header",
            "--example",
            "header",
        ],
        outputs: &["include/kerolox.h"],
    },
];

pub fn run(workspace: &Workspace, args: &[String]) -> Result<()> {
    match args {
        [] => write(workspace).map(drop),
        [flag] if flag == "--check" => check(workspace),
        _ => bail!("usage: cargo xtask gen [--check]"),
    }
}

/// Fails when generating changes a file; the files are left as generated.
pub fn check(workspace: &Workspace) -> Result<()> {
    let before: Vec<Option<String>> = outputs()
        .map(|o| fs::read_to_string(workspace.root.join(o)).ok())
        .collect();
    write(workspace)?;
    let mut stale = Vec::new();
    for (output, before) in outputs().zip(before) {
        if fs::read_to_string(workspace.root.join(output)).ok() != before {
            stale.push(output);
        }
    }
    ensure!(
        stale.is_empty(),
        "out of date, commit what `cargo xtask gen` writes: {}",
        stale.join(", ")
    );
    Ok(())
}

fn outputs() -> impl Iterator<Item = &'static str> {
    GENERATORS.iter().flat_map(|g| g.outputs).copied()
}

fn write(workspace: &Workspace) -> Result<()> {
    for generator in GENERATORS {
        ensure!(
            workspace.root.join(generator.needs).exists(),
            "{} is missing",
            generator.needs
        );
        let mut command = workspace.cargo(generator.cargo);
        let status = command
            .status()
            .with_context(|| format!("starting {command:?}"))?;
        ensure!(status.success(), "{command:?}: {status}");
        for output in generator.outputs {
            ensure!(
                workspace.root.join(output).exists(),
                "{output} was not written"
            );
            println!("{output}");
        }
    }
    Ok(())
}
