// SPDX-License-Identifier: Apache-2.0
//! Reads the reference's JSON dialect into a standard JSON value.
//!
//! Besides standard JSON it takes bare integer and identifier keys, objects as keys (they become their own compact
//! text), single quotes and trailing commas. Nesting is bounded; lengths are never believed.

use serde_json::{Map, Number, Value};

use super::BodyError;

const MAX_DEPTH: usize = 64;

pub(super) fn parse(bytes: &[u8]) -> Result<Value, BodyError> {
    let mut parser = Parser { bytes, at: 0 };
    let value = parser.value(0)?;
    match parser.peek() {
        None => Ok(value),
        Some(_) => Err(BodyError::Syntax(parser.at)),
    }
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.bytes.get(self.at) {
            if !byte.is_ascii_whitespace() {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    fn value(&mut self, depth: usize) -> Result<Value, BodyError> {
        if depth > MAX_DEPTH {
            return Err(BodyError::Depth(MAX_DEPTH));
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(quote @ (b'"' | b'\'')) => Ok(Value::String(self.string(quote)?)),
            Some(_) => self.scalar(),
            None => Err(BodyError::Syntax(self.at)),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, BodyError> {
        self.at += 1;
        let mut map = Map::new();
        loop {
            match self.peek() {
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Value::Object(map));
                }
                Some(b',') => self.at += 1,
                Some(_) => {
                    let key = self.key(depth)?;
                    if self.peek() != Some(b':') {
                        return Err(BodyError::Syntax(self.at));
                    }
                    self.at += 1;
                    let value = self.value(depth + 1)?;
                    if !value.is_null() {
                        map.insert(key, value);
                    }
                }
                None => return Err(BodyError::Syntax(self.at)),
            }
        }
    }

    fn key(&mut self, depth: usize) -> Result<String, BodyError> {
        match self.peek() {
            Some(quote @ (b'"' | b'\'')) => self.string(quote),
            Some(b'{') => {
                if depth > MAX_DEPTH {
                    return Err(BodyError::Depth(MAX_DEPTH));
                }
                Ok(self.object(depth + 1)?.to_string())
            }
            _ => Ok(self.word()?.to_owned()),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, BodyError> {
        self.at += 1;
        let mut items = Vec::new();
        loop {
            match self.peek() {
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::Array(items));
                }
                Some(b',') => self.at += 1,
                Some(_) => items.push(self.value(depth + 1)?),
                None => return Err(BodyError::Syntax(self.at)),
            }
        }
    }

    fn word(&mut self) -> Result<&str, BodyError> {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.' | b'_' | b'$')
        }) {
            self.at += 1;
        }
        self.bytes
            .get(start..self.at)
            .filter(|word| !word.is_empty())
            .and_then(|word| std::str::from_utf8(word).ok())
            .ok_or(BodyError::Syntax(start))
    }

    fn scalar(&mut self) -> Result<Value, BodyError> {
        let start = self.at;
        Ok(match self.word()? {
            "null" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            word => Value::Number(number(word).ok_or(BodyError::Syntax(start))?),
        })
    }

    /// A quoted string; standard escapes are left to serde_json.
    fn string(&mut self, quote: u8) -> Result<String, BodyError> {
        let start = self.at;
        self.at += 1;
        let mut json = vec![b'"'];
        loop {
            let byte = *self.bytes.get(self.at).ok_or(BodyError::Syntax(start))?;
            self.at += 1;
            match byte {
                b'\\' => {
                    let next = *self.bytes.get(self.at).ok_or(BodyError::Syntax(start))?;
                    self.at += 1;
                    if next != b'\'' {
                        json.push(b'\\');
                    }
                    json.push(next);
                }
                byte if byte == quote => break,
                b'"' => json.extend_from_slice(b"\\\""),
                0..0x20 => json.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                byte => json.push(byte),
            }
        }
        json.push(b'"');
        serde_json::from_slice(&json).map_err(|_| BodyError::Syntax(start))
    }
}

fn number(word: &str) -> Option<Number> {
    if let Ok(value) = word.parse::<i64>() {
        return Some(value.into());
    }
    word.parse::<f64>().ok().and_then(Number::from_f64)
}
