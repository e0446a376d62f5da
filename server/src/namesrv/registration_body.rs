// SPDX-License-Identifier: Apache-2.0
//! Reads the body of REGISTER_BROKER, plain or compressed. Source: wire.md 4.6.

use std::collections::BTreeMap;

use kerolox_protocol::body::register::RegisterBrokerBody;
use kerolox_protocol::body::topic::{TopicConfig, TopicConfigTable};
use kerolox_protocol::body::{self, BodyError};
use kerolox_protocol::message::compression::{self, CompressionError, CompressionType};
use kerolox_protocol::version;

/// Longest body after decompression, bytes: about 300,000 topics.
const MAX_BYTES: usize = 64 << 20;

/// Why a body can not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum RegistrationError {
    #[error("the registration is not what its header says: {0}")]
    Json(#[from] BodyError),
    #[error("the compressed registration can not be read: {0}")]
    Compression(#[from] CompressionError),
    #[error("the compressed registration is cut or has a bad length at byte {0}")]
    Cut(usize),
    #[error(
        "the compressed registration has the topic '{0}', expected: name readQueues writeQueues perm filterType"
    )]
    Topic(String),
}

/// The body of brokers before 3.0.11: their topics alone.
pub(super) fn decode_old(body: &[u8]) -> Result<RegisterBrokerBody, RegistrationError> {
    let mut registration = RegisterBrokerBody::default();
    if !body.is_empty() {
        registration.topic_config_serialize_wrapper = body::decode(body)?;
    }
    Ok(registration)
}

/// The body of a broker of that version.
pub(super) fn decode(
    body: &[u8],
    compressed: bool,
    version: i32,
) -> Result<RegisterBrokerBody, RegistrationError> {
    if body.is_empty() {
        return Ok(RegisterBrokerBody::default());
    }
    if !compressed {
        return Ok(body::decode(body)?);
    }
    let plain = compression::decompress(CompressionType::Zlib, body, MAX_BYTES)?;
    let mut reader = Reader {
        bytes: &plain,
        at: 0,
    };
    let mut table = TopicConfigTable {
        data_version: body::decode(reader.block()?)?,
        ..TopicConfigTable::default()
    };
    for _ in 0..reader.int()? {
        let text = String::from_utf8_lossy(reader.block()?).into_owned();
        let topic = topic(&text).ok_or(RegistrationError::Topic(text))?;
        table
            .topic_config_table
            .insert(topic.topic_name.clone(), topic);
    }
    let filter_server_list = body::decode(reader.block()?)?;
    // 5.0 added the mappings of static topics.
    if version >= version::V5_0_0 && reader.has_more() {
        let mut mappings = BTreeMap::new();
        for _ in 0..reader.int()? {
            let mapping: serde_json::Value = body::decode(reader.block()?)?;
            if let Some(topic) = mapping.get("topic").and_then(serde_json::Value::as_str) {
                mappings.insert(topic.to_owned(), mapping);
            }
        }
        table.topic_queue_mapping_info_map = Some(mappings);
    }
    Ok(RegisterBrokerBody {
        filter_server_list,
        topic_config_serialize_wrapper: table,
    })
}

fn topic(text: &str) -> Option<TopicConfig> {
    let mut parts = text.splitn(6, ' ');
    let mut config = TopicConfig::new(parts.next()?, 0, 0);
    config.read_queue_nums = parts.next()?.parse().ok()?;
    config.write_queue_nums = parts.next()?.parse().ok()?;
    config.perm = parts.next()?.parse().ok()?;
    config.topic_filter_type = parts.next()?.to_owned();
    if let Some(attributes) = parts.next() {
        config.attributes = body::decode(attributes.as_bytes()).unwrap_or_default();
    }
    Some(config)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], RegistrationError> {
        let end = self.at.checked_add(length);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or(RegistrationError::Cut(self.at))?;
        self.at += length;
        Ok(taken)
    }

    fn has_more(&self) -> bool {
        self.at < self.bytes.len()
    }

    fn int(&mut self) -> Result<usize, RegistrationError> {
        let at = self.at;
        let bytes = self
            .take(4)?
            .try_into()
            .map_err(|_| RegistrationError::Cut(at))?;
        usize::try_from(i32::from_be_bytes(bytes)).map_err(|_| RegistrationError::Cut(at))
    }

    fn block(&mut self) -> Result<&'a [u8], RegistrationError> {
        let length = self.int()?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compressed(topics: &[&str], mappings: &[&str]) -> Vec<u8> {
        let mut plain = Vec::new();
        let mut block = |text: &str| {
            plain.extend_from_slice(&i32::try_from(text.len()).unwrap().to_be_bytes());
            plain.extend_from_slice(text.as_bytes());
        };
        block(r#"{"counter":3,"stateVersion":0,"timestamp":9}"#);
        let mut tail = i32::try_from(topics.len()).unwrap().to_be_bytes().to_vec();
        for topic in topics {
            tail.extend_from_slice(&i32::try_from(topic.len()).unwrap().to_be_bytes());
            tail.extend_from_slice(topic.as_bytes());
        }
        tail.extend_from_slice(&2_i32.to_be_bytes());
        tail.extend_from_slice(b"[]");
        tail.extend_from_slice(&i32::try_from(mappings.len()).unwrap().to_be_bytes());
        for mapping in mappings {
            tail.extend_from_slice(&i32::try_from(mapping.len()).unwrap().to_be_bytes());
            tail.extend_from_slice(mapping.as_bytes());
        }
        plain.extend_from_slice(&tail);
        compression::compress(CompressionType::Zlib, 5, &plain).unwrap()
    }

    #[test]
    fn compressed_registrations_are_read_or_refused() {
        let body = compressed(
            &[
                "orders 4 8 6 SINGLE_TAG {\"message.type\":\"FIFO\"}",
                "old 1 1 6 SINGLE_TAG",
            ],
            &[r#"{"topic":"st","bname":"b","currIdMap":{0:1}}"#],
        );
        let decode = |body: &[u8]| decode(body, true, version::V5_0_0);
        let table = decode(&body).unwrap().topic_config_serialize_wrapper;
        let mappings = table.topic_queue_mapping_info_map.as_ref().unwrap();
        assert_eq!(mappings["st"]["bname"], "b");
        assert_eq!(table.data_version.counter, 3);
        let orders = &table.topic_config_table["orders"];
        assert_eq!(
            (orders.read_queue_nums, orders.write_queue_nums, orders.perm),
            (4, 8, 6)
        );
        assert_eq!(orders.attributes["message.type"], "FIFO");
        assert_eq!(table.topic_config_table["old"].perm, 6);

        assert!(matches!(
            decode(&compressed(&["orders 4"], &[])),
            Err(RegistrationError::Topic(_))
        ));
        assert!(matches!(
            decode(b"{}"),
            Err(RegistrationError::Compression(_))
        ));
        let cut = compression::compress(CompressionType::Zlib, 5, &[0, 0, 0, 9, b'{']).unwrap();
        assert!(matches!(decode(&cut), Err(RegistrationError::Cut(4))));
    }
}
