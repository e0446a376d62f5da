// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask parity`: what the facade offers, every language offers: methods, options and error codes.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::workspace::Workspace;

/// One language's public face and how it spells things.
struct Face {
    language: &'static str,
    path: &'static str,
    /// Whether the text declares the method of the handle.
    has_method: fn(text: &str, handle: &str, method: &str) -> bool,
    /// How an option is spelled, `None` where options are set by key and need no declaration.
    option: Option<fn(&str) -> String>,
}

const FACES: &[Face] = &[
    Face {
        language: "C",
        path: "include/kerolox.h",
        has_method: c_has,
        option: None,
    },
    Face {
        language: "Python",
        path: "python/src/kerolox/_native.pyi",
        has_method: python_has,
        option: None,
    },
    Face {
        language: "Node",
        path: "node/index.d.ts",
        has_method: node_has,
        option: Some(camel_case),
    },
];

pub fn run(workspace: &Workspace) -> Result<()> {
    let read = |path: &str| {
        fs::read_to_string(workspace.root.join(path)).with_context(|| format!("reading {path}"))
    };
    let methods = pairs(&read("core/src/facade/api.rs")?);
    ensure!(
        !methods.is_empty(),
        "core/src/facade/api.rs lists no methods"
    );
    let options = option_names(&read("docs/options.md")?);
    let mut missing = 0;
    for face in FACES {
        let text = read(face.path)?;
        for (handle, method) in &methods {
            if !(face.has_method)(&text, handle, method) {
                println!(
                    "{}: {handle}.{method} is missing in {}",
                    face.language, face.path
                );
                missing += 1;
            }
        }
        if let Some(spell) = face.option {
            for option in options
                .iter()
                .map(|o| spell(o))
                .filter(|o| !has_word(&text, o))
            {
                println!(
                    "{}: option {option} is missing in {}",
                    face.language, face.path
                );
                missing += 1;
            }
        }
    }
    println!(
        "parity: {} methods and {} options in {} languages",
        methods.len(),
        options.len(),
        FACES.len()
    );
    ensure!(missing == 0, "{missing} missing");
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

/// The first column of the option tables, without duplicates.
fn option_names(text: &str) -> Vec<String> {
    let mut names: Vec<String> = text
        .lines()
        .filter_map(|l| {
            l.strip_prefix("| `")?
                .split_once('`')
                .map(|(name, _)| name.to_owned())
        })
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
    fn options_are_read_from_the_generated_page() {
        let text = "| option | kind |\n|---|---|\n| `send_timeout_ms` | int |\n| `group` | text |\n| `group` | text |\n";
        assert_eq!(option_names(text), ["group", "send_timeout_ms"]);
        assert_eq!(camel_case("send_timeout_ms"), "sendTimeoutMs");
    }
}
