// SPDX-License-Identifier: Apache-2.0
//! The one error type of the client.
//!
//! An [`Error`] is one pointer wide. It says what failed ([`Error::code`]), doing what ([`Error::operation`]), to what
//! ([`Error::context`]: topic, broker, address), whether repeating helps ([`Error::retry`]) and what to do next
//! ([`Error::hint`]).

mod code;

use std::borrow::Cow;
use std::fmt;

pub use code::{Category, ErrorCode, ErrorCodeInfo, Retry};

/// What every operation of the client returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation failed.
pub struct Error(Box<Details>);

struct Details {
    code: ErrorCode,
    operation: &'static str,
    message: Cow<'static, str>,
    context: Vec<(&'static str, String)>,
    broker_code: Option<i32>,
    hint: Option<Cow<'static, str>>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `code` that happened in `operation`.
    pub fn new(code: ErrorCode, operation: &'static str) -> Self {
        Self(Box::new(Details {
            code,
            operation,
            message: Cow::Borrowed(code.doc()),
            context: Vec::new(),
            broker_code: None,
            hint: None,
            source: None,
        }))
    }

    /// The error that a server's response code stands for, with the server's own text.
    pub fn from_response(operation: &'static str, broker_code: i32, remark: Option<&str>) -> Self {
        let error = Self::new(ErrorCode::from_response(broker_code), operation)
            .with_broker_code(broker_code);
        match remark.map(str::trim).filter(|text| !text.is_empty()) {
            Some(text) => {
                let message = format!("{}: {text}", error.code().doc());
                error.with_message(message)
            }
            None => error,
        }
    }

    /// Replaces the sentence that says what happened.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.0.message = message.into();
        self
    }

    /// Adds a piece of context, for example `("topic", "orders")`.
    #[must_use]
    pub fn with_context(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if !self.0.context.iter().any(|(known, _)| *known == name) {
            self.0.context.push((name, value.into()));
        }
        self
    }

    /// Adds the response code that a server gave.
    #[must_use]
    pub fn with_broker_code(mut self, code: i32) -> Self {
        self.0.broker_code = Some(code);
        self
    }

    /// Replaces the advice.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Names the operation of the user that failed because of this.
    #[must_use]
    pub fn in_operation(mut self, operation: &'static str) -> Self {
        self.0.operation = operation;
        self
    }

    /// What went wrong.
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// The category of the code.
    pub fn category(&self) -> Category {
        self.0.code.category()
    }

    /// Whether repeating the call can help.
    pub fn retry(&self) -> Retry {
        self.0.code.retry()
    }

    /// Whether repeating the call, here or on another broker, can help.
    pub fn is_retryable(&self) -> bool {
        self.retry() != Retry::No
    }

    /// The operation that failed, for example `send`.
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// What it was about, for example `topic`, `broker`, `address`.
    pub fn context(&self) -> &[(&'static str, String)] {
        &self.0.context
    }

    /// The response code that the server gave, if one answered.
    pub fn broker_code(&self) -> Option<i32> {
        self.0.broker_code
    }

    /// The sentence that says what happened, without operation and context.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do next.
    pub fn hint(&self) -> &str {
        self.0.hint.as_deref().unwrap_or_else(|| self.0.code.hint())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.operation, self.0.message)?;
        if let Some(code) = self.0.broker_code {
            write!(f, " (broker code {code})")?;
        }
        let mut separator = " [";
        for (name, value) in &self.0.context {
            write!(f, "{separator}{name}={value}")?;
            separator = ", ";
        }
        if !self.0.context.is_empty() {
            f.write_str("]")?;
        }
        if let Some(source) = &self.0.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} ({}): {}",
            self.0.code.name(),
            self.0.code.number(),
            self.0.message
        )?;
        writeln!(f, "    operation: {}", self.0.operation)?;
        for (name, value) in &self.0.context {
            writeln!(f, "    {name}: {value}")?;
        }
        if let Some(code) = self.0.broker_code {
            writeln!(f, "    broker code: {code}")?;
        }
        if let Some(source) = &self.0.source {
            writeln!(f, "    cause: {source}")?;
        }
        write!(f, "    hint: {}", self.hint())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests;
