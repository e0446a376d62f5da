// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask test` and `cargo xtask ci`: every check there is, in the order in which a mistake is cheapest to find.
//!
//! All steps share one target directory and the dev profile, and every cargo call names the whole workspace, so that features
//! are unified in one way and nothing is built twice.

mod languages;
mod report;
mod tally;

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::{self, Workspace};
use crate::{generate, parity, tidy};
use report::{Missing, Report, Run};
use tally::Reader;

struct Step {
    name: &'static str,
    about: &'static str,
    /// Only in `ci`, or when named.
    only_ci: bool,
    run: fn(&Workspace, &mut Run) -> Result<()>,
}

const fn step(
    name: &'static str,
    about: &'static str,
    run: fn(&Workspace, &mut Run) -> Result<()>,
) -> Step {
    Step {
        name,
        about,
        only_ci: false,
        run,
    }
}

const STEPS: &[Step] = &[
    step("fmt", "cargo fmt --check", fmt),
    step(
        "tidy",
        "import directions, sizes, unsafe code, first lines",
        |w, run| counted(run, tidy::run(&w.root)),
    ),
    step(
        "clippy",
        "clippy over every target, warnings are errors",
        clippy,
    ),
    step(
        "doc",
        "rustdoc of the published crates, warnings are errors",
        doc,
    ),
    step(
        "parity",
        "the facade's methods in C, Python and Node",
        |w, run| counted(run, parity::run(w)),
    ),
    step("build", "everything that later steps start or load", build),
    step(
        "unit",
        "unit, property, golden and per-crate integration tests, examples in the documentation",
        unit,
    ),
    step(
        "scenarios",
        "client and servers together, from Rust",
        |w, run| suite(w, run, "scenarios"),
    ),
    step(
        "python",
        "wheel, pytest, mypy, stubtest, ruff",
        languages::python,
    ),
    step("node", "node --test, with the types", languages::node),
    step(
        "c",
        "header alone as C11 and C++17, programs, valgrind",
        languages::c,
    ),
    step("interop", "official clients and servers with ours", interop),
    step("crash", "kill -9 and restart", |w, run| {
        suite(w, run, "crash")
    }),
    Step {
        only_ci: true,
        ..step("gen", "generated files are up to date", |w, run| {
            counted(run, generate::check(w))
        })
    },
    Step {
        only_ci: true,
        ..step("deny", "licences, bans and sources of dependencies", deny)
    },
];

pub fn test(workspace: &Workspace, args: &[String]) -> Result<()> {
    if args.iter().any(|a| a == "--list") {
        for step in STEPS {
            println!(
                "{:<10} {}{}",
                step.name,
                step.about,
                if step.only_ci { " (ci only)" } else { "" }
            );
        }
        return Ok(());
    }
    let known = || STEPS.iter().map(|s| s.name).collect::<Vec<_>>().join(", ");
    if let Some(unknown) = args.iter().find(|a| STEPS.iter().all(|s| s.name != **a)) {
        bail!("unknown step `{unknown}`; there are: {}", known());
    }
    run(workspace, |step| {
        if args.is_empty() {
            !step.only_ci
        } else {
            args.iter().any(|a| a == step.name)
        }
    })
}

pub fn ci(workspace: &Workspace, args: &[String]) -> Result<()> {
    if let Some(unknown) = args.first() {
        bail!(
            "`ci` takes no arguments (`{unknown}` given); single steps run with `cargo xtask test STEP`"
        );
    }
    run(workspace, |_| true)
}

fn run(workspace: &Workspace, wanted: impl Fn(&Step) -> bool) -> Result<()> {
    let mut report = Report::new();
    for step in STEPS.iter().filter(|s| wanted(s)) {
        report.step(step.name, step.about, |run| (step.run)(workspace, run));
    }
    report.close()
}

/// A check that runs inside xtask counts as one test.
fn counted(run: &mut Run, outcome: Result<()>) -> Result<()> {
    outcome?;
    run.passed();
    Ok(())
}

/// Adds a rustup component when its cargo command is not there.
fn component(workspace: &Workspace, command: &str, component: &str) -> Result<()> {
    if workspace::quietly(&mut workspace.cargo(&[command, "--version"])).is_ok() {
        return Ok(());
    }
    println!("cargo {command} is missing, adding {component}");
    workspace::quietly(
        workspace
            .command("rustup")
            .args(["component", "add", component]),
    )
    .map_err(|e| {
        Missing(format!(
            "cargo {command} is not installed and rustup could not add it: {e:#}"
        ))
    })?;
    Ok(())
}

fn fmt(workspace: &Workspace, run: &mut Run) -> Result<()> {
    component(workspace, "fmt", "rustfmt")?;
    run.cmd(
        &mut workspace.cargo(&["fmt", "--all", "--check"]),
        Reader::None,
    )
}

fn clippy(workspace: &Workspace, run: &mut Run) -> Result<()> {
    component(workspace, "clippy", "clippy")?;
    run.cmd(
        &mut workspace.cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]),
        Reader::None,
    )
}

fn doc(workspace: &Workspace, run: &mut Run) -> Result<()> {
    let mut command = workspace.cargo(&[
        "doc",
        "--no-deps",
        "--lib",
        "-p",
        "kerolox-protocol",
        "-p",
        "kerolox",
    ]);
    command
        .args(["-p", "kerolox-server"])
        .env("RUSTDOCFLAGS", "-D warnings");
    run.cmd(&mut command, Reader::None)
}

/// Programs, libraries and tests with one set of features: a build without the tests would have another.
const BUILD: &[&str] = &["build", "--workspace", "--all-targets"];

static BUILT: AtomicBool = AtomicBool::new(false);

fn build(workspace: &Workspace, run: &mut Run) -> Result<()> {
    BUILT.store(true, Ordering::Relaxed);
    run.cmd(&mut workspace.cargo(BUILD), Reader::None)
}

/// The same for steps that need it when they run alone. Once is enough: maturin builds the same crates with features of its
/// own in between, and each further build would undo that.
fn up_to_date(workspace: &Workspace) -> Result<()> {
    if BUILT.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let status = workspace
        .cargo(BUILD)
        .status()
        .context("starting cargo build")?;
    ensure!(status.success(), "the build failed");
    Ok(())
}

fn unit(workspace: &Workspace, run: &mut Run) -> Result<()> {
    let mut command =
        workspace.cargo(&["test", "--workspace", "--lib", "--bins", "--no-fail-fast"]);
    if ["core/tests/it", "server/tests/it", "core/protocol/tests/it"]
        .iter()
        .any(|d| workspace.root.join(d).exists())
    {
        command.args(["--test", "it"]);
    }
    let tests = run.cmd(&mut command, Reader::Libtest);
    let mut documentation = workspace.cargo(&["test", "--workspace", "--doc", "--no-fail-fast"]);
    let examples = run.cmd(&mut documentation, Reader::Libtest);
    tests.and(examples)
}

/// One test target of the package in `tests/`.
fn suite(workspace: &Workspace, run: &mut Run, name: &str) -> Result<()> {
    let manifest = workspace.root.join("tests/Cargo.toml");
    let text =
        fs::read_to_string(&manifest).with_context(|| format!("reading {}", manifest.display()))?;
    if !text.contains(&format!("name = \"{name}\"")) {
        return Err(Missing(format!("there is no test target `{name}` yet")).into());
    }
    // One thread: these tests start servers and JVMs and measure deadlines; two cores carry one of them at a time.
    let mut command = workspace.cargo(&[
        "test",
        "--workspace",
        "--test",
        name,
        "--no-fail-fast",
        "--",
    ]);
    command.args(["--nocapture", "--test-threads=1"]);
    // Else the harness builds the server by itself, for that package alone and so with other features.
    up_to_date(workspace)?;
    command.env("KEROLOX_BIN", workspace.built("kerolox"));
    run.cmd(&mut command, Reader::Libtest)
}

fn interop(workspace: &Workspace, run: &mut Run) -> Result<()> {
    let clients = suite(workspace, run, "interop");
    for tool in ["java", "mvn"] {
        if !workspace::exists(tool) {
            return clients.and(run.skip(&format!("{tool} is not installed, no official servers")));
        }
    }
    clients.and(languages::against_official(workspace, run))
}

fn deny(workspace: &Workspace, run: &mut Run) -> Result<()> {
    if workspace::quietly(&mut workspace.cargo(&["deny", "--version"])).is_err() {
        return Err(Missing(
            "cargo-deny is not installed (cargo install --locked cargo-deny)".to_owned(),
        )
        .into());
    }
    run.cmd(
        &mut workspace.cargo(&["deny", "check", "licenses", "bans", "sources"]),
        Reader::None,
    )
}
