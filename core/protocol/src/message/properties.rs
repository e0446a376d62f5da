// SPDX-License-Identifier: Apache-2.0
//! Message properties and their text form (wire.md 5.4).
//!
//! The text is `name U+0001 value U+0002` repeated; nothing is escaped, the last U+0002 may be missing. A reader drops
//! items shorter than three characters and items with an empty name or value; of duplicates the last one wins.
//! [`scan`] and [`find`] work on the text without allocating.

use crate::find::{either, one};

/// Between a name and its value.
pub const NAME_VALUE_SEPARATOR: char = '\u{1}';
/// After each value.
pub const ITEM_SEPARATOR: char = '\u{2}';
/// Longest properties text of a record, in bytes (its length is an i16).
pub const MAX_TEXT_BYTES: usize = 32_767;

/// Properties in the order they were set; names are unique.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties(Vec<(String, String)>);

impl Properties {
    /// No properties.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Reads the text form; never fails, malformed items are dropped as the reference drops them.
    pub fn from_text(text: &str) -> Self {
        let mut properties = Self::new();
        for (name, value) in scan(text) {
            properties.set(name, value);
        }
        properties
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Sets `name`, replacing an earlier value in place.
    pub fn set(&mut self, name: impl Into<String> + AsRef<str>, value: impl Into<String>) {
        match self.0.iter_mut().find(|(key, _)| key == name.as_ref()) {
            Some((_, old)) => *old = value.into(),
            None => self.0.push((name.into(), value.into())),
        }
    }

    /// Removes `name` and returns its value.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(key, _)| key == name)?;
        Some(self.0.remove(at).1)
    }

    /// Name and value of each property.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Number of properties.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text form. Empty names and values are left out: no reader would keep them.
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(self.text_len());
        self.append_to(&mut text);
        text
    }

    /// Appends the text form to `text`.
    pub fn append_to(&self, text: &mut String) {
        for (name, value) in &self.0 {
            append_item(text, name, value);
        }
    }

    /// Length of the text form in bytes.
    pub fn text_len(&self) -> usize {
        let kept = self
            .0
            .iter()
            .filter(|(name, value)| !name.is_empty() && !value.is_empty());
        kept.map(|(name, value)| name.len() + value.len() + 2).sum()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Properties {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(items: I) -> Self {
        let mut properties = Self::new();
        for (name, value) in items {
            properties.set(name.into(), value);
        }
        properties
    }
}

/// Appends one item to a text form; empty names and values are left out.
pub fn append_item(text: &mut String, name: &str, value: &str) {
    if name.is_empty() || value.is_empty() {
        return;
    }
    text.push_str(name);
    text.push(NAME_VALUE_SEPARATOR);
    text.push_str(value);
    text.push(ITEM_SEPARATOR);
}

/// Whether `text` can be a name or value: not empty and without the two separators.
pub fn is_legal(text: &str) -> bool {
    !text.is_empty() && memchr::memchr2(1, 2, text.as_bytes()).is_none()
}

/// A properties text: `&str`, or the `&[u8]` of a foreign writer that should be UTF-8.
pub trait Text: Copy + Default + PartialEq + AsRef<[u8]> {
    /// The text before and after the separator at `at`.
    fn cut(self, at: usize) -> (Self, Self);
}

impl Text for &str {
    fn cut(self, at: usize) -> (Self, Self) {
        // Separators are single bytes below 0x80, so both sides are valid text.
        let after = self.get(at + 1..).unwrap_or_default();
        (self.get(..at).unwrap_or(self), after)
    }
}

impl Text for &[u8] {
    fn cut(self, at: usize) -> (Self, Self) {
        let after = self.get(at + 1..).unwrap_or_default();
        (self.get(..at).unwrap_or(self), after)
    }
}

/// Name and value of each well-formed item of a text form, in order, duplicates included; allocates nothing.
pub fn scan<T: Text>(text: T) -> Scan<T> {
    Scan { rest: text }
}

/// The value of `name` in a text form (the last one of duplicates); allocates nothing.
pub fn find<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    scan(text)
        .filter(|(key, _)| *key == name)
        .last()
        .map(|(_, value)| value)
}

/// Iterator of [`scan`].
#[derive(Clone, Debug)]
pub struct Scan<T> {
    rest: T,
}

impl<T: Text> Iterator for Scan<T> {
    type Item = (T, T);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        // An item may have no name; one without a value ends where its name does.
        while !self.rest.as_ref().is_empty()
            && let Some(at) = either::<1, 2>(self.rest.as_ref())
        {
            let is_item = self.rest.as_ref().get(at) == Some(&1);
            let (name, rest) = self.rest.cut(at);
            self.rest = rest;
            if !is_item {
                continue;
            }
            let end = one::<2>(rest.as_ref());
            let (value, rest) = rest.cut(end.unwrap_or(rest.as_ref().len()));
            self.rest = rest;
            if !name.as_ref().is_empty() && !value.as_ref().is_empty() {
                return Some((name, value));
            }
        }
        self.rest = T::default();
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn malformed_items_are_dropped() {
        let text = "A\u{1}1\u{2}B\u{1}\u{2}\u{1}x\u{2}junk\u{2}\u{2}C\u{1}2\u{1}3\u{2}A\u{1}4";
        let items: Vec<_> = scan(text).collect();
        assert_eq!(items, [("A", "1"), ("C", "2\u{1}3"), ("A", "4")]);
        assert_eq!(find(text, "A"), Some("4"));
        assert_eq!(find(text, "B"), None);
        let properties = Properties::from_text(text);
        assert_eq!(
            properties.iter().collect::<Vec<_>>(),
            [("A", "4"), ("C", "2\u{1}3")]
        );
    }

    #[test]
    fn set_replaces_and_remove_returns() {
        let mut properties = Properties::from_iter([("K", "v"), ("L", "w")]);
        properties.set("K", "x");
        assert_eq!(properties.to_text(), "K\u{1}x\u{2}L\u{1}w\u{2}");
        assert_eq!(properties.remove("K").as_deref(), Some("x"));
        assert_eq!(properties.remove("K"), None);
    }

    proptest! {
        #[test]
        fn text_round_trips(items in proptest::collection::vec(("[^\u{1}\u{2}]{1,9}", "[^\u{1}\u{2}]{1,20}"), 0..9)) {
            let properties = Properties::from_iter(items);
            let text = properties.to_text();
            prop_assert_eq!(text.len(), properties.text_len());
            prop_assert_eq!(&Properties::from_text(&text), &properties);
            for (name, value) in properties.iter() {
                prop_assert_eq!(find(&text, name), Some(value));
            }
        }

        #[test]
        fn items_are_what_splitting_the_text_gives(text in "[A-C\u{1}\u{2}\u{E9}]{0,60}") {
            let items = text.split('\u{2}').filter_map(|item| item.split_once('\u{1}'));
            let items: Vec<_> = items.filter(|(name, value)| !name.is_empty() && !value.is_empty()).collect();
            prop_assert_eq!(scan(text.as_str()).collect::<Vec<_>>(), &items[..]);
            let bytes = items.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
            prop_assert_eq!(scan(text.as_bytes()).collect::<Vec<_>>(), bytes.collect::<Vec<_>>());
        }

        #[test]
        fn any_text_is_read(text in ".*") {
            drop(Properties::from_text(&text));
        }
    }
}
