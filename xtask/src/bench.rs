// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask bench`: our servers beside the official ones, in one run. The work is done by `tests/bench`.

use anyhow::{Context, Result, ensure};

use crate::workspace::Workspace;

pub fn run(workspace: &Workspace, args: &[String]) -> Result<()> {
    // Only this profile is worth measuring.
    let built = workspace
        .cargo(&["build", "--profile", "dist", "-p", "kerolox-server"])
        .status()?;
    ensure!(built.success(), "the build failed");
    let status = workspace
        .cargo(&["run", "-p", "kerolox-tests", "--example", "bench", "--"])
        .args(args)
        .env("KEROLOX_BIN", workspace.target.join("dist/kerolox"))
        .status()
        .context("starting the comparison")?;
    ensure!(status.success(), "the comparison ended with {status}");
    Ok(())
}
