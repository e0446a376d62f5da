// SPDX-License-Identifier: Apache-2.0
//! JSON bodies: the structures that requests and responses carry, and the reference's JSON dialect.
//!
//! The dialect is not JSON: integer map keys stand without quotes (`{0:"a"}`) and queues are map keys as bare objects
//! (`{{"brokerName":"b","queueId":0,"topic":"t"}:5}`). [`decode`] reads standard JSON and the dialect; [`encode`]
//! writes the dialect and [`encode_standard`] standard JSON. Members are in alphabetical order and absent values are
//! left out, as the reference writes them. Source: wire.md 4.

mod dialect;
mod lenient;

pub mod assignment;
pub mod cluster;
pub mod connection;
pub mod consumer_status;
pub mod consumption;
pub mod filter;
pub mod group;
pub mod ha;
pub mod heartbeat;
pub mod lock;
pub mod offset;
pub mod pop;
pub mod queue;
pub mod register;
pub mod route;
pub mod stats;
pub mod topic;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// Why a body can not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BodyError {
    /// Not JSON, not even in the reference's dialect.
    #[error("body is not JSON at byte {0}")]
    Syntax(usize),
    /// Nested too deeply.
    #[error("body is nested deeper than {0} levels")]
    Depth(usize),
    /// JSON of another shape than expected.
    #[error("body does not have the expected members: {0}")]
    Shape(#[from] serde_json::Error),
}

/// Reads a body written in standard JSON or in the reference's dialect. Unknown members are ignored.
///
/// # Errors
/// [`BodyError`]
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, BodyError> {
    if let Ok(value) = serde_json::from_slice(body) {
        return Ok(value);
    }
    Ok(serde_json::from_value(lenient::parse(body)?)?)
}

/// Writes a body in the reference's dialect, compact.
pub fn encode<T: Serialize>(body: &T) -> Vec<u8> {
    dialect::compact(body)
}

/// Writes a body in the dialect of the reference's configuration files: indented by tabs.
pub fn encode_pretty<T: Serialize>(body: &T) -> Vec<u8> {
    dialect::pretty(body)
}

/// Writes a body as standard JSON: all keys quoted.
pub fn encode_standard<T: Serialize>(body: &T) -> Vec<u8> {
    serde_json::to_vec(body).unwrap_or_default()
}

#[cfg(test)]
mod tests;
