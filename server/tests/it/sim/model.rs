// SPDX-License-Identifier: Apache-2.0
//! What the store must hold: every record that it took, byte by byte, and where.

use std::collections::BTreeMap;

use kerolox_protocol::message::record;

/// A topic and a queue of it.
pub(super) type Key = (&'static str, i32);

/// What the unit of a queued record must say besides its place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Code {
    Hash(i64),
    /// Milliseconds after the store time.
    After(i64),
}

/// One record that was given to the store.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) key: Key,
    pub(super) is_queued: bool,
    pub(super) code: Code,
    pub(super) keys: Vec<String>,
    /// The whole record as the log must hold it, once it is placed.
    pub(super) bytes: Vec<u8>,
    /// Where the body lies in it.
    pub(super) body: std::ops::Range<usize>,
    pub(super) at: i64,
    pub(super) queue_offset: i64,
    pub(super) stored_ms: i64,
    /// What the clock said.
    pub(super) clock_ms: i64,
    /// Since when the running store has it.
    pub(super) held_ms: i64,
    /// The append failed while it was under way: the record may be there, or not.
    pub(super) is_maybe: bool,
}

impl Sent {
    /// Fills in what the store decides.
    pub(super) fn place(&mut self, at: i64, queue_offset: i64, stored_ms: i64) {
        self.at = at;
        self.queue_offset = queue_offset;
        self.stored_ms = stored_ms;
        assert!(record::patch(&mut self.bytes, queue_offset, at, stored_ms));
    }

    pub(super) fn end(&self) -> i64 {
        self.at + i64::try_from(self.bytes.len()).unwrap()
    }

    pub(super) fn tags_code(&self) -> i64 {
        match self.code {
            Code::Hash(code) => code,
            Code::After(ms) => self.stored_ms + ms,
        }
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.bytes[self.body.clone()]
    }
}

/// A queue: the places in the log of its messages.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    /// By queue offset, as long as the record exists.
    pub(super) entries: BTreeMap<i64, i64>,
    pub(super) next: i64,
    /// What it held each time its topic was deleted. If the queues are made anew from the log, the last comes back.
    pub(super) ghosts: Vec<BTreeMap<i64, i64>>,
}

/// The log and the queues.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    /// Records by their place in the log.
    pub(super) log: BTreeMap<i64, Sent>,
    pub(super) queues: BTreeMap<Key, Queue>,
}

impl Model {
    pub(super) fn next(&self, key: Key) -> i64 {
        self.queues.get(&key).map_or(0, |queue| queue.next)
    }

    /// Takes a record that was placed.
    pub(super) fn add(&mut self, sent: Sent) {
        if sent.is_queued {
            let queue = self.queues.entry(sent.key).or_default();
            assert_eq!(
                queue.next, sent.queue_offset,
                "queue offset of {:?}",
                sent.key
            );
            queue.entries.insert(sent.queue_offset, sent.at);
            queue.next += 1;
        }
        self.log.insert(sent.at, sent);
    }

    /// Offset after the last record.
    pub(super) fn end(&self) -> i64 {
        self.log.values().next_back().map_or(0, Sent::end)
    }

    /// Forgets the records that end behind `end`: they are lost, and their queue offsets are free again.
    pub(super) fn cut(&mut self, end: i64) {
        self.log.retain(|_, sent| sent.end() <= end);
        for queue in self.queues.values_mut() {
            let is_lost = |at: &i64| !self.log.contains_key(at);
            let lost = queue.entries.iter().find(|(_, at)| is_lost(at));
            queue.next = lost.map_or(queue.next, |(offset, _)| *offset);
            queue.entries.retain(|_, at| !is_lost(at));
            for ghosts in &mut queue.ghosts {
                ghosts.retain(|_, at| !is_lost(at));
            }
        }
    }

    /// Forgets the records before `min`: they expired.
    pub(super) fn expire(&mut self, min: i64) {
        self.log = self.log.split_off(&min);
        for queue in self.queues.values_mut() {
            queue.entries.retain(|_, at| *at >= min);
            for ghosts in &mut queue.ghosts {
                ghosts.retain(|_, at| *at >= min);
            }
        }
    }

    /// The topic's queues are gone, its records are not.
    pub(super) fn delete(&mut self, topic: &str) {
        for (_, queue) in self.queues.iter_mut().filter(|(key, _)| key.0 == topic) {
            if !queue.entries.is_empty() {
                queue.ghosts.push(std::mem::take(&mut queue.entries));
            }
            queue.next = 0;
        }
    }

    /// Lowest offset of a queue whose record exists.
    pub(super) fn min(&self, key: Key) -> i64 {
        let queue = &self.queues[&key];
        queue
            .entries
            .keys()
            .next()
            .map_or(queue.next, |offset| *offset)
    }

    /// How many messages of a queue lie before `end` of the log, as the offset after them.
    pub(super) fn shown(&self, key: Key, end: i64) -> i64 {
        let queue = &self.queues[&key];
        let hidden = queue.entries.iter().rev();
        let hidden = hidden.take_while(|&(_, at)| self.log[at].end() > end);
        queue.next - i64::try_from(hidden.count()).unwrap()
    }
}
