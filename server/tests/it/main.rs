// SPDX-License-Identifier: Apache-2.0
//! Integration tests of the server, in one binary.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly too")]

mod sim;
mod store;
