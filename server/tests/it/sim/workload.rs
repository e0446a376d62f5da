// SPDX-License-Identifier: Apache-2.0
//! What happens to a store while it runs.

use kerolox_protocol::message::{RecordFields, name, record, sys_flag, tags};
use kerolox_server::store::{AppendError, Flush, MessageStore};

use super::model::{Code, Key, Sent};
use super::world::{LOG, Run};

const TOPICS: [&str; 3] = ["orders", "%RETRY%g", "audit"];
/// Share of the disk that is free when it is nearly full, and when it is not.
const LITTLE: u64 = 1 << 25;
const PLENTY: u64 = 1 << 30;

impl Run {
    /// Does one random thing, and checks what can be seen of the running store.
    pub(super) fn step(&mut self, store: &MessageStore) {
        let choice = self.random.u8(..100);
        println!("step {choice}");
        match choice {
            0..55 => self.append(store),
            55..80 => {
                let ms = [0, 1, 60, 250, 720, 1500][self.random.usize(..6)];
                self.tick(store, ms);
            }
            80..84 => {
                let is_flushed = store.flush_pass().is_ok();
                self.check_shown(store, is_flushed);
            }
            84..87 => {
                let is_committed = store.commit_pass().is_ok();
                self.check_shown(store, is_committed && self.has_pool());
            }
            87..92 => self.read_some(store),
            92..94 => self.settle(store),
            94 => self.delete(store),
            95 => self.fill_disk(store),
            96 if self.has_retention => {
                let ms = self.random.i64(600_000..4_000_000);
                self.tick(store, ms);
            }
            _ => self.query_some(store),
        }
        self.observe(store);
    }

    /// Appends some messages, some of them as groups.
    fn append(&mut self, store: &MessageStore) {
        let mut batch = store.new_batch();
        let mut groups: Vec<Vec<Sent>> = Vec::new();
        for _ in 0..self.random.usize(1..5) {
            let key = self.key();
            let queue = store.queue(key.0, key.1).unwrap();
            let len = match self.random.u8(..5) {
                0 => self.random.usize(2..7),
                _ => 1,
            };
            let mut group = Vec::new();
            if len > 1 {
                batch.begin_group();
            }
            for _ in 0..len {
                let sent = self.make(key, &mut |fields, code| {
                    let pushed = match code {
                        Code::Hash(code) => batch.push(&queue, fields, code),
                        Code::After(ms) => batch.push_delayed(&queue, fields, ms),
                    };
                    pushed.is_ok()
                });
                group.extend(sent);
            }
            if len > 1 && group.len() < len {
                // Too large for a segment: refused before anything is written.
                batch.abort_group();
                continue;
            }
            batch.end_group();
            groups.push(group);
        }
        println!(
            "append {} records at {}",
            batch.len(),
            store.commit_log_max()
        );
        let was_poisoned = store.is_poisoned();
        let before = store.commit_log_max();
        let outcome = store.append(&mut batch);
        let results = batch.results().to_vec();
        assert_eq!(results.len(), groups.iter().map(Vec::len).sum::<usize>());
        let mut position = before;
        let mut rest = results.as_slice();
        let mut may_skip = false;
        let mut is_failed = was_poisoned;
        // Where what failed with the first ends: the records of one append are written together.
        let mut failed_end = None;
        let mut appended = 0;
        for mut group in groups {
            let (own, after) = rest.split_at(group.len());
            rest = after;
            let bytes: i64 = group.iter().map(|sent| sent.bytes.len() as i64).sum();
            let place = place(position, bytes);
            if let Some(Err(error)) = own.iter().find(|result| result.is_err()) {
                assert!(own.iter().all(|result| *result == Err(*error)), "{own:?}");
                self.check_refusal(store, *error);
                if let Some(end) = failed_end {
                    let is_next = *error == AppendError::Poisoned && self::place(end, bytes) == end;
                    failed_end = is_next.then_some(end + bytes);
                    if is_next {
                        self.add_maybe(group, end, batch.store_timestamp());
                    }
                } else if *error == AppendError::Poisoned && !is_failed {
                    is_failed = true;
                    // A group before may have closed the segment and then been refused.
                    let is_closed = may_skip && store.commit_log_max() >= next_base(position);
                    let at = if is_closed {
                        next_base(position)
                    } else {
                        place
                    };
                    failed_end = Some(at + bytes);
                    self.add_maybe(group, at, batch.store_timestamp());
                }
                may_skip = true;
                continue;
            }
            assert!(!is_failed, "a failed store took messages");
            let mut at = place;
            if let Some(Ok(first)) = own.first()
                && may_skip
                && first.physical_offset == next_base(position)
            {
                at = first.physical_offset;
            }
            for (sent, result) in group.drain(..).zip(own) {
                let appended = result.unwrap();
                let mut sent = sent;
                assert_eq!(appended.physical_offset, at, "place of a record");
                assert_eq!(appended.size, i32::try_from(sent.bytes.len()).unwrap());
                sent.place(at, appended.queue_offset, batch.store_timestamp());
                at = sent.end();
                self.model.add(sent);
            }
            appended += own.len();
            position = at;
        }
        assert_eq!(outcome.appended, appended);
    }

    /// Records that a failing append may have left behind the last one.
    fn add_maybe(&mut self, group: Vec<Sent>, mut at: i64, stored_ms: i64) {
        for mut sent in group {
            let queue_offset = if sent.is_queued {
                self.model.next(sent.key)
            } else {
                0
            };
            sent.place(at, queue_offset, stored_ms);
            sent.is_maybe = true;
            at = sent.end();
            self.model.add(sent);
        }
    }

    fn check_refusal(&self, store: &MessageStore, error: AppendError) {
        let has_struck = self.disk.has_struck();
        match error {
            AppendError::Poisoned => assert!(
                store.is_poisoned() && has_struck,
                "a failed write is final, and there must be one"
            ),
            AppendError::NoBuffer | AppendError::CreateSegment if self.has_pool() => {}
            error => assert!(has_struck, "refused for no reason: {error}"),
        }
    }

    fn key(&mut self) -> Key {
        let key = self.any_key();
        if self.unsure.contains(&key.0) {
            (name::SCHEDULE_TOPIC, 0)
        } else {
            key
        }
    }

    fn any_key(&mut self) -> Key {
        match self.random.u8(..8) {
            0 => (name::SCHEDULE_TOPIC, self.random.i32(0..3)),
            1..5 => (TOPICS[0], self.random.i32(0..3)),
            _ => {
                let topic = TOPICS[self.random.usize(1..TOPICS.len())];
                (topic, self.random.i32(0..2))
            }
        }
    }

    /// Makes a message and shows it to `push`; `None` if that refuses.
    fn make(
        &mut self,
        key: Key,
        push: &mut dyn FnMut(&RecordFields<'_>, Code) -> bool,
    ) -> Option<Sent> {
        let id = self.sent;
        self.sent += 1;
        let tag = format!("tag{}", id % 7);
        let level = key.1 + 1;
        let is_delayed = key.0 == name::SCHEDULE_TOPIC;
        let is_half = !is_delayed && self.random.u8(..20) == 0;
        let mut keys = vec![format!("u{id}")];
        let mut text = format!("UNIQ_KEY\u{1}u{id}\u{2}TAGS\u{1}{tag}\u{2}");
        if self.random.bool() {
            keys.extend([format!("k{}", id / 3), format!("only{id}")]);
            text += &format!("KEYS\u{1}k{} only{id}\u{2}", id / 3);
        }
        if is_delayed {
            text += &format!("DELAY\u{1}{level}\u{2}REAL_TOPIC\u{1}orders\u{2}");
        }
        if self.random.u8(..3) == 0 {
            let long = self.random.usize(1..1500);
            text += &format!("long\u{1}{}\u{2}", "v".repeat(long));
        }
        let body = self.body(id);
        let properties = [text.as_bytes()];
        let host = "127.0.0.1:10911".parse().unwrap();
        let fields = RecordFields {
            topic: key.0,
            queue_id: key.1,
            flag: 7,
            sys_flag: if is_half {
                sys_flag::TRANSACTION_PREPARED
            } else {
                0
            },
            born_timestamp: self.now_ms(),
            born_host: host,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: &body,
            properties: &properties,
        };
        let code = if is_delayed {
            Code::After(self.options.delay_ms(level))
        } else {
            Code::Hash(tags::tags_code(Some(&tag)))
        };
        if !push(&fields, code) {
            return None;
        }
        let mut bytes = Vec::new();
        record::encode_into(&fields, &mut bytes).unwrap();
        Some(Sent {
            key,
            is_queued: !is_half,
            code,
            keys,
            // Behind the hosts, the times and the length.
            body: 88..88 + body.len(),
            bytes,
            at: 0,
            queue_offset: 0,
            stored_ms: 0,
            clock_ms: self.now_ms(),
            held_ms: self.now_ms(),
            is_maybe: false,
        })
    }

    fn body(&mut self, id: u64) -> Vec<u8> {
        let mut body = id.to_be_bytes().to_vec();
        match self.random.u8(..24) {
            0 => body.resize(8 + self.random.usize(..6000), 0),
            // What looks like a record may be part of a message.
            1 | 2 => {
                let earlier = self.model.log.values().next_back();
                let mut bytes = earlier.map_or(Vec::new(), |sent| sent.bytes.clone());
                // Of another broker, whose clock is ahead.
                record::patch(&mut bytes, 1, 1, self.now_ms() + 3_600_000);
                body.extend(bytes);
                body.truncate(4000);
            }
            3 => body.truncate(self.random.usize(..9)),
            4..8 => {
                let len = self.random.usize(..3000);
                let noise = std::iter::repeat_with(|| self.random.u8(..)).take(len);
                body.extend(noise.collect::<Vec<_>>());
            }
            _ => body.resize(8 + self.random.usize(..400), self.random.u8(..)),
        }
        body
    }

    pub(super) fn tick(&mut self, store: &MessageStore, ms: i64) {
        self.advance(ms);
        let now_ms = self.now_ms();
        store.tick(now_ms);
        println!(
            "tick {now_ms}: flushed {} of {}",
            store.flushed_offset(),
            store.commit_log_max()
        );
        if self.disk.has_struck() {
            return;
        }
        let options = &self.options;
        let interval = match options.flush {
            Flush::Sync => 0,
            Flush::Async if self.has_pool() => {
                options.flush_interval_commit_log_ms + options.commit_interval_ms
            }
            Flush::Async => options.flush_interval_commit_log_ms,
        };
        // Nothing older than the interval may be lost.
        let old = self.model.log.values().rev();
        let old = old.clone().find(|sent| sent.held_ms + interval <= now_ms);
        self.safe = self.safe.max(old.map_or(0, Sent::end));
    }

    /// Time for everything to be done: the next start begins here.
    fn settle(&mut self, store: &MessageStore) {
        self.tick(store, 61_000);
        if !self.disk.has_struck() {
            self.floor = store.commit_log_max();
        }
    }

    fn delete(&mut self, store: &MessageStore) {
        let topic = TOPICS[self.random.usize(..TOPICS.len())];
        if self.disk.has_struck() || self.random.bool() {
            return;
        }
        println!("delete {topic}");
        let deleted = store.delete_topic(topic);
        self.model.delete(topic);
        if self.disk.has_struck() {
            self.unsure.push(topic);
        } else {
            deleted.unwrap();
        }
    }

    /// The disk is nearly full for a while.
    fn fill_disk(&mut self, store: &MessageStore) {
        self.disk.set_available(LITTLE);
        self.tick(store, 1500);
        if !store.is_poisoned() {
            let key = (TOPICS[0], 0);
            let queue = store.queue(key.0, key.1).unwrap();
            let mut batch = store.new_batch();
            let made = self.make(key, &mut |fields, _| batch.push(&queue, fields, 0).is_ok());
            store.append(&mut batch);
            assert!(made.is_none() || batch.results() == [Err(AppendError::DiskFull)]);
        }
        self.disk.set_available(PLENTY);
        self.tick(store, 1500);
        assert!(store.is_writable() || store.is_poisoned());
    }
}

fn next_base(position: i64) -> i64 {
    (position / LOG + 1) * LOG
}

/// Where a group of `bytes` goes if the log ends at `position`: not over the end of a segment, whose blank needs 8 bytes.
fn place(position: i64, bytes: i64) -> i64 {
    if position % LOG + bytes + 8 > LOG {
        next_base(position)
    } else {
        position
    }
}
