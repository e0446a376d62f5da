// SPDX-License-Identifier: Apache-2.0
//! Sockets of the servers: [`listener`] accepts, [`workers`] run the connections, [`session`] reads frames (into its `input`)
//! and writes replies, [`replies`] collects what one read produced, [`service`] is what a server implements, [`calls`]
//! asks clients and awaits their answers.
//!
//! Invariant: nothing here knows what a request means.

pub mod calls;
pub(crate) mod input;
pub mod listener;
pub mod replies;
pub mod service;
pub mod session;
pub mod workers;

pub use calls::{CallError, CallLimits, Caller, Calls};
pub use listener::{Listener, ListenerOptions};
pub use replies::Replies;
pub use service::{ConnectionEvent, Outcome, Request, Service};
pub use session::{Session, SessionId};
pub use workers::Workers;
