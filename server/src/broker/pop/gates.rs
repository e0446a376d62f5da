// SPDX-License-Identifier: Apache-2.0
//! One pop at a time reads a queue for a group.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;

use super::order_info::QueueOfGroup;

/// Milliseconds between two looks for gates that nobody uses.
const SCAN_MS: i64 = 60_000;

/// A lock for each queue of a group.
#[derive(Debug, Default)]
pub(super) struct Gates {
    gates: Mutex<HashMap<QueueOfGroup, Arc<Mutex<()>>>>,
    scanned_ms: AtomicI64,
}

impl Gates {
    /// The lock of a queue. Pops try it and go on elsewhere; acknowledgements wait for it.
    pub(super) fn gate(&self, queue: &QueueOfGroup) -> Arc<Mutex<()>> {
        let mut gates = self.gates.lock();
        match gates.get(queue) {
            Some(gate) => Arc::clone(gate),
            None => Arc::clone(gates.entry(queue.clone()).or_default()),
        }
    }

    /// Forgets gates that nobody holds, once a minute; this bounds the memory.
    pub(super) fn expire(&self, now_ms: i64) {
        let scanned_ms = self.scanned_ms.load(Ordering::Relaxed);
        if now_ms.saturating_sub(scanned_ms) < SCAN_MS {
            return;
        }
        self.scanned_ms.store(now_ms, Ordering::Relaxed);
        // Only this table hands out further references, and it is locked.
        self.gates
            .lock()
            .retain(|_, gate| Arc::strong_count(gate) > 1);
    }
}
