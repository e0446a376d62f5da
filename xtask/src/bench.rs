// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask bench`: our servers beside the official ones, in one run. The work is done by `tests/bench`.

use anyhow::{Context, Result, ensure};

use crate::workspace::{Workspace, python};

pub fn run(workspace: &Workspace, args: &[String]) -> Result<()> {
    let script = workspace.root.join("tests/bench/run.py");
    ensure!(
        script.exists(),
        "there is no comparison yet (tests/bench/run.py); `kerolox bench` measures one server"
    );
    // Only this profile is worth measuring.
    let built = workspace
        .cargo(&["build", "--profile", "dist", "-p", "kerolox-server"])
        .status()?;
    ensure!(built.success(), "the build failed");
    let status = workspace
        .command(python()?)
        .arg(script)
        .arg("--kerolox")
        .arg(workspace.target.join("dist/kerolox"))
        .args(args)
        .status()
        .context("starting tests/bench/run.py")?;
    ensure!(status.success(), "the comparison ended with {status}");
    Ok(())
}
