// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask tidy`: the rules of the house that no compiler checks.

mod imports;
mod rules;
mod source;

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use source::Source;

/// One violated rule.
#[derive(Debug)]
pub struct Finding {
    path: String,
    line: usize,
    rule: &'static str,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, rule: &'static str, message: String) -> Self {
        Self {
            path: path.to_owned(),
            line,
            rule,
            message,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: [{}] {}",
            self.path, self.line, self.rule, self.message
        )
    }
}

pub fn run(root: &Path) -> Result<()> {
    let files = tracked_files(root)?;
    let mut findings = Vec::new();
    let mut sizes = Vec::new();
    for path in &files {
        // Not text (archives of golden frames), or removed from the work tree but not yet from the index.
        let Ok(text) = fs::read_to_string(root.join(path)) else {
            continue;
        };
        if path.ends_with(".md") || path.ends_with(".lock") || path.ends_with(".json") {
            continue;
        }
        let source = Source::new(path.as_str(), text);
        check(&source, &mut findings);
        if rules::counts_lines(path) {
            sizes.push(source.text.lines().count());
        }
    }
    lints_are_inherited(root, &files, &mut findings)?;
    for finding in &findings {
        println!("{finding}");
    }
    sizes.sort_unstable();
    let at = |share: usize| {
        sizes
            .get(sizes.len() * share / 100)
            .copied()
            .unwrap_or_default()
    };
    println!(
        "tidy: {} files, median {} lines, 90th percentile {}, longest {} (aim: 200, 500, cap {})",
        sizes.len(),
        at(50),
        at(90),
        sizes.last().copied().unwrap_or_default(),
        rules::LINE_CAP
    );
    if !findings.is_empty() {
        bail!("{} findings", findings.len());
    }
    Ok(())
}

fn check(source: &Source, findings: &mut Vec<Finding>) {
    imports::check(source, findings);
    rules::check(source, findings);
}

/// Every file that git tracks or would track, relative to the root.
fn tracked_files(root: &Path) -> Result<Vec<String>> {
    let output = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root)
        .output()
        .context("running git ls-files")?;
    ensure!(
        output.status.success(),
        "git ls-files: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let mut files: Vec<String> = String::from_utf8(output.stdout)?
        .split_terminator('\0')
        .map(str::to_owned)
        .collect();
    files.sort();
    files.dedup();
    Ok(files)
}

/// A crate that forgets `[lints] workspace = true` is checked by nothing.
fn lints_are_inherited(root: &Path, files: &[String], findings: &mut Vec<Finding>) -> Result<()> {
    for path in files.iter().filter(|p| p.ends_with("/Cargo.toml")) {
        let text =
            fs::read_to_string(root.join(path)).with_context(|| format!("reading {path}"))?;
        let inherits =
            text.contains("[lints]\nworkspace = true") || text.contains("lints.workspace = true");
        if !inherits && !path.starts_with("xtask/") && !path.contains("/fuzz/") {
            findings.push(Finding::new(
                path,
                1,
                "lints",
                "the crate must inherit the workspace's lints".to_owned(),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
