// SPDX-License-Identifier: Apache-2.0
//! Writes `include/kerolox.h`: `cargo run -p kerolox-c --features header --example header`.
//!
//! Functions, types and constants come from the sources by cbindgen; error codes, options and versions from the client's
//! tables, so that they are written once.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use kerolox_client::facade::options::TABLES;
use kerolox_client::facade::{ErrorCode, OptionKind, Value};

fn main() -> Result<(), Box<dyn Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut config = cbindgen::Config::from_file(here.join("cbindgen.toml"))?;
    let strings = config.after_includes.take().unwrap_or_default();
    config.after_includes = Some(format!(
        "{}{}{}{strings}",
        versions(),
        options()?,
        error_codes()?
    ));
    let header = here.join("../../include/kerolox.h");
    cbindgen::Builder::new()
        .with_crate(here)
        .with_config(config)
        .generate()?
        .write_to_file(header);
    Ok(())
}

fn versions() -> String {
    format!(
        "\n// Version of this header; klx_version() gives that of the library.\n\
         #define KLX_VERSION \"{}\"\n#define KLX_VERSION_MAJOR {}\n#define KLX_VERSION_MINOR {}\n#define KLX_VERSION_PATCH {}\n",
        env!("CARGO_PKG_VERSION"),
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR"),
        env!("CARGO_PKG_VERSION_PATCH"),
    )
}

fn options() -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    for (table, fields) in TABLES {
        writeln!(out, "\n// {table}:")?;
        for field in *fields {
            let kind = match field.kind {
                OptionKind::Str => "str".to_owned(),
                OptionKind::Int => "int".to_owned(),
                OptionKind::Bool => "bool".to_owned(),
                OptionKind::Choice(names) => format!("str: {}", names.join(", ")),
            };
            let default = match (field.default)() {
                Value::Str(text) => format!("\"{text}\""),
                Value::Int(number) => number.to_string(),
                Value::Bool(flag) => flag.to_string(),
            };
            writeln!(out, "//   {} ({kind}) = {default}", field.name)?;
            for line in field
                .doc
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty())
            {
                writeln!(out, "//       {}", line.replace('`', ""))?;
            }
        }
    }
    Ok(out)
}

fn error_codes() -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    for info in ErrorCode::ALL {
        writeln!(out, "\n// {}. {}.", sentence(info.doc), sentence(info.hint))?;
        writeln!(out, "#define KLX_ERR_{} {}", info.name, info.number)?;
    }
    Ok(out)
}

fn sentence(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(rest).collect()
    })
}
