// SPDX-License-Identifier: Apache-2.0
//! Encoding records: what those of one request share is encoded once.

use std::net::{IpAddr, SocketAddr};

use super::{EncodeError, MAGIC_V1, MAGIC_V2, RecordContent, RecordFields, body_crc};
use crate::message::properties::MAX_TEXT_BYTES;
use crate::message::sys_flag;

/// Topics longer than this use version 2.
const MAX_TOPIC_V1: usize = 127;
/// Bytes of a record before its body, with two IPv6 hosts.
const MAX_BYTES: usize = 72 + 2 * 20;

/// Of a record all but its [`RecordContent`], encoded.
///
/// [`RecordHead::encode`] makes one record after the other of it, with zero queue offset, physical offset and store
/// timestamp ([`super::patch`] fills them in).
#[derive(Clone, Debug)]
pub struct RecordHead<'a> {
    /// What is before the body.
    bytes: [u8; MAX_BYTES],
    len: usize,
    topic: &'a str,
    topic_len: i16,
    sys_flag: i32,
}

impl<'a> RecordHead<'a> {
    /// Takes all but the content of `fields`.
    ///
    /// # Errors
    /// The topic does not fit its length field.
    pub fn new(fields: &RecordFields<'a>) -> Result<Self, EncodeError> {
        let topic = fields.topic;
        let too_long = EncodeError::TopicTooLong {
            bytes: topic.len(),
            max: MAX_TEXT_BYTES,
        };
        let topic_len = i16::try_from(topic.len()).map_err(|_| too_long)?;
        let is_v2 = topic.len() > MAX_TOPIC_V1;
        let v6 = |host: SocketAddr, bit| if host.is_ipv6() { bit } else { 0 };
        let hosts = v6(fields.born_host, sys_flag::BORN_HOST_V6)
            | v6(fields.store_host, sys_flag::STORE_HOST_V6);
        let both = sys_flag::BORN_HOST_V6 | sys_flag::STORE_HOST_V6;
        let sys_flag = fields.sys_flag & !both | hosts;

        let mut bytes = [0; MAX_BYTES];
        bytes[4..8].copy_from_slice(&if is_v2 { MAGIC_V2 } else { MAGIC_V1 }.to_be_bytes());
        bytes[12..16].copy_from_slice(&fields.queue_id.to_be_bytes());
        bytes[36..40].copy_from_slice(&sys_flag.to_be_bytes());
        bytes[40..48].copy_from_slice(&fields.born_timestamp.to_be_bytes());
        let stored = 48 + write_host(&mut bytes[48..], fields.born_host);
        let tail = stored + 8 + write_host(&mut bytes[stored + 8..], fields.store_host);
        bytes[tail..tail + 4].copy_from_slice(&fields.reconsume_times.to_be_bytes());
        let prepared = fields.prepared_transaction_offset;
        bytes[tail + 4..tail + 12].copy_from_slice(&prepared.to_be_bytes());
        Ok(Self {
            bytes,
            len: tail + 16,
            topic,
            topic_len,
            sys_flag,
        })
    }

    /// Topic name.
    pub fn topic(&self) -> &'a str {
        self.topic
    }

    /// Bits of [`sys_flag`], with those of the hosts.
    pub fn sys_flag(&self) -> i32 {
        self.sys_flag
    }

    /// Appends a record; returns its size.
    ///
    /// # Errors
    /// The properties or the body do not fit their length fields; `out` is then unchanged.
    pub fn encode(
        &mut self,
        content: &RecordContent<'_>,
        out: &mut Vec<u8>,
    ) -> Result<usize, EncodeError> {
        let body = content.body;
        let too_long = EncodeError::BodyTooLong { bytes: body.len() };
        let body_len = i32::try_from(body.len()).map_err(|_| too_long)?;
        self.bytes[8..12].copy_from_slice(&body_crc(body).to_be_bytes());
        self.bytes[16..20].copy_from_slice(&content.flag.to_be_bytes());
        let head = self.bytes.get_mut(..self.len).unwrap_or_default();
        if let Some(len) = head.last_chunk_mut() {
            *len = body_len.to_be_bytes();
        }
        let start = out.len();
        out.extend_from_slice(head);
        out.extend_from_slice(body);
        let [high, low] = self.topic_len.to_be_bytes();
        if self.topic.len() > MAX_TOPIC_V1 {
            out.push(high);
        }
        out.push(low);
        out.extend_from_slice(self.topic.as_bytes());
        let properties_at = out.len();
        out.extend_from_slice(&[0; 2]);
        push_properties(content.properties, out);

        let bytes = out.len() - properties_at - 2;
        let size = out.len() - start;
        let lengths = match (i16::try_from(bytes), i32::try_from(size)) {
            (Ok(properties_len), Ok(total)) => Ok((properties_len, total)),
            (Err(_), _) => Err(EncodeError::PropertiesTooLong {
                bytes,
                max: MAX_TEXT_BYTES,
            }),
            (_, Err(_)) => Err(too_long),
        };
        let (properties_len, total) = lengths.inspect_err(|_| out.truncate(start))?;
        fill(out, properties_at, properties_len.to_be_bytes());
        fill(out, start, total.to_be_bytes());
        Ok(size)
    }
}

fn fill<const N: usize>(out: &mut [u8], at: usize, bytes: [u8; N]) {
    let place = out.get_mut(at..).and_then(|rest| rest.first_chunk_mut());
    if let Some(place) = place {
        *place = bytes;
    }
}

/// Writes a host to the start of `out`, which has room for it; returns its length.
fn write_host(out: &mut [u8], host: SocketAddr) -> usize {
    let port = u32::from(host.port()).to_be_bytes();
    match host.ip() {
        IpAddr::V4(ip) => {
            out[..4].copy_from_slice(&ip.octets());
            out[4..8].copy_from_slice(&port);
            8
        }
        IpAddr::V6(ip) => {
            out[..16].copy_from_slice(&ip.octets());
            out[16..20].copy_from_slice(&port);
            20
        }
    }
}

/// Appends the properties text, with the separators that are missing between pieces.
fn push_properties(pieces: &[&[u8]], out: &mut Vec<u8>) {
    let mut is_open = false;
    for piece in pieces {
        let Some(last) = piece.last() else { continue };
        if is_open {
            out.push(2);
        }
        out.extend_from_slice(piece);
        is_open = *last != 2;
    }
}
