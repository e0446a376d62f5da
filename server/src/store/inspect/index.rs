// SPDX-License-Identifier: Apache-2.0
//! The message index beside the walk of the log.
//!
//! Entries stand in the order of their records, so both are read once, side by side: each record takes the entries
//! that point to it and must find all its keys among them. An entry that stands in the wrong place is compared with the
//! record it points to before it is called wrong, so that one damaged entry is one finding.

use std::ops::Range;

use kerolox_protocol::message::record::RecordView;
use kerolox_protocol::message::{properties, property, sys_flag};

use super::finding::Finding;
use super::index_chains::{Chains, Placed};
use super::index_files::{Cursor, IndexFile, Taken};
use super::log::Records;
use super::note::Note;
use super::report::Sink;
use super::text;
use super::units::is_damaged;
use crate::store::StoreError;
use crate::store::index::layout::{Header, key_hash};

/// A key of the record that is looked at.
#[derive(Clone, Debug)]
struct Key {
    /// Which of the record's keys.
    number: usize,
    hash: i32,
    is_tag: bool,
    is_found: bool,
}

/// What the index is compared with.
pub(super) struct Around<'a, 'd> {
    pub(super) records: &'a mut Records<'d>,
    /// Ranges without records so far.
    pub(super) damaged: &'a [Range<u64>],
    /// Commit-log offset of the first record that can exist.
    pub(super) begin: u64,
    pub(super) sink: &'a mut Sink,
}

/// Records in a row whose keys are missing.
#[derive(Clone, Debug)]
struct Run {
    from: u64,
    to: u64,
    records: u64,
    keys: u64,
    topic: String,
    key: String,
}

impl Run {
    fn add(run: &mut Option<Self>, position: u64, record: &RecordView<'_>, missing: &[&Key]) {
        let Some(first) = missing.first() else {
            return;
        };
        let run = run.get_or_insert_with(|| Self {
            from: position,
            to: position,
            records: 0,
            keys: 0,
            topic: record.topic().into_owned(),
            key: nth_key(record, first.number),
        });
        run.to = position;
        run.records += 1;
        run.keys += missing.len() as u64;
    }

    fn finding(self) -> Finding {
        Finding::MissingKeys {
            from: self.from,
            to: self.to,
            records: self.records,
            keys: self.keys,
            topic: self.topic,
            key: self.key,
        }
    }
}

/// The index of a store during a walk.
pub(super) struct Index<'d> {
    cursor: Cursor<'d>,
    chains: Option<(usize, Chains)>,
    /// The file may be ahead of its header, or its last record may have been interrupted.
    is_moving: bool,
    keys: Vec<Key>,
    group: Vec<Placed>,
    /// Those of the group whose hash is of no key of the record.
    foreign: Vec<usize>,
    /// The next entry, if its record has it.
    verified: Option<Taken>,
    run: Option<Run>,
    /// Tags found in the file, and the records that lack them: older releases have none.
    tags_found: u64,
    tags_missing: Option<Run>,
    repeated: u64,
    unindexed: u64,
}

impl<'d> Index<'d> {
    pub(super) fn new(cursor: Cursor<'d>, is_moving: bool) -> Self {
        Self {
            cursor,
            chains: None,
            is_moving,
            keys: Vec::new(),
            group: Vec::new(),
            foreign: Vec::new(),
            verified: None,
            run: None,
            tags_found: 0,
            tags_missing: None,
            repeated: 0,
            unindexed: 0,
        }
    }

    /// Takes the entries of a record and looks for its keys among them.
    pub(super) fn see(
        &mut self,
        position: u64,
        record: &RecordView<'_>,
        around: &mut Around<'_, '_>,
    ) -> Result<(), StoreError> {
        if self.cursor.files.is_empty() {
            return Ok(());
        }
        keys_of(record, &mut self.keys);
        let offset = position.cast_signed();
        while let Some(next) = self.cursor.peek(around.sink)? {
            let at = next.entry.physical_offset;
            if at == offset {
                self.take(next, around.sink);
                self.take_own(next, record, around.sink);
                continue;
            }
            let is_complete = self.keys.iter().all(|key| key.is_found);
            if at > offset && (is_complete || self.is_right(next, around)?) {
                break;
            }
            self.take(next, around.sink);
            self.take_other(next, offset, around)?;
        }
        self.pair(around.sink);
        self.close_group(around.sink)?;
        self.note_missing(position, record, around.sink);
        Ok(())
    }

    fn take(&mut self, next: Taken, sink: &mut Sink) {
        self.cursor.take();
        sink.summary.index_entries += 1;
        self.group.push(Placed {
            taken: next,
            key_hash: next.entry.key_hash,
            is_wrong: false,
        });
    }

    /// An entry that points to the record.
    fn take_own(&mut self, next: Taken, record: &RecordView<'_>, sink: &mut Sink) {
        let is_same = |key: &&mut Key| key.hash == next.entry.key_hash;
        if let Some(key) = self
            .keys
            .iter_mut()
            .filter(|key| !key.is_found)
            .find(is_same)
        {
            key.is_found = true;
            self.tags_found += u64::from(key.is_tag);
        } else if self.keys.iter_mut().any(|key| is_same(&key)) {
            self.repeated += 1;
        } else {
            self.foreign.push(self.group.len().saturating_sub(1));
            return;
        }
        self.check_time(next, record, sink);
    }

    /// An entry that stands between those of other records.
    fn take_other(
        &mut self,
        next: Taken,
        offset: i64,
        around: &mut Around<'_, '_>,
    ) -> Result<(), StoreError> {
        let at = next.entry.physical_offset;
        let target = u64::try_from(at).unwrap_or(u64::MAX);
        if target < around.begin {
            around.sink.summary.expired_entries += 1;
        } else if is_damaged(around.damaged, target) {
            around.sink.summary.damaged_entries += 1;
        } else if self.is_right(next, around)? {
            self.repeated += 1;
        } else {
            self.mark_wrong();
            let mut keys = self.keys.iter_mut();
            let own = keys.find(|key| !key.is_found && key.hash == next.entry.key_hash);
            let reason = match own {
                Some(key) => {
                    key.is_found = true;
                    format!("it stands for a key of the record at {offset}")
                }
                None => "no record with such a key is there".to_owned(),
            };
            self.report(next, reason, around.sink);
        }
        Ok(())
    }

    fn mark_wrong(&mut self) {
        if let Some(placed) = self.group.last_mut() {
            placed.is_wrong = true;
        }
    }

    /// Whether the record that an entry points to has such a key.
    fn is_right(&mut self, next: Taken, around: &mut Around<'_, '_>) -> Result<bool, StoreError> {
        if self.verified == Some(next) {
            return Ok(true);
        }
        let Some(record) = around.records.at(next.entry.physical_offset)? else {
            return Ok(false);
        };
        let mut keys = Vec::new();
        keys_of(&record, &mut keys);
        let is_right = keys.iter().any(|key| key.hash == next.entry.key_hash);
        if is_right {
            self.verified = Some(next);
        }
        Ok(is_right)
    }

    /// Entries with a foreign hash stand for keys that were not found, one for one.
    fn pair(&mut self, sink: &mut Sink) {
        let mut wrong = Vec::new();
        let mut missing = self.keys.iter_mut().filter(|key| !key.is_found);
        for index in std::mem::take(&mut self.foreign) {
            let Some(placed) = self.group.get_mut(index) else {
                continue;
            };
            placed.is_wrong = true;
            let reason = match missing.next() {
                Some(key) => {
                    key.is_found = true;
                    placed.key_hash = key.hash;
                    format!(
                        "its hash is {} instead of {}",
                        placed.taken.entry.key_hash, key.hash
                    )
                }
                None => "the record has no such key".to_owned(),
            };
            wrong.push((placed.taken, reason));
        }
        for (taken, reason) in wrong {
            self.report(taken, reason, sink);
        }
    }

    fn report(&self, taken: Taken, reason: String, sink: &mut Sink) {
        sink.find(Finding::IndexEntry {
            file: self
                .file(taken.file)
                .map_or_else(String::new, |file| text(&file.path)),
            number: taken.number,
            physical_offset: taken.entry.physical_offset,
            reason,
        });
    }

    fn file(&self, index: usize) -> Option<&IndexFile> {
        self.cursor.files.get(index)
    }

    fn check_time(&mut self, next: Taken, record: &RecordView<'_>, sink: &mut Sink) {
        let Some(file) = self.cursor.files.get_mut(next.file) else {
            return;
        };
        let stored = record.store_timestamp;
        if next.number == 1 {
            // Its own seconds count from what the header said before.
            if file.header.begin_timestamp != stored {
                let says = file.header.begin_timestamp;
                sink.find(Finding::IndexHeader {
                    file: text(&file.path),
                    reason: format!("it says begin time {says}, the first record {stored}"),
                });
                file.header.begin_timestamp = stored;
            }
            return;
        }
        let expected = seconds(&file.header, stored);
        if next.entry.seconds != expected {
            self.mark_wrong();
            let reason = format!(
                "its time is {} s instead of {expected} s",
                next.entry.seconds
            );
            self.report(next, reason, sink);
        }
    }

    /// Hands the entries that were compared to their chains.
    fn close_group(&mut self, sink: &mut Sink) -> Result<(), StoreError> {
        for placed in std::mem::take(&mut self.group) {
            let index = placed.taken.file;
            if self.chains.as_ref().is_none_or(|(open, _)| *open != index) {
                self.close_file(sink)?;
                self.chains = Some((index, Chains::new(self.cursor.shape)));
            }
            if let (Some((_, chains)), Some(file)) =
                (&mut self.chains, self.cursor.files.get(index))
            {
                chains.add(placed, file, sink);
            }
        }
        Ok(())
    }

    fn close_file(&mut self, sink: &mut Sink) -> Result<(), StoreError> {
        let Some((index, chains)) = self.chains.take() else {
            return Ok(());
        };
        let is_newest = index + 1 == self.cursor.files.len();
        let Some(file) = self.cursor.files.get(index) else {
            return Ok(());
        };
        chains.finish(self.cursor.disk, file, self.is_moving && is_newest, sink)?;
        let found = std::mem::take(&mut self.tags_found);
        match self.tags_missing.take() {
            Some(run) if found == 0 => sink.note(Note::NoTagKeys {
                file: text(&file.path),
                keys: run.keys,
            }),
            Some(run) => sink.find(run.finding()),
            None => {}
        }
        Ok(())
    }

    fn note_missing(&mut self, position: u64, record: &RecordView<'_>, sink: &mut Sink) {
        if self.keys.is_empty() {
            return;
        }
        let offset = position.cast_signed();
        let files = &self.cursor.files;
        let begin = files
            .first()
            .map_or(i64::MAX, |file| file.header.begin_offset);
        let end = files.last().map_or(i64::MIN, |file| file.header.end_offset);
        self.unindexed += u64::from(offset > end);
        // The keys of the record at a file's border may lie in the file before.
        let is_border = offset == begin || offset == end && self.is_moving;
        let is_unknown = files.iter().any(|file| {
            !file.is_readable
                && (file.header.begin_offset..=file.header.end_offset).contains(&offset)
        });
        if !(begin..=end).contains(&offset) || is_unknown {
            return;
        }
        sink.summary.keys += self.keys.len() as u64;
        let missing: Vec<_> = self.keys.iter().filter(|key| !key.is_found).collect();
        if missing.is_empty() {
            if let Some(run) = self.run.take() {
                sink.find(run.finding());
            }
        } else if !is_border {
            let is_only_tags = missing.iter().all(|key| key.is_tag);
            let run = if is_only_tags {
                &mut self.tags_missing
            } else {
                &mut self.run
            };
            Run::add(run, position, record, &missing);
        }
    }

    /// Compares what is left after the walk.
    pub(super) fn finish(mut self, around: &mut Around<'_, '_>) -> Result<(), StoreError> {
        self.keys.clear();
        while let Some(next) = self.cursor.peek(around.sink)? {
            self.take(next, around.sink);
            self.take_other(next, i64::MAX, around)?;
            self.close_group(around.sink)?;
        }
        self.close_file(around.sink)?;
        if let Some(run) = self.run.take() {
            around.sink.find(run.finding());
        }
        let end = self.cursor.files.last().map(|file| file.header.end_offset);
        if let Some(offset) = end
            && self.unindexed > 0
        {
            around.sink.note(Note::IndexEnds {
                offset,
                records: self.unindexed,
            });
        }
        if self.repeated > 0 {
            around.sink.note(Note::RepeatedEntries {
                entries: self.repeated,
            });
        }
        Ok(())
    }
}

/// Seconds from the header's begin to a store time, as entries hold it.
fn seconds(header: &Header, store_timestamp: i64) -> i32 {
    if header.begin_timestamp <= 0 {
        return 0;
    }
    let seconds = store_timestamp.saturating_sub(header.begin_timestamp) / 1000;
    i32::try_from(seconds.max(0)).unwrap_or(i32::MAX)
}

/// The keys of a record, in the order in which they are entered (store.md 3.5).
fn keys_of(record: &RecordView<'_>, keys: &mut Vec<Key>) {
    keys.clear();
    let topic = record.topic();
    each_key(record, &mut |key, is_tag| {
        keys.push(Key {
            number: keys.len(),
            hash: key_hash(&topic, key),
            is_tag,
            is_found: false,
        });
    });
}

/// The text of one of the keys.
fn nth_key(record: &RecordView<'_>, number: usize) -> String {
    let mut texts = Vec::new();
    each_key(record, &mut |key, _| texts.push(key.to_owned()));
    texts.into_iter().nth(number).unwrap_or_default()
}

/// Calls `each` with the text of each key and whether it is a tag.
fn each_key(record: &RecordView<'_>, each: &mut dyn FnMut(&str, bool)) {
    if sys_flag::transaction(record.sys_flag) == sys_flag::TRANSACTION_ROLLBACK {
        return;
    }
    let text = record.properties();
    if let Some(key) = properties::find(&text, property::UNIQ_KEY) {
        each(key, false);
    }
    let several = properties::find(&text, property::KEYS).unwrap_or("");
    for key in several.split(' ').filter(|key| !key.is_empty()) {
        each(key, false);
    }
    if let Some(tags) = properties::find(&text, property::TAGS) {
        each(&format!("T#{tags}"), true);
    }
}
