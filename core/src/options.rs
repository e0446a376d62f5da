// SPDX-License-Identifier: Apache-2.0
//! The `options!` macro: one table gives a struct, its defaults, `set(key, value)` and a list of its fields.
//!
//! Bindings feed keyword arguments, objects and key-value setters through `set`; `cargo xtask gen` writes the option
//! parts of the other languages from `FIELDS`. So an option is written once, here in Rust.

use crate::error::{Error, ErrorCode, Result};

/// A value that an option can be set to from another language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text; also what enum options and lists take.
    Str(String),
    /// A whole number.
    Int(i64),
    /// True or false.
    Bool(bool),
}

impl Value {
    fn shown(&self) -> String {
        match self {
            Self::Str(text) => format!("'{text}'"),
            Self::Int(number) => number.to_string(),
            Self::Bool(flag) => flag.to_string(),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

/// What kind of [`Value`] an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionKind {
    /// Text.
    Str,
    /// A whole number.
    Int,
    /// True or false.
    Bool,
    /// One of these names, in any case.
    Choice(&'static [&'static str]),
}

/// One option of a table.
#[derive(Clone, Copy, Debug)]
pub struct OptionField {
    /// Name, snake_case with its unit.
    pub name: &'static str,
    /// What it takes.
    pub kind: OptionKind,
    /// Its default.
    pub default: fn() -> Value,
    /// What it does; several lines.
    pub doc: &'static str,
}

/// A type that an option can have.
pub trait OptionValue: Sized {
    /// What it takes from other languages.
    const KIND: OptionKind;

    /// Reads it.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`] naming the option, the value and what is allowed.
    fn from_value(name: &'static str, value: Value) -> Result<Self>;

    /// Shows it.
    fn to_value(&self) -> Value;
}

/// The error for an option whose value is not allowed.
pub fn invalid(name: &'static str, value: &Value, allowed: &str) -> Error {
    Error::new(ErrorCode::InvalidOption, "options")
        .with_message(format!("{name} is {}, allowed is {allowed}", value.shown()))
        .with_context("option", name)
}

impl OptionValue for String {
    const KIND: OptionKind = OptionKind::Str;

    fn from_value(name: &'static str, value: Value) -> Result<Self> {
        match value {
            Value::Str(text) => Ok(text),
            other => Err(invalid(name, &other, "text")),
        }
    }

    fn to_value(&self) -> Value {
        Value::Str(self.clone())
    }
}

impl OptionValue for bool {
    const KIND: OptionKind = OptionKind::Bool;

    fn from_value(name: &'static str, value: Value) -> Result<Self> {
        match value {
            Value::Bool(flag) => Ok(flag),
            Value::Str(ref text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Value::Str(ref text) if text.eq_ignore_ascii_case("false") => Ok(false),
            other => Err(invalid(name, &other, "true or false")),
        }
    }

    fn to_value(&self) -> Value {
        Value::Bool(*self)
    }
}

fn integer(name: &'static str, value: &Value) -> Result<i64> {
    match value {
        Value::Int(number) => Ok(*number),
        Value::Str(text) => text
            .trim()
            .parse()
            .map_err(|_not_a_number| invalid(name, value, "a whole number")),
        Value::Bool(_) => Err(invalid(name, value, "a whole number")),
    }
}

macro_rules! integer_options {
    ($($kind:ty),*) => {$(
        impl OptionValue for $kind {
            const KIND: OptionKind = OptionKind::Int;

            fn from_value(name: &'static str, value: Value) -> Result<Self> {
                Self::try_from(integer(name, &value)?).map_err(|_out_of_range| {
                    invalid(name, &value, concat!("a whole number that fits ", stringify!($kind)))
                })
            }

            fn to_value(&self) -> Value {
                Value::Int(i64::try_from(*self).unwrap_or(i64::MAX))
            }
        }
    )*};
}

integer_options!(i32, i64, u32, u64, usize);

/// Declares a table of options; see the module.
macro_rules! options {
    (
        $(#[doc = $struct_doc:literal])*
        pub struct $name:ident {
            $($(#[doc = $doc:literal])+ $field:ident: $kind:ty = $default:expr,)*
        }
    ) => {
        $(#[doc = $struct_doc])*
        #[derive(Clone, Debug)]
        pub struct $name {
            $($(#[doc = $doc])+ pub $field: $kind,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default.into(),)* }
            }
        }

        impl $name {
            /// Every option of the table, in order.
            pub const FIELDS: &'static [$crate::options::OptionField] = &[
                $($crate::options::OptionField {
                    name: stringify!($field),
                    kind: <$kind as $crate::options::OptionValue>::KIND,
                    default: || {
                        let default: $kind = $default.into();
                        <$kind as $crate::options::OptionValue>::to_value(&default)
                    },
                    doc: concat!($($doc, "\n"),+),
                },)*
            ];

            /// Sets the option named `key`.
            ///
            /// # Errors
            /// `UNKNOWN_OPTION` or `INVALID_OPTION`, both naming the option.
            pub fn set(
                &mut self,
                key: &str,
                value: $crate::options::Value,
            ) -> $crate::error::Result<()> {
                match key {
                    $(stringify!($field) => {
                        self.$field = <$kind as $crate::options::OptionValue>::from_value(
                            stringify!($field),
                            value,
                        )?;
                        Ok(())
                    })*
                    _ => Err($crate::options::unknown(key, Self::FIELDS)),
                }
            }
        }
    };
}

pub(crate) use options;

/// Declares an enum that is an option: each name is accepted in any case, with or without the reference's prefix.
macro_rules! choices {
    (
        $(#[$meta:meta])*
        pub enum $name:ident prefix $prefix:literal {
            $($(#[$variant_meta:meta])+ $variant:ident = $text:literal,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_meta])+ $variant,)*
        }

        impl $name {
            /// Its name, as the reference spells it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($prefix, $text),)*
                }
            }
        }

        impl $crate::options::OptionValue for $name {
            const KIND: $crate::options::OptionKind =
                $crate::options::OptionKind::Choice(&[$($text),*]);

            fn from_value(
                name: &'static str,
                value: $crate::options::Value,
            ) -> $crate::error::Result<Self> {
                let allowed = concat!("one of", $(" ", $text),*);
                let $crate::options::Value::Str(text) = &value else {
                    return Err($crate::options::invalid(name, &value, allowed));
                };
                let upper = text.trim().to_ascii_uppercase();
                match upper.strip_prefix($prefix).unwrap_or(&upper) {
                    $($text => Ok(Self::$variant),)*
                    _ => Err($crate::options::invalid(name, &value, allowed)),
                }
            }

            fn to_value(&self) -> $crate::options::Value {
                let name = self.name();
                $crate::options::Value::from(name.strip_prefix($prefix).unwrap_or(name))
            }
        }
    };
}

pub(crate) use choices;

/// The error for an option that does not exist, naming the nearest one.
pub fn unknown(key: &str, fields: &[OptionField]) -> Error {
    let nearest = fields
        .iter()
        .map(|field| (distance(key, field.name), field.name))
        .min()
        .filter(|(distance, _)| *distance <= key.len() / 2)
        .map(|(_, name)| format!(", did you mean {name}?"))
        .unwrap_or_default();
    Error::new(ErrorCode::UnknownOption, "options")
        .with_message(format!("there is no option '{key}'{nearest}"))
        .with_context("option", key)
}

/// Edit distance of two short names.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = *cell;
            left = substituted.min(left + 1).min(diagonal + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
