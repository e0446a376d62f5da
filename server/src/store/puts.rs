// SPDX-License-Identifier: Apache-2.0
//! How much was appended since the start: counted under locks that appends hold anyway, read without them.

use std::sync::atomic::{AtomicU64, Ordering};

/// What was appended to a queue, or to the whole log, since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Puts {
    /// Messages.
    pub messages: u64,
    /// Bytes of their records.
    pub bytes: u64,
    /// Sends that they came with: a batch of messages is one.
    pub calls: u64,
}

impl Puts {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            messages: self.messages + other.messages,
            bytes: self.bytes + other.bytes,
            calls: self.calls + other.calls,
        }
    }
}

/// The counters behind [`Puts`].
#[derive(Debug, Default)]
pub(crate) struct PutCounters {
    messages: AtomicU64,
    bytes: AtomicU64,
    calls: AtomicU64,
}

impl PutCounters {
    /// Counts messages and the sends that they came with. The caller holds the lock of whoever writes, so plain loads and
    /// stores suffice.
    pub(crate) fn add(&self, puts: Puts) {
        let add = |counter: &AtomicU64, more: u64| {
            let sum = counter.load(Ordering::Relaxed).wrapping_add(more);
            counter.store(sum, Ordering::Relaxed);
        };
        add(&self.messages, puts.messages);
        add(&self.bytes, puts.bytes);
        add(&self.calls, puts.calls);
    }

    pub(crate) fn read(&self) -> Puts {
        Puts {
            messages: self.messages.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            calls: self.calls.load(Ordering::Relaxed),
        }
    }
}
