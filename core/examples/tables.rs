// SPDX-License-Identifier: Apache-2.0
//! Writes `docs/options.md` and `docs/errors.md` from the tables in the code. Run by `cargo xtask gen`.

use std::fmt::Write as _;
use std::{fs, io};

use kerolox::facade::options::{OptionKind, TABLES, Value};
use kerolox::facade::{Category, ErrorCode};

const GENERATED: &str =
    "<!-- Written by `cargo xtask gen`; change the table in the code instead. -->\n";

fn main() -> io::Result<()> {
    fs::write("docs/options.md", options())?;
    fs::write("docs/errors.md", errors())
}

fn options() -> String {
    let mut page = format!(
        "{GENERATED}\n# Options\n\nThe same names in Python and C, in camelCase in Node. Times are milliseconds and say so.\n"
    );
    for (table, fields) in TABLES {
        let _infallible = write!(
            page,
            "\n## {table}\n\n| option | takes | default | meaning |\n|---|---|---|---|\n"
        );
        for field in *fields {
            let takes = match field.kind {
                OptionKind::Str => "text".to_owned(),
                OptionKind::Int => "whole number".to_owned(),
                OptionKind::Bool => "true or false".to_owned(),
                OptionKind::Choice(names) => names.join(", "),
            };
            let default = match (field.default)() {
                Value::Str(text) if text.is_empty() => "empty".to_owned(),
                Value::Str(text) => format!("`{text}`"),
                Value::Int(number) => number.to_string(),
                Value::Bool(flag) => flag.to_string(),
            };
            let _infallible = writeln!(
                page,
                "| `{}` | {takes} | {default} | {} |",
                field.name,
                cell(field.doc)
            );
        }
    }
    page
}

fn errors() -> String {
    let mut page = format!(
        "{GENERATED}\n# Error codes\n\nNumbers never change their meaning. Python raises the class of the category, Node rejects with it, \
         C returns the number.\n"
    );
    for category in Category::ALL {
        let rows = ErrorCode::ALL
            .iter()
            .filter(|info| info.category == *category);
        let _infallible = write!(
            page,
            "\n## {}\n\n| number | name | retry | meaning | hint |\n|---|---|---|---|---|\n",
            category.name()
        );
        for info in rows {
            let _infallible = writeln!(
                page,
                "| {} | `{}` | {:?} | {} | {} |",
                info.number,
                info.name,
                info.retry,
                cell(info.doc),
                cell(info.hint)
            );
        }
    }
    page
}

/// Doc comments have several lines and may hold the character that separates columns.
fn cell(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}
