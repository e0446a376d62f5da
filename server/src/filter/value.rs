// SPDX-License-Identifier: Apache-2.0
//! Values of an expression and how two of them compare.

use std::cmp::Ordering;

use super::number;

/// What an expression can yield besides null.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Text(&'a str),
    Integer(i32),
    Long(i64),
    Double(f64),
    Boolean(bool),
}

/// Two values can not be compared: the message does not match, whatever the rest of the expression says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Incomparable;

impl Value<'_> {
    pub(super) const fn is_number(self) -> bool {
        matches!(self, Self::Integer(_) | Self::Long(_) | Self::Double(_))
    }

    /// Compares with conversion: a text becomes what the other side is, numbers widen. Values of unlike kinds are "less",
    /// whichever stands on the left.
    pub(super) fn compare(self, other: Self) -> Result<Ordering, Incomparable> {
        use Value::{Boolean, Integer, Text};
        match (self, other) {
            (Text(left), Text(right)) => Ok(left.cmp(right)),
            (Integer(left), Integer(right)) => Ok(left.cmp(&right)),
            (Boolean(left), Boolean(right)) => Ok(left.cmp(&right)),
            // The reference casts the left side to a text, which it is not.
            (Boolean(_), Text(_)) => Err(Incomparable),
            (Boolean(_), _) | (_, Boolean(_)) if !matches!(self, Text(_)) => Ok(Ordering::Less),
            (Text(left), Boolean(right)) => Ok(left.eq_ignore_ascii_case("true").cmp(&right)),
            (Text(text), number) => Ok(parse_as(text, number)?.compare_numbers(number)),
            (number, Text(text)) => Ok(number.compare_numbers(parse_as(text, number)?)),
            (left, right) => Ok(left.compare_numbers(right)),
        }
    }

    fn compare_numbers(self, other: Self) -> Ordering {
        match (self.whole(), other.whole()) {
            (Some(left), Some(right)) => left.cmp(&right),
            _ => total(self.double(), other.double()),
        }
    }

    const fn whole(self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(number as i64),
            Self::Long(number) => Some(number),
            Self::Text(_) | Self::Double(_) | Self::Boolean(_) => None,
        }
    }

    const fn double(self) -> f64 {
        match self {
            Self::Integer(number) => number as f64,
            Self::Long(number) => number as f64,
            Self::Double(number) => number,
            Self::Text(_) | Self::Boolean(_) => f64::NAN,
        }
    }
}

/// The text as the kind of number that `kind` is.
fn parse_as<'a>(text: &str, kind: Value<'_>) -> Result<Value<'a>, Incomparable> {
    let number = match kind {
        Value::Integer(_) => text.parse().ok().map(Value::Integer),
        Value::Long(_) => text.parse().ok().map(Value::Long),
        Value::Double(_) => number::double(text).map(Value::Double),
        Value::Text(_) | Value::Boolean(_) => None,
    };
    number.ok_or(Incomparable)
}

/// The order of Java's `Double`: -0.0 before 0.0, and one NaN after everything.
fn total(left: f64, right: f64) -> Ordering {
    let canonical = |number: f64| if number.is_nan() { f64::NAN } else { number };
    canonical(left).total_cmp(&canonical(right))
}
