// SPDX-License-Identifier: Apache-2.0
//! The Node.js side of the client: conversion only.
//!
//! One call goes: `index.js` -> a method here -> [`convert`] (arguments that `arguments.js` has checked) -> `kerolox::facade` -> [`completion`] (a promise,
//! settled from the queue of its environment) -> [`convert`] (result) or [`error`] -> `index.js`.
//!
//! Invariants: nothing here retries, times out, routes or starts a runtime; no JavaScript value is kept in a static, as
//! worker threads load this library once each; operations that can wait reject and never throw.

#![deny(unsafe_code)]

mod admin;
mod completion;
mod consumer;
#[allow(
    unsafe_code,
    reason = "napi's conversion traits and its C interface are unsafe; this is the one module that touches them"
)]
mod convert;
mod error;
mod producer;
mod testing;

use napi::Env;
use napi_derive::napi;

use crate::convert::Factory;

/// Prepares this environment. `index.js` calls it once, before anything else; the factories make
/// the objects of errors and of received messages.
#[napi]
pub fn setup(env: Env, errors: Factory<'_>, messages: Factory<'_>) -> napi::Result<()> {
    completion::Bridge::install(&env, errors, messages)
}

/// Version of the library.
#[napi]
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
