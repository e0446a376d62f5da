// SPDX-License-Identifier: Apache-2.0
//! One source file as the rules see it: raw text, text with comments and literals blanked, and the paths it mentions.
//!
//! This is a lexer, not a parser: it knows comments, string and character literals, `use` trees, `#[cfg(test)]` items and
//! `a::b::c` chains. That is enough to see every import, and it needs no dependency that would slow down each `cargo xtask`.

/// A path such as `crate::store::Disk`, with where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention {
    pub path: Vec<String>,
    pub line: usize,
    pub in_test: bool,
}

pub struct Source {
    /// Relative to the repository's root, with `/`.
    pub path: String,
    pub text: String,
    /// `text` with comments and the insides of literals replaced by blanks; same lines, same columns.
    pub code: String,
    test_lines: Vec<bool>,
}

impl Source {
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let (path, text) = (path.into(), text.into());
        let code = if path.ends_with(".rs") {
            blank(&text)
        } else {
            String::new()
        };
        let whole_file_is_test = path.ends_with("/tests.rs")
            || path.contains("/tests/")
            || path.starts_with("tests/")
            || path.contains("/benches/")
            || path.contains("/fuzz/");
        let test_lines = if whole_file_is_test {
            vec![true; text.lines().count() + 1]
        } else {
            test_regions(&code)
        };
        Self {
            path,
            text,
            code,
            test_lines,
        }
    }

    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether the line (counted from 1) belongs to test code.
    pub fn in_test(&self, line: usize) -> bool {
        self.test_lines.get(line - 1).copied().unwrap_or(false)
    }

    /// Every identifier of the code with its line.
    pub fn identifiers(&self) -> Vec<(String, usize)> {
        tokens(&self.code)
            .into_iter()
            .filter(|t| t.text.starts_with(is_ident_start))
            .map(|t| (t.text.to_owned(), t.line))
            .collect()
    }

    /// Every path that the code imports or spells out, with `crate`, `self` and `super` resolved against the file's place.
    pub fn mentions(&self) -> Vec<Mention> {
        let tokens = tokens(&self.code);
        let module = module_path(&self.path);
        let mut found = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            let line = tokens[at].line;
            let mut paths = Vec::new();
            if tokens[at].text == "use" {
                at = use_tree(&tokens, at + 1, &[], &mut paths);
            } else if tokens[at].text.starts_with(is_ident_start) {
                let mut path = vec![tokens[at].text.to_owned()];
                at += 1;
                while at + 1 < tokens.len()
                    && tokens[at].text == "::"
                    && tokens[at + 1].text.starts_with(is_ident_start)
                {
                    path.push(tokens[at + 1].text.to_owned());
                    at += 2;
                }
                if path.len() > 1 {
                    paths.push((path, line));
                }
            } else {
                at += 1;
            }
            for (path, line) in paths {
                let path = resolve(&module, path);
                found.push(Mention {
                    path,
                    line,
                    in_test: self.in_test(line),
                });
            }
        }
        found
    }
}

fn is_ident_start(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn is_ident(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[derive(Debug)]
struct Token<'a> {
    text: &'a str,
    line: usize,
}

fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut line = 1;
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let size = if is_ident_start(first) {
            rest.find(|c| !is_ident(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        if first == '\n' {
            line += 1;
        } else if !first.is_whitespace() {
            found.push(Token {
                text: &rest[..size],
                line,
            });
        }
        rest = &rest[size..];
    }
    found
}

/// Expands the tree that starts at `at` below `prefix`; returns the index after it (and after a closing `;`).
fn use_tree(
    tokens: &[Token<'_>],
    mut at: usize,
    prefix: &[String],
    out: &mut Vec<(Vec<String>, usize)>,
) -> usize {
    let mut path = prefix.to_vec();
    while at < tokens.len() {
        let Token { text, line } = tokens[at];
        match text {
            "{" => {
                at += 1;
                while at < tokens.len() && tokens[at].text != "}" {
                    at = use_tree(tokens, at, &path, out);
                    if at < tokens.len() && tokens[at].text == "," {
                        at += 1;
                    }
                }
                return at + 1;
            }
            "," | "}" => {
                out.push((path, line));
                return at;
            }
            ";" => {
                out.push((path, line));
                return at + 1;
            }
            "as" => at += 2,
            "self" if !prefix.is_empty() => at += 1,
            _ if text.starts_with(is_ident_start) || text == "*" => {
                path.push(text.to_owned());
                at += 1;
            }
            _ => at += 1,
        }
    }
    at
}

/// `server/src/store/commit_log/append.rs` is `["crate", "store", "commit_log", "append"]`.
fn module_path(path: &str) -> Vec<String> {
    let mut module = vec!["crate".to_owned()];
    if let Some((_, inside)) = path.split_once("/src/") {
        let parts: Vec<&str> = inside.trim_end_matches(".rs").split('/').collect();
        module.extend(
            parts
                .iter()
                .filter(|p| !matches!(**p, "lib" | "main" | "mod"))
                .map(|p| (*p).to_owned()),
        );
    }
    module
}

fn resolve(module: &[String], path: Vec<String>) -> Vec<String> {
    let mut base = match path[0].as_str() {
        "self" | "super" => module.to_vec(),
        _ => return path,
    };
    let mut rest = path.into_iter().peekable();
    while let Some(step) = rest.next_if(|s| s == "self" || s == "super") {
        if step == "super" && base.len() > 1 {
            base.pop();
        }
    }
    base.extend(rest);
    base
}

/// Replaces comments and the insides of string and character literals by blanks.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let hide = |c: char| if c == '\n' { '\n' } else { ' ' };
    while at < chars.len() {
        let c = chars[at];
        let next = chars.get(at + 1).copied().unwrap_or(' ');
        let end = if c == '/' && next == '/' {
            (at..chars.len())
                .find(|i| chars[*i] == '\n')
                .unwrap_or(chars.len())
        } else if c == '/' && next == '*' {
            end_of_block_comment(&chars, at)
        } else if c == '"' {
            end_of_string(&chars, at + 1)
        } else if (c == 'r' || (c == 'b' && next == 'r')) && !after_ident(&chars, at) {
            end_of_raw_string(&chars, at + if c == 'b' { 2 } else { 1 }).unwrap_or(at)
        } else if c == '\'' {
            end_of_char(&chars, at).unwrap_or(at)
        } else {
            at
        };
        if end == at {
            out.push(c);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|c| hide(*c)));
            at = end;
        }
    }
    out
}

fn after_ident(chars: &[char], at: usize) -> bool {
    at > 0 && is_ident(chars[at - 1])
}

fn end_of_block_comment(chars: &[char], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0usize);
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn end_of_string(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// `at` is behind the `r`; answers `None` when no raw string starts there (`r#type`, a name that ends in r).
fn end_of_raw_string(chars: &[char], mut at: usize) -> Option<usize> {
    let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
    at += hashes;
    if chars.get(at) != Some(&'"') {
        return None;
    }
    at += 1;
    while at < chars.len() {
        if chars[at] == '"'
            && chars[at + 1..]
                .iter()
                .take(hashes)
                .filter(|c| **c == '#')
                .count()
                == hashes
        {
            return Some(at + 1 + hashes);
        }
        at += 1;
    }
    Some(chars.len())
}

/// Tells a character literal from a lifetime.
fn end_of_char(chars: &[char], at: usize) -> Option<usize> {
    match chars.get(at + 1)? {
        '\\' => (at + 3..chars.len())
            .find(|i| chars[*i] == '\'')
            .map(|i| i + 1),
        _ => (chars.get(at + 2) == Some(&'\'')).then_some(at + 3),
    }
}

/// Marks the lines of every item that stands under `#[cfg(test)]`.
fn test_regions(code: &str) -> Vec<bool> {
    let mut marks = vec![false; code.lines().count() + 1];
    let mut from = 0;
    while let Some(found) = code[from..].find("#[cfg(test)]") {
        let start = from + found;
        let mut depth = 0usize;
        let mut end = code.len();
        for (i, c) in code[start..].char_indices().skip("#[cfg(test)]".len()) {
            match c {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 && matches!(c, '}' | ';') {
                end = start + i + 1;
                break;
            }
        }
        let first = code[..start].matches('\n').count();
        let last = code[..end].matches('\n').count();
        marks[first..=last].fill(true);
        from = end;
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(path: &str, text: &str) -> Vec<String> {
        Source::new(path, text)
            .mentions()
            .iter()
            .map(|m| m.path.join("::"))
            .collect()
    }

    #[test]
    fn use_trees_are_expanded() {
        assert_eq!(
            paths(
                "core/src/a.rs",
                "use std::{net::{IpAddr, TcpStream as T}, fs::{self, File}, io::*};\nfn f() {}"
            ),
            [
                "std::net::IpAddr",
                "std::net::TcpStream",
                "std::fs",
                "std::fs::File",
                "std::io::*"
            ]
        );
    }

    #[test]
    fn paths_in_code_attributes_and_types_are_seen() {
        assert_eq!(
            paths(
                "a/src/b.rs",
                "#[tokio::main]\nfn f(x: std::fs::File) { tokio::spawn(async {}); Vec::<u8>::new(); }"
            ),
            ["tokio::main", "std::fs::File", "tokio::spawn"]
        );
    }

    #[test]
    fn relative_paths_are_resolved() {
        assert_eq!(
            paths(
                "server/src/store/flush.rs",
                "use super::super::broker::Topics; use super::queue::Queue; use self::x::Y;"
            ),
            [
                "crate::broker::Topics",
                "crate::store::queue::Queue",
                "crate::store::flush::x::Y"
            ]
        );
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        let text = "// tokio::a\n/* tokio::b /* tokio::c */ */ let s = \"tokio::d \\\" tokio::e\"; let r = r#\"tokio::f\"#; let c = '\"'; fn g<'a>(x: &'a str) { std::fs::read(x); }";
        assert_eq!(paths("a/src/b.rs", text), ["std::fs::read"]);
    }

    #[test]
    fn lines_under_cfg_test_are_marked() {
        let source = Source::new(
            "a/src/b.rs",
            "use a::b;\n#[cfg(test)]\nmod tests {\n  use c::d;\n}\nuse e::f;\n",
        );
        let marks: Vec<bool> = source.mentions().iter().map(|m| m.in_test).collect();
        assert_eq!(marks, [false, true, false]);
    }

    #[test]
    fn a_test_module_in_its_own_file_marks_only_its_declaration() {
        let source = Source::new("a/src/b.rs", "#[cfg(test)]\nmod tests;\nuse e::f;\n");
        assert!(!source.in_test(3));
        assert!(source.in_test(2));
        assert!(Source::new("a/src/b/tests.rs", "use e::f;\n").in_test(1));
    }
}
