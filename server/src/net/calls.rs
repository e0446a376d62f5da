// SPDX-License-Identifier: Apache-2.0
//! Requests from a server to a client that expect an answer.
//!
//! A processor that needs an answer of a client parks what it wants to do with it ([`Calls::start`]) and returns
//! [`super::Outcome::Parked`]. The parked value comes back exactly once: with the client's answer
//! ([`Calls::answered`]), when its time is up ([`Calls::expire`]) or when the client is gone ([`Calls::closed`]). Nothing
//! waits in a thread, and time is handed in, so a run can be repeated.
//!
//! [`Caller`] remembers where a parked request came from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kerolox_protocol::{Command, SerializeType};
use parking_lot::Mutex;

use super::service::Request;
use super::session::{Session, SessionId};

/// Why a client is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The connection is closed.
    #[error("the client's connection is closed")]
    Closed,
    /// Too many requests wait for answers already.
    #[error(
        "{count} requests with {bytes} bytes wait for answers of clients already, try again later"
    )]
    Full {
        /// How many wait.
        count: usize,
        /// Bytes of their bodies.
        bytes: usize,
    },
}

/// How much may wait for answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// Requests.
    pub count: usize,
    /// Bytes of their bodies together.
    pub bytes: usize,
}

/// Requests that wait for the answers of clients, each with what is parked until then.
#[derive(Debug)]
pub struct Calls<T> {
    state: Mutex<State<T>>,
    limits: CallLimits,
}

#[derive(Debug)]
struct State<T> {
    waiting: BTreeMap<(SessionId, i32), Waiting<T>>,
    /// The same by time.
    deadlines: BTreeSet<(i64, SessionId, i32)>,
    last_opaque: i32,
    /// Bytes of all bodies.
    bytes: usize,
}

#[derive(Debug)]
struct Waiting<T> {
    deadline_ms: i64,
    bytes: usize,
    parked: T,
}

impl<T> Calls<T> {
    /// Nothing waits.
    pub fn new(limits: CallLimits) -> Self {
        Self {
            state: Mutex::new(State {
                waiting: BTreeMap::new(),
                deadlines: BTreeSet::new(),
                last_opaque: 0,
                bytes: 0,
            }),
            limits,
        }
    }

    /// Sends `request` under an opaque id of its own and keeps `parked` until the answer, but not beyond `deadline_ms`.
    ///
    /// # Errors
    /// Nothing was sent; `parked` is given back with the reason.
    pub fn start(
        &self,
        session: &Session,
        mut request: Command,
        deadline_ms: i64,
        parked: T,
    ) -> Result<(), (CallError, T)> {
        if session.is_closed() {
            return Err((CallError::Closed, parked));
        }
        let mut state = self.state.lock();
        let (count, bytes) = (state.waiting.len(), request.body.len());
        let is_full = count >= self.limits.count
            || state.bytes.saturating_add(bytes) > self.limits.bytes && count > 0;
        if is_full {
            let bytes = state.bytes;
            return Err((CallError::Full { count, bytes }, parked));
        }
        state.bytes += bytes;
        state.last_opaque = state.last_opaque.wrapping_add(1);
        let opaque = state.last_opaque;
        request.opaque = opaque;
        let waiting = Waiting {
            deadline_ms,
            bytes,
            parked,
        };
        state.waiting.insert((session.id(), opaque), waiting);
        state.deadlines.insert((deadline_ms, session.id(), opaque));
        drop(state);
        session.send(&request);
        Ok(())
    }

    /// What was parked for this answer; `None` if nobody waits for it (any more).
    pub fn answered(&self, session: SessionId, answer: &Command) -> Option<T> {
        self.state.lock().take((session, answer.opaque))
    }

    /// What has waited too long, by deadline.
    pub fn expire(&self, now_ms: i64) -> Vec<T> {
        let mut state = self.state.lock();
        let mut expired = Vec::new();
        while let Some((_, session, opaque)) = state
            .deadlines
            .first()
            .copied()
            .filter(|(deadline_ms, ..)| *deadline_ms <= now_ms)
        {
            expired.extend(state.take((session, opaque)));
        }
        expired
    }

    /// What waited for a client whose connection is gone.
    pub fn closed(&self, session: SessionId) -> Vec<T> {
        let mut state = self.state.lock();
        let keys: Vec<_> = state
            .waiting
            .range((session, i32::MIN)..=(session, i32::MAX))
            .map(|(key, _)| *key)
            .collect();
        keys.into_iter().filter_map(|key| state.take(key)).collect()
    }

    /// How many requests wait.
    pub fn len(&self) -> usize {
        self.state.lock().waiting.len()
    }

    /// Whether no request waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> State<T> {
    fn take(&mut self, key: (SessionId, i32)) -> Option<T> {
        let waiting = self.waiting.remove(&key)?;
        self.bytes = self.bytes.saturating_sub(waiting.bytes);
        self.deadlines.remove(&(waiting.deadline_ms, key.0, key.1));
        Some(waiting.parked)
    }
}

/// Who gets the answer to a request that was parked.
#[derive(Clone, Debug)]
pub struct Caller {
    session: Arc<Session>,
    opaque: i32,
    serialize_type: SerializeType,
    is_oneway: bool,
}

impl Caller {
    /// The sender of `request`.
    pub fn of(request: &Request<'_>) -> Self {
        Self {
            session: Arc::clone(request.session),
            opaque: request.command.opaque,
            serialize_type: request.command.serialize_type,
            is_oneway: request.command.is_oneway(),
        }
    }

    /// Its connection.
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Opaque id of the request.
    pub fn opaque(&self) -> i32 {
        self.opaque
    }

    /// Header encoding of the request.
    pub fn serialize_type(&self) -> SerializeType {
        self.serialize_type
    }

    /// Whether it wants no answer.
    pub fn is_oneway(&self) -> bool {
        self.is_oneway
    }

    /// Answers, under the request's opaque id and in its header encoding; nothing if it was one-way.
    pub fn answer(&self, mut reply: Command) {
        if self.is_oneway {
            return;
        }
        reply.opaque = self.opaque;
        reply.serialize_type = self.serialize_type;
        self.session.send(&reply);
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use kerolox_protocol::{RequestCode, ResponseCode, command, frame};

    use super::*;

    const LIMITS: CallLimits = CallLimits {
        count: 10,
        bytes: 1_000,
    };

    fn session(id: u64) -> Arc<Session> {
        let host = "127.0.0.1:10911".parse().unwrap();
        Arc::new(Session::new(SessionId(id), host, host))
    }

    fn sent(session: &Session) -> Vec<Command> {
        let mut input = BytesMut::from(session.drain().concat().as_slice());
        let mut commands = Vec::new();
        while let Some(frame) = frame::split(&mut input).unwrap() {
            commands.push(Command::decode(frame).unwrap());
        }
        commands
    }

    fn ask() -> Command {
        command::request(RequestCode::GET_CONSUMER_RUNNING_INFO)
    }

    #[test]
    fn an_answer_finds_what_was_parked_for_it_once_and_only_from_the_client_asked() {
        let calls = Calls::new(LIMITS);
        let (one, two) = (session(1), session(2));
        calls.start(&one, ask(), 100, "first").unwrap();
        calls.start(&one, ask(), 100, "second").unwrap();
        calls.start(&two, ask(), 100, "third").unwrap();
        let to_one = sent(&one);
        assert_eq!(to_one.len(), 2);
        assert_ne!(to_one[0].opaque, to_one[1].opaque);
        let answer = |to: &Command| Command::reply_to(to, ResponseCode::SUCCESS);
        let second = answer(&to_one[1]);
        assert_eq!(calls.answered(two.id(), &second), None, "of a stranger");
        assert_eq!(calls.answered(one.id(), &second), Some("second"));
        assert_eq!(calls.answered(one.id(), &second), None, "twice");
        let third = answer(&sent(&two)[0]);
        assert_eq!(calls.answered(two.id(), &third), Some("third"));
        assert_eq!(calls.len(), 1);
    }

    #[test]
    fn deadlines_and_closed_connections_give_back_what_was_parked() {
        let calls = Calls::new(LIMITS);
        let (one, two) = (session(1), session(2));
        calls.start(&one, ask(), 200, "late").unwrap();
        calls.start(&one, ask(), 100, "early").unwrap();
        calls.start(&two, ask(), 300, "gone").unwrap();
        assert!(calls.expire(99).is_empty());
        assert_eq!(calls.expire(100), ["early"]);
        assert_eq!(calls.closed(two.id()), ["gone"]);
        assert_eq!(calls.expire(1_000), ["late"]);
        assert!(calls.is_empty() && calls.expire(i64::MAX).is_empty());
        let late = Command::reply_to(&sent(&one)[0], ResponseCode::SUCCESS);
        assert_eq!(calls.answered(one.id(), &late), None);
    }

    #[test]
    fn a_closed_client_and_more_than_may_wait_are_refused_without_sending() {
        let calls = Calls::new(CallLimits {
            count: 2,
            bytes: 100,
        });
        let (one, two) = (session(1), session(2));
        one.close();
        let refused = calls.start(&one, ask(), 100, "closed");
        assert_eq!(refused, Err((CallError::Closed, "closed")));
        calls
            .start(&two, ask().with_body(vec![0; 150]), 100, "alone")
            .unwrap();
        let full = |count, bytes| Err((CallError::Full { count, bytes }, "too much"));
        assert_eq!(
            calls.start(&two, ask().with_body("x"), 100, "too much"),
            full(1, 150)
        );
        assert_eq!(calls.expire(100), ["alone"]);
        for _ in 0..2 {
            calls
                .start(&two, ask().with_body("x"), 200, "fits")
                .unwrap();
        }
        assert_eq!(calls.start(&two, ask(), 200, "too much"), full(2, 2));
        assert_eq!(sent(&two).len(), 3);
    }
}
