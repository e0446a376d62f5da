// SPDX-License-Identifier: Apache-2.0
//! A record as a line of JSON.

use std::borrow::Cow;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kerolox_protocol::message::record::RecordView;
use kerolox_protocol::message::{Properties, property};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// A record as it is printed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MessageLine<'a> {
    physical_offset: u64,
    size: usize,
    topic: Cow<'a, str>,
    queue_id: i32,
    queue_offset: i64,
    tags: Option<&'a str>,
    keys: Vec<&'a str>,
    #[serde(serialize_with = "as_object")]
    properties: &'a Properties,
    born_timestamp: i64,
    born_host: SocketAddr,
    store_timestamp: i64,
    store_host: SocketAddr,
    sys_flag: i32,
    flag: i32,
    reconsume_times: i32,
    prepared_transaction_offset: i64,
    body_crc: i32,
    body_length: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

impl<'a> MessageLine<'a> {
    pub(super) fn new(
        physical_offset: u64,
        record: &RecordView<'a>,
        properties: &'a Properties,
        has_body: bool,
    ) -> Self {
        let body_text = std::str::from_utf8(record.body).ok().filter(|_| has_body);
        let is_binary = has_body && body_text.is_none();
        Self {
            physical_offset,
            size: record.size,
            topic: record.topic(),
            queue_id: record.queue_id,
            queue_offset: record.queue_offset,
            tags: properties.get(property::TAGS),
            keys: keys(properties).collect(),
            properties,
            born_timestamp: record.born_timestamp,
            born_host: record.born_host,
            store_timestamp: record.store_timestamp,
            store_host: record.store_host,
            sys_flag: record.sys_flag,
            flag: record.flag,
            reconsume_times: record.reconsume_times,
            prepared_transaction_offset: record.prepared_transaction_offset,
            body_crc: record.body_crc,
            body_length: record.body.len(),
            body_text,
            body_base64: is_binary.then(|| STANDARD.encode(record.body)),
        }
    }
}

/// The parts of KEYS.
pub(super) fn keys(properties: &Properties) -> impl Iterator<Item = &str> {
    let keys = properties.get(property::KEYS).unwrap_or("");
    keys.split(' ').filter(|key| !key.is_empty())
}

fn as_object<S: Serializer>(properties: &Properties, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(properties.len()))?;
    for (name, value) in properties.iter() {
        map.serialize_entry(name, value)?;
    }
    map.end()
}
