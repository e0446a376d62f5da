// SPDX-License-Identifier: Apache-2.0
//! What a read may leave out, and the bits that are kept with a message for it.

use smallvec::SmallVec;

/// The bits of a message's unit: which filters it passed when it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBits {
    /// When the message was stored, milliseconds since the epoch.
    pub store_timestamp: i64,
    /// The bits; empty if none were calculated.
    pub bits: SmallVec<[u8; 32]>,
}

/// What a read asks of each message.
pub enum MessageFilter<'f> {
    /// By the tags code of its unit alone.
    TagsCode(&'f mut dyn FnMut(i64) -> bool),
    /// By its record.
    Record {
        /// Asked first if the queue has an extension: `false` leaves the record unread.
        bits: &'f mut dyn FnMut(&StoredBits) -> bool,
        /// Asked with the whole record.
        record: &'f mut dyn FnMut(&[u8]) -> bool,
    },
}

/// Calculates the bits of a message before it is stored.
pub trait BitSource: Send + Sync {
    /// The bits for a message of `topic` with these properties, a text in pieces; `None` if nothing filters the topic.
    fn bits(&self, topic: &str, properties: &[&[u8]]) -> Option<Box<[u8]>>;
}
