// SPDX-License-Identifier: Apache-2.0
//! What a server implements: a synchronous function from requests to outcomes.

use std::sync::Arc;

use kerolox_protocol::Command;

use super::replies::Replies;
use super::session::Session;

/// A name server or broker behind a listener.
///
/// `handle` runs on the connection's task and must not block: no sleeping, no waiting for other requests. A request
/// that has to wait is parked as data and answered later through [`Session::send`].
pub trait Service: Send + Sync + 'static {
    /// Handles the requests of one read in their order and drains `requests`.
    ///
    /// Responses of the peer to the server's own requests come in the same list.
    fn handle(&self, session: &Arc<Session>, requests: &mut Vec<Command>, replies: &mut Replies);

    /// The connection is gone; called once for each session.
    fn closed(&self, session: &Arc<Session>);

    /// What happens to connections, for those who count it.
    fn connection(&self, _event: ConnectionEvent) {}
}

/// Something that happened to a connection. One that fails or is idle is closed, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionEvent {
    /// It was accepted.
    Opened,
    /// Its bytes were no frames, or the network failed.
    Failed,
    /// There was no traffic for too long.
    Idle,
    /// It is gone.
    Closed,
}

/// One request with what a processor may know of it.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The request.
    pub command: &'a Command,
    /// Where it came from.
    pub session: &'a Arc<Session>,
    /// Milliseconds since the epoch.
    pub now_ms: i64,
}

/// What a processor decided.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one a request and it is moved once; a box would be an allocation more"
)]
pub enum Outcome {
    /// Answer now. The writer sets opaque id and header encoding from the request.
    Reply(Command),
    /// Kept as data; the answer comes later.
    Parked,
    /// Nothing is answered.
    None,
}
