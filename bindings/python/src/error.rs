// SPDX-License-Identifier: Apache-2.0
//! Errors of the core as exceptions of `kerolox.errors`: one class per category.

use kerolox::facade::{Category, Error, ErrorCode, Result};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The exception that stands for `error`.
pub(crate) fn to_exception(py: Python<'_>, error: &Error) -> PyErr {
    make(py, error).unwrap_or_else(|problem| problem)
}

/// The result, with its error as an exception.
pub(crate) fn checked<T>(py: Python<'_>, result: Result<T>) -> PyResult<T> {
    result.map_err(|error| to_exception(py, &error))
}

fn make(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let code = error.code();
    let class = match code.category() {
        _ if code == ErrorCode::Timeout => "TimeoutError",
        Category::Usage => "UsageError",
        Category::Connect => "ConnectError",
        Category::Broker => "BrokerError",
        Category::Flow => "FlowError",
        Category::Auth => "AuthError",
        Category::Internal => "InternalError",
    };
    let context = PyDict::new(py);
    for (name, value) in error.context() {
        context.set_item(name, value)?;
    }
    let details = PyDict::new(py);
    details.set_item("code", code.number())?;
    details.set_item("name", code.name())?;
    details.set_item("retryable", error.is_retryable())?;
    details.set_item("broker_code", error.broker_code())?;
    details.set_item("hint", error.hint())?;
    details.set_item("operation", error.operation())?;
    details.set_item("context", context)?;
    let class = py.import("kerolox.errors")?.getattr(class)?;
    let exception = class.call((error.to_string(),), Some(&details))?;
    Ok(PyErr::from_value(exception))
}
