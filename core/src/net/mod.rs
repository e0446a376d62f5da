// SPDX-License-Identifier: Apache-2.0
//! Connections: commands out, commands in. Used by the client and, towards name servers, by brokers.
//!
//! ```text
//! request -> Connection (opaque id, waiter, deadline) -> frame_io -> socket
//! socket -> frame_io -> Connection: a response completes its waiter, a request goes to the owner's channel
//! ```
//!
//! Nothing here knows topics, routes or retries. A waiter that is slow or has gone never holds up the others.

mod connection;
mod frame_io;
mod pool;
mod waiters;

pub use connection::{ConnectOptions, Connection, PeerRequest};
pub use pool::{Pool, PoolOptions};

#[cfg(test)]
mod tests;
