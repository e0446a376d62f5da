// SPDX-License-Identifier: Apache-2.0
//! The header fields of a command (`extFields`): an ordered list of text pairs.
//!
//! Decoded fields point into the received header; only text that had to be unescaped, and fields that are set later,
//! live in a buffer of their own. So decoding a header allocates nothing in the common case.

use bytes::Bytes;
use smallvec::SmallVec;

#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    end: u32,
    owned: bool,
}

/// Header fields by name. Names are unique: setting one again replaces its value; of duplicates on the wire the last
/// one wins.
#[derive(Clone, Default)]
pub struct ExtFields {
    /// The received header, valid UTF-8 as a whole (checked by the codec).
    wire: Bytes,
    owned: String,
    entries: SmallVec<[(Span, Span); 16]>,
}

impl ExtFields {
    /// No fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Fields whose text will point into `wire`.
    pub(crate) fn over(wire: Bytes) -> Self {
        Self {
            wire,
            ..Self::default()
        }
    }

    /// The value of `name`; of duplicates the last.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.entries
            .iter()
            .rev()
            .find(|(key, _)| self.bytes(*key) == name.as_bytes())
            .and_then(|(_, value)| self.text(*value))
    }

    /// Sets `name` to `value`, replacing what was there.
    pub fn set(&mut self, name: &str, value: &str) {
        let value = self.own(value);
        let found = self
            .entries
            .iter()
            .position(|(key, _)| self.bytes(*key) == name.as_bytes());
        match found.and_then(|at| self.entries.get_mut(at)) {
            Some(entry) => entry.1 = value,
            None => {
                let key = self.own(name);
                self.entries.push((key, value));
            }
        }
    }

    /// All pairs in wire order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries
            .iter()
            .filter_map(|(key, value)| Some((self.text(*key)?, self.text(*value)?)))
    }

    /// The pairs at and after position `at`, for readers that expect the sender's order.
    pub(crate) fn pair(&self, at: usize) -> Option<(&str, &str)> {
        let (key, value) = self.entries.get(at)?;
        Some((self.text(*key)?, self.text(*value)?))
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn push(&mut self, key: Text<'_>, value: Text<'_>) {
        let key = self.span(key);
        let value = self.span(value);
        self.entries.push((key, value));
    }

    fn span(&mut self, text: Text<'_>) -> Span {
        match text {
            Text::Wire { start, end } => Span {
                start,
                end,
                owned: false,
            },
            Text::Owned(text) => self.own(text),
        }
    }

    fn own(&mut self, text: &str) -> Span {
        let start = u32::try_from(self.owned.len()).unwrap_or(u32::MAX);
        self.owned.push_str(text);
        Span {
            start,
            end: u32::try_from(self.owned.len()).unwrap_or(u32::MAX),
            owned: true,
        }
    }

    fn bytes(&self, span: Span) -> &[u8] {
        let from: &[u8] = if span.owned {
            self.owned.as_bytes()
        } else {
            &self.wire
        };
        from.get(span.start as usize..span.end as usize)
            .unwrap_or_default()
    }

    fn text(&self, span: Span) -> Option<&str> {
        std::str::from_utf8(self.bytes(span)).ok()
    }
}

/// Where the codec found a piece of text.
#[derive(Clone, Copy)]
pub(crate) enum Text<'a> {
    /// At these bytes of the received header.
    Wire { start: u32, end: u32 },
    /// Unescaped into a scratch buffer.
    Owned(&'a str),
}

impl std::fmt::Debug for ExtFields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl PartialEq for ExtFields {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self
                .iter()
                .all(|(name, value)| other.get(name) == Some(value))
    }
}

impl Eq for ExtFields {}
