// SPDX-License-Identifier: Apache-2.0
//! Asks producers about half messages that nobody ended.
//!
//! Every `transactionCheckInterval` a round goes over the half queues from where the last one stopped. A message that
//! a note in the op queue names is done. One that may not be asked about yet ends the round, as those behind it are
//! younger; with an immunity of its own it is put at the end of the queue instead. All others are put at the end of the
//! queue, too, and only then their producers are asked: the answer names the copy. A round reads so many messages a tick and goes
//! on at the next.
//!
//! Decisions are made with all notes read. A note is forgotten only when every message that it names was passed; of
//! those before the round's start, when no copy of an immune message can be left that stands for it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use kerolox_protocol::body::topic::perm;
use kerolox_protocol::header::transaction::CheckTransactionStateRequestHeader;
use kerolox_protocol::message::{MessageExt, RecordFields, id, name, property, record};
use kerolox_protocol::{Command, RequestCode};

use super::GROUP;
use super::half::Half;
use super::op::{Removals, offsets_of};
use crate::broker::Broker;
use crate::broker::draft::{Draft, Stored};
use crate::config::BrokerConfig;

/// Half messages read at a tick; the rest follows at the next one.
const READS_A_TICK: usize = 512;
/// Half messages passed at a tick, with those that need no reading.
const STEPS_A_TICK: usize = 50_000;
/// Records of the op queue read at a time.
const NOTES_A_READ: usize = 32;
/// Half messages of a round; what notes say of those beyond is read again in the next one.
const WINDOW: i64 = 200_000;

/// When half messages are looked at, and the round that goes on.
#[derive(Debug)]
pub(super) struct Checks {
    interval_ms: i64,
    next_ms: i64,
    round: Option<Round>,
}

impl Checks {
    pub(super) fn new(config: &BrokerConfig, now_ms: i64) -> Self {
        Self {
            interval_ms: config.transaction_check_interval,
            next_ms: now_ms.saturating_add(config.transaction_check_interval),
            round: None,
        }
    }

    pub(super) fn is_due(&self, now_ms: i64) -> bool {
        self.round.is_some() || self.next_ms <= now_ms
    }

    /// Goes on with the round, or begins one.
    pub(super) fn go_on(&mut self, broker: &Broker, now_ms: i64) {
        let mut round = match self.round.take() {
            Some(round) => round,
            None => {
                self.next_ms = now_ms.saturating_add(self.interval_ms);
                Round::begin(broker, 0, now_ms)
            }
        };
        let ended = round.go_on(broker, now_ms);
        round.save(broker);
        if ended && round.has_moved {
            // What was asked about must not be asked about again after a crash.
            broker.persist_offsets(now_ms);
        }
        if ended && round.is_cut {
            self.next_ms = now_ms;
        }
        let queues = broker.topics.get(name::HALF_TOPIC);
        let queues = queues.map_or(1, |topic| topic.read_queue_nums);
        self.round = match ended {
            false => Some(round),
            true if round.queue_id + 1 < queues => {
                Some(Round::begin(broker, round.queue_id + 1, now_ms))
            }
            true => None,
        };
    }
}

/// One walk over a half queue.
#[derive(Debug)]
struct Round {
    queue_id: i32,
    started_ms: i64,
    /// Where it began; the position that is saved moves with it.
    start: i64,
    /// The half message that is looked at next.
    at: i64,
    notes: Notes,
    /// Positions that were saved last.
    saved: (i64, i64),
    /// It ended because it has gone over many messages, not because there are no more.
    is_cut: bool,
    /// Positions were saved.
    has_moved: bool,
}

/// What the op queue says.
#[derive(Debug, Default)]
struct Notes {
    queue_id: i32,
    /// The record that is read next.
    next: i64,
    /// Everything before is done with.
    position: i64,
    /// Ended half messages and the note that says so.
    ended: HashMap<i64, i64>,
    /// The same of messages before the round's start, with the note's store time.
    earlier: HashMap<i64, (i64, i64)>,
    /// How many messages of a note are not passed yet.
    open: HashMap<i64, usize>,
    /// Ranges of notes that are done with, behind `position`.
    done: BTreeMap<i64, i64>,
}

enum Step {
    /// To the next half message.
    Next,
    /// No more in this round.
    End,
}

impl Round {
    fn begin(broker: &Broker, queue_id: i32, now_ms: i64) -> Self {
        let position = |topic| {
            broker
                .offsets
                .query(GROUP, topic, queue_id)
                .unwrap_or_else(|| broker.store.min_offset(topic, queue_id))
        };
        let (start, op) = (position(name::HALF_TOPIC), position(name::OP_HALF_TOPIC));
        Self {
            queue_id,
            started_ms: now_ms,
            start,
            at: start,
            notes: Notes {
                queue_id,
                next: op,
                position: op,
                ..Notes::default()
            },
            saved: (start, op),
            is_cut: false,
            has_moved: false,
        }
    }

    /// Passes half messages; `true` if the round is over.
    fn go_on(&mut self, broker: &Broker, now_ms: i64) -> bool {
        let mut reads = 0;
        for _ in 0..STEPS_A_TICK {
            if self.notes.passed(self.at) {
                self.at += 1;
                continue;
            }
            if reads == READS_A_TICK {
                return false;
            }
            reads += 1;
            // Held to the end: no transaction ends between the decision and what is made of it.
            let mut removals = broker.transactions.removals.lock();
            removals.settle(broker, self.queue_id);
            if self.notes.read(broker, self.start) {
                continue;
            }
            let (topic, at) = (name::HALF_TOPIC, self.at);
            let store = &broker.store;
            let found = store.get(topic, self.queue_id, at, 1, usize::MAX, &mut |_| true);
            let Some(bytes) = found.slices.first() else {
                // Deleted or damaged messages are passed over.
                if found.next_offset > at && found.next_offset <= found.max_offset {
                    self.at = found.next_offset;
                    continue;
                }
                self.at = at.min(found.max_offset);
                self.notes.forget_earlier(i64::MAX);
                return true;
            };
            let next = found.next_offset.max(at + 1);
            let message = match record::decode(bytes) {
                Ok(message) => message,
                Err(error) => {
                    tracing::error!(offset = at, %error, "a half message can not be read and is skipped");
                    self.at = next;
                    continue;
                }
            };
            match self.look_at(broker, &removals, &message, now_ms) {
                Step::Next => self.at = next,
                Step::End => {
                    self.notes.forget_earlier(message.store_timestamp);
                    return true;
                }
            }
        }
        false
    }

    fn look_at(
        &mut self,
        broker: &Broker,
        removals: &Removals,
        message: &MessageExt,
        now_ms: i64,
    ) -> Step {
        let half = Half(message);
        let original = half.original();
        let is_ended = |offset: i64| removals.contains(self.queue_id, offset);
        if removals.has_ended(&half)
            || is_ended(self.at)
            || original.is_some_and(is_ended)
            || original.is_some_and(|original| self.notes.stands_for(original))
        {
            return Step::Next;
        }
        if message.store_timestamp >= self.started_ms {
            return Step::End;
        }
        if self.at >= self.start.saturating_add(WINDOW) {
            self.is_cut = true;
            return Step::End;
        }
        let config = &broker.config;
        let kept = Duration::from_secs(config.file_reserved_time.saturating_mul(3_600));
        if half.checks() >= config.transaction_check_max || half.is_outdated(kept, now_ms) {
            return give_up(broker, message, now_ms);
        }
        let age_ms = now_ms.saturating_sub(message.born_timestamp);
        let timeout_ms = config.transaction_time_out;
        match half.own_immunity_ms(timeout_ms) {
            Some(immunity_ms) if age_ms <= immunity_ms => {
                return match put(broker, &half.again()) {
                    Some(_) => Step::Next,
                    None => Step::End,
                };
            }
            None if (0..=timeout_ms).contains(&age_ms) => return Step::End,
            _ => {}
        }
        let copy = half.checked_again();
        let Some(stored) = put(broker, &copy) else {
            return Step::End;
        };
        ask(broker, message, &copy, stored);
        Step::Next
    }

    /// Remembers how far the round came, once everything that this rests on is on disk.
    fn save(&mut self, broker: &Broker) {
        let reached = (self.at, self.notes.position());
        if reached == self.saved {
            return;
        }
        match broker.store.flush_pass() {
            Ok(report) => broker.flushed(&report),
            Err(error) => {
                tracing::error!(%error, "how far transactions were checked is not remembered");
                return;
            }
        }
        let (half, op) = reached;
        for (topic, offset) in [(name::HALF_TOPIC, half), (name::OP_HALF_TOPIC, op)] {
            broker
                .offsets
                .commit(broker.store_host, GROUP, topic, self.queue_id, offset);
        }
        self.saved = reached;
        self.has_moved = true;
    }
}

impl Notes {
    /// Whether a note says that this half message is done; it is asked for once.
    fn passed(&mut self, half: i64) -> bool {
        match self.ended.remove(&half) {
            Some(note) => {
                self.close_one(note);
                true
            }
            None => false,
        }
    }

    /// Whether a note says so of the message that an immune copy stands for.
    fn stands_for(&mut self, original: i64) -> bool {
        if let Some((note, _)) = self.earlier.remove(&original) {
            self.close_one(note);
            return true;
        }
        self.passed(original)
    }

    /// Reads more notes; `false` if there are none.
    fn read(&mut self, broker: &Broker, start: i64) -> bool {
        let (topic, from) = (name::OP_HALF_TOPIC, self.next);
        let store = &broker.store;
        let queue_id = self.queue_id;
        let found = store.get(topic, queue_id, from, NOTES_A_READ, usize::MAX, &mut |_| {
            true
        });
        if found.next_offset <= from {
            self.next = from.min(found.max_offset);
            self.position = self.position.min(self.next);
            return false;
        }
        let mut gap = from;
        for record in found.slices.into_iter().flat_map(record::decode_all) {
            // What is missing in between is damaged or deleted.
            self.close(gap, record.queue_offset);
            gap = record.queue_offset + 1;
            self.take_in(&record, start);
        }
        self.close(gap, found.next_offset);
        self.next = found.next_offset;
        true
    }

    fn take_in(&mut self, record: &MessageExt, start: i64) {
        let note = record.queue_offset;
        let Some(offsets) = offsets_of(record) else {
            tracing::error!(
                offset = note,
                "a note of ended transactions can not be read"
            );
            return self.close(note, note + 1);
        };
        // One for the note itself, so that it is not closed while it is taken in.
        self.open.insert(note, 1);
        for half in offsets {
            self.open_one(note);
            if half >= start.saturating_add(WINDOW) {
                // Stays open: it is read again by the round that comes there.
            } else if half >= start {
                if let Some(other) = self.ended.insert(half, note) {
                    self.close_one(other);
                }
            } else {
                let stored_ms = record.store_timestamp;
                if let Some((other, _)) = self.earlier.insert(half, (note, stored_ms)) {
                    self.close_one(other);
                }
            }
        }
        self.close_one(note);
    }

    /// No copy that was stored before `ms` is left: notes about what they stood for are of no use.
    fn forget_earlier(&mut self, ms: i64) {
        let of_no_use: Vec<i64> = self
            .earlier
            .extract_if(|_, (_, stored_ms)| *stored_ms < ms)
            .map(|(_, (note, _))| note)
            .collect();
        for note in of_no_use {
            self.close_one(note);
        }
    }

    fn open_one(&mut self, note: i64) {
        *self.open.entry(note).or_default() += 1;
    }

    fn close_one(&mut self, note: i64) {
        let Some(open) = self.open.get_mut(&note) else {
            return;
        };
        *open = open.saturating_sub(1);
        if *open == 0 {
            self.open.remove(&note);
            self.close(note, note + 1);
        }
    }

    fn close(&mut self, from: i64, to: i64) {
        if from < to {
            self.done.insert(from, to);
        }
    }

    /// The first note that is still of use.
    fn position(&mut self) -> i64 {
        while let Some(end) = self.done.remove(&self.position) {
            self.position = end;
        }
        self.position
    }
}

/// Stores a message of the check; `None` if that has to be tried again.
fn put(broker: &Broker, draft: &Draft) -> Option<Stored> {
    match broker.put(draft) {
        Ok(stored) => Some(stored),
        Err(error) => {
            tracing::warn!(topic = draft.topic, %error, "a half message could not be stored again, trying again later");
            None
        }
    }
}

/// Puts a message where an administrator finds it that was asked about too often, or is too old.
fn give_up(broker: &Broker, message: &MessageExt, now_ms: i64) -> Step {
    let topic = name::TRANS_CHECK_MAX_TIME_TOPIC;
    broker
        .topics
        .create_on_send_back(topic, 1, perm::READ | perm::WRITE, now_ms);
    tracing::warn!(
        msg_id = message.message_id(),
        "a transaction stayed open for too long, its message is moved to {topic}"
    );
    match put(broker, &Draft::copy_of(message).to(topic, 0)) {
        Some(_) => Step::Next,
        None => Step::End,
    }
}

/// Asks a producer of the group; the answer has to name the copy.
fn ask(broker: &Broker, message: &MessageExt, copy: &Draft, stored: Stored) {
    let half = Half(message);
    let msg_id = message.message_id();
    let Some((topic, queue_id)) = half.place() else {
        tracing::error!(%msg_id, "a half message does not say where it belongs");
        return;
    };
    let group = half.producer_group().unwrap_or_default();
    let Some(session) = broker.clients.next_producer(group) else {
        tracing::warn!(group, %msg_id, "no producer of the group is connected that could be asked");
        return;
    };
    let properties = copy.properties.to_text();
    let fields = RecordFields {
        topic,
        queue_id,
        flag: copy.flag,
        sys_flag: copy.sys_flag,
        born_timestamp: copy.born_timestamp,
        born_host: copy.born_host,
        store_host: broker.store_host,
        reconsume_times: copy.reconsume_times,
        prepared_transaction_offset: 0,
        body: &copy.body,
        properties: &[properties.as_bytes()],
    };
    let mut body = Vec::new();
    if let Err(error) = record::encode_into(&fields, &mut body) {
        tracing::error!(%msg_id, %error, "a half message can not be shown to its producer");
        return;
    }
    record::patch(
        &mut body,
        stored.queue_offset,
        stored.physical_offset,
        message.store_timestamp,
    );
    let unique = copy.properties.get(property::UNIQ_KEY);
    let offset_msg_id = id::offset_id(broker.store_host, stored.physical_offset);
    let header = CheckTransactionStateRequestHeader {
        topic: Some(name::HALF_TOPIC),
        tran_state_table_offset: stored.queue_offset,
        commit_log_offset: stored.physical_offset,
        msg_id: unique,
        transaction_id: unique,
        offset_msg_id: Some(&offset_msg_id),
        broker_name: Some(&broker.config.broker_name),
    };
    let request = Command::request(RequestCode::CHECK_TRANSACTION_STATE, &header)
        .with_body(body)
        .oneway();
    session.send(&request);
}
