// SPDX-License-Identifier: Apache-2.0
//! Finding messages by key (store.md 3.6).

use bytes::Bytes;
use kerolox_protocol::message::record::RecordView;

use super::MessageStore;
use super::index::KeySearch;

/// Records that a query reads into the index before it answers with what is there.
const CATCH_UP: usize = 200_000;

/// What a query by key found.
#[derive(Clone, Debug, Default)]
pub struct KeyQuery {
    /// Whole records, oldest first.
    pub records: Vec<Bytes>,
    /// Store time of the last indexed message, Unix milliseconds; 0 without one.
    pub index_timestamp: i64,
    /// Commit-log offset of the last indexed message.
    pub index_offset: i64,
}

impl MessageStore {
    /// Finds messages of a topic by one of their KEYS, by their unique key, or (`T#tag`) by their tags, among those stored
    /// from `begin_ms` to `end_ms`; at most `max` of the newest, and no more than `maxMsgsNumBatch`.
    ///
    /// The index knows hashes only: a message of the topic with another key of the same hash may be among them, as in the
    /// reference; clients compare the keys.
    pub fn query_by_key(
        &self,
        topic: &str,
        key: &str,
        max: usize,
        begin_ms: i64,
        end_ms: i64,
    ) -> KeyQuery {
        let Some(index) = &self.index else {
            return KeyQuery::default();
        };
        let visible = self.visible_end();
        index.catch_up_or_log(&self.log.files, visible, CATCH_UP);
        let (index_timestamp, index_offset) = index.end();
        let search = KeySearch {
            topic,
            key,
            begin_ms,
            end_ms,
        };
        let max = max.min(self.options.max_msgs_num_batch);
        let mut offsets = index.search(&search, max).unwrap_or_else(|error| {
            tracing::error!(%error, "the message index can not be read");
            Vec::new()
        });
        offsets.sort_unstable();
        offsets.dedup();
        let records = offsets
            .into_iter()
            .filter_map(|offset| self.record_at(offset))
            .filter(|bytes| {
                RecordView::parse(bytes).is_ok_and(|record| {
                    record.topic == topic.as_bytes()
                        && (begin_ms..=end_ms).contains(&record.store_timestamp)
                        && record.is_body_intact()
                })
            });
        KeyQuery {
            records: records.collect(),
            index_timestamp,
            index_offset,
        }
    }
}
