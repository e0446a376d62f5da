// SPDX-License-Identifier: Apache-2.0
//! The C interface of Kerolox: `include/kerolox.h` is written from this crate.
//!
//! The way of a call: an entry point (`klx_*`) runs its body in the macro `error::entry`, which turns NULL, bad
//! arguments, failures and unwinding into a status; [`convert`] and [`message`] turn C's view into the façade's;
//! [`completion`] waits or arranges the callback. There is no retry, time-out or routing logic here.
//!
//! Invariants: no pointer is followed outside [`ptr`]; nothing unwinds into C; no callback runs inside the function
//! that asked for it; the shared library exports `klx_*` and nothing else.
#![allow(
    non_camel_case_types,
    reason = "the names are C's, and the header takes them as they are"
)]
#![allow(
    unreachable_pub,
    reason = "the users of what is public are C programs, and the header takes what is `pub`"
)]
#![allow(
    clippy::missing_safety_doc,
    reason = "the rules are the same for all functions and stand at the head of the header"
)]
#![allow(
    clippy::too_many_arguments,
    reason = "C has no other way to get a result, an error and a time-out"
)]

mod admin;
mod batch;
mod completion;
mod convert;
mod error;
mod message;
mod producer;
mod ptr;
mod pull_consumer;
mod push_consumer;
mod testing;

use std::ffi::{CStr, c_char};

const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"",
    };

/// Version of the library, "1.2.3"; compare with KLX_VERSION of the header. Static, ends with NUL.
#[unsafe(no_mangle)]
pub extern "C" fn klx_version() -> *const c_char {
    VERSION.as_ptr()
}

/// Sets the number of kerolox-io threads (2 if never called); without effect once a client has been started.
#[unsafe(no_mangle)]
pub extern "C" fn klx_set_io_threads(threads: u32) {
    kerolox_client::facade::set_io_threads(threads as usize);
}
