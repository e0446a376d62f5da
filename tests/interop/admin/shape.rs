// SPDX-License-Identifier: Apache-2.0
//! What of a command's output has to be alike.

use std::collections::BTreeSet;

/// How alike two outputs have to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// The same lines in any order, when times, addresses, ids, fractions and long numbers are masked.
    Same,
    /// As [`Shape::Same`] with all numbers masked.
    Alike,
    /// The same first line and as many lines, each with as many words as one of the other side.
    Rows,
    /// The same names before `:` or `=`; ours may have more.
    Keys,
    /// Ours has no other names before `:` or `=` than the official side and these.
    Within(&'static [&'static str]),
    /// The same response codes, or both none.
    Codes,
}

impl Shape {
    /// How `ours` differs from `official`; `None` if it does not.
    pub(super) fn difference(self, official: &str, ours: &str) -> Option<String> {
        let masked = |output| sorted(lines(output, self == Self::Alike));
        match self {
            Self::Same | Self::Alike => differing(&masked(official), &masked(ours)),
            Self::Rows => rows(&lines(official, true), &lines(ours, true)),
            Self::Keys => {
                let (official, ours) = (keys(official), keys(ours));
                let missing: Vec<&String> = official.difference(&ours).collect();
                (!missing.is_empty()).then(|| format!("missing: {missing:?}"))
            }
            Self::Within(known) => {
                let (official, ours) = (keys(official), keys(ours));
                let unknown = ours.difference(&official);
                let unknown: Vec<&String> = unknown
                    .filter(|key| !known.contains(&key.as_str()))
                    .collect();
                (!unknown.is_empty()).then(|| format!("unknown: {unknown:?}"))
            }
            Self::Codes => differing(&codes(official), &codes(ours)),
        }
    }
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

fn differing(official: &[String], ours: &[String]) -> Option<String> {
    if official == ours {
        return None;
    }
    let only = |some: &[String], others: &[String]| {
        let mut others = others.to_vec();
        let lines = some.iter().filter(|line| {
            let at = others.iter().position(|other| other == *line);
            at.map(|at| others.remove(at)).is_none()
        });
        lines.cloned().collect::<Vec<_>>().join("\n    ")
    };
    Some(format!(
        "only official:\n    {}\n  only ours:\n    {}",
        only(official, ours),
        only(ours, official)
    ))
}

fn rows(official: &[String], ours: &[String]) -> Option<String> {
    let words = |line: &String| line.split(' ').count();
    let widths = |lines: &[String]| lines.iter().map(words).collect::<BTreeSet<_>>();
    let is_alike = official.first() == ours.first()
        && official.len() == ours.len()
        && widths(official) == widths(ours);
    (!is_alike).then(|| {
        format!(
            "official:\n    {}\n  ours:\n    {}",
            official.join("\n    "),
            ours.join("\n    ")
        )
    })
}

fn keys(output: &str) -> BTreeSet<String> {
    let keys = output.lines().filter_map(|line| {
        let (key, _) = line.split_once([':', '='])?;
        // Where the store lies is part of a name.
        let key = key.split('/').next().unwrap_or_default();
        Some(key.trim().to_owned())
    });
    keys.collect()
}

/// Response codes that the output names; exceptions without one count as such.
fn codes(output: &str) -> Vec<String> {
    let codes = output.split("CODE: ").skip(1);
    let mut codes: BTreeSet<String> = codes
        .map(|rest| {
            rest.split_whitespace()
                .next()
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    if codes.is_empty() && output.contains("Exception") {
        codes.insert("an exception without code".to_owned());
    }
    codes.into_iter().collect()
}

/// Lines without stacks and blanks, with what differs from run to run masked.
fn lines(output: &str, mask_all: bool) -> Vec<String> {
    let is_noise = |line: &&str| {
        let line = line.trim();
        line.is_empty() || line.starts_with("at ") || line.starts_with("... ")
    };
    output
        .lines()
        .filter(|line| !is_noise(line))
        .map(|line| masked(line, mask_all))
        .collect()
}

/// The line with single blanks, and `N` for fractions and numbers of five digits or more (with `mask_all` for all), `ID`
/// for long hexadecimal ones, `TIME` for points in time.
fn masked(line: &str, mask_all: bool) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-' | ',');
        let end = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len());
        if end == 0 {
            if !first.is_whitespace() {
                out.push(first);
            } else if !out.ends_with(' ') {
                out.push(' ');
            }
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
            continue;
        }
        let (word, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        out.push_str(&masked_word(word, mask_all));
        rest = after;
    }
    while out.contains("TIME TIME") {
        out = out.replace("TIME TIME", "TIME");
    }
    // The order of members is not the same.
    out.trim().trim_end_matches(',').to_owned()
}

fn masked_word(word: &str, mask_all: bool) -> String {
    let core = word.trim_end_matches(['.', ':', '-', ',']);
    if core.len() < word.len() {
        let end = word.get(core.len()..).unwrap_or_default();
        return masked_word(core, mask_all) + end;
    }
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let is_hex = |c: char| c.is_ascii_digit() || ('A'..='F').contains(&c);
    if word.len() >= 16 && digits > 0 && word.chars().all(is_hex) {
        return "ID".to_owned();
    }
    let is_numeric = |c: char| c.is_ascii_digit() || matches!(c, '.' | ':' | '-' | ',');
    let is_time =
        word.len() >= 8 && (word.matches(':').count() >= 2 || word.matches('-').count() >= 2);
    if is_time && digits >= 6 && word.chars().all(is_numeric) {
        return "TIME".to_owned();
    }
    // Pieces between letters and separators.
    let mut out = String::new();
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        if !first.is_ascii_digit() {
            out.push(first);
            rest = rest.get(1..).unwrap_or_default();
            continue;
        }
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let number_only = number.trim_end_matches('.');
        let is_volatile = number_only.contains('.') || number_only.len() >= 5;
        if mask_all || is_volatile {
            out.push('N');
            out.push_str(number.get(number_only.len()..).unwrap_or_default());
        } else {
            out.push_str(number);
        }
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_run_to_run_is_masked() {
        for (line, expected) in [
            ("a  b\t6", "a b 6"),
            ("7F00000100002A9F0000000000000000 x", "ID x"),
            ("2026-11-24 10:22:25,123 then", "TIME then"),
            ("127.0.0.1:40123 0.25 17", "N:N N 17"),
            ("1700000000000", "N"),
            ("queueId=3, topic=data", "queueId=3, topic=data"),
        ] {
            assert_eq!(masked(line, false), expected, "{line}");
        }
        assert_eq!(masked("costs 17 ms", true), "costs N ms");
    }

    #[test]
    fn differences_are_told() {
        assert_eq!(Shape::Same.difference("a 1\nb 2", "b 2\n\na 1"), None);
        let told = Shape::Same.difference("a 1", "a 2").unwrap();
        assert!(told.contains("a 1") && told.contains("a 2"));
        assert!(Shape::Alike.difference("a 1", "a 2").is_none());
        assert!(Shape::Rows.difference("#h\na b", "#h\na").is_some());
        assert!(Shape::Keys.difference("x: 1", "x: 2\ny: 3").is_none());
        assert!(Shape::Codes.difference("CODE: 17 D", "CODE: 1 D").is_some());
    }
}
