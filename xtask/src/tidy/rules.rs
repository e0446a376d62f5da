// SPDX-License-Identifier: Apache-2.0
//! The rules about a file itself: its size, first line, name, and the few words it must not contain.

use super::Finding;
use super::source::Source;

pub const LINE_CAP: usize = 800;

/// Files that may be longer than the cap, each with its reason.
pub const LONG_FILES: &[(&str, &str)] = &[("include/kerolox.h", "generated from bindings/c")];

/// Where `unsafe` may stand (a file, or a folder ending in `/`), each with its reason.
pub const UNSAFE_FILES: &[(&str, &str)] = &[
    (
        "server/src/store/mapped_file.rs",
        "the only place that maps files",
    ),
    ("core/src/runtime.rs", "the fork hook"),
    ("bindings/c/src/", "the C boundary"),
    (
        "bindings/node/src/convert.rs",
        "napi's conversion traits are `unsafe fn`",
    ),
];

const BAD_NAMES: &[&str] = &[
    "util", "utils", "common", "helper", "helpers", "manager", "managers", "impl", "impls", "misc",
];

const SPDX: &str = "SPDX-License-Identifier: Apache-2.0";

fn is_source(path: &str) -> bool {
    const ENDINGS: &[&str] = &[
        ".rs", ".py", ".pyi", ".js", ".mjs", ".cjs", ".ts", ".c", ".h", ".cc", ".cpp", ".java",
        ".go", ".sh",
    ];
    ENDINGS.iter().any(|e| path.ends_with(e)) || path == "justfile" || path.starts_with(".ci/")
}

pub fn counts_lines(path: &str) -> bool {
    is_source(path) && !LONG_FILES.iter().any(|(p, _)| *p == path)
}

pub fn check(source: &Source, findings: &mut Vec<Finding>) {
    size(source, findings);
    licence(source, findings);
    module_name(source, findings);
    unsafe_code(source, findings);
    words(source, findings);
}

fn size(source: &Source, findings: &mut Vec<Finding>) {
    let lines = source.text.lines().count();
    if counts_lines(&source.path) && lines > LINE_CAP {
        let message =
            format!("{lines} lines, the cap is {LINE_CAP}: split the file by what it does");
        findings.push(Finding::new(&source.path, lines, "size", message));
    }
}

fn licence(source: &Source, findings: &mut Vec<Finding>) {
    if !is_source(&source.path) || source.text.is_empty() {
        return;
    }
    let mut lines = source.text.lines();
    let first = lines.next().unwrap_or_default();
    let line = if first.starts_with("#!") && !first.starts_with("#![") {
        lines.next().unwrap_or_default()
    } else {
        first
    };
    if !line.contains(SPDX) {
        findings.push(Finding::new(
            &source.path,
            1,
            "licence",
            format!("the first line must say {SPDX}"),
        ));
    }
}

fn module_name(source: &Source, findings: &mut Vec<Finding>) {
    if !source.is_rust() {
        return;
    }
    let tail = source
        .path
        .split_once("/src/")
        .map_or(source.path.as_str(), |(_, tail)| tail);
    for part in tail
        .trim_end_matches(".rs")
        .split('/')
        .filter(|p| BAD_NAMES.contains(p))
    {
        findings.push(Finding::new(
            &source.path,
            1,
            "names",
            format!("`{part}` names nothing: say what the module does"),
        ));
    }
    let names = source.identifiers();
    for pair in names.windows(2) {
        if pair[0].0 == "mod" && BAD_NAMES.contains(&pair[1].0.as_str()) {
            let message = format!(
                "`mod {}` names nothing: say what the module does",
                pair[1].0
            );
            findings.push(Finding::new(&source.path, pair[1].1, "names", message));
        }
    }
}

fn unsafe_code(source: &Source, findings: &mut Vec<Finding>) {
    if !source.is_rust() {
        return;
    }
    if !UNSAFE_FILES
        .iter()
        .any(|(p, _)| source.path == *p || (p.ends_with('/') && source.path.starts_with(p)))
    {
        for (_, line) in source
            .identifiers()
            .iter()
            .filter(|(name, _)| name == "unsafe")
        {
            let message =
                "`unsafe` outside the files that may have it (xtask/src/tidy/rules.rs lists them)"
                    .to_owned();
            findings.push(Finding::new(&source.path, *line, "unsafe", message));
        }
    }
    let is_library_root =
        source.path.ends_with("/src/lib.rs") && !source.path.starts_with("bindings/c/");
    if is_library_root
        && !["#![forbid(unsafe_code)]", "#![deny(unsafe_code)]"]
            .iter()
            .any(|a| source.code.contains(a))
    {
        let message = "the crate must start with `#![forbid(unsafe_code)]`, or `deny` where one listed file needs it".to_owned();
        findings.push(Finding::new(&source.path, 1, "unsafe", message));
    }
}

fn words(source: &Source, findings: &mut Vec<Finding>) {
    for (index, line) in source.code.lines().enumerate() {
        if line.contains("dbg!") {
            let message = "`dbg!` left in the code".to_owned();
            findings.push(Finding::new(&source.path, index + 1, "words", message));
        }
    }
    // The words are put together here so that this file does not report itself.
    let marks = [["TO", "DO"].concat(), ["FIX", "ME"].concat()];
    for (index, line) in source.text.lines().enumerate() {
        for mark in &marks {
            if bare_mark(line, mark) {
                let message = format!("bare {mark}: write {mark}(#issue) or do it");
                findings.push(Finding::new(&source.path, index + 1, "words", message));
            }
        }
    }
}

/// Whether `mark` stands in the line as a word without an issue number behind it.
fn bare_mark(line: &str, mark: &str) -> bool {
    line.match_indices(mark).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = &line[at + mark.len()..];
        let is_word = !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
            && !after.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        is_word && !after.starts_with("(#")
    })
}
