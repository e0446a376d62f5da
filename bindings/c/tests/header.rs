// SPDX-License-Identifier: Apache-2.0
//! The committed header says what the sources say. It is compared by its text, because building the program that writes
//! it takes a minute: `cargo run -p kerolox-c --features header --example header`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use kerolox_client::facade::ErrorCode;
use kerolox_client::facade::options::TABLES;

const STALE: &str = "include/kerolox.h is out of date: run `cargo xtask gen`";

#[derive(Debug, PartialEq, Eq)]
struct Function {
    doc: Vec<String>,
    parameters: Vec<String>,
}

fn header() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../include/kerolox.h");
    fs::read_to_string(path).expect("include/kerolox.h is committed")
}

fn sources() -> String {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = String::new();
    for entry in fs::read_dir(dir).expect("the sources are here") {
        let path = entry.expect("a readable folder").path();
        all += &fs::read_to_string(&path).expect("a text file");
    }
    all
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn last_name(text: &str) -> String {
    let end = text.trim_end_matches(|c| !is_name(c));
    end[end.rfind(|c| !is_name(c)).map_or(0, |at| at + 1)..].to_owned()
}

/// The comment lines right above `at`.
fn doc_above(text: &str, at: usize, mark: &str, skip: &str) -> Vec<String> {
    let line = text[..at].rfind('\n').unwrap_or(0);
    let above = text[..line]
        .lines()
        .rev()
        .skip_while(|line| line.starts_with(skip));
    let doc = above.map_while(|line| line.strip_prefix(mark));
    let mut doc: Vec<_> = doc.map(|line| line.trim().to_owned()).collect();
    doc.reverse();
    doc
}

/// Each exported function of the Rust sources.
fn exported(text: &str) -> BTreeMap<String, Function> {
    let found = text.match_indices("extern \"C\" fn klx_").map(|(at, _)| {
        let rest = &text[at + "extern \"C\" fn ".len()..];
        let open = rest.find('(').expect("a parameter list");
        let close = rest.find(')').expect("its end");
        let parameters = rest[open + 1..close]
            .split(',')
            .filter_map(|part| part.split_once(':'));
        let function = Function {
            doc: doc_above(text, at, "///", "#["),
            parameters: parameters.map(|(name, _)| name.trim().to_owned()).collect(),
        };
        (rest[..open].to_owned(), function)
    });
    found.collect()
}

/// Each function that the header declares.
fn declared(text: &str) -> BTreeMap<String, Function> {
    let mut functions = BTreeMap::new();
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let (at, start) = (offset, line.find("klx_"));
        offset += line.len();
        let is_code = line.starts_with(|c: char| c.is_ascii_alphabetic());
        if !is_code || line.starts_with("static") || line.starts_with("typedef") || start.is_none()
        {
            continue;
        }
        let Some(open) = line.find('(') else { continue };
        let statement = &text[at..at + text[at..].find(';').expect("a declaration ends")];
        let close = statement.rfind(')').expect("a parameter list ends");
        let list = &statement[open + 1..close];
        let parameters = list
            .split(',')
            .filter(|part| part.trim() != "void")
            .map(last_name);
        let function = Function {
            doc: doc_above(text, at + 1, "//", "#"),
            parameters: parameters.collect(),
        };
        functions.insert(last_name(&line[..open]), function);
    }
    functions
}

#[test]
fn every_function_is_declared_with_its_parameters_and_comment() {
    let (exported, declared) = (exported(&sources()), declared(&header()));
    assert!(
        exported.len() > 100,
        "found only {} functions",
        exported.len()
    );
    for (name, function) in &exported {
        assert_eq!(declared.get(name), Some(function), "{name}: {STALE}");
        assert!(!function.doc.is_empty(), "{name} has no comment");
    }
    for name in declared.keys() {
        assert!(exported.contains_key(name), "{name} is no more: {STALE}");
    }
}

#[test]
fn every_constant_has_its_value() {
    let (sources, header) = (sources(), header());
    let mut count = 0;
    for line in sources
        .lines()
        .filter_map(|line| line.strip_prefix("pub const KLX_"))
    {
        let (name, rest) = line.split_once(':').expect("a constant has a type");
        let value = rest
            .split_once('=')
            .expect("and a value")
            .1
            .trim_matches([' ', ';']);
        let wanted = format!("#define KLX_{name} {value}\n");
        assert!(header.contains(&wanted), "{wanted}{STALE}");
        count += 1;
    }
    assert!(count >= 7, "found only {count} constants");
}

#[test]
fn error_codes_options_and_version_are_those_of_the_client() {
    let header = header();
    for info in ErrorCode::ALL {
        let wanted = format!("#define KLX_ERR_{} {}\n", info.name, info.number);
        assert!(header.contains(&wanted), "{wanted}{STALE}");
    }
    let codes = header.matches("\n#define KLX_ERR_").count();
    assert_eq!(codes, ErrorCode::ALL.len(), "{STALE}");
    for (table, fields) in TABLES {
        let start = header.find(&format!("// {table}:")).expect(STALE);
        let section = &header[start..start + header[start..].find("\n\n").expect("a section ends")];
        for field in *fields {
            let wanted = format!("//   {} (", field.name);
            assert!(section.contains(&wanted), "{table}: {wanted}{STALE}");
        }
    }
    let version = format!("#define KLX_VERSION \"{}\"\n", env!("CARGO_PKG_VERSION"));
    assert!(header.contains(&version), "{version}{STALE}");
}
