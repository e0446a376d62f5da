// SPDX-License-Identifier: Apache-2.0
//! Keys of records that were just appended, so that the index need not read them from the log again.
//!
//! Appends add to it under the append lock and never wait: if the index does not keep up, what the feed holds is dropped,
//! and the index reads that part of the log instead.

use std::collections::VecDeque;

use parking_lot::Mutex;

/// Records that are kept at most, besides those of a single append.
const MOST_RECORDS: usize = 32 * 1024;
/// Records from which on the index should take some.
const MANY_RECORDS: usize = 4 * 1024;

/// A record and how many keys it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fed {
    /// Commit-log offset.
    pub(crate) offset: u64,
    /// Size, bytes.
    pub(crate) size: u32,
    /// Number of its key hashes.
    pub(crate) keys: u32,
    /// Store time, Unix milliseconds.
    pub(crate) timestamp: i64,
}

impl Fed {
    /// Commit-log offset after the record.
    pub(super) fn end(&self) -> u64 {
        self.offset + u64::from(self.size)
    }
}

/// Records in the order of the log, and their key hashes, one record's behind the other's.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) records: Vec<Fed>,
    pub(super) hashes: Vec<i32>,
}

/// The feed of a store's index.
#[derive(Debug)]
pub(crate) struct Feed {
    /// What appends add to.
    incoming: Mutex<Records>,
    /// What the index takes from; locked before the other, so that appends wait for two pointers to change hands only.
    pending: Mutex<Records>,
}

#[derive(Debug)]
struct Records {
    /// Commit-log offset from which on every record that was appended is here, or in what is incoming.
    start: u64,
    records: VecDeque<Fed>,
    hashes: VecDeque<i32>,
}

impl Records {
    fn new(start: u64) -> Self {
        Self {
            start,
            records: VecDeque::new(),
            hashes: VecDeque::new(),
        }
    }

    /// Commit-log offset after the last record.
    fn end(&self) -> u64 {
        self.records.back().map_or(self.start, Fed::end)
    }

    /// Moves up to `most` records from `from` on that lie before `end` to `taken`, and forgets those before.
    fn take(&mut self, from: u64, end: u64, most: usize, taken: &mut Taken) {
        let known = self.records.partition_point(|record| record.offset < from);
        let later = self.records.range(known..).take(most);
        let wanted = later.take_while(|record| record.offset < end).count();
        let keys = |records: &mut dyn Iterator<Item = Fed>| -> usize {
            records.map(|record| record.keys as usize).sum()
        };
        let known_keys = keys(&mut self.records.drain(..known));
        self.hashes.drain(..known_keys);
        let before = taken.records.len();
        move_front(&mut self.records, wanted, &mut taken.records);
        let taken_now = taken.records.get(before..).unwrap_or_default();
        let wanted_keys = keys(&mut taken_now.iter().copied());
        move_front(&mut self.hashes, wanted_keys, &mut taken.hashes);
        self.start = taken.records.last().map_or(from, Fed::end);
    }
}

impl Feed {
    /// The feed of a log that ends at `start`.
    pub(super) fn new(start: u64) -> Self {
        Self {
            incoming: Mutex::new(Records::new(start)),
            pending: Mutex::new(Records::new(start)),
        }
    }

    /// Adds the records of an append and their key hashes, one record's behind the other's; under the append lock. Returns
    /// whether the index has much to take.
    pub(crate) fn add(&self, appended: impl Iterator<Item = Fed>, hashes: &[i32]) -> bool {
        let feed = &mut *self.incoming.lock();
        let mut appended = appended.peekable();
        if feed.records.len() >= MOST_RECORDS
            && let Some(first) = appended.peek()
        {
            feed.records.clear();
            feed.hashes.clear();
            feed.start = first.offset;
        }
        feed.records.extend(appended);
        feed.hashes.extend(hashes);
        feed.records.len() >= MANY_RECORDS
    }

    /// Moves up to `most` records from `from` on that lie before `end` to `taken`, which it clears first.
    ///
    /// # Errors
    /// Not all records from `from` on were kept; those from the offset in the error on are here.
    pub(super) fn take(
        &self,
        from: u64,
        end: u64,
        most: usize,
        taken: &mut Taken,
    ) -> Result<(), u64> {
        let pending = &mut *self.pending.lock();
        taken.records.clear();
        taken.hashes.clear();
        if from < pending.start {
            return Err(pending.start);
        }
        pending.take(from, end, most, taken);
        if pending.records.is_empty() && taken.records.len() < most {
            self.receive(pending);
            let from = taken.records.last().map_or(from, Fed::end);
            // What was taken already stands by itself; the gap shows at the next call.
            if from >= pending.start {
                let left = most - taken.records.len();
                pending.take(from, end, left, taken);
            } else if taken.records.is_empty() {
                return Err(pending.start);
            }
            taken.records.shrink_to(8 * taken.records.len());
            taken.hashes.shrink_to(8 * taken.hashes.len());
        }
        Ok(())
    }

    /// Exchanges what is pending, which is nothing, for what came in.
    fn receive(&self, pending: &mut Records) {
        // The memory of a burst goes, but appends under load must not ask for it again and again.
        let keeps = |len: usize| (8 * len).max(MANY_RECORDS);
        let (records, hashes) = {
            let incoming = self.incoming.lock();
            (incoming.records.len(), incoming.hashes.len())
        };
        pending.records.shrink_to(keeps(records));
        pending.hashes.shrink_to(keeps(hashes));
        let mut incoming = self.incoming.lock();
        pending.start = incoming.end();
        std::mem::swap(&mut *incoming, pending);
    }
}

/// Moves the first `count` items, which are copied in at most two pieces.
fn move_front<T: Copy>(from: &mut VecDeque<T>, count: usize, to: &mut Vec<T>) {
    let (front, back) = from.as_slices();
    let (near, far) = (count.min(front.len()), count.saturating_sub(front.len()));
    to.extend_from_slice(front.get(..near).unwrap_or_default());
    to.extend_from_slice(back.get(..far).unwrap_or_default());
    from.drain(..count);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u64) -> Fed {
        Fed {
            offset: number * 100,
            size: 100,
            keys: u32::try_from(number % 3).unwrap(),
            timestamp: 1,
        }
    }

    fn add(feed: &Feed, numbers: std::ops::Range<u64>) -> bool {
        let hashes = numbers
            .clone()
            .flat_map(|number| [7, 8].into_iter().take(record(number).keys as usize));
        feed.add(numbers.map(record), &hashes.collect::<Vec<_>>())
    }

    #[test]
    fn records_come_out_in_order_with_their_keys() {
        let feed = Feed::new(0);
        let mut taken = Taken::default();
        assert!(!add(&feed, 0..10));
        feed.take(0, 250, 100, &mut taken).unwrap();
        assert_eq!(taken.records, [record(0), record(1), record(2)]);
        assert_eq!(taken.hashes, [7, 7, 8]);
        // Somebody read three further records from the log.
        feed.take(600, 5000, 2, &mut taken).unwrap();
        assert_eq!(taken.records, [record(6), record(7)]);
        assert_eq!(taken.hashes, [7]);
        feed.take(800, 5000, 100, &mut taken).unwrap();
        assert_eq!(taken.records, [record(8), record(9)]);
        assert_eq!(taken.hashes, [7, 8]);
        feed.take(1000, 5000, 100, &mut taken).unwrap();
        assert!(taken.records.is_empty() && taken.hashes.is_empty());
        assert_eq!(feed.take(900, 5000, 100, &mut taken), Err(1000));
    }

    #[test]
    fn what_was_not_taken_in_time_is_dropped_and_named() {
        let feed = Feed::new(500);
        let mut taken = Taken::default();
        assert_eq!(feed.take(0, 5000, 100, &mut taken), Err(500));
        let most = MOST_RECORDS as u64;
        assert!(add(&feed, 5..5 + most));
        add(&feed, 5 + most..10 + most);
        let start = (5 + most) * 100;
        assert_eq!(feed.take(500, u64::MAX, 100, &mut taken), Err(start));
        feed.take(start, u64::MAX, 100, &mut taken).unwrap();
        assert_eq!(taken.records.len(), 5);
    }
}
