// SPDX-License-Identifier: Apache-2.0
//! Messages found by other means than their queue: VIEW_MESSAGE_BY_ID, QUERY_MESSAGE.

use bytes::Bytes;
use kerolox_protocol::header::offset::ViewMessageRequestHeader;
use kerolox_protocol::header::query::{
    QueryMessageRequestHeader, QueryMessageResponseHeader, index_type,
};
use kerolox_protocol::{Command, ResponseCode};

use crate::broker::Broker;
use crate::net::{Outcome, Request};
use crate::refusal::{Refusal, answer, success};

/// Most messages of a query for a unique id (`defaultQueryMaxNum`).
const UNIQUE_MAX: usize = 32;
/// Most bytes of an answer: clients take frames of 16 MiB.
const MAX_BODY_BYTES: usize = 15 << 20;

/// VIEW_MESSAGE_BY_ID: the record at a commit-log offset, which is what an offset message id says.
pub(crate) fn view_message_by_id(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: ViewMessageRequestHeader<'_> = request.command.header()?;
        match broker.store.record_at(wanted.offset) {
            Some(record) => Ok(success().with_body(record)),
            None => Err(Refusal::new(
                ResponseCode::SYSTEM_ERROR,
                format!("no message at commit-log offset {}", wanted.offset),
            )),
        }
    })
}

/// QUERY_MESSAGE: messages by unique id, by a word of `KEYS`, or by tags.
///
/// The index knows hashes only: what it answers may hold other keys, which the client leaves out.
pub(crate) fn query_message(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: QueryMessageRequestHeader<'_> = request.command.header()?;
        let is_unique = wanted.is_unique_key == Some(true);
        let max = if is_unique {
            UNIQUE_MAX
        } else {
            usize::try_from(wanted.max_num).unwrap_or(0)
        };
        let tags;
        let key = if !is_unique && wanted.index_type == Some(index_type::TAG) {
            tags = format!("T#{}", wanted.key);
            &tags
        } else {
            wanted.key
        };
        let (begin, end) = (wanted.begin_timestamp, wanted.end_timestamp);
        let found = broker
            .store
            .query_by_key(wanted.topic, key, max, begin, end);
        let reply = if found.records.is_empty() {
            // As in the reference the answer does not say then how far the index is.
            Command::response(ResponseCode::QUERY_NOT_FOUND)
                .with_remark(format!(
                    "no message with key '{}' in topic '{}' stored from {begin} to {end}",
                    wanted.key, wanted.topic
                ))
                .with_header(&QueryMessageResponseHeader::default())
        } else {
            success()
                .with_header(&QueryMessageResponseHeader {
                    index_last_update_timestamp: found.index_timestamp,
                    index_last_update_phyoffset: found.index_offset,
                })
                .with_body(joined(found.records))
        };
        Ok(reply)
    })
}

/// The newest of the records, as many as an answer may hold.
fn joined(mut records: Vec<Bytes>) -> Bytes {
    let mut bytes = 0;
    let fitting = records.iter().rev().take_while(|record| {
        bytes += record.len();
        bytes <= MAX_BODY_BYTES
    });
    records.drain(..records.len() - fitting.count());
    match records.as_slice() {
        [one] => one.clone(),
        many => many.concat().into(),
    }
}
