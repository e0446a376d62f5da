// SPDX-License-Identifier: Apache-2.0
//! Typed headers: what a request or response carries besides its body, grouped by theme.
//!
//! On the wire every field is text in `extFields`, whatever its type. A typed header borrows its text from the
//! command that it was read from. Fields marked `!` in wire.md are plain here and reading fails without them; the
//! others are `Option`. Wire spellings are the literals beside the fields. Source: wire.md 2, 5.1, 6.1.

use thiserror::Error;

use crate::ext::{ExtFields, Place};

pub mod admin;
pub mod client_query;
pub mod heartbeat;
pub mod offset;
pub mod pop;
pub mod pull;
pub mod query;
pub mod recall;
pub mod reply;
pub mod reset;
pub mod route;
pub mod send;
pub mod stats;
pub mod transaction;

/// What a field can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldKind {
    /// Text.
    Text,
    /// A 32-bit whole number.
    Int,
    /// A 64-bit whole number.
    Long,
    /// `true` or anything else.
    Flag,
}

/// A field of a typed header, for whoever goes over all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldInfo {
    /// Wire name.
    pub name: &'static str,
    /// What it can hold.
    pub kind: FieldKind,
    /// Reading fails without it.
    pub is_required: bool,
}

/// A typed header.
pub trait Header<'a>: Sized {
    /// Its fields in the order in which they are written.
    const FIELDS: &'static [FieldInfo] = &[];

    /// Writes every field that is present.
    fn write<S: FieldSink>(&self, out: &mut S);

    /// Reads the header out of the fields of a command.
    ///
    /// # Errors
    /// [`HeaderError`] naming the first field that is missing or malformed.
    fn read(ext: &'a ExtFields) -> Result<Self, HeaderError>;
}

/// The name of a field that is written.
#[derive(Clone, Copy, Debug)]
pub struct FieldName<'a> {
    /// Wire name.
    pub(crate) text: &'a str,
    /// All that JSON has before the field's text, `,"name":"`, if it is known.
    pub(crate) json: Option<&'static str>,
}

impl<'a> From<&'a str> for FieldName<'a> {
    fn from(text: &'a str) -> Self {
        Self { text, json: None }
    }
}

/// Where header fields are written to: one of the encodings, or [`ExtFields`].
pub trait FieldSink {
    /// A text field.
    fn text(&mut self, name: FieldName<'_>, value: &str);
    /// A number field, written in decimal.
    fn int(&mut self, name: FieldName<'_>, value: i64);
}

/// Why a typed header can not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// A required field is absent.
    #[error("the header field {0} is missing")]
    Missing(&'static str),
    /// A field does not parse.
    #[error("the header field {name} is '{value}', expected {expected}")]
    Invalid {
        /// Wire name of the field.
        name: &'static str,
        /// What was received, shortened.
        value: String,
        /// What is allowed.
        expected: &'static str,
    },
}

/// A type that a header field can have.
pub trait Field<'a>: Sized {
    /// What it can hold.
    const KIND: FieldKind;
    /// Whether reading fails without the field.
    const IS_REQUIRED: bool = true;

    /// Reads the field; `None` means that it is absent.
    ///
    /// # Errors
    /// [`HeaderError`]
    fn read(name: &'static str, value: Option<&'a str>) -> Result<Self, HeaderError>;
    /// Writes the field, or nothing if it is absent.
    fn write<S: FieldSink>(&self, name: FieldName<'_>, out: &mut S);
}

impl<'a> Field<'a> for &'a str {
    const KIND: FieldKind = FieldKind::Text;

    fn read(name: &'static str, value: Option<&'a str>) -> Result<Self, HeaderError> {
        value.ok_or(HeaderError::Missing(name))
    }

    fn write<S: FieldSink>(&self, name: FieldName<'_>, out: &mut S) {
        out.text(name, self);
    }
}

macro_rules! int_field {
    ($type:ty, $kind:ident, $expected:literal) => {
        impl<'a> Field<'a> for $type {
            const KIND: FieldKind = FieldKind::$kind;

            fn read(name: &'static str, value: Option<&'a str>) -> Result<Self, HeaderError> {
                let text = value.ok_or(HeaderError::Missing(name))?;
                text.trim_ascii()
                    .parse()
                    .map_err(|_| invalid(name, text, $expected))
            }

            fn write<S: FieldSink>(&self, name: FieldName<'_>, out: &mut S) {
                out.int(name, i64::from(*self));
            }
        }
    };
}

int_field!(i32, Int, "a 32-bit whole number");
int_field!(i64, Long, "a 64-bit whole number");

impl<'a> Field<'a> for bool {
    const KIND: FieldKind = FieldKind::Flag;

    fn read(name: &'static str, value: Option<&'a str>) -> Result<Self, HeaderError> {
        // As Boolean.parseBoolean of the reference: anything but "true" is false.
        value
            .ok_or(HeaderError::Missing(name))
            .map(|text| text.eq_ignore_ascii_case("true"))
    }

    fn write<S: FieldSink>(&self, name: FieldName<'_>, out: &mut S) {
        out.text(name, if *self { "true" } else { "false" });
    }
}

impl<'a, T: Field<'a>> Field<'a> for Option<T> {
    const KIND: FieldKind = T::KIND;
    const IS_REQUIRED: bool = false;

    fn read(name: &'static str, value: Option<&'a str>) -> Result<Self, HeaderError> {
        value.map(|text| T::read(name, Some(text))).transpose()
    }

    fn write<S: FieldSink>(&self, name: FieldName<'_>, out: &mut S) {
        if let Some(value) = self {
            value.write(name, out);
        }
    }
}

fn invalid(name: &'static str, value: &str, expected: &'static str) -> HeaderError {
    HeaderError::Invalid {
        name,
        value: value.chars().take(64).collect(),
        expected,
    }
}

/// Reads one field; used by the `header!` macro.
fn read_field<'a, T: Field<'a>>(
    ext: &'a ExtFields,
    place: &mut Place,
    name: &'static str,
) -> Result<T, HeaderError> {
    T::read(name, ext.next(place, name))
}

macro_rules! header {
    ($(#[$doc:meta])* pub struct $type:ident<'a> {
        $($(#[$field_doc:meta])* $wire:literal $field:ident: $kind:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $type<'a> {
            $($(#[$field_doc])* #[doc = concat!("Wire name `", $wire, "`.")] pub $field: $kind,)*
        }

        impl<'a> $crate::header::Header<'a> for $type<'a> {
            const FIELDS: &'static [$crate::header::FieldInfo] = &[$($crate::header::FieldInfo {
                name: $wire,
                kind: <$kind as $crate::header::Field<'a>>::KIND,
                is_required: <$kind as $crate::header::Field<'a>>::IS_REQUIRED,
            },)*];

            fn write<S: $crate::header::FieldSink>(&self, out: &mut S) {
                $($crate::header::Field::write(&self.$field, $crate::header::FieldName {
                    text: $wire,
                    json: Some(concat!(",\"", $wire, "\":\"")),
                }, out);)*
            }

            fn read(ext: &'a $crate::ext::ExtFields) -> Result<Self, $crate::header::HeaderError> {
                let mut place = Default::default();
                Ok(Self { $($field: $crate::header::read_field(ext, &mut place, $wire)?,)* })
            }
        }
    };
    ($(#[$doc:meta])* pub struct $type:ident {
        $($(#[$field_doc:meta])* $wire:literal $field:ident: $kind:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $type {
            $($(#[$field_doc])* #[doc = concat!("Wire name `", $wire, "`.")] pub $field: $kind,)*
        }

        impl<'a> $crate::header::Header<'a> for $type {
            const FIELDS: &'static [$crate::header::FieldInfo] = &[$($crate::header::FieldInfo {
                name: $wire,
                kind: <$kind as $crate::header::Field<'a>>::KIND,
                is_required: <$kind as $crate::header::Field<'a>>::IS_REQUIRED,
            },)*];

            fn write<S: $crate::header::FieldSink>(&self, out: &mut S) {
                $($crate::header::Field::write(&self.$field, $crate::header::FieldName {
                    text: $wire,
                    json: Some(concat!(",\"", $wire, "\":\"")),
                }, out);)*
            }

            fn read(ext: &'a $crate::ext::ExtFields) -> Result<Self, $crate::header::HeaderError> {
                let mut place = Default::default();
                Ok(Self { $($field: $crate::header::read_field(ext, &mut place, $wire)?,)* })
            }
        }
    };
}
pub(crate) use header;

/// A command without header fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoHeader;

impl<'a> Header<'a> for NoHeader {
    fn write<S: FieldSink>(&self, _out: &mut S) {}

    fn read(_ext: &'a ExtFields) -> Result<Self, HeaderError> {
        Ok(Self)
    }
}

#[cfg(test)]
mod tests;
