// SPDX-License-Identifier: Apache-2.0
//! Step "command" of the data's way: a frame with its header decoded.
//!
//! Before it: [`crate::frame`]. After it: the processor that reads its typed header (server), or the waiter that its
//! opaque id belongs to (client). The fields stay text until somebody asks for a typed [`Header`].

use bytes::{Bytes, BytesMut};

use crate::code::{RequestCode, ResponseCode};
use crate::codec::{self, Decoded, Fixed, binary, json};
use crate::ext::ExtFields;
use crate::frame::{self, Frame, SerializeType};
use crate::header::{FieldName, FieldSink, Header, HeaderError, NoHeader};
use crate::language::LanguageCode;
use crate::version;

pub use crate::codec::DecodeError;

/// Bit of [`Command::flag`]: this is a response.
pub const FLAG_RESPONSE: i32 = 1;
/// Bit of [`Command::flag`]: no response is expected, not even an error.
pub const FLAG_ONEWAY: i32 = 2;

/// A request or a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// A [`RequestCode`] or, in responses, a [`ResponseCode`].
    pub code: i32,
    /// Language of the sender.
    pub language: LanguageCode,
    /// Version of the sender, see [`crate::version`].
    pub version: i32,
    /// Correlation id: a response carries its request's. Unique per connection and direction; may be negative.
    pub opaque: i32,
    /// [`FLAG_RESPONSE`] and [`FLAG_ONEWAY`].
    pub flag: i32,
    /// Error text of a response.
    pub remark: Option<String>,
    /// Header fields.
    pub ext: ExtFields,
    /// Body, empty if there is none.
    pub body: Bytes,
    /// Encoding of the header.
    pub serialize_type: SerializeType,
}

impl Command {
    /// Decodes the header of a frame; the body is not looked at.
    ///
    /// # Errors
    /// [`DecodeError`] when the header is not what its encoding says.
    pub fn decode(frame: Frame) -> Result<Self, DecodeError> {
        let Decoded {
            code,
            language,
            version,
            opaque,
            flag,
            remark,
            ext,
        } = match frame.serialize_type {
            SerializeType::Json => json::decode(frame.header)?,
            SerializeType::RocketMq => binary::decode(frame.header)?,
        };
        Ok(Self {
            code,
            language,
            version,
            opaque,
            flag,
            remark,
            ext,
            body: frame.body,
            serialize_type: frame.serialize_type,
        })
    }

    /// Appends the whole frame to `out`. A code over 32,767 is always sent with a JSON header.
    pub fn encode(&self, out: &mut BytesMut) {
        self.encode_head(out);
        out.extend_from_slice(&self.body);
    }

    /// Appends the frame without its body, whose length the frame already counts; the body has to follow.
    pub fn encode_head(&self, out: &mut BytesMut) {
        let fixed = Fixed {
            code: self.code,
            language: self.language,
            version: self.version,
            opaque: self.opaque,
            flag: self.flag,
            remark: self.remark.as_deref(),
        };
        write_head(
            out,
            self.serialize_type,
            &fixed,
            &&self.ext,
            self.body.len(),
        );
    }

    /// A request with a typed header; the connection sets its opaque id.
    pub fn request<'h>(code: RequestCode, header: &impl Header<'h>) -> Self {
        Self::bare(code.0, 0).with_header(header)
    }

    /// A response without an address: see [`Command::reply_to`].
    pub fn response(code: ResponseCode) -> Self {
        Self::bare(code.0, FLAG_RESPONSE)
    }

    /// The response to `request`: same opaque id, same header encoding.
    pub fn reply_to(request: &Self, code: ResponseCode) -> Self {
        Self {
            opaque: request.opaque,
            serialize_type: request.serialize_type,
            ..Self::response(code)
        }
    }

    fn bare(code: i32, flag: i32) -> Self {
        Self {
            code,
            language: LanguageCode::Java,
            version: version::CURRENT,
            opaque: 0,
            flag,
            remark: None,
            ext: ExtFields::new(),
            body: Bytes::new(),
            serialize_type: SerializeType::Json,
        }
    }

    /// Adds the fields of a typed header.
    #[must_use]
    pub fn with_header<'h>(mut self, header: &impl Header<'h>) -> Self {
        header.write(&mut self.ext);
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the remark.
    #[must_use]
    pub fn with_remark(mut self, remark: impl Into<String>) -> Self {
        self.remark = Some(remark.into());
        self
    }

    /// Marks a request as one-way.
    #[must_use]
    pub fn oneway(mut self) -> Self {
        self.flag |= FLAG_ONEWAY;
        self
    }

    /// Whether this is a response.
    pub const fn is_response(&self) -> bool {
        self.flag & FLAG_RESPONSE != 0
    }

    /// Whether no response may be sent.
    pub const fn is_oneway(&self) -> bool {
        self.flag & FLAG_ONEWAY != 0
    }

    /// The code as a request code.
    pub const fn request_code(&self) -> RequestCode {
        RequestCode(self.code)
    }

    /// The code as a response code.
    pub const fn response_code(&self) -> ResponseCode {
        ResponseCode(self.code)
    }

    /// The typed header.
    ///
    /// # Errors
    /// [`HeaderError`] naming the field that is missing or malformed.
    pub fn header<'a, H: Header<'a>>(&'a self) -> Result<H, HeaderError> {
        H::read(&self.ext)
    }
}

/// What a response says besides its fields and body, for [`encode_response`].
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    /// Encoding of the header; that of the request.
    pub serialize_type: SerializeType,
    /// How the request ended.
    pub code: ResponseCode,
    /// Opaque id of the request.
    pub opaque: i32,
    /// Text for people.
    pub remark: Option<&'a str>,
}

/// Appends a response frame without its body, straight from a typed header: the hot path of a server.
///
/// Exactly `body_length` bytes have to follow on the wire.
pub fn encode_response<'h>(
    out: &mut BytesMut,
    head: &ResponseHead<'_>,
    header: &impl Header<'h>,
    body_length: usize,
) {
    let fixed = Fixed {
        code: head.code.0,
        language: LanguageCode::Java,
        version: version::CURRENT,
        opaque: head.opaque,
        flag: FLAG_RESPONSE,
        remark: head.remark,
    };
    write_head(out, head.serialize_type, &fixed, header, body_length);
}

/// Appends a request frame without its body, straight from a typed header: the hot path of a client.
///
/// Exactly `body_length` bytes have to follow on the wire.
pub fn encode_request<'h>(
    out: &mut BytesMut,
    serialize_type: SerializeType,
    code: RequestCode,
    opaque: i32,
    flag: i32,
    header: &impl Header<'h>,
    body_length: usize,
) {
    let fixed = Fixed {
        code: code.0,
        language: LanguageCode::Other,
        version: version::CURRENT,
        opaque,
        flag,
        remark: None,
    };
    write_head(out, serialize_type, &fixed, header, body_length);
}

fn write_head<'h>(
    out: &mut BytesMut,
    serialize_type: SerializeType,
    fixed: &Fixed<'_>,
    header: &impl Header<'h>,
    body_length: usize,
) {
    let serialize_type = codec::fitting(serialize_type, fixed.code);
    let start = frame::begin(out);
    match serialize_type {
        SerializeType::Json => json::encode(out, fixed, header),
        SerializeType::RocketMq => binary::encode(out, fixed, header),
    }
    frame::finish(out, start, serialize_type, body_length);
}

impl FieldSink for ExtFields {
    fn text(&mut self, name: FieldName<'_>, value: &str) {
        self.set(name.text, value);
    }

    fn int(&mut self, name: FieldName<'_>, value: i64) {
        self.set(name.text, itoa::Buffer::new().format(value));
    }
}

/// A request that has no header fields.
pub fn request(code: RequestCode) -> Command {
    Command::request(code, &NoHeader)
}

#[cfg(test)]
mod tests;
