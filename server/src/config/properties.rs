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
                let digits: String = chars.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok();
                out.push(code.and_then(char::from_u32).unwrap_or('\u{fffd}'));
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
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
}
