// SPDX-License-Identifier: Apache-2.0
//! Where the queues of topics are, as name servers say: for assignments that the broker computes.
//!
//! The broker asks nobody itself. A topic that it wants to know is noted here together with the request that has to
//! wait for it; the registration's task takes it, asks, and says what it learned. Source: server.md 20.4.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use kerolox_protocol::body::assignment::{QueryAssignmentRequest, QueryAssignmentResponse};
use kerolox_protocol::body::queue::MessageQueue;
use kerolox_protocol::body::route::{QueueData, TopicRouteData};
use kerolox_protocol::body::topic::perm;
use kerolox_protocol::{Command, body};
use parking_lot::Mutex;

use super::Broker;
use super::pop::{Assignment, assign};
use crate::net::{Replies, Request, Session};
use crate::refusal::success;

type Listener = Box<dyn Fn() + Send + Sync>;

/// Topics that are remembered at most; the oldest knowledge goes first.
const MAX_TOPICS: usize = 10_000;
/// Requests that wait for a route at most; further ones are told that nothing is known.
const MAX_WAITING: usize = 10_000;
/// Queues of a topic on one broker that are believed at most.
const MAX_QUEUES: i32 = 65_535;
/// How long it is believed that a topic does not exist, milliseconds.
const MISSING_MS: i64 = 1_000;

/// What is known of a topic.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Its queues, sorted.
    Queues(Vec<MessageQueue>),
    /// There is no such topic.
    NoTopic,
    /// A name server is asked.
    NotYet,
}

/// A request that waits for a route.
struct Waiting {
    session: Arc<Session>,
    /// The request without its body, for the answer's opaque id and encoding.
    head: Command,
    wanted: QueryAssignmentRequest,
}

struct Learned {
    queues: Option<Vec<MessageQueue>>,
    at_ms: i64,
}

#[derive(Default)]
struct State {
    learned: HashMap<String, Learned>,
    wanted: BTreeSet<String>,
    waiting: HashMap<String, Vec<Waiting>>,
    waiting_count: usize,
}

/// Routes by topic.
#[derive(Default)]
pub struct TopicRoutes {
    state: Mutex<State>,
    listener: Mutex<Option<Listener>>,
}

impl TopicRoutes {
    /// Sets who is woken when a topic is wanted; `None` when nobody asks name servers: then this broker's own queues are
    /// all there is.
    pub fn listen(&self, listener: Option<Listener>) {
        *self.listener.lock() = listener;
    }

    /// Takes the topics that are wanted.
    pub fn take_wanted(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.state.lock().wanted)
    }

    /// What is known of a topic. If that is old, name servers are asked for the next time.
    pub(super) fn queues(&self, broker: &Broker, topic: &str, now_ms: i64) -> Known {
        if self.listener.lock().is_none() {
            return own_queues(broker, topic);
        }
        let mut state = self.state.lock();
        let Some(learned) = state.learned.get(topic) else {
            return Known::NotYet;
        };
        let age_ms = now_ms.saturating_sub(learned.at_ms);
        let known = match &learned.queues {
            Some(queues) => Known::Queues(queues.clone()),
            // It may come into being any moment.
            None if age_ms >= MISSING_MS => return Known::NotYet,
            None => return Known::NoTopic,
        };
        if age_ms >= broker.config.load_balance_poll_name_server_interval {
            state.wanted.insert(topic.to_owned());
            drop(state);
            self.wake();
        }
        known
    }

    /// Lets a request wait for a topic's route; `false` if there are too many.
    pub(super) fn wait(&self, request: &Request<'_>, wanted: QueryAssignmentRequest) -> bool {
        let mut state = self.state.lock();
        if state.waiting_count >= MAX_WAITING {
            return false;
        }
        state.waiting_count += 1;
        state.wanted.insert(wanted.topic.clone());
        let mut head = request.command.clone();
        head.body = Bytes::new();
        let line = state.waiting.entry(wanted.topic.clone()).or_default();
        line.push(Waiting {
            session: Arc::clone(request.session),
            head,
            wanted,
        });
        drop(state);
        self.wake();
        true
    }

    fn wake(&self) {
        if let Some(wake) = self.listener.lock().as_ref() {
            wake();
        }
    }

    /// A name server knows the topic's route, or that there is none. Answers the requests that wait for it.
    pub fn learn(&self, broker: &Broker, topic: &str, route: Option<&TopicRouteData>, now_ms: i64) {
        let mut state = self.state.lock();
        let learned = Learned {
            queues: route.map(|route| queues_of(topic, route)),
            at_ms: now_ms,
        };
        if state.learned.len() >= MAX_TOPICS && !state.learned.contains_key(topic) {
            let oldest = state.learned.iter().min_by_key(|(_, known)| known.at_ms);
            let oldest = oldest.map(|(name, _)| name.clone());
            oldest.and_then(|name| state.learned.remove(&name));
        }
        state.learned.insert(topic.to_owned(), learned);
        drop(state);
        self.answer(broker, topic, now_ms);
    }

    /// No name server can be asked: who waits keeps the queues that it has.
    pub fn learn_nothing(&self, broker: &Broker, topic: &str, now_ms: i64) {
        self.answer(broker, topic, now_ms);
    }

    fn answer(&self, broker: &Broker, topic: &str, now_ms: i64) {
        let mut state = self.state.lock();
        let waiting = state.waiting.remove(topic).unwrap_or_default();
        state.waiting_count -= waiting.len();
        drop(state);
        for Waiting {
            session,
            head,
            wanted,
        } in waiting
        {
            let answer = match assign(broker, &wanted, now_ms) {
                Assignment::Answer(answer) => answer,
                Assignment::NeedsRoute => QueryAssignmentResponse::default(),
            };
            let mut replies = Replies::new();
            replies.push(&head, success().with_body(body::encode(&answer)));
            session.send_frames(replies.take());
        }
    }
}

impl std::fmt::Debug for TopicRoutes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TopicRoutes")
            .field("topics", &self.state.lock().learned.len())
            .finish_non_exhaustive()
    }
}

/// Without name servers: what this broker has.
fn own_queues(broker: &Broker, topic: &str) -> Known {
    let Some(config) = broker.topics.get(topic) else {
        return Known::NoTopic;
    };
    let data = QueueData {
        broker_name: broker.config.broker_name.clone(),
        perm: config.perm,
        read_queue_nums: config.read_queue_nums,
        ..QueueData::default()
    };
    let route = TopicRouteData {
        queue_datas: vec![data],
        ..TopicRouteData::default()
    };
    Known::Queues(queues_of(topic, &route))
}

/// The queues that consumers see, sorted.
fn queues_of(topic: &str, route: &TopicRouteData) -> Vec<MessageQueue> {
    let readable = route
        .queue_datas
        .iter()
        .filter(|data| perm::is_readable(data.perm));
    let mut queues: Vec<MessageQueue> = readable
        .flat_map(|data| {
            // A name server is not trusted with the memory of this broker.
            (0..data.read_queue_nums.min(MAX_QUEUES)).map(|queue_id| MessageQueue {
                topic: topic.to_owned(),
                broker_name: data.broker_name.clone(),
                queue_id,
            })
        })
        .collect();
    queues.sort_unstable();
    queues.dedup();
    queues
}
