// SPDX-License-Identifier: Apache-2.0
//! The JSON header encoding: one object, members sorted by name, every header field a string. Source: wire.md 1.2.
//!
//! The reader takes members in any order, skips unknown ones, and accepts numbers and booleans where the reference
//! writes strings. Text without escapes is not copied.

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

use super::{DecodeError, Decoded, Fixed};
use crate::ext::{ExtFields, Text};
use crate::find;
use crate::header::{FieldName, FieldSink, Header};
use crate::language::LanguageCode;

const MAX_DEPTH: usize = 32;
/// Room for text with escapes, which the properties of a message are; longer text makes it grow.
const USUAL_TEXT: usize = 1024;

pub(crate) fn decode(header: Bytes) -> Result<Decoded, DecodeError> {
    let wire = ByteString::try_from(header).map_err(|_| DecodeError::Utf8)?;
    let mut reader = Reader {
        text: &wire,
        bytes: wire.as_bytes(),
        at: 0,
        scratch: String::new(),
    };
    let mut decoded = Decoded {
        ext: ExtFields::over(wire.clone()),
        ..Decoded::default()
    };
    reader.object(|reader, key| {
        match key {
            Key::Code => decoded.code = reader.int()?,
            Key::Flag => decoded.flag = reader.int()?,
            Key::Opaque => decoded.opaque = reader.int()?,
            Key::Version => decoded.version = reader.int()?,
            Key::Language => {
                decoded.language = reader
                    .string_value()?
                    .map_or(LanguageCode::Other, LanguageCode::from_name);
            }
            Key::Remark => decoded.remark = reader.string_value()?.map(str::to_owned),
            Key::ExtFields => reader.ext_fields(&mut decoded.ext)?,
            Key::Other => reader.skip(0)?,
        }
        Ok(())
    })?;
    Ok(decoded)
}

enum Key {
    Code,
    Flag,
    Opaque,
    Version,
    Language,
    Remark,
    ExtFields,
    Other,
}

/// A string token: a range of the input without escapes, or the scratch buffer.
enum Token {
    Plain { start: usize, end: usize },
    Unescaped,
}

struct Reader<'a> {
    text: &'a str,
    /// The same.
    bytes: &'a [u8],
    at: usize,
    scratch: String,
}

impl Reader<'_> {
    #[inline]
    fn peek(&mut self) -> Result<u8, DecodeError> {
        match self.bytes.get(self.at) {
            Some(byte) if *byte > b' ' => Ok(*byte),
            _ => self.peek_behind_space(),
        }
    }

    /// No peer writes space between tokens, but it is allowed.
    #[cold]
    fn peek_behind_space(&mut self) -> Result<u8, DecodeError> {
        while let Some(&byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Ok(byte);
            }
            self.at += 1;
        }
        Err(DecodeError::Truncated(self.at))
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<(), DecodeError> {
        if self.peek()? != byte {
            return Err(DecodeError::Syntax(self.at));
        }
        self.at += 1;
        Ok(())
    }

    fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, Key) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        self.expect(b'{')?;
        if self.peek()? == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            let token = self.string()?;
            let key = match self.token_bytes(&token) {
                b"code" => Key::Code,
                b"flag" => Key::Flag,
                b"opaque" => Key::Opaque,
                b"version" => Key::Version,
                b"language" => Key::Language,
                b"remark" => Key::Remark,
                b"extFields" => Key::ExtFields,
                _ => Key::Other,
            };
            self.expect(b':')?;
            member(self, key)?;
            if !self.more(b'}')? {
                return Ok(());
            }
        }
    }

    /// After a member: `true` behind a comma, `false` behind `close`.
    #[inline]
    fn more(&mut self, close: u8) -> Result<bool, DecodeError> {
        let byte = self.peek()?;
        self.at += 1;
        match byte {
            b',' => Ok(true),
            byte if byte == close => Ok(false),
            _ => Err(DecodeError::Syntax(self.at - 1)),
        }
    }

    fn ext_fields(&mut self, ext: &mut ExtFields) -> Result<(), DecodeError> {
        if self.peek()? == b'n' {
            return self.skip(0);
        }
        self.expect(b'{')?;
        if self.peek()? == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            let key = self.string()?;
            // An escaped key would share the scratch buffer with its value; no peer writes one.
            let Token::Plain { start, end } = key else {
                return Err(DecodeError::Syntax(self.at));
            };
            let key = wire(start, end)?;
            self.expect(b':')?;
            match self.peek()? {
                b'"' => {
                    let value = match self.string()? {
                        Token::Plain { start, end } => wire(start, end)?,
                        Token::Unescaped => Text::Owned(&self.scratch),
                    };
                    ext.push(key, value);
                }
                b'n' => self.skip(0)?,
                _ => {
                    let start = self.at;
                    self.skip(0)?;
                    ext.push(key, wire(start, self.at)?);
                }
            }
            if !self.more(b'}')? {
                return Ok(());
            }
        }
    }

    fn string_value(&mut self) -> Result<Option<&str>, DecodeError> {
        if self.peek()? == b'n' {
            self.skip(0)?;
            return Ok(None);
        }
        let token = self.string()?;
        Ok(Some(self.token(&token)))
    }

    fn token(&self, token: &Token) -> &str {
        match token {
            Token::Plain { start, end } => self.text.get(*start..*end).unwrap_or_default(),
            Token::Unescaped => &self.scratch,
        }
    }

    fn token_bytes(&self, token: &Token) -> &[u8] {
        match token {
            Token::Plain { start, end } => self.bytes.get(*start..*end).unwrap_or_default(),
            Token::Unescaped => self.scratch.as_bytes(),
        }
    }

    #[inline]
    fn string(&mut self) -> Result<Token, DecodeError> {
        self.expect(b'"')?;
        let start = self.at;
        let rest = self.bytes.get(start..).unwrap_or_default();
        let stop =
            find::either::<b'"', b'\\'>(rest).ok_or(DecodeError::Truncated(self.bytes.len()))?;
        let end = start + stop;
        if self.bytes.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(Token::Plain { start, end });
        }
        self.at = end;
        self.unescape(start)?;
        Ok(Token::Unescaped)
    }

    #[inline(never)]
    fn unescape(&mut self, start: usize) -> Result<(), DecodeError> {
        let mut out = std::mem::take(&mut self.scratch);
        out.clear();
        out.reserve((self.bytes.len() - start).min(USUAL_TEXT));
        let mut copied = start;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let stop = find::either::<b'"', b'\\'>(rest)
                .ok_or(DecodeError::Truncated(self.bytes.len()))?;
            let end = self.at + stop;
            // Quotes and backslashes are never a part of another character.
            out.push_str(self.text.get(copied..end).unwrap_or_default());
            self.at = end + 1;
            if rest.get(stop) == Some(&b'"') {
                break;
            }
            out.push(self.escape()?);
            copied = self.at;
        }
        self.scratch = out;
        Ok(())
    }

    fn escape(&mut self) -> Result<char, DecodeError> {
        let byte = *self
            .bytes
            .get(self.at)
            .ok_or(DecodeError::Truncated(self.at))?;
        self.at += 1;
        Ok(match byte {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => return self.unicode(),
            b'"' | b'\\' | b'/' | b'\'' => char::from(byte),
            _ => return Err(DecodeError::Syntax(self.at - 1)),
        })
    }

    fn unicode(&mut self) -> Result<char, DecodeError> {
        let first = self.hex4()?;
        if !(0xD800..0xE000).contains(&first) {
            return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let low = (first < 0xDC00)
            .then(|| self.bytes.get(self.at..self.at + 2) == Some(b"\\u".as_slice()))
            .filter(|follows| *follows);
        if low.is_none() {
            return Ok(char::REPLACEMENT_CHARACTER);
        }
        self.at += 2;
        let second = self.hex4()?;
        if !(0xDC00..0xE000).contains(&second) {
            return Ok(char::REPLACEMENT_CHARACTER);
        }
        let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
        Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex4(&mut self) -> Result<u32, DecodeError> {
        let digits = self
            .bytes
            .get(self.at..self.at + 4)
            .ok_or(DecodeError::Truncated(self.at))?;
        let mut value = 0;
        for digit in digits {
            let digit = char::from(*digit)
                .to_digit(16)
                .ok_or(DecodeError::Syntax(self.at))?;
            value = value << 4 | digit;
        }
        self.at += 4;
        Ok(value)
    }

    fn int(&mut self) -> Result<i32, DecodeError> {
        let quoted = self.peek()? == b'"';
        if quoted {
            self.at += 1;
        }
        if self.peek()? == b'n' {
            self.skip(0)?;
            return Ok(0);
        }
        let start = self.at;
        let is_negative = self.bytes.get(start) == Some(&b'-');
        self.at += usize::from(is_negative);
        let digits = self.at;
        let mut value = 0_i64;
        while let Some(digit @ b'0'..=b'9') = self.bytes.get(self.at) {
            value = value * 10 + i64::from(digit - b'0');
            if value > 1 << 31 {
                return Err(DecodeError::Number(start));
            }
            self.at += 1;
        }
        let value = i32::try_from(if is_negative { -value } else { value });
        let value = value.ok().filter(|_| self.at > digits);
        let value = value.ok_or(DecodeError::Number(start))?;
        if quoted {
            self.expect(b'"')?;
        }
        Ok(value)
    }

    /// Steps over one value of any kind.
    fn skip(&mut self, depth: usize) -> Result<(), DecodeError> {
        if depth > MAX_DEPTH {
            return Err(DecodeError::Depth(MAX_DEPTH));
        }
        match self.peek()? {
            b'"' => {
                self.string()?;
            }
            b'{' => {
                self.at += 1;
                if self.peek()? == b'}' {
                    self.at += 1;
                    return Ok(());
                }
                loop {
                    self.string()?;
                    self.expect(b':')?;
                    self.skip(depth + 1)?;
                    if !self.more(b'}')? {
                        break;
                    }
                }
            }
            b'[' => {
                self.at += 1;
                if self.peek()? == b']' {
                    self.at += 1;
                    return Ok(());
                }
                loop {
                    self.skip(depth + 1)?;
                    if !self.more(b']')? {
                        break;
                    }
                }
            }
            _ => {
                let start = self.at;
                while self
                    .bytes
                    .get(self.at)
                    .is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.'))
                {
                    self.at += 1;
                }
                if self.at == start {
                    return Err(DecodeError::Syntax(start));
                }
            }
        }
        Ok(())
    }
}

fn wire<'a>(start: usize, end: usize) -> Result<Text<'a>, DecodeError> {
    match (u32::try_from(start), u32::try_from(end)) {
        (Ok(start), Ok(end)) => Ok(Text::Wire { start, end }),
        _ => Err(DecodeError::Number(start)),
    }
}

pub(crate) fn encode<'h>(out: &mut BytesMut, fixed: &Fixed<'_>, header: &impl Header<'h>) {
    out.extend_from_slice(b"{\"code\":");
    int(out, i64::from(fixed.code));
    let mark = out.len();
    out.extend_from_slice(b",\"extFields\":{");
    let open = out.len();
    let mut fields = Fields { out, first: true };
    header.write(&mut fields);
    if out.len() == open && fixed.flag & 1 == 1 {
        // Responses without fields have no extFields member; requests always do (many handlers rely on it).
        out.truncate(mark);
    } else {
        out.extend_from_slice(b"}");
    }
    out.extend_from_slice(b",\"flag\":");
    int(out, i64::from(fixed.flag));
    out.extend_from_slice(b",\"language\":\"");
    out.extend_from_slice(fixed.language.name().as_bytes());
    out.extend_from_slice(b"\",\"opaque\":");
    int(out, i64::from(fixed.opaque));
    if let Some(remark) = fixed.remark {
        out.extend_from_slice(b",\"remark\":\"");
        text(out, remark);
        out.extend_from_slice(b"\"");
    }
    out.extend_from_slice(b",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":");
    int(out, i64::from(fixed.version));
    out.extend_from_slice(b"}");
}

struct Fields<'a> {
    out: &'a mut BytesMut,
    first: bool,
}

impl Fields<'_> {
    /// The name of a field and what is between it and the text of its value.
    fn name(&mut self, name: FieldName<'_>) {
        let is_first = std::mem::take(&mut self.first);
        if let Some(known) = name.json {
            let behind_comma = known.as_bytes().get(usize::from(is_first)..);
            self.out.extend_from_slice(behind_comma.unwrap_or_default());
            return;
        }
        self.out
            .extend_from_slice(if is_first { b"\"" } else { b",\"" });
        text(self.out, name.text);
        self.out.extend_from_slice(b"\":\"");
    }
}

impl FieldSink for Fields<'_> {
    fn text(&mut self, name: FieldName<'_>, value: &str) {
        self.name(name);
        text(self.out, value);
        self.out.extend_from_slice(b"\"");
    }

    fn int(&mut self, name: FieldName<'_>, value: i64) {
        self.name(name);
        int(self.out, value);
        self.out.extend_from_slice(b"\"");
    }
}

fn int(out: &mut BytesMut, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// What is between the quotes.
fn text(out: &mut BytesMut, text: &str) {
    let bytes = text.as_bytes();
    if find::is_plain_in_json(bytes) {
        out.extend_from_slice(bytes);
    } else {
        escaped(out, bytes);
    }
}

fn escaped(out: &mut BytesMut, bytes: &[u8]) {
    let mut copied = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(bytes.get(copied..at).unwrap_or_default());
        copied = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                let high = HEX.get(usize::from(byte >> 4)).copied().unwrap_or(b'0');
                let low = HEX.get(usize::from(byte & 15)).copied().unwrap_or(b'0');
                out.extend_from_slice(&[high, low]);
            }
        }
    }
    out.extend_from_slice(bytes.get(copied..).unwrap_or_default());
}
