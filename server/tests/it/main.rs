// SPDX-License-Identifier: Apache-2.0
//! Integration tests of the server, in one binary.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly too")]
#![allow(
    clippy::print_stdout,
    reason = "what a test prints is shown when it fails"
)]

mod bad_input;
mod command_line;
mod sim;
mod store;
