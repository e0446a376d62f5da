// SPDX-License-Identifier: Apache-2.0
//! Pops and notifications that wait, parked as data under topic, group and queue.
//!
//! Whoever parks sets the topic's watch on every queue that it wants messages of and looks at their maxima again after
//! that: what came before shows there, what comes later is reported ([`crate::store::QueueHandle::watch_topic`]). A queue
//! is watched until a message comes that nobody waits for. Source: server.md 20.1.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kerolox_protocol::message::name;
use parking_lot::Mutex;

use crate::config::BrokerConfig;
use crate::net::Session;
use crate::store::QueueHandle;

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Messages.
    Pop,
    /// To hear of messages.
    Notice,
}

/// A request that can wait.
pub(super) trait Waits {
    fn kind(&self) -> Kind;
    fn session(&self) -> &Arc<Session>;
    fn topic(&self) -> &str;
    fn group(&self) -> &str;
    /// Queue; negative is any.
    fn queue_id(&self) -> i32;
    /// When it is answered at the latest, milliseconds since the epoch.
    fn deadline_ms(&self) -> i64;
    /// Whether it may wait at all.
    fn may_wait(&self) -> bool;
}

/// Why a request does not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotParked {
    /// Too many wait already.
    Full,
    /// Its time is up, or it does not want to.
    Timeout,
}

/// Requests of one queue of a group, the one whose time ends first in front.
type Line<W> = BTreeMap<(i64, u64), W>;
/// By group, queue and kind.
type Lines<W> = BTreeMap<(String, i32, Kind), Line<W>>;

#[derive(Debug, Default)]
struct Counts {
    pops: usize,
    notices: usize,
}

impl Counts {
    fn of(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::Pop => &mut self.pops,
            Kind::Notice => &mut self.notices,
        }
    }
}

#[derive(Debug)]
struct State<W> {
    topics: HashMap<String, Lines<W>>,
    counts: Counts,
    /// Numbers the requests, so that those with the same deadline keep their order.
    number: u64,
}

/// Requests that wait.
#[derive(Debug)]
pub(super) struct Polls<W> {
    max: usize,
    max_of_line: usize,
    state: Mutex<State<W>>,
}

impl<W: Waits> Polls<W> {
    pub(super) fn new(config: &BrokerConfig) -> Self {
        Self {
            max: config.max_pop_polling_size,
            max_of_line: config.pop_polling_size,
            state: Mutex::new(State {
                topics: HashMap::new(),
                counts: Counts::default(),
                number: 0,
            }),
        }
    }

    /// Parks a request, or gives it back.
    pub(super) fn park(&self, request: W, now_ms: i64) -> Result<(), (W, NotParked)> {
        if !request.may_wait() {
            return Err((request, NotParked::Timeout));
        }
        let mut state = self.state.lock();
        let kind = request.kind();
        if *state.counts.of(kind) >= self.max {
            return Err((request, NotParked::Full));
        }
        if now_ms >= request.deadline_ms() {
            return Err((request, NotParked::Timeout));
        }
        state.number += 1;
        let place = (request.deadline_ms(), state.number);
        let key = (request.group().to_owned(), request.queue_id(), kind);
        let lines = match state.topics.get_mut(request.topic()) {
            Some(lines) => lines,
            None => state.topics.entry(request.topic().to_owned()).or_default(),
        };
        let line = lines.entry(key).or_default();
        if line.len() > self.max_of_line {
            return Err((request, NotParked::Full));
        }
        line.insert(place, request);
        *state.counts.of(kind) += 1;
        Ok(())
    }

    /// Takes the request of a queue of a group whose time ends first; those of connections that are gone are dropped.
    pub(super) fn take(&self, kind: Kind, topic: &str, group: &str, queue_id: i32) -> Option<W> {
        let mut state = self.state.lock();
        let State { topics, counts, .. } = &mut *state;
        let lines = topics.get_mut(topic)?;
        let key = (group.to_owned(), queue_id, kind);
        let line = lines.get_mut(&key)?;
        let taken = take_first(line, counts.of(kind));
        if line.is_empty() {
            lines.remove(&key);
        }
        if lines.is_empty() {
            topics.remove(topic);
        }
        taken
    }

    /// A message became visible in a queue: takes of each group and kind one request for any queue and one for this queue.
    /// Without anybody waiting for it the watch ends.
    pub(super) fn take_for(&self, queue: &QueueHandle) -> Vec<W> {
        let mut state = self.state.lock();
        let topic = queue.topic();
        if state.topics.contains_key(topic) {
            return state.take_lines(topic, |_, wanted| wanted < 0 || wanted == queue.queue_id());
        }
        // Those who pop a topic get its retries, too, whatever queue they want.
        if let Some((popped, group)) = state.popped_with_retries(topic) {
            return state.take_lines(&popped, |of, _| of == group);
        }
        // Under the lock: who parks after this sets the watch again.
        queue.unwatch_topic();
        Vec::new()
    }

    /// Takes of a group one request of each kind for any queue and for each queue that `matches`.
    pub(super) fn take_of_group(
        &self,
        topic: &str,
        group: &str,
        matches: impl Fn(i32) -> bool,
    ) -> Vec<W> {
        let mut state = self.state.lock();
        state.take_lines(topic, |of, wanted| {
            of == group && (wanted < 0 || matches(wanted))
        })
    }

    /// Takes the requests whose time is up.
    pub(super) fn take_expired(&self, now_ms: i64) -> Vec<W> {
        self.take_while(|(deadline_ms, _), _| *deadline_ms <= now_ms)
    }

    /// Drops the requests of a connection that is gone.
    pub(super) fn forget(&self, session: &Arc<Session>) {
        drop(self.take_while(|_, request| request.session().id() == session.id()));
    }

    fn take_while(&self, matches: impl Fn(&(i64, u64), &W) -> bool) -> Vec<W> {
        let mut state = self.state.lock();
        let State { topics, counts, .. } = &mut *state;
        let mut taken = Vec::new();
        topics.retain(|_, lines| {
            lines.retain(|_, line| {
                let out = line
                    .iter()
                    .filter(|(place, request)| matches(place, request));
                let out: Vec<(i64, u64)> = out.map(|(place, _)| *place).collect();
                taken.extend(out.iter().filter_map(|place| line.remove(place)));
                !line.is_empty()
            });
            !lines.is_empty()
        });
        for request in &taken {
            *counts.of(request.kind()) -= 1;
        }
        taken
    }

    /// How many pops wait for a queue of a group.
    pub(super) fn len(&self, topic: &str, group: &str, queue_id: i32) -> usize {
        let state = self.state.lock();
        let key = (group.to_owned(), queue_id, Kind::Pop);
        let line = state.topics.get(topic).and_then(|lines| lines.get(&key));
        line.map_or(0, BTreeMap::len)
    }
}

impl<W: Waits> State<W> {
    /// Takes the first request of every line whose group and queue match.
    fn take_lines(&mut self, topic: &str, matches: impl Fn(&str, i32) -> bool) -> Vec<W> {
        let mut taken = Vec::new();
        let Some(lines) = self.topics.get_mut(topic) else {
            return taken;
        };
        lines.retain(|(group, queue_id, kind), line| {
            if matches(group, *queue_id) {
                taken.extend(take_first(line, self.counts.of(*kind)));
            }
            !line.is_empty()
        });
        if lines.is_empty() {
            self.topics.remove(topic);
        }
        taken
    }

    /// The topic and group of requests that read the retry topic `topic`.
    fn popped_with_retries(&self, topic: &str) -> Option<(String, String)> {
        let rest = topic.strip_prefix(name::RETRY_PREFIX)?;
        let reads = |popped: &str, group: &str| {
            let middle = rest
                .strip_prefix(group)
                .and_then(|rest| rest.strip_suffix(popped));
            middle == Some("_") || middle == Some("+")
        };
        self.topics.iter().find_map(|(popped, lines)| {
            let (group, ..) = lines.keys().find(|(group, ..)| reads(popped, group))?;
            Some((popped.clone(), group.clone()))
        })
    }
}

fn take_first<W: Waits>(line: &mut Line<W>, count: &mut usize) -> Option<W> {
    while let Some((_, request)) = line.pop_first() {
        *count -= 1;
        if !request.session().is_closed() {
            return Some(request);
        }
    }
    None
}
