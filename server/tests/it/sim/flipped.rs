// SPDX-License-Identifier: Apache-2.0
//! Single inverted bits in the log: each costs the record that it hits, at most, and what is lost is reported.

use std::collections::BTreeSet;
use std::path::PathBuf;

use kerolox_protocol::message::record::RecordView;
use kerolox_server::store::MessageStore;

use super::model::Sent;
use super::world::{LOG, Run};

impl Run {
    /// Inverts a few bits of the log.
    pub(super) fn flip(&mut self) {
        let first = self.model.log.keys().next().copied().unwrap_or(0);
        let end = self.model.end();
        if first == end {
            return;
        }
        for _ in 0..self.random.usize(1..4) {
            let hit = self.random.i64(first..end);
            let path = PathBuf::from(format!("/store/commitlog/{:020}", hit / LOG * LOG));
            let byte = usize::try_from(hit % LOG).unwrap();
            println!("flip {hit}");
            if self.disk.flip_bit(&path, byte, self.random.u8(..8)) {
                self.flips += 1;
                let record = self
                    .model
                    .log
                    .values()
                    .find(|sent| (sent.at..sent.end()).contains(&hit));
                self.flipped.extend(record.map(|sent| sent.at));
            }
        }
    }

    /// Checks a store that was opened after [`Run::flip`].
    pub(super) fn check_flipped(&mut self, store: &MessageStore) {
        let hit: BTreeSet<i64> = self.flipped.iter().copied().collect();
        let queues = self.known_queues();
        let in_queue = |at: &i64| {
            let mut queues = queues.iter().map(|key| &self.model.queues[key]);
            queues.any(|queue| queue.entries.values().any(|entry| entry == at))
        };
        let mut lost: BTreeSet<i64> = hit.iter().copied().filter(in_queue).collect();
        for key in queues {
            let read = self.read(store, key, store.min_offset(key.0, key.1));
            let mut read = read.into_iter().peekable();
            let entries: Vec<&Sent> = self.model.queues[&key]
                .entries
                .values()
                .map(|at| &self.model.log[at])
                .collect();
            for sent in entries {
                let found = read.next_if(|(offset, ..)| *offset == sent.queue_offset);
                if hit.contains(&sent.at) {
                    let bytes = found.map(|(_, _, bytes)| bytes).unwrap_or_default();
                    // What a deleted topic held may be in the place of what is lost.
                    let is_other = RecordView::parse(&bytes).is_ok_and(|record| {
                        record.physical_offset != sent.at
                            && self.model.log.contains_key(&record.physical_offset)
                    });
                    if !bytes.is_empty() && !is_other {
                        let body = bytes.get(sent.body.clone());
                        assert!(body == Some(sent.body()), "a damaged body is delivered");
                        lost.remove(&sent.at);
                    }
                    continue;
                }
                let (_, code, bytes) = found.unwrap_or_else(|| {
                    panic!("{key:?} {} was not hit and is lost", sent.queue_offset)
                });
                assert!(
                    bytes == sent.bytes,
                    "{key:?} {} is another message",
                    sent.queue_offset
                );
                let _ = code;
            }
            for (offset, _, bytes) in read {
                let delivered = hit.iter().find(|at| {
                    let sent = self.model.log.get(at);
                    sent.is_some_and(|sent| bytes.get(sent.body.clone()) == Some(sent.body()))
                });
                // Its queue offset was hit, and nothing in the queue contradicts it.
                let at = delivered.unwrap_or_else(|| panic!("{key:?} {offset} is made up"));
                lost.remove(at);
            }
        }
        for at in lost {
            // A record with a flipped topic or queue id is whole, only elsewhere: the format sums bodies alone.
            let is_elsewhere = store.record_at(at).is_some_and(|bytes| {
                let sent = &self.model.log[&at];
                RecordView::parse(&bytes).is_ok_and(|record| {
                    (record.topic, record.queue_id) != (sent.key.0.as_bytes(), sent.key.1)
                })
            });
            let is_reported = is_elsewhere
                || self.damaged.iter().any(|range| range.contains(&at))
                || self.lost_places > 0
                || store.figures().damaged_reads > 0;
            assert!(is_reported, "the loss of {at} is not reported");
        }
        for sent in self
            .model
            .log
            .values()
            .filter(|sent| !hit.contains(&sent.at))
        {
            assert!(
                store
                    .record_at(sent.at)
                    .is_some_and(|bytes| bytes == sent.bytes)
            );
        }
    }
}
