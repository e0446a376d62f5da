// SPDX-License-Identifier: Apache-2.0
//! The header fields of a command (`extFields`): an ordered list of text pairs.
//!
//! Fields decoded from JSON point into the received header, which was checked to be text as a whole; what had to be
//! unescaped, fields of binary headers, and fields that are set later live in a buffer of their own.

use std::ops::Range;

use bytestring::ByteString;
use smallvec::SmallVec;

/// A piece of text. Headers are shorter than 16 MiB, so the highest bit of the start is free: it says that the piece is
/// in the buffer.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    end: u32,
}

const OWNED: u32 = 1 << 31;

/// How far fields were read in their order.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    next: usize,
    /// Whether a field before was not read.
    has_gap: bool,
}

/// Header fields by name. Names are unique: setting one again replaces its value; of duplicates on the wire the last
/// one wins.
#[derive(Clone, Default)]
pub struct ExtFields {
    /// The received header.
    wire: ByteString,
    owned: String,
    entries: SmallVec<[(Span, Span); 16]>,
}

impl ExtFields {
    /// No fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Fields whose text will point into `wire`.
    pub(crate) fn over(wire: ByteString) -> Self {
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
            .find(|(key, _)| self.text(*key) == name)
            .map(|(_, value)| self.text(*value))
    }

    /// Sets `name` to `value`, replacing what was there.
    pub fn set(&mut self, name: &str, value: &str) {
        let value = self.own(value);
        let found = self
            .entries
            .iter()
            .position(|(key, _)| self.text(*key) == name);
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
            .map(|(key, value)| (self.text(*key), self.text(*value)))
    }

    /// The value of `name`, looked for behind the last one found first: senders keep their order.
    pub(crate) fn next(&self, place: &mut Place, name: &str) -> Option<&str> {
        let is_named = |(key, _): &(Span, Span)| is_same(self.bytes(*key), name.as_bytes());
        let first = self.entries.get(place.next).filter(|entry| is_named(entry));
        let value = match first {
            Some((_, value)) => value,
            None => {
                // What comes before are other fields, unless one was left out.
                let from = if place.has_gap { 0 } else { place.next };
                let rest = self.entries.get(from..).unwrap_or_default();
                let at = from + rest.iter().rposition(is_named)?;
                place.next = at;
                place.has_gap = true;
                &self.entries.get(at)?.1
            }
        };
        place.next += 1;
        Some(self.text(*value))
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
            Text::Wire { start, end } => Span { start, end },
            Text::Owned(text) => self.own(text),
        }
    }

    fn own(&mut self, text: &str) -> Span {
        let at = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let start = at(self.owned.len()) | OWNED;
        self.owned.push_str(text);
        Span {
            start,
            end: at(self.owned.len()),
        }
    }

    fn text(&self, span: Span) -> &str {
        let (buffer, range) = self.locate(span);
        buffer.get(range).unwrap_or_default()
    }

    /// As [`ExtFields::text`] for comparisons, which need not know that the ends are those of characters.
    fn bytes(&self, span: Span) -> &[u8] {
        let (buffer, range) = self.locate(span);
        buffer.as_bytes().get(range).unwrap_or_default()
    }

    /// The buffer that a piece of text is in, and where.
    fn locate(&self, span: Span) -> (&str, Range<usize>) {
        let buffer: &str = if span.start & OWNED == 0 {
            &self.wire
        } else {
            &self.owned
        };
        let start = span.start & !OWNED;
        (buffer, start as usize..span.end as usize)
    }
}

/// Names are too short for a call that compares many bytes at once.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one == other)
}

/// Where the codec found a piece of text.
#[derive(Clone, Copy)]
pub(crate) enum Text<'a> {
    /// At these bytes of the received header.
    Wire { start: u32, end: u32 },
    /// In a buffer that does not stay.
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
