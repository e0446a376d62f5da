// SPDX-License-Identifier: Apache-2.0
//! Requests made from templates, and just enough of the responses.
//!
//! A request is encoded once; for every further one only its opaque id, its numbers and its bodies are patched. So
//! the generator costs a fraction of the server.

use anyhow::{Context, Result, bail};
use bytes::{Bytes, BytesMut};
use kerolox_protocol::command::encode_request;
use kerolox_protocol::frame::{self, Frame};
use kerolox_protocol::header::pull::{PullMessageRequestHeader, pull_flag};
use kerolox_protocol::header::send::SendMessageRequestHeaderV2;
use kerolox_protocol::message::properties::append_item;
use kerolox_protocol::message::{batch, property};
use kerolox_protocol::{Command, RequestCode, SerializeType};

use super::payload;

/// Opaque ids have ten digits, so that one in JSON can be patched in place.
const OPAQUE_BASE: i32 = 1_000_000_000;
const HEX: &[u8; 16] = b"0123456789ABCDEF";
/// What stands for a queue offset in a template: as many digits as the largest.
const OFFSET_DIGITS: usize = 19;

/// A send request whose bodies and id change.
#[derive(Debug)]
pub(super) struct SendTemplate {
    frame: Vec<u8>,
    opaque: Place,
    /// Where each body and its unique key stand.
    messages: Vec<(usize, usize)>,
    body: usize,
}

/// Hexadecimal digits of a unique key.
const KEY_DIGITS: usize = 32;

/// What official clients put into every message: a unique key and whether to wait for the store.
fn properties() -> String {
    let mut text = String::new();
    append_item(&mut text, property::UNIQ_KEY, &"F".repeat(KEY_DIGITS));
    append_item(&mut text, property::WAIT, "true");
    text
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Digits(usize),
    Binary(usize),
}

impl SendTemplate {
    pub(super) fn new(
        serialize_type: SerializeType,
        topic: &str,
        queue_id: i32,
        messages: usize,
        body: usize,
        born_timestamp: i64,
    ) -> Result<Self> {
        let mut content = Vec::new();
        let mut places = Vec::new();
        let properties = properties();
        let key = "F".repeat(KEY_DIGITS);
        if messages == 1 {
            content.resize(body, 0);
        } else {
            for _ in 0..messages {
                let start = content.len();
                batch::append(&mut content, 0, &vec![0; body], &properties)
                    .context("a batch can not be encoded")?;
                let element = content.get(start..).unwrap_or_default();
                let key = find(element, key.as_bytes()).context("no key in the template")?;
                places.push((start + batch::ELEMENT_OVERHEAD - 2, start + key));
            }
        }
        let header = SendMessageRequestHeaderV2 {
            producer_group: "bench",
            topic,
            default_topic: "TBW102",
            default_topic_queue_nums: 4,
            queue_id,
            born_timestamp,
            properties: Some(&properties),
            reconsume_times: Some(0),
            unit_mode: Some(false),
            batch: Some(messages > 1),
            ..Default::default()
        };
        let code = if messages > 1 {
            RequestCode::SEND_BATCH_MESSAGE
        } else {
            RequestCode::SEND_MESSAGE_V2
        };
        let mut frame = BytesMut::new();
        encode_request(
            &mut frame,
            serialize_type,
            code,
            OPAQUE_BASE,
            0,
            &header,
            content.len(),
        );
        let start = frame.len();
        frame.extend_from_slice(&content);
        let opaque = opaque_place(&frame, serialize_type)?;
        let messages = if messages == 1 {
            let key = find(&frame, key.as_bytes()).context("no key in the template")?;
            vec![(start, key)]
        } else {
            places
                .into_iter()
                .map(|(body, key)| (start + body, start + key))
                .collect()
        };
        Ok(Self {
            frame: frame.to_vec(),
            opaque,
            messages,
            body,
        })
    }

    /// Appends the request number `request`, whose messages are numbered from `first`.
    pub(super) fn write(&self, out: &mut Vec<u8>, request: i32, first: u64) {
        let frame = copy(&self.frame, out);
        patch_opaque(frame, self.opaque, request);
        for (index, (body, key)) in self.messages.iter().enumerate() {
            let number = first + index as u64;
            if let Some(body) = frame.get_mut(*body..*body + self.body) {
                payload::write(body, number);
            }
            let digits = number.to_be_bytes().map(|byte| {
                let digit = |value: u8| HEX.get(usize::from(value)).copied().unwrap_or(b'0');
                [digit(byte >> 4), digit(byte & 15)]
            });
            let key = frame.get_mut(*key..*key + KEY_DIGITS).unwrap_or_default();
            if let Some(place) = key.last_chunk_mut::<16>() {
                place.copy_from_slice(digits.as_flattened());
            }
        }
    }
}

/// A pull request whose offset and id change.
#[derive(Debug)]
pub(super) struct PullTemplate {
    frame: Vec<u8>,
    opaque: Place,
    offset: usize,
}

impl PullTemplate {
    pub(super) fn new(
        serialize_type: SerializeType,
        topic: &str,
        queue_id: i32,
        messages: usize,
    ) -> Result<Self> {
        let header = PullMessageRequestHeader {
            consumer_group: "bench",
            topic,
            queue_id,
            queue_offset: i64::MAX,
            max_msg_nums: i32::try_from(messages).context("--batch is too large")?,
            sys_flag: pull_flag::SUBSCRIPTION,
            subscription: Some("*"),
            expression_type: Some("TAG"),
            max_msg_bytes: Some(i32::MAX),
            ..Default::default()
        };
        let mut frame = BytesMut::new();
        let code = RequestCode::PULL_MESSAGE;
        encode_request(&mut frame, serialize_type, code, OPAQUE_BASE, 0, &header, 0);
        let opaque = opaque_place(&frame, serialize_type)?;
        let digits = i64::MAX.to_string();
        let offset = find(&frame, digits.as_bytes()).context("no offset in the template")?;
        Ok(Self {
            frame: frame.to_vec(),
            opaque,
            offset,
        })
    }

    /// Appends a pull from `offset`.
    pub(super) fn write(&self, out: &mut Vec<u8>, request: i32, offset: i64) {
        let frame = copy(&self.frame, out);
        patch_opaque(frame, self.opaque, request);
        // Leading zeros keep the width; the reference's parser takes them.
        let digits = format!("{offset:0OFFSET_DIGITS$}");
        if let Some(place) = frame.get_mut(self.offset..self.offset + OFFSET_DIGITS) {
            place.copy_from_slice(digits.as_bytes());
        }
    }
}

/// Appends a template to `out` and returns it there, to be patched: what was just written can not be copied as fast.
fn copy<'o>(template: &[u8], out: &'o mut Vec<u8>) -> &'o mut [u8] {
    let start = out.len();
    out.extend_from_slice(template);
    out.get_mut(start..).unwrap_or_default()
}

fn opaque_place(frame: &[u8], serialize_type: SerializeType) -> Result<Place> {
    Ok(match serialize_type {
        SerializeType::Json => {
            let digits = OPAQUE_BASE.to_string();
            Place::Digits(find(frame, digits.as_bytes()).context("no opaque id in the template")?)
        }
        // i16 code, u8 language, i16 version come before it.
        SerializeType::RocketMq => Place::Binary(frame::PREFIX_LENGTH + 5),
    })
}

fn patch_opaque(frame: &mut [u8], place: Place, request: i32) {
    match place {
        Place::Digits(at) => {
            let mut value = OPAQUE_BASE + request;
            for digit in frame
                .get_mut(at..at + 10)
                .unwrap_or_default()
                .iter_mut()
                .rev()
            {
                *digit = b'0' + u8::try_from(value % 10).unwrap_or_default();
                value /= 10;
            }
        }
        Place::Binary(at) => {
            if let Some(place) = frame.get_mut(at..at + 4) {
                place.copy_from_slice(&(OPAQUE_BASE + request).to_be_bytes());
            }
        }
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// A response with what the generator needs of it.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) request: i32,
    pub(super) command: Command,
}

/// Reads a response.
pub(super) fn response(frame: Frame) -> Result<Response> {
    let command = Command::decode(frame)?;
    if !command.is_response() {
        bail!(
            "the server sent request {} to the load generator",
            command.code
        );
    }
    Ok(Response {
        request: command.opaque.wrapping_sub(OPAQUE_BASE),
        command,
    })
}

/// Body and queue offset of each record of a pull.
pub(super) fn records(mut body: Bytes) -> Result<Vec<(i64, Bytes)>> {
    let mut records = Vec::with_capacity(32);
    while !body.is_empty() {
        let size = body
            .first_chunk::<4>()
            .map(|size| u32::from_be_bytes(*size) as usize);
        let Some(size) = size.filter(|size| (91..=body.len()).contains(size)) else {
            bail!("a pulled record is cut");
        };
        let record = body.split_to(size);
        let field = |at: usize| {
            record
                .get(at..at + 8)
                .and_then(|field| field.first_chunk::<8>())
        };
        let offset = field(20)
            .map(|field| i64::from_be_bytes(*field))
            .unwrap_or_default();
        // Both hosts are IPv4 on loopback: the body length stands at 84.
        let length = record
            .get(84..88)
            .and_then(|field| field.first_chunk::<4>())
            .map(|field| u32::from_be_bytes(*field) as usize)
            .unwrap_or_default();
        if 88 + length > record.len() {
            bail!("a pulled record is cut");
        }
        records.push((offset, record.slice(88..88 + length)));
    }
    Ok(records)
}
