// SPDX-License-Identifier: Apache-2.0
//! A RocketMQ name server and mapped-file broker.
//!
//! The way of a request: [`net`] reads bytes and splits frames, [`broker`] or [`namesrv`] decide, [`store`] keeps
//! records, and [`net`] writes the answer. See `ARCHITECTURE.md`.
#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod bench;
pub mod broker;
#[doc(hidden)]
pub mod cli;
pub mod config;
pub mod embedded;
pub mod filter;
pub mod namesrv;
pub mod net;
mod persist;
mod refusal;
pub mod store;
