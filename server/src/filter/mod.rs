// SPDX-License-Identifier: Apache-2.0
//! SQL92 filters: an expression over the properties of a message, compiled once and evaluated with three values.
//!
//! Text -> `lexer` -> `parser` (which applies the rules of a legal expression) -> `expression` -> `evaluate`. The language
//! is the reference's with all its corners (server.md 10.2 to 10.4): `NOT` binds tighter than a comparison, what follows a
//! complete expression is not looked at, a text is compared with a number by parsing it as that kind of number, and what
//! can not be compared makes the whole message not match.
//!
//! Invariants: pure (no I/O, no clock), never panics on any text, and recursion is bounded by [`MAX_DEPTH`].

mod cache;
mod evaluate;
mod expression;
mod lexer;
mod number;
mod parser;
mod value;

pub use cache::FilterCache;

use expression::Node;

/// Deepest nesting of parentheses, signs and chained comparisons in an expression.
pub const MAX_DEPTH: usize = 100;
/// Longest expression, bytes.
pub const MAX_BYTES: usize = 65_536;

/// Why a text is no filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the expression is wrong at byte {at}: {reason}")]
pub struct CompileError {
    /// Where it was noticed, bytes from the start.
    pub at: usize,
    /// What is wrong and what is expected.
    pub reason: String,
}

/// A compiled filter.
#[derive(Debug, PartialEq)]
pub struct Filter(Node);

impl Filter {
    /// Compiles an expression of at most [`MAX_BYTES`] and a depth of at most [`MAX_DEPTH`].
    ///
    /// # Errors
    /// The first thing that is wrong.
    ///
    /// # Examples
    /// ```
    /// use kerolox_server::filter::Filter;
    ///
    /// let filter = Filter::compile("colour = 'red' AND size > 3")?;
    /// assert!(filter.matches("colour\u{1}red\u{2}size\u{1}4\u{2}"));
    /// assert!(!filter.matches("colour\u{1}red\u{2}"));
    /// # Ok::<(), kerolox_server::filter::CompileError>(())
    /// ```
    pub fn compile(text: &str) -> Result<Self, CompileError> {
        parser::parse(text).map(Self)
    }

    /// Whether a message with these properties passes: the expression is true, neither false nor unknown nor in error.
    /// `properties` is the text form of a record.
    pub fn matches(&self, properties: &str) -> bool {
        self.evaluate(properties) == Some(true)
    }

    /// What the expression says of a message; `None` if that is unknown or can not be told.
    pub fn evaluate(&self, properties: &str) -> Option<bool> {
        match self.0.evaluate(properties) {
            Ok(Some(value::Value::Boolean(answer))) => Some(answer),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
