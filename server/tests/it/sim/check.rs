// SPDX-License-Identifier: Apache-2.0
//! What must be true of a running store, and of one that was just opened.

use kerolox_protocol::message::record::RecordView;
use kerolox_server::store::disk::FaultKind;
use kerolox_server::store::{Flush, GetStatus, MessageStore, RecoveryReport};

use super::model::{Key, Sent};
use super::world::{End, LOG, RESERVED_MS, Run};

/// A message as it was read: queue offset, tags code and record.
pub(super) type Read = (i64, i64, Vec<u8>);

impl Run {
    /// Checks what a running store shows.
    pub(super) fn observe(&mut self, store: &MessageStore) {
        if matches!(self.fault, None | Some(FaultKind::NoSpace)) {
            assert!(!store.is_poisoned(), "a full disk is taken for a failure");
        }
        self.safe = self.safe.max(store.flushed_offset());
        self.expire(store);
        let end = match self.options.flush {
            Flush::Sync => store.flushed_offset(),
            Flush::Async if self.has_pool() => store.committed_offset(),
            Flush::Async => i64::MAX,
        };
        for key in self.known_queues() {
            let (topic, queue_id) = key;
            let (max, shown) = (
                store.max_offset(topic, queue_id),
                self.model.shown(key, end),
            );
            // An append may commit; what it committed is shown by the next pass.
            let may_lag = self.disk.has_struck() || self.has_pool();
            let is_right = max == shown || may_lag && max < shown;
            assert!(is_right, "{key:?} shows {max} of {shown} messages");
            if !self.disk.has_struck() {
                let min = store.min_offset(topic, queue_id);
                assert_eq!(min, self.model.min(key), "minimum of {key:?}");
            }
        }
    }

    /// After a pass that succeeded everything is shown.
    pub(super) fn check_shown(&self, store: &MessageStore, is_done: bool) {
        if !is_done || store.is_poisoned() {
            return;
        }
        for key in self.known_queues() {
            let max = store.max_offset(key.0, key.1);
            assert_eq!(max, self.model.next(key), "{key:?} shows too little");
        }
    }

    pub(super) fn known_queues(&self) -> Vec<Key> {
        let keys = self.model.queues.keys().copied();
        keys.filter(|key| !self.unsure.contains(&key.0)).collect()
    }

    /// Forgets what retention has removed, which must have been old.
    fn expire(&mut self, store: &MessageStore) {
        let min = store.commit_log_min();
        // A log that ends between two segments goes on in an empty one.
        let newest = store.commit_log_max() / LOG * LOG;
        assert!(min <= newest, "the newest segment is gone");
        // The clock may have gone back a little.
        let oldest_ms = self.now_ms() + 10_000 - RESERVED_MS;
        let mut gone = self.model.log.range(..min);
        assert!(
            gone.all(|(_, sent)| self.has_retention && sent.clock_ms <= oldest_ms),
            "a message went before it expired"
        );
        self.model.expire(min);
    }

    /// Reads a queue from `offset` to its end.
    pub(super) fn read(&mut self, store: &MessageStore, key: Key, mut offset: i64) -> Vec<Read> {
        let mut read = Vec::new();
        loop {
            let most = self.random.usize(1..40);
            let mut codes = Vec::new();
            let result = store.get(key.0, key.1, offset, most, 1 << 20, &mut |code| {
                codes.push(code);
                true
            });
            let mut codes = codes.into_iter();
            let mut count = 0;
            for slice in &result.slices {
                let mut rest = slice.as_ref();
                while !rest.is_empty() {
                    let record = RecordView::parse(rest).unwrap();
                    let (own, after) = rest.split_at(record.size);
                    read.push((record.queue_offset, codes.next().unwrap(), own.to_vec()));
                    rest = after;
                    count += 1;
                }
            }
            assert_eq!(count, result.count);
            if matches!(
                result.status,
                GetStatus::OffsetOverflowOne
                    | GetStatus::NoMessageInQueue
                    | GetStatus::NoMatchedLogicQueue
            ) {
                return read;
            }
            assert!(
                result.next_offset > offset,
                "no progress: {:?}",
                result.status
            );
            offset = result.next_offset;
        }
    }

    /// Reads a queue and compares it with what was sent.
    fn check_queue(&mut self, store: &MessageStore, key: Key, from: i64) {
        let max = store.max_offset(key.0, key.1);
        let read = self.read(store, key, from);
        let entries = self.model.queues[&key].entries.range(from..max.max(from));
        let expected: Vec<&Sent> = entries.map(|(_, at)| &self.model.log[at]).collect();
        let offsets: Vec<i64> = read.iter().map(|(offset, ..)| *offset).collect();
        let wanted: Vec<i64> = expected.iter().map(|sent| sent.queue_offset).collect();
        assert_eq!(offsets, wanted, "messages of {key:?} from {from} to {max}");
        for ((offset, code, bytes), sent) in read.iter().zip(expected) {
            assert!(
                *bytes == sent.bytes,
                "{key:?} {offset} is not what was sent"
            );
            assert_eq!(*code, sent.tags_code(), "tags code of {key:?} {offset}");
        }
    }

    pub(super) fn read_some(&mut self, store: &MessageStore) {
        let keys = self.known_queues();
        if let Some(key) = keys.get(self.random.usize(..keys.len().max(1))) {
            let min = store.min_offset(key.0, key.1);
            let max = store.max_offset(key.0, key.1);
            let from = self.random.i64(min..=max.max(min));
            self.check_queue(store, *key, from);
        }
    }

    /// Looks a few messages up by their keys.
    pub(super) fn query_some(&mut self, store: &MessageStore) {
        if self.disk.has_struck() {
            return;
        }
        let shown = self.options.flush == Flush::Async && !self.has_pool();
        let end = if shown {
            i64::MAX
        } else {
            store.flushed_offset()
        };
        let all: Vec<i64> = self.model.log.keys().copied().collect();
        for _ in 0..3.min(all.len()) {
            let sent = &self.model.log[&all[self.random.usize(..all.len())]];
            if sent.end() <= end {
                self.check_keys(store, sent);
            }
        }
    }

    fn check_keys(&self, store: &MessageStore, sent: &Sent) {
        for key in &sent.keys {
            let found = store.query_by_key(sent.key.0, key, 64, 0, i64::MAX);
            let count = found
                .records
                .iter()
                .filter(|record| **record == sent.bytes)
                .count();
            if self.disk.has_struck() {
                // The index goes on when it can be written again.
                return;
            }
            let expected = usize::from(self.options.message_index);
            assert_eq!(count, expected, "{key} of {:?} at {}", sent.key, sent.at);
        }
    }

    /// Checks a store that was just opened, and forgets what a power cut was allowed to take.
    pub(super) fn check_opened(&mut self, store: &MessageStore, report: &RecoveryReport) {
        let end = self.end;
        assert!(self.was_stopped || report.is_after_crash == (end > End::Stopped));
        assert_eq!(report.end, store.commit_log_max());
        self.damaged.clone_from(&report.damaged);
        self.lost_places = report.lost_places;
        if self.flips == 0 {
            assert_eq!(report.lost_places, 0, "places are made empty");
            assert!(
                report.damaged.is_empty(),
                "damage is made up: {:?}",
                report.damaged
            );
        }
        for sent in self
            .model
            .log
            .values()
            .filter(|sent| sent.end() > report.end)
        {
            // Behind the checkpoint, a last record with flipped bits looks like one that was never written whole.
            let is_like_cut = end == End::Killed
                && self.flipped.contains(&sent.at)
                && sent.end() == self.model.end();
            let may_be_cut = end == End::PowerCut && sent.end() > self.safe;
            let may_be_lost = sent.is_maybe || may_be_cut || is_like_cut;
            assert!(may_be_lost, "{:?} {} is lost", sent.key, sent.queue_offset);
        }
        self.model.cut(report.end);
        let last = self.model.end();
        let is_end = report.end == last || report.end == (last / LOG + 1) * LOG;
        assert!(
            is_end || self.model.log.is_empty(),
            "the log ends at {} and not at {last}",
            report.end
        );
        self.check_cost(report);
        self.model.expire(store.commit_log_min());
        self.adopt_ghosts(store, report);
        self.adopt_forgotten(store, report);
        let now_ms = self.now_ms();
        for sent in self.model.log.values_mut() {
            sent.held_ms = now_ms;
            sent.is_maybe = false;
        }
        self.safe = self.safe.min(report.end);
        if self.options.flush == Flush::Sync {
            assert_eq!(store.flushed_offset(), report.end);
        }
        if self.flips == 0 {
            self.observe(store);
            self.check_contents(store);
        }
    }

    fn check_contents(&mut self, store: &MessageStore) {
        for sent in self.model.log.values() {
            let record = store.record_at(sent.at);
            let is_there = record.is_some_and(|bytes| bytes == sent.bytes);
            assert!(is_there, "the record at {} is not what was sent", sent.at);
            self.check_keys(store, sent);
        }
        for key in self.known_queues() {
            let min = self.model.min(key);
            self.check_queue(store, key, min);
        }
        for (topic, ids) in store.topics() {
            for id in ids {
                let is_known = self
                    .model
                    .queues
                    .keys()
                    .any(|key| *key == (topic.as_str(), id));
                assert!(
                    is_known || store.max_offset(&topic, id) == 0,
                    "{topic} {id} is made up"
                );
            }
        }
    }

    /// A start is as cheap as it can be.
    fn check_cost(&mut self, report: &RecoveryReport) {
        // Garbage in an empty queue may be found later.
        let is_damage_found = self.was_damaged && !report.rebuilt_queues.is_empty();
        if !self.is_derived_damaged
            && !is_damage_found
            && self.flips == 0
            && !self.model.queues.is_empty()
        {
            // What lay behind the end of a queue at one power cut may come back at the next.
            let may_differ = self.power_cuts > 1 || self.power_cuts > 0 && self.may_lack_units;
            if self.end == End::Stopped && !may_differ {
                assert_eq!(
                    (report.start, report.records),
                    (report.end, 0),
                    "after a clean stop"
                );
            }
            let is_power_cut = self.end == End::PowerCut;
            let may_read_all = self.has_tried
                || self.end == End::Stopped && may_differ
                || is_power_cut && self.may_lack_units
                // The checkpoint could not be written after files went.
                || self.had_fault && (self.has_retention || !self.unsure.is_empty());
            assert!(
                may_read_all || report.start >= self.floor.min(report.end),
                "read from {} although all was done up to {}",
                report.start,
                self.floor
            );
            if self.end <= End::Killed {
                assert!(
                    report.rebuilt_queues.is_empty(),
                    "{:?}",
                    report.rebuilt_queues
                );
                // After a kill a newest file that is full is doubted.
                let mut made_again = report.rebuilt_index.iter();
                let is_index_whole = made_again.all(|file| Some(file) == self.full_index.as_ref());
                assert!(
                    is_index_whole || self.had_fault,
                    "{:?}",
                    report.rebuilt_index
                );
            }
        }
        self.floor = report.start;
        self.had_fault = false;
    }

    /// Of a queue whose files are gone and whose records have all expired nothing is known any more.
    fn adopt_forgotten(&mut self, store: &MessageStore, report: &RecoveryReport) {
        let is_anew = self.is_derived_damaged || report.start <= store.commit_log_min();
        for (key, queue) in &mut self.model.queues {
            if is_anew && queue.entries.is_empty() {
                queue.next = queue.next.min(store.max_offset(key.0, key.1));
            }
        }
    }

    /// If the queues were made anew from the log, a deleted topic is there again.
    fn adopt_ghosts(&mut self, store: &MessageStore, report: &RecoveryReport) {
        let is_anew = self.has_tried || report.start <= store.commit_log_min();
        for (key, queue) in &mut self.model.queues {
            if self.unsure.contains(&key.0) {
                continue;
            }
            queue.ghosts.retain(|ghosts| !ghosts.is_empty());
            let max = store.max_offset(key.0, key.1);
            if !queue.entries.is_empty() || queue.next > 0 || max == 0 {
                continue;
            }
            let Some(ghosts) = queue.ghosts.pop() else {
                continue;
            };
            assert!(is_anew, "the deleted queue {key:?} is back");
            queue.next = ghosts.keys().next_back().map_or(0, |last| last + 1);
            queue.entries = ghosts;
        }
    }
}
