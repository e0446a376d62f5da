// SPDX-License-Identifier: Apache-2.0
//! Records that are encoded, checked and summed before the append lock is taken.

use std::convert::Infallible;
use std::ops::Range;
use std::sync::Arc;

use kerolox_protocol::message::{
    EncodeError, RecordContent, RecordFields, RecordHead, name, properties, record, sys_flag, tags,
};

use super::append::Run;
use super::light::Light;
use crate::store::consume_queue::QueueHandle;
use crate::store::index::KeyHasher;
use crate::store::{AppendError, BitSource, Keys, StoreError, light};

/// A record may be this much larger than the longest body (store.md 5.1, line 17).
const RECORD_MARGIN: usize = 64 * 1024;
/// Queues of a batch among which one is looked for.
const MOST_QUEUES_SEEN: usize = 32;
/// Arena that a cleared batch keeps; a single large message does not hold its memory for ever.
const KEPT_ARENA: usize = 1 << 20;

/// Where a record was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its position in the commit log.
    pub physical_offset: i64,
    /// Its position in its queue; 0 for half and rolled-back messages, which are in no queue.
    pub queue_offset: i64,
    /// Its size in bytes.
    pub size: i32,
}

/// What the consume-queue unit of a record holds besides the position.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TagsCode {
    Hash(i64),
    /// Deliver time: the store timestamp plus this many milliseconds.
    DeliverAfterMs(i64),
}

pub(crate) struct Entry {
    /// The record in the arena.
    pub(crate) range: Range<usize>,
    pub(crate) size: i32,
    /// Index into the batch's queues.
    pub(crate) queue: usize,
    pub(crate) tags_code: TagsCode,
    /// For the queue's extension.
    pub(crate) bits: Option<Box<[u8]>>,
    /// Whether the record gets a unit and a queue offset.
    pub(crate) is_queued: bool,
    /// Its further queues, as a range of the batch's lights.
    pub(crate) lights: Range<usize>,
    /// What the index finds it by, as a range of the batch's key hashes.
    pub(crate) hashes: Range<usize>,
    /// On the first entry of a group: how many entries it has. 1 outside groups.
    pub(crate) group_len: usize,
}

/// Where a group begins that has not ended.
#[derive(Clone, Copy, Debug)]
struct OpenGroup {
    /// Its first entry.
    first: usize,
    /// Its first byte in the arena.
    start: usize,
    /// Its first key hash.
    first_hash: usize,
}

/// Limits that [`AppendBatch::push`] checks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_body: usize,
    pub(crate) segment_len: usize,
    /// Whether each record ends with its CRC.
    pub(crate) appends_crc: bool,
    /// Whether the index wants the records' keys.
    pub(crate) is_indexed: bool,
}

/// A reusable list of records to append together ([`super::super::MessageStore::append`]).
///
/// Encoding and checksums happen in `push`, outside the append lock, into one arena that is reused: in steady state
/// appending allocates nothing.
pub struct AppendBatch {
    pub(crate) limits: Limits,
    pub(crate) arena: Vec<u8>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) queues: Vec<Arc<QueueHandle>>,
    pub(crate) lights: Vec<Light>,
    pub(crate) hashes: Vec<i32>,
    pub(super) runs: Vec<Run>,
    pub(super) units: Vec<u8>,
    pub(crate) results: Vec<Result<Appended, AppendError>>,
    pub(crate) arrivals: Vec<usize>,
    pub(crate) store_timestamp: i64,
    group: Option<OpenGroup>,
    bit_source: Option<Arc<dyn BitSource>>,
    hasher: KeyHasher,
}

impl AppendBatch {
    pub(crate) fn new(limits: Limits, bit_source: Option<Arc<dyn BitSource>>) -> Self {
        Self {
            limits,
            arena: Vec::new(),
            entries: Vec::new(),
            queues: Vec::new(),
            lights: Vec::new(),
            hashes: Vec::new(),
            runs: Vec::new(),
            units: Vec::new(),
            results: Vec::new(),
            arrivals: Vec::new(),
            store_timestamp: 0,
            group: None,
            bit_source,
            hasher: KeyHasher::default(),
        }
    }

    /// Adds a record; returns the index of its result. `tags_code` is what consumers filter by
    /// ([`kerolox_protocol::message::tags::tags_code`]).
    ///
    /// # Errors
    /// [`StoreError::MessageIllegal`] or [`StoreError::PropertiesTooLong`]; the batch is then unchanged.
    pub fn push(
        &mut self,
        queue: &Arc<QueueHandle>,
        fields: &RecordFields<'_>,
        tags_code: i64,
    ) -> Result<usize, StoreError> {
        self.push_fields(queue, fields, TagsCode::Hash(tags_code))
    }

    /// As [`AppendBatch::push`] by the tags among the record's keys, which the caller knows already: `keys` must be those
    /// that [`Keys::of`] finds in the record's properties. The head serves all records of a request.
    ///
    /// # Errors
    /// As [`AppendBatch::push`].
    pub fn push_keyed(
        &mut self,
        queue: &Arc<QueueHandle>,
        head: &mut RecordHead<'_>,
        content: &RecordContent<'_>,
        keys: &Keys<&[u8]>,
    ) -> Result<usize, StoreError> {
        let tags = keys.tags.map(String::from_utf8_lossy);
        let tags_code = TagsCode::Hash(tags::tags_code(tags.as_deref()));
        self.push_entry(queue, head, content, tags_code, keys)
    }

    /// Adds a record of the delay topic: its unit holds the store timestamp plus `delay_ms`.
    ///
    /// # Errors
    /// As [`AppendBatch::push`].
    pub fn push_delayed(
        &mut self,
        queue: &Arc<QueueHandle>,
        fields: &RecordFields<'_>,
        delay_ms: i64,
    ) -> Result<usize, StoreError> {
        self.push_fields(queue, fields, TagsCode::DeliverAfterMs(delay_ms))
    }

    /// Adds a record that is in further queues, too ([`crate::store::light`]). Each gets a unit with the record's own; the
    /// record's list of them must be among its properties, and no list of its places there.
    ///
    /// # Errors
    /// As [`AppendBatch::push`]; also if a queue is named twice or is the record's own, or in a group.
    pub fn push_light(
        &mut self,
        queue: &Arc<QueueHandle>,
        fields: &RecordFields<'_>,
        tags_code: i64,
        further: &[Arc<QueueHandle>],
    ) -> Result<usize, StoreError> {
        let mut seen = vec![queue];
        for light in further {
            if seen.iter().any(|other| Arc::ptr_eq(other, light)) {
                return Err(StoreError::MessageIllegal(
                    "INNER_MULTI_DISPATCH names a queue twice, or the message's own",
                ));
            }
            seen.push(light);
        }
        if self.group.is_some() || !sys_flag::is_queued(fields.sys_flag) {
            return Err(StoreError::MessageIllegal(
                "a message of a batch or of an open transaction can not be in light queues",
            ));
        }
        let places = light::places(further.len());
        let mut pieces = fields.properties.to_vec();
        pieces.push(places.as_bytes());
        let fields = RecordFields {
            properties: &pieces,
            ..*fields
        };
        let index = self.push_fields(queue, &fields, TagsCode::Hash(tags_code))?;
        let Some(entry) = self.entries.get_mut(index) else {
            return Ok(index);
        };
        let record = self.arena.get(entry.range.clone()).unwrap_or_default();
        if let Some(first) = light::first_place(record) {
            let first = entry.range.start + first;
            let from = self.lights.len();
            for (number, light) in further.iter().enumerate() {
                self.queues.push(Arc::clone(light));
                self.lights.push(Light {
                    queue: self.queues.len() - 1,
                    digits_at: first + number * (light::DIGITS + 1),
                });
            }
            entry.lights = from..self.lights.len();
        }
        Ok(index)
    }

    fn push_fields(
        &mut self,
        queue: &Arc<QueueHandle>,
        fields: &RecordFields<'_>,
        tags_code: TagsCode,
    ) -> Result<usize, StoreError> {
        let keys = Keys::of(fields.properties);
        let mut head = RecordHead::new(fields)?;
        self.push_entry(queue, &mut head, &fields.content(), tags_code, &keys)
    }

    fn push_entry(
        &mut self,
        queue: &Arc<QueueHandle>,
        head: &mut RecordHead<'_>,
        content: &RecordContent<'_>,
        tags_code: TagsCode,
        keys: &Keys<&[u8]>,
    ) -> Result<usize, StoreError> {
        let topic = head.topic();
        if topic.is_empty() || topic.len() > name::MAX_RETRY_TOPIC_BYTES {
            return Err(StoreError::MessageIllegal(
                "the topic is empty or longer than 255 bytes",
            ));
        }
        if topic.len() > name::MAX_TOPIC_BYTES
            && !name::is_retry_topic(topic)
            && !name::is_dlq_topic(topic)
        {
            return Err(StoreError::MessageIllegal(
                "the topic is longer than 127 bytes",
            ));
        }
        if content.body.len() > self.limits.max_body {
            return Err(StoreError::MessageIllegal(
                "the body is longer than the maximum message size",
            ));
        }
        let queue = self.number_of(queue);
        if let Some(first) = self.group.and_then(|group| self.entries.get(group.first))
            && first.queue != queue
        {
            return Err(StoreError::MessageIllegal(
                "the messages of a batch belong to different queues",
            ));
        }
        let start = self.arena.len();
        let size = if self.limits.appends_crc {
            encode_with_crc(head, content, &mut self.arena)?
        } else {
            head.encode(content, &mut self.arena)?
        };
        let of_group = self.group.map_or(start, |group| group.start);
        // A record, and a group, lies in one segment.
        let room = self.limits.segment_len.saturating_sub(record::BLANK_BYTES);
        let most = self.limits.max_body.saturating_add(RECORD_MARGIN);
        let fits = size <= most && self.arena.len() - of_group <= room;
        let checked = i32::try_from(size).ok().filter(|_| fits);
        let Some(record_size) = checked else {
            self.arena.truncate(start);
            return Err(if size <= most {
                StoreError::MessageIllegal("the record or batch does not fit a commit log segment")
            } else {
                EncodeError::BodyTooLong {
                    bytes: content.body.len(),
                }
                .into()
            });
        };
        let first_hash = self.hashes.len();
        if self.limits.is_indexed {
            let hashes = &mut self.hashes;
            let topic = topic.as_bytes();
            let Ok(()) = self.hasher.each_of(topic, head.sys_flag(), keys, |hash| {
                hashes.push(hash);
                Ok::<(), Infallible>(())
            });
        }
        let index = self.entries.len();
        self.entries.push(Entry {
            range: start..start + size,
            size: record_size,
            queue,
            tags_code,
            bits: self
                .bit_source
                .as_ref()
                .and_then(|source| source.bits(topic, content.properties)),
            is_queued: sys_flag::is_queued(head.sys_flag()),
            lights: 0..0,
            hashes: first_hash..self.hashes.len(),
            group_len: 1,
        });
        Ok(index)
    }

    /// Index of a queue, among the last ones if it is there already: an append writes to each queue once.
    fn number_of(&mut self, queue: &Arc<QueueHandle>) -> usize {
        let last = self.queues.iter().enumerate().rev().take(MOST_QUEUES_SEEN);
        let mut seen = last.filter(|(_, seen)| Arc::ptr_eq(seen, queue));
        if let Some((number, _)) = seen.next() {
            return number;
        }
        self.queues.push(Arc::clone(queue));
        self.queues.len() - 1
    }

    /// Begins an ordinary batch: what is pushed until [`AppendBatch::end_group`] gets consecutive offsets of one queue,
    /// lies in one segment, and is appended or refused as a whole.
    pub fn begin_group(&mut self) {
        self.group = Some(OpenGroup {
            first: self.entries.len(),
            start: self.arena.len(),
            first_hash: self.hashes.len(),
        });
    }

    /// Ends the group.
    pub fn end_group(&mut self) {
        let Some(group) = self.group.take() else {
            return;
        };
        let group_len = self.entries.len() - group.first;
        if let Some(first) = self.entries.get_mut(group.first) {
            first.group_len = group_len;
        }
    }

    /// Drops what was pushed since [`AppendBatch::begin_group`]: one of the messages was refused.
    pub fn abort_group(&mut self) {
        let Some(group) = self.group.take() else {
            return;
        };
        self.arena.truncate(group.start);
        self.hashes.truncate(group.first_hash);
        self.entries.truncate(group.first);
    }

    /// One result per entry after an append, in the order of the pushes.
    pub fn results(&self) -> &[Result<Appended, AppendError>] {
        &self.results
    }

    /// The store timestamp that the last append gave to its records.
    pub fn store_timestamp(&self) -> i64 {
        self.store_timestamp
    }

    /// Queues that got a visible message in the last append and are watched ([`QueueHandle::watch`]).
    /// Under [`crate::store::Flush::Sync`] there are none: the flush reports them.
    pub fn arrivals(&self) -> impl Iterator<Item = &Arc<QueueHandle>> {
        self.arrivals
            .iter()
            .filter_map(|queue| self.queues.get(*queue))
    }

    /// Bytes of the records in it.
    pub fn bytes(&self) -> usize {
        self.arena.len()
    }

    /// Sends that the entries came with: a group counts as one.
    pub(crate) fn calls(&self) -> u64 {
        let mut calls = 0;
        let mut at = 0;
        while let Some(entry) = self.entries.get(at) {
            calls += 1;
            at += entry.group_len.max(1);
        }
        calls
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets entries and results, keeping memory for the next round.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.arena.shrink_to(KEPT_ARENA);
        self.entries.clear();
        self.queues.clear();
        self.lights.clear();
        self.hashes.clear();
        self.results.clear();
        self.arrivals.clear();
        self.group = None;
    }
}

/// Encodes a record with room for its CRC as the last property; one that came with the message goes.
fn encode_with_crc(
    head: &mut RecordHead<'_>,
    content: &RecordContent<'_>,
    out: &mut Vec<u8>,
) -> Result<usize, EncodeError> {
    let crc = record::CRC_PROPERTY.as_bytes();
    let mut kept = Vec::new();
    let mut pieces = content.properties.to_vec();
    if pieces
        .iter()
        .any(|piece| memchr::memmem::find(piece, crc).is_some())
    {
        let items = pieces.iter().flat_map(|piece| properties::scan(*piece));
        for (name, value) in items.filter(|(name, _)| *name != crc) {
            kept.extend_from_slice(name);
            kept.push(1);
            kept.extend_from_slice(value);
            kept.push(2);
        }
        pieces = vec![&kept];
    }
    pieces.push(record::CRC_PLACEHOLDER.as_bytes());
    let content = RecordContent {
        properties: &pieces,
        ..*content
    };
    head.encode(&content, out)
}
