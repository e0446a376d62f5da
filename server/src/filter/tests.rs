// SPDX-License-Identifier: Apache-2.0

use std::sync::Arc;

use proptest::prelude::*;

use super::*;

/// Expressions, property sets and the official filter's answers; `tests/golden/README.md` says how it was made.
const GOLDEN: &str = include_str!("../../../tests/golden/sql92.txt");

fn properties_of(set: &str) -> String {
    let pairs = set.split('|').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.replacen('=', "\u{1}", 1) + "\u{2}")
        .collect()
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('f') => '\u{c}',
                _ => '\\',
            },
            other => other,
        });
    }
    out
}

/// One letter for each set, as in the table.
fn answers(filter: &Filter, sets: &[String]) -> String {
    let letter = |set: &String| match filter.0.evaluate(set) {
        Ok(Some(value::Value::Boolean(true))) => 'T',
        Ok(Some(value::Value::Boolean(false))) => 'F',
        Ok(None) => 'N',
        Ok(Some(other)) => panic!("{other:?} is no truth value"),
        Err(value::Incomparable) => 'X',
    };
    sets.iter().map(letter).collect()
}

#[test]
fn every_answer_is_the_official_filters() {
    let mut sets = Vec::new();
    let mut wrong = Vec::new();
    let (mut legal, mut illegal) = (0, 0);
    for line in GOLDEN.lines().filter(|line| !line.starts_with('#')) {
        if let Some(set) = line.strip_prefix('=') {
            sets.push(properties_of(set.trim_start()));
            continue;
        }
        let (expected, text) = line.split_once('\t').unwrap();
        let ours = match Filter::compile(&unescaped(text)) {
            Ok(filter) => answers(&filter, &sets),
            Err(_) => "error".to_owned(),
        };
        *if ours == "error" {
            &mut illegal
        } else {
            &mut legal
        } += 1;
        if ours != expected {
            wrong.push(format!("{text}: {expected}, ours {ours}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(legal > 500 && illegal > 200, "{legal} and {illegal}");
}

#[test]
fn errors_say_where_and_what() {
    for (text, at, reason) in [
        (
            "a = ",
            3,
            "expected a property, a constant, NOT or (, found the end",
        ),
        ("a != 1", 2, "unexpected character '!'"),
        ("a = 'x", 4, "its closing ' is missing"),
        ("a IN (5)", 6, "expected a text in single quotes, found '5'"),
        ("a = NULL", 8, "write IS NULL"),
        ("5", 1, "a truth value is expected"),
        ("a > 'x'", 7, "only numbers and properties"),
        ("a = 0.0", 3, "0.0 is out of range"),
    ] {
        let error = Filter::compile(text).unwrap_err();
        assert!(error.reason.contains(reason), "{text}: {error}");
        assert_eq!(error.at, at, "{text}: {error}");
    }
}

#[test]
fn hostile_depth_is_refused_and_what_is_allowed_can_be_evaluated() {
    // Half of what a thread of the runtime has.
    let small = std::thread::Builder::new().stack_size(1 << 20);
    small.spawn(bounded_depth).unwrap().join().unwrap();
}

fn bounded_depth() {
    for unit in ["(", "NOT ", "- ", "+ ", "(NOT (", "a = -(", "(TRUE AND "] {
        let error = Filter::compile(&(unit.repeat(10_000 / unit.len()) + "a")).unwrap_err();
        assert!(
            error.reason.contains("nested deeper than"),
            "{unit}: {error}"
        );
    }
    for link in [
        " = TRUE",
        " IS NULL",
        " IS NOT NULL",
        " CONTAINS 'x'",
        " <> a",
    ] {
        let error = Filter::compile(&("a".to_owned() + &link.repeat(3_000))).unwrap_err();
        assert!(
            error.reason.contains("nested deeper than"),
            "{link}: {error}"
        );
        let deep = "a".to_owned() + &link.repeat(MAX_DEPTH / 2 - 1);
        let filter = Filter::compile(&deep).unwrap();
        assert_eq!(answers(&filter, &[String::new()]).len(), 1);
    }
    let parentheses = "(".repeat(MAX_DEPTH - 1) + "a = '1'" + &")".repeat(MAX_DEPTH - 1);
    assert!(
        Filter::compile(&parentheses)
            .unwrap()
            .matches("a\u{1}1\u{2}")
    );
    let signs = "NOT ".repeat(MAX_DEPTH - 2) + "TRUE";
    assert!(Filter::compile(&signs).unwrap().matches(""));
    // Alternatives side by side are not deep.
    let wide = "a = '1' OR ".repeat(5_000) + "a = '2'";
    assert!(Filter::compile(&wide).unwrap().matches("a\u{1}2\u{2}"));
    let long = "a".repeat(MAX_BYTES + 1);
    assert!(
        Filter::compile(&long)
            .unwrap_err()
            .reason
            .contains("allowed: 65536")
    );
}

#[test]
fn the_last_of_properties_with_one_name_counts() {
    let filter = Filter::compile("a = 'y'").unwrap();
    assert!(filter.matches("a\u{1}x\u{2}a\u{1}y\u{2}"));
    assert!(!filter.matches("a\u{1}y\u{2}a\u{1}x\u{2}"));
}

#[test]
fn texts_are_numbers_by_the_rules_of_java() {
    for (text, expected) in [
        ("1", Some(1.0)),
        (" +1.5e1\t", Some(15.0)),
        ("5.", Some(5.0)),
        (".5d", Some(0.5)),
        ("-1F", Some(-1.0)),
        ("Infinity", Some(f64::INFINITY)),
        ("-Infinity", Some(f64::NEG_INFINITY)),
        ("1e999", Some(f64::INFINITY)),
        ("0x1.8p1", Some(3.0)),
        ("0X.8P-1d", Some(0.25)),
        ("0x1.fffffffffffffp1023", Some(f64::MAX)),
        ("0x0.0000000000001p-1022", Some(f64::from_bits(1))),
        ("0x123456789abcdef01p0", Some(20_988_295_479_420_645_000.0)),
        ("0x1p99999999999", Some(f64::INFINITY)),
        ("0x1p-99999999999", Some(0.0)),
        ("inf", None),
        ("nan", None),
        ("NaNd", None),
        ("infinity", None),
        ("", None),
        (".", None),
        ("+-1", None),
        ("1 2", None),
        ("1dd", None),
        ("1e", None),
        ("0x1", None),
        ("0xp1", None),
        ("0x1p", None),
        ("1_000", None),
    ] {
        assert_eq!(number::double(text), expected, "{text:?}");
    }
    assert!(number::double("NaN").unwrap().is_nan());
}

#[test]
fn cache_keeps_a_hundred_texts_and_their_errors() {
    let cache = FilterCache::default();
    let first = cache.compile("a = 0").unwrap();
    assert!(cache.compile("a =").is_err() && cache.compile("a =").is_err());
    for n in 1..99 {
        cache.compile(&format!("a = {n}")).unwrap();
    }
    assert_eq!(cache.len(), 100);
    assert!(Arc::ptr_eq(&first, &cache.compile("a = 0").unwrap()));
    cache.compile("b = 0").unwrap();
    assert_eq!(cache.len(), 100);
    // The error was used longest ago.
    assert!(Arc::ptr_eq(&first, &cache.compile("a = 0").unwrap()));
}

/// Words that make up expressions, legal more often than arbitrary texts are.
fn words() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "a",
        "b",
        "1",
        "0",
        "5.5",
        "'x'",
        "''",
        "'5'",
        "TRUE",
        "FALSE",
        "NULL",
        "NOT",
        "AND",
        "OR",
        "=",
        "<>",
        "<",
        ">=",
        "(",
        ")",
        "IS",
        "IN",
        "('x')",
        "BETWEEN",
        "CONTAINS",
        "STARTSWITH",
        "-",
        "+",
        ",",
        "--",
        "/*",
        "*/",
        "\n",
        "'",
        ".",
        "9223372036854775807",
        "1e309",
    ]);
    prop::collection::vec(word, 0..24).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_text_panics(text in prop_oneof![any::<String>(), "[ -~\\n]{0,64}", words()], properties in any::<String>()) {
        match Filter::compile(&text) {
            Ok(filter) => {
                filter.matches(&properties);
                filter.matches("a\u{1}1\u{2}b\u{1}x\u{2}");
            }
            Err(error) => prop_assert!(error.at <= text.len()),
        }
    }
}
