// SPDX-License-Identifier: Apache-2.0
//! The client programs of `tests/interop` in Java, Go and JavaScript: fetched, built and run.
//!
//! Each prints one JSON line per behaviour; [`run`] collects them.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use crate::cache;

/// What a program says about one behaviour.
#[derive(Clone, Debug, Deserialize)]
pub struct Report {
    /// Name of the behaviour.
    pub name: String,
    /// Whether the peer did what it should.
    pub ok: bool,
    /// Milliseconds it took.
    pub ms: u64,
    /// Figures, or what went wrong.
    pub detail: String,
}

/// A line of a program: a report, or a wish.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Report(Report),
    Await {
        #[serde(rename = "await")]
        what: String,
    },
}

fn source(language: &str) -> PathBuf {
    cache::workspace().join("tests/interop").join(language)
}

/// The directory with the jars of a profile of `tests/interop/java/pom.xml`, fetched by Maven the first time.
///
/// # Errors
/// When Maven can not fetch them.
pub fn jars(profile: &str) -> anyhow::Result<PathBuf> {
    let pom = source("java").join("pom.xml");
    let content = fs::read(&pom)?;
    cache::get_or_make(profile, &[&content], |dir| {
        let mut maven = Command::new("mvn");
        maven.args(["--quiet", "--batch-mode", "--file"]).arg(&pom);
        maven
            .arg(format!("-P{profile}"))
            .arg("dependency:copy-dependencies");
        maven.arg(format!("-DoutputDirectory={}", dir.display()));
        cache::run(&mut maven)
    })
}

/// Our logging configuration and the jars of some directories, as one class path.
///
/// # Errors
/// When a path can not be part of one.
pub fn class_path(dirs: &[&Path]) -> anyhow::Result<OsString> {
    let mut parts = vec![source("java").join("logback")];
    parts.extend(dirs.iter().map(|dir| dir.join("*")));
    Ok(std::env::join_paths(parts)?)
}

/// The Java program on the client of a version, `5.5.0` or `4.9.8`, with its working files in `home`.
///
/// # Errors
/// When fetching or compiling fails.
pub fn java_client(version: &str, home: &Path) -> anyhow::Result<Command> {
    let jars = jars(&format!("client-{version}"))?;
    // Clients of 4.9 do not have all that those of 5.x have.
    let folders: &[&str] = if version.starts_with("5.") {
        &["src", "src-5"]
    } else {
        &["src"]
    };
    let mut files: Vec<PathBuf> = Vec::new();
    for folder in folders {
        for entry in fs::read_dir(source("java").join(folder))? {
            files.push(entry?.path());
        }
    }
    files.sort();
    let contents = files.iter().map(fs::read).collect::<Result<Vec<_>, _>>()?;
    let inputs: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
    let classes = cache::get_or_make(&format!("classes-{version}"), &inputs, |dir| {
        let mut javac = Command::new("javac");
        javac.arg("-nowarn").arg("-d").arg(dir);
        javac.arg("-cp").arg(class_path(&[&jars])?).args(&files);
        cache::run(&mut javac)
    })?;
    let mut class_path = std::env::split_paths(&class_path(&[&jars])?).collect::<Vec<_>>();
    class_path.insert(0, classes);
    let mut java = java(home);
    java.arg(format!(
        "-Drocketmq.client.localOffsetStoreDir={}",
        home.join("offsets").display()
    ));
    java.arg("-cp").arg(std::env::join_paths(class_path)?);
    Ok(java)
}

/// A small JVM; class path and main class have to follow.
fn java(home: &Path) -> Command {
    let mut java = Command::new("java");
    java.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    java.arg(format!("-Duser.home={}", home.display()));
    java
}

/// The official `mqadmin` 5.5.0; subcommand and options have to follow.
///
/// # Errors
/// When the jars can not be fetched.
pub fn official_mqadmin(home: &Path) -> anyhow::Result<Command> {
    let jars = jars("servers-5.5.0")?;
    let mut java = java(home);
    java.arg("-cp").arg(class_path(&[&jars])?);
    java.arg("org.apache.rocketmq.tools.command.MQAdminStartup");
    Ok(java)
}

/// The Go program.
///
/// # Errors
/// When fetching its modules or building it fails.
pub fn go_client() -> anyhow::Result<Command> {
    let dir = source("go");
    let inputs = ["main.go", "go.mod", "go.sum"].map(|name| fs::read(dir.join(name)));
    let [program, modules, sums] = inputs;
    let made = cache::get_or_make("go", &[&program?, &modules?, &sums?], |out| {
        let mut go = Command::new("go");
        go.current_dir(&dir)
            .env("GOFLAGS", "-mod=readonly -buildvcs=false");
        go.args(["build", "-o"])
            .arg(out.join("interop-go"))
            .arg(".");
        cache::run(&mut go)
    })?;
    Ok(Command::new(made.join("interop-go")))
}

/// The JavaScript program.
///
/// # Errors
/// When npm can not fetch its packages.
pub fn node_client() -> anyhow::Result<Command> {
    let dir = source("node");
    let files = ["main.js", "package.json", "package-lock.json"];
    let contents = files.map(|name| fs::read(dir.join(name)));
    let [program, package, lock] = contents;
    let made = cache::get_or_make("node", &[&program?, &package?, &lock?], |out| {
        for name in files {
            fs::copy(dir.join(name), out.join(name))?;
        }
        let mut npm = Command::new("npm");
        npm.current_dir(out)
            .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]);
        cache::run(&mut npm)
    })?;
    let mut node = Command::new("node");
    node.arg(made.join("main.js"));
    Ok(node)
}

/// Runs a client program to its end and returns its reports. When it awaits something, `on_await` is called with what,
/// and the program goes on when that returns. Its standard error goes to `<dir>/client.err`.
///
/// # Errors
/// When it does not end by the deadline, prints something else, or ends with a code that its reports do not explain.
pub fn run(
    command: &mut Command,
    dir: &Path,
    deadline: Duration,
    mut on_await: impl FnMut(&str) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Report>> {
    let end = Instant::now() + deadline;
    let stderr = dir.join("client.err");
    let mut child = command
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(File::create(&stderr)?)
        .spawn()
        .with_context(|| format!("start {command:?}"))?;
    let mut stdin = child.stdin.take().context("standard input")?;
    let stdout = child.stdout.take().context("standard output")?;
    let (sender, lines) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        // The receiver goes first when the deadline passed; nobody wants the lines then.
        let _ = BufReader::new(stdout)
            .lines()
            .try_for_each(|line| sender.send(line).ok());
    });
    let mut reports = Vec::new();
    let mut follow = || -> anyhow::Result<()> {
        loop {
            let line = match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => line?,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {
                    bail!("not done within {deadline:?}: {command:?}")
                }
            };
            match serde_json::from_str(&line).with_context(|| format!("odd line {line:?}"))? {
                Line::Report(report) => reports.push(report),
                Line::Await { what } => {
                    on_await(&what)?;
                    stdin.write_all(b"\n")?;
                    stdin.flush()?;
                }
            }
        }
    };
    let followed = follow();
    if followed.is_err() {
        // It may have ended by itself in between.
        drop(child.kill());
    }
    let status = child.wait()?;
    drop(reader.join());
    let log = || fs::read_to_string(&stderr).unwrap_or_default();
    followed.with_context(|| format!("after {reports:#?}\n{}", log()))?;
    let all_ok = reports.iter().all(|report| report.ok);
    ensure!(
        status.success() || !all_ok,
        "{command:?} ended with {status} after {reports:#?}\n{}",
        log()
    );
    Ok(reports)
}
