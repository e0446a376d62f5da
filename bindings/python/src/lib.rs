// SPDX-License-Identifier: Apache-2.0
//! The native half of the Python package: `kerolox._native`.
//!
//! Conversion only. Retries, deadlines and routing live below [`kerolox::facade`]; what users see (argument
//! conveniences, context managers, loops over deliveries) is Python, in `python/src/kerolox`. One call goes like this:
//!
//! 1. `producer`, `consumer`, `admin`: arguments to plain data, façade operation, [`kerolox::facade::Call`];
//! 2. `completion`: without a queue the calling thread waits, detached from the interpreter; with one the caller gets
//!    an asyncio future, which the event loop settles when the queue's file descriptor is readable;
//! 3. `convert` and `error`: the result, or an exception of `kerolox.errors`.
//!
//! Invariants: threads of the core never attach to the interpreter; every class is frozen, so the module needs no GIL;
//! a lock is held only to move values, never while Python code runs or the interpreter is waited for.
#![deny(unsafe_code)]

mod admin;
mod completion;
mod consumer;
mod convert;
mod error;
mod producer;
mod testing;

#[pyo3::pymodule(name = "_native")]
mod native {
    #[pymodule_export]
    use crate::admin::{Admin, close_all};
    #[pymodule_export]
    use crate::completion::Completions;
    #[pymodule_export]
    use crate::consumer::{Deliveries, Delivery, PullConsumer, PushConsumer};
    #[pymodule_export]
    use crate::convert::{Message, Queue, ReceivedMessage, SendResult, SendStatus, option_tables};
    #[pymodule_export]
    use crate::producer::Producer;
    #[pymodule_export]
    use crate::testing::Server;

    #[pymodule_export]
    #[allow(non_upper_case_globals, reason = "the name that Python expects")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
