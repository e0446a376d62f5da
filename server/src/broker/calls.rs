// SPDX-License-Identifier: Apache-2.0
//! Requests to clients whose answers decide about a request that waits here.
//!
//! A processor hands over a [`Waiting`] with [`Broker::call_client`] and answers [`crate::net::Outcome::Parked`]; the
//! rest happens in [`Waiting::end`] once the client answered, left, or its time is up. Source: server.md 6.6.

use std::sync::Arc;

use kerolox_protocol::Command;

use super::Broker;
use super::processor::{client_query, reply};
use crate::net::{CallError, CallLimits, Session};

/// What may wait for clients at a time.
pub(super) const LIMITS: CallLimits = CallLimits {
    count: 10_000,
    bytes: 64 << 20,
};
/// Milliseconds that a client has for its answer.
pub(in crate::broker) const TIMEOUT_MS: i64 = 10_000;

/// How a request to a client ended.
#[derive(Debug)]
pub(in crate::broker) enum Answer<'a> {
    /// The client answered.
    Came(&'a Command),
    /// It did not in time.
    TimedOut,
    /// Its connection was closed, before or while waiting, or it was not asked.
    Failed(CallError),
}

/// What waits for the answer of a client.
#[derive(Debug)]
pub(in crate::broker) enum Waiting {
    /// A request that is answered as the client answers.
    Forwarded(client_query::Forwarded),
    /// One client's part of an answer that is put together of several.
    Status(Arc<client_query::StatusQuery>, String),
    /// A reply on its way to who asked.
    Reply(Box<reply::Pushed>),
}

impl Waiting {
    pub(super) fn end(self, broker: &Broker, answer: &Answer<'_>) {
        match self {
            Self::Forwarded(forwarded) => forwarded.end(answer),
            Self::Status(query, client_id) => query.end(&client_id, answer),
            Self::Reply(pushed) => pushed.end(broker, answer),
        }
    }
}

impl Broker {
    /// Asks a client; `waiting` goes on with its answer, or at once if it can not be asked.
    pub(in crate::broker) fn call_client(
        &self,
        session: &Session,
        request: Command,
        deadline_ms: i64,
        waiting: Waiting,
    ) {
        if let Err((error, waiting)) = self.calls.start(session, request, deadline_ms, waiting) {
            waiting.end(self, &Answer::Failed(error));
        }
    }

    /// A client answered a request of ours.
    pub(super) fn client_answered(&self, session: &Session, answer: &Command) {
        if let Some(waiting) = self.calls.answered(session.id(), answer) {
            waiting.end(self, &Answer::Came(answer));
        }
    }

    /// Ends what waited too long for a client.
    pub(super) fn expire_calls(&self, now_ms: i64) {
        for waiting in self.calls.expire(now_ms) {
            waiting.end(self, &Answer::TimedOut);
        }
    }

    /// Ends what waited for a client that is gone.
    pub(super) fn forget_calls(&self, session: &Session) {
        for waiting in self.calls.closed(session.id()) {
            waiting.end(self, &Answer::Failed(CallError::Closed));
        }
    }
}
