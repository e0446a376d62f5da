// SPDX-License-Identifier: Apache-2.0
//! Processors: functions from broker, request and `now` to an outcome, one file a theme.
//!
//! Invariant: a processor never touches a socket or a frame. Sending and pulling write their answers straight into
//! [`crate::net::Replies`]; all others return an [`crate::net::Outcome`].

pub(super) mod auth_admin;
pub(super) mod broker_info;
pub(super) mod cleaning;
pub(super) mod client;
pub(super) mod client_query;
pub(super) mod cold_data;
pub(super) mod consume_stats;
pub(super) mod consumer;
pub(super) mod consumption;
pub(super) mod group_admin;
pub(super) mod key_value;
pub(super) mod offset;
pub(super) mod pop;
pub(super) mod pull;
pub(super) mod query;
pub(super) mod queue_admin;
pub(super) mod recall;
pub(super) mod replication_info;
pub(super) mod reply;
pub(super) mod reset;
pub(super) mod runtime_info;
pub(super) mod send;
pub(super) mod send_back;
mod send_checks;
pub(super) mod stats;
pub(super) mod timer_admin;
pub(super) mod topic_admin;

use kerolox_protocol::header::HeaderError;
use kerolox_protocol::{Command, ResponseCode};

/// A reply without header fields.
fn reply(code: ResponseCode, remark: impl Into<String>) -> Command {
    Command::response(code).with_remark(remark)
}

/// The reply to a request whose header can not be read.
fn malformed(error: &HeaderError) -> Command {
    reply(ResponseCode::SYSTEM_ERROR, error.to_string())
}
