// SPDX-License-Identifier: Apache-2.0
//! The steps that run the bindings' own tests with their own languages' tools.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::report::{Missing, Run};
use super::tally::Reader;
use crate::workspace::{self, Workspace};

const PYTHON_TOOLS: &[&str] = &["maturin==1.16.0", "pytest", "mypy", "ruff"];

pub fn python(workspace: &Workspace, run: &mut Run) -> Result<()> {
    let python = workspace::python().map_err(|e| Missing(e.to_string()))?;
    let sources = workspace.root.join("python");
    let venv = workspace.target.join("xtask/venv");
    let bin = venv.join(if cfg!(windows) { "Scripts" } else { "bin" });
    let tool = |name: &str| bin.join(name);
    install_python_tools(workspace, &python, &venv, &tool("python"))?;

    let wheels = workspace.scratch("wheels")?;
    for old in with_ending(&wheels, ".whl")? {
        fs::remove_file(old)?;
    }
    let mut maturin = workspace.command(tool("maturin"));
    maturin
        .args(["build", "--interpreter"])
        .arg(tool("python"))
        .arg("--out")
        .arg(&wheels)
        .current_dir(&sources);
    run.cmd(&mut maturin, Reader::None)?;
    let wheel = with_ending(&wheels, ".whl")?
        .pop()
        .context("maturin built no wheel")?;
    let mut pip = workspace.command(tool("python"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--force-reinstall",
        "--no-deps",
    ])
    .arg(wheel);
    workspace::quietly(&mut pip)?;

    // The tests import the installed wheel, so they do not run from the folder that holds the sources.
    let mut pytest = workspace.command(tool("python"));
    pytest.args([
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--import-mode=importlib",
        "tests",
    ]);
    pytest
        .current_dir(&sources)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let tests = run.cmd(&mut pytest, Reader::Pytest);
    let scenarios = scenarios(
        workspace,
        run,
        &mut workspace.command(tool("python")),
        "run.py",
    );

    let cache = workspace.scratch("mypy")?;
    let mut mypy = workspace.command(tool("python"));
    mypy.args(["-m", "mypy", "--strict", "--cache-dir"])
        .arg(&cache)
        .arg("src/kerolox")
        .current_dir(&sources);
    let types = run.cmd(&mut mypy, Reader::None);
    let mut stubtest = workspace.command(tool("python"));
    stubtest
        .args(["-m", "mypy.stubtest", "kerolox._native"])
        .current_dir(&cache);
    let allowed = sources.join("stubtest-allowlist.txt");
    if allowed.exists() {
        stubtest.arg("--allowlist").arg(allowed);
    }
    let stubs = run.cmd(&mut stubtest, Reader::None);
    let mut ruff = workspace.command(tool("python"));
    ruff.args(["-m", "ruff", "check", "--no-cache", "."])
        .current_dir(&sources);
    let style = run.cmd(&mut ruff, Reader::None);
    tests.and(scenarios).and(types).and(stubs).and(style)
}

/// A virtual environment under the target directory, filled once for each list of tools.
fn install_python_tools(
    workspace: &Workspace,
    python: &str,
    venv: &Path,
    inside: &Path,
) -> Result<()> {
    let stamp = venv.join("tools.txt");
    let wanted = PYTHON_TOOLS.join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(());
    }
    println!(
        "installing {} into {}",
        PYTHON_TOOLS.join(", "),
        venv.display()
    );
    workspace::quietly(
        workspace
            .command(python)
            .args(["-m", "venv", "--clear"])
            .arg(venv),
    )
    .map_err(|e| {
        Missing(format!(
            "{python} could not make a virtual environment: {e:#}"
        ))
    })?;
    let mut pip = workspace.command(inside);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ])
    .args(PYTHON_TOOLS);
    workspace::quietly(&mut pip)
        .map_err(|e| Missing(format!("pip could not install the tools: {e:#}")))?;
    fs::write(stamp, wanted)?;
    Ok(())
}

pub fn node(workspace: &Workspace, run: &mut Run) -> Result<()> {
    let node = workspace::node().map_err(|e| Missing(format!("{e:#}")))?;
    let sources = workspace.root.join("node");
    super::up_to_date(workspace)?;
    workspace.stage_node_addon()?;
    install_node_tools(workspace, run, &sources)?;

    let mut test = workspace.command(&node);
    test.args(["--test", "--test-reporter=spec", "--test-concurrency=1"]);
    test.args(test_files(&sources.join("test"))?)
        .current_dir(&sources);
    let tests = run.cmd(&mut test, Reader::NodeTest);
    let scenarios = scenarios(workspace, run, &mut workspace.command(&node), "run.mjs");
    tests.and(scenarios)
}

/// The runner of one language over every scenario, against an embedded server.
fn scenarios(
    workspace: &Workspace,
    run: &mut Run,
    command: &mut Command,
    runner: &str,
) -> Result<()> {
    let dir = workspace.root.join("tests/scenarios");
    command
        .arg(dir.join(runner))
        .args(with_ending(&dir, ".scn")?);
    run.cmd(
        command.env("SCENARIO_DIR", workspace.scratch("offsets")?),
        Reader::OkLines,
    )
}

fn test_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for ending in [".test.js", ".test.mjs", ".test.cjs"] {
        files.extend(with_ending(dir, ending)?);
    }
    Ok(files)
}

/// The TypeScript compiler that the package's lock file names; a test of the package calls it.
fn install_node_tools(workspace: &Workspace, run: &mut Run, sources: &Path) -> Result<()> {
    if sources.join("node_modules/typescript/bin/tsc").exists() {
        return Ok(());
    }
    if !workspace::exists("npm") {
        return run.skip("npm is not installed, so the types are not checked");
    }
    println!("installing the TypeScript compiler");
    let mut npm = workspace.command("npm");
    npm.args(["ci", "--no-audit", "--no-fund"])
        .current_dir(sources);
    match workspace::quietly(&mut npm) {
        Ok(_) => Ok(()),
        Err(error) => run.skip(&format!(
            "npm could not install the TypeScript compiler: {error:#}"
        )),
    }
}

pub fn c(workspace: &Workspace, run: &mut Run) -> Result<()> {
    let compiler = workspace::c_compiler();
    if !workspace::exists(&compiler) {
        return Err(Missing(format!("no C compiler (`{compiler}`)")).into());
    }
    super::up_to_date(workspace)?;
    let mut programs = workspace.command("bash");
    programs
        .arg(workspace.root.join("tests/c/run.sh"))
        .arg(workspace.target.join("debug"));
    // `official` needs servers of the reference: the step interop runs it.
    let names = with_ending(&workspace.root.join("tests/c"), ".c")?;
    programs.args(
        names
            .iter()
            .filter_map(|p| p.file_stem())
            .filter(|name| *name != "official"),
    );
    let outcome = run.cmd(&mut programs, Reader::OkLines);
    let dir = workspace.root.join("tests/scenarios");
    let (mut compile, program) = workspace.compile_c(&[dir.join("run.c")], "scenarios")?;
    workspace::quietly(&mut compile)?;
    let mut command = workspace.command(&program);
    command
        .args(with_ending(&dir, ".scn")?)
        .env("SCENARIO_DIR", workspace.scratch("offsets")?);
    outcome.and(run.cmd(&mut command, Reader::OkLines))
}

/// Every binding that has been built, against the official servers.
pub fn against_official(workspace: &Workspace, run: &mut Run) -> Result<()> {
    super::up_to_date(workspace)?;
    let mut command = workspace.command(workspace.built("examples/with_official"));
    command
        .arg("bash")
        .arg(workspace.root.join("tests/interop/bindings.sh"));
    command.env("PYTHON", workspace.target.join("xtask/venv/bin/python"));
    command.env("C_SCENARIOS", workspace.scratch("c")?.join("scenarios"));
    command.env("C_LIBRARY", workspace.target.join("debug"));
    command.env("SCENARIO_DIR", workspace.scratch("offsets")?);
    run.cmd(&mut command, Reader::OkLines)
}

/// The files of a folder whose names end so, sorted; none when there is no such folder.
fn with_ending(dir: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if dir.is_dir() {
        for entry in fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
            let path = entry?.path();
            if path.to_string_lossy().ends_with(ending) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
