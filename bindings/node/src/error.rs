// SPDX-License-Identifier: Apache-2.0
//! Errors as JavaScript sees them: our own classes, made by the factory that `index.js` registers.

use std::collections::HashSet;
use std::sync::LazyLock;

use kerolox::facade::{self, Category, Error, ErrorCode, Retry};
use napi_derive::napi;

use crate::convert::{FactoryRef, Js, JsValue};

/// What the factory makes an error of.
#[napi(object, object_from_js = false)]
pub(crate) struct ErrorDetails {
    pub class: &'static str,
    pub message: String,
    pub code: &'static str,
    pub number: u32,
    pub retryable: bool,
    pub retry: &'static str,
    pub operation: String,
    pub hint: String,
    pub broker_code: Option<i32>,
    /// Flat: `[name, value, …]`.
    pub context: Vec<String>,
}

/// Makes the error object.
pub(crate) fn to_js(js: Js, factory: &FactoryRef, error: &Error) -> napi::Result<JsValue> {
    let code = error.code();
    let class = match (code, code.category()) {
        (ErrorCode::Timeout, _) => "TimeoutError",
        (_, Category::Usage) => "UsageError",
        (_, Category::Connect) => "ConnectError",
        (_, Category::Broker) => "BrokerError",
        (_, Category::Flow) => "FlowError",
        (_, Category::Auth) => "AuthError",
        (_, Category::Internal) => "InternalError",
    };
    let context = error.context().iter();
    let details = js.value(ErrorDetails {
        class,
        message: js_spelling(&error.to_string()),
        code: code.name(),
        number: u32::from(code.number()),
        retryable: error.is_retryable(),
        retry: match error.retry() {
            Retry::No => "no",
            Retry::Again => "again",
            Retry::OtherBroker => "other-broker",
        },
        operation: js_spelling(error.operation()),
        hint: js_spelling(error.hint()),
        broker_code: error.broker_code(),
        context: context
            .flat_map(|(name, value)| [camel_case(name), value.clone()])
            .collect(),
    })?;
    js.call(factory, details)
}

/// `send_timeout_ms` -> `sendTimeoutMs`.
fn camel_case(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut upper = false;
    for letter in name.chars() {
        if letter == '_' && !camel.is_empty() {
            upper = true;
        } else if std::mem::take(&mut upper) {
            camel.extend(letter.to_uppercase());
        } else {
            camel.push(letter);
        }
    }
    camel
}

/// Names of options and methods inside a text, spelled as in JavaScript.
pub(crate) fn js_spelling(text: &str) -> String {
    static NAMES: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
        let options = facade::options::TABLES
            .iter()
            .flat_map(|(_, fields)| fields.iter().map(|field| field.name));
        let methods = facade::api::METHODS.iter().map(|(_, method)| *method);
        options
            .chain(methods)
            .filter(|name| name.contains('_'))
            .collect()
    });
    let is_word = |letter: char| letter == '_' || letter.is_alphanumeric();
    let mut spelled = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let word = rest.find(|letter| !is_word(letter)).unwrap_or(rest.len());
        let (name, tail) = rest.split_at(word);
        match NAMES.contains(name) {
            true => spelled.push_str(&camel_case(name)),
            false => spelled.push_str(name),
        }
        let gap = tail.find(is_word).unwrap_or(tail.len());
        let (between, after) = tail.split_at(gap);
        spelled.push_str(between);
        rest = after;
    }
    spelled.replace("snake_case", "camelCase")
}
