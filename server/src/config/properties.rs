// SPDX-License-Identifier: Apache-2.0
//! Java's properties text: what the reference's configuration files and configuration requests are written in.

/// Parses properties text into pairs in file order; of a repeated key the last counts, which is the reader's affair.
///
/// Knows comments (`#`, `!`), the separators `=`, `:` and white space, continued lines and `\n \t \r \f \uXXXX`.
pub fn parse(text: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let start = line.trim_start();
        if start.is_empty() || start.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = start.to_owned();
        while is_continued(&logical) {
            logical.pop();
            match lines.next() {
                Some(next) => logical.push_str(next.trim_start()),
                None => break,
            }
        }
        pairs.push(split(&logical));
    }
    pairs
}

/// Whether the line ends in an odd number of backslashes.
fn is_continued(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

fn split(line: &str) -> (String, String) {
    let mut escaped = false;
    let end = line.char_indices().find_map(|(at, c)| match c {
        _ if escaped => {
            escaped = false;
            None
        }
        '\\' => {
            escaped = true;
            None
        }
        '=' | ':' | ' ' | '\t' | '\u{c}' => Some(at),
        _ => None,
    });
    let (key, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_start();
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (unescape(key), unescape(value.trim()))
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\u{c}'),
            Some('u') => {
                let mut units = vec![unit(&mut chars)];
                // The second half of a character beyond the first 65,536.
                while chars.as_str().starts_with("\\u") {
                    chars.nth(1);
                    units.push(unit(&mut chars));
                }
                out.extend(char::decode_utf16(units).map(|c| c.unwrap_or('\u{fffd}')));
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

/// The four digits after `\u`.
fn unit(chars: &mut std::str::Chars<'_>) -> u16 {
    let digits: String = chars.by_ref().take(4).collect();
    u16::from_str_radix(&digits, 16).unwrap_or(0xfffd)
}

/// Writes pairs as the reference answers configuration requests: `key=value` lines without escapes.
pub fn write<K: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (K, V)>) -> String {
    let mut text = String::new();
    for (key, value) in pairs {
        text.push_str(key.as_ref());
        text.push('=');
        text.push_str(value.as_ref());
        text.push('\n');
    }
    text
}

/// Sets pairs in a properties text: lines of these keys are replaced where they stand, new ones follow at the end,
/// and everything else (comments, other keys, their order) stays as it is.
pub fn edit(text: &str, pairs: &[(String, String)]) -> String {
    let mut left: Vec<&(String, String)> = Vec::new();
    for pair in pairs {
        // Of a repeated key the last counts.
        left.retain(|(key, _)| *key != pair.0);
        left.push(pair);
    }
    let replaced = left.clone();
    let mut out = String::with_capacity(text.len());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let start = line.trim_start();
        let mut whole = vec![line];
        if !start.is_empty() && !start.starts_with(['#', '!']) {
            let mut last = line;
            while is_continued(last) {
                let Some(next) = lines.next() else { break };
                whole.push(next);
                last = next;
            }
        }
        let key = parse(&whole.join("\n")).pop().map(|(key, _)| key);
        let is_ours = |(ours, _): &&&(String, String)| Some(ours) == key.as_ref();
        if replaced.iter().any(|pair| is_ours(&pair)) {
            // A second line of the same key would win over the first, so it goes.
            if let Some(at) = left.iter().position(|pair| is_ours(&pair)) {
                push_line(&mut out, left.remove(at));
            }
            continue;
        }
        for line in whole {
            out.push_str(line);
            out.push('\n');
        }
    }
    for pair in left {
        push_line(&mut out, pair);
    }
    out
}

fn push_line(out: &mut String, (key, value): &(String, String)) {
    escape(out, key);
    out.push('=');
    escape(out, value.trim());
    out.push('\n');
}

/// Writes text so that Java, which takes the file for Latin-1, and [`parse`] read it back.
fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_properties_are_read() {
        let text = "# comment\n! comment\n\nbrokerName = broker-a \nnamesrvAddr=a:9876;b:9876\nfoo: bar\n\
                    list=a,\\\n     b\npath=C\\:\\\\x\nempty=\nunicode=\\u00e4\nbare\n";
        let pairs = parse(text);
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [
                ("brokerName", "broker-a"),
                ("namesrvAddr", "a:9876;b:9876"),
                ("foo", "bar"),
                ("list", "a,b"),
                ("path", "C:\\x"),
                ("empty", ""),
                ("unicode", "ä"),
                ("bare", ""),
            ]
        );
    }

    #[test]
    fn an_edit_replaces_lines_and_keeps_the_rest() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let text = "# a=0\na = 1\\\n  2\n\n! b\nb:2\na=3\nc=4";
        let edited = edit(
            text,
            &[pair("a", "9"), pair("d", "C:\\x ä😀 y"), pair("a", " 8 ")],
        );
        assert_eq!(
            edited,
            "# a=0\na=8\n\n! b\nb:2\nc=4\nd=C:\\\\x \\u00e4\\ud83d\\ude00 y\n"
        );
        let read = parse(&edited);
        assert_eq!(read.last(), Some(&pair("d", "C:\\x ä😀 y")));
        assert_eq!(edit(&edited, &[pair("a", "8")]), edited);
        assert_eq!(edit("", &[pair("a", "1")]), "a=1\n");
    }
}
