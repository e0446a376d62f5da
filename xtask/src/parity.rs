// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask parity`: what the facade offers, every language offers: methods, options and error codes.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::workspace::Workspace;

/// How a name is spelled in a language.
type Spell = fn(&str) -> String;

/// One language's public face and how it spells things.
struct Face {
    language: &'static str,
    methods: &'static str,
    /// Whether the text declares the method of the handle.
    has_method: fn(text: &str, handle: &str, method: &str) -> bool,
    options: &'static str,
    spell_option: Spell,
    /// Where error codes are declared by name; Python reads them from the table when it runs.
    codes: Option<(&'static str, Spell)>,
}

const FACES: &[Face] = &[
    Face {
        language: "C",
        methods: "include/kerolox.h",
        has_method: c_has,
        options: "include/kerolox.h",
        spell_option: str::to_owned,
        codes: Some(("include/kerolox.h", |name| format!("KLX_ERR_{name}"))),
    },
    Face {
        language: "Python",
        methods: "python/src/kerolox/_native.pyi",
        has_method: python_has,
        options: "python/src/kerolox/_options.py",
        spell_option: str::to_owned,
        codes: None,
    },
    Face {
        language: "Node",
        methods: "node/index.d.ts",
        has_method: node_has,
        options: "node/index.d.ts",
        spell_option: camel_case,
        codes: Some(("node/index.d.ts", |name| format!("'{name}'"))),
    },
];

pub fn run(workspace: &Workspace) -> Result<()> {
    let read = |path: &str| {
        fs::read_to_string(workspace.root.join(path)).with_context(|| format!("reading {path}"))
    };
    let methods = pairs(&read("core/src/facade/api.rs")?);
    let options = named_in(&read("docs/options.md")?, 0);
    let codes = named_in(&read("docs/errors.md")?, 1);
    ensure!(
        !methods.is_empty() && !options.is_empty() && !codes.is_empty(),
        "a table of the facade is empty"
    );
    let mut missing = Vec::new();
    for face in FACES {
        let text = read(face.methods)?;
        for (handle, method) in &methods {
            if !(face.has_method)(&text, handle, method) {
                missing.push(format!(
                    "{}: {handle}.{method} is missing in {}",
                    face.language, face.methods
                ));
            }
        }
        let text = read(face.options)?;
        for option in options.iter().map(|o| (face.spell_option)(o)) {
            if !has_word(&text, &option) {
                missing.push(format!(
                    "{}: option {option} is missing in {}",
                    face.language, face.options
                ));
            }
        }
        if let Some((path, spell)) = face.codes {
            let text = read(path)?;
            for code in codes
                .iter()
                .map(|c| spell(c))
                .filter(|c| !has_word(&text, c))
            {
                missing.push(format!(
                    "{}: error code {code} is missing in {path}",
                    face.language
                ));
            }
        }
    }
    for line in &missing {
        println!("{line}");
    }
    println!(
        "parity: {} methods, {} options and {} error codes in {} languages",
        methods.len(),
        options.len(),
        codes.len(),
        FACES.len()
    );
    ensure!(missing.is_empty(), "{} missing", missing.len());
    Ok(())
}

/// The `("Handle", "method")` entries of the table.
fn pairs(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter_map(|line| {
            let (handle, method) = line.trim().strip_prefix("(\"")?.split_once("\", \"")?;
            let method = method
                .strip_suffix("\"),")
                .or_else(|| method.strip_suffix("\")"))?;
            Some((handle.to_owned(), method.to_owned()))
        })
        .collect()
}

/// The names in one column of the generated tables, without duplicates.
fn named_in(text: &str, column: usize) -> Vec<String> {
    let cell = |line: &str| {
        line.strip_prefix("| ")?
            .split(" | ")
            .nth(column)
            .map(str::to_owned)
    };
    let mut names: Vec<String> = text
        .lines()
        .filter_map(|line| Some(cell(line)?.strip_prefix('`')?.strip_suffix('`')?.to_owned()))
        .collect();
    names.sort();
    names.dedup();
    names
}

fn snake_case(name: &str) -> String {
    let mut out = String::new();
    for (at, c) in name.char_indices() {
        if c.is_ascii_uppercase() && at > 0 {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

fn camel_case(name: &str) -> String {
    let mut out = String::new();
    let mut upper = false;
    for c in name.chars() {
        if c == '_' {
            upper = true;
        } else if std::mem::take(&mut upper) {
            out.push(c.to_ascii_uppercase());
        } else {
            out.push(c);
        }
    }
    out
}

fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        !text[..at].ends_with(is_name) && !text[at + word.len()..].starts_with(is_name)
    })
}

fn c_has(text: &str, handle: &str, method: &str) -> bool {
    has_word(text, &format!("klx_{}_{method}", snake_case(handle)))
}

/// The text of `class <handle>` up to the next class.
fn class<'a>(text: &'a str, handle: &str) -> &'a str {
    let start = text.match_indices("class ").find(|(at, _)| {
        let name = &text[at + 6..];
        name.starts_with(handle)
            && !name[handle.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
    });
    let Some((start, _)) = start else { return "" };
    let body = &text[start + 6..];
    &body[..body
        .find("\nclass ")
        .or_else(|| body.find("\nexport class "))
        .unwrap_or(body.len())]
}

fn python_has(text: &str, handle: &str, method: &str) -> bool {
    let class = class(text, handle);
    class.contains(&format!("def {method}("))
        || (method == "start" && class.contains("def __new__("))
}

fn node_has(text: &str, handle: &str, method: &str) -> bool {
    class(text, handle).contains(&format!("{}(", camel_case(method)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_facade_is_read() {
        let text = "pub const METHODS: &[(&str, &str)] = &[\n    (\"Producer\", \"send_batch\"),\n    (\"Admin\", \"close\"),\n];";
        let expected = [("Producer", "send_batch"), ("Admin", "close")];
        assert_eq!(
            pairs(text),
            expected.map(|(h, m)| (h.to_owned(), m.to_owned()))
        );
    }

    #[test]
    fn each_language_is_asked_in_its_own_spelling() {
        assert!(c_has(
            "klx_status_t klx_pull_consumer_seek_to_end(",
            "PullConsumer",
            "seek_to_end"
        ));
        assert!(!c_has(
            "klx_status_t klx_pull_consumer_seek_to_end_async(",
            "PullConsumer",
            "seek_to_end"
        ));
        let stub = "class Producer:\n    def send_batch(self) -> None: ...\nclass Admin:\n    def close(self) -> None: ...\n";
        assert!(python_has(stub, "Producer", "send_batch"));
        assert!(!python_has(stub, "Producer", "close"));
        assert!(!python_has(stub, "Admin", "send_batch"));
        let types = "export class Producer {\n  sendBatch(m: Message[]): Promise<SendResult>;\n}\nexport class Admin {\n}\n";
        assert!(node_has(types, "Producer", "send_batch"));
        assert!(!node_has(types, "Admin", "send_batch"));
    }

    #[test]
    fn names_are_read_from_the_generated_pages() {
        let text = "| option | kind |\n|---|---|\n| `send_timeout_ms` | int |\n| `group` | text |\n| `group` | text |\n";
        assert_eq!(named_in(text, 0), ["group", "send_timeout_ms"]);
        assert_eq!(named_in("| 7 | `EMPTY_BODY` | No |\n", 1), ["EMPTY_BODY"]);
        assert_eq!(camel_case("send_timeout_ms"), "sendTimeoutMs");
        assert!(has_word("  | 'CLOSED'\n", "'CLOSED'"));
    }
}
