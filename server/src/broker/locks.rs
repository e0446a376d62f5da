// SPDX-License-Identifier: Apache-2.0
//! Locks of queues for ordered consumption: one client of a group consumes a queue at a time.
//!
//! A lock lasts 60 s and is renewed by its owner; locks live in memory only. Facts: server.md 5.1.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};

use kerolox_protocol::body::queue::MessageQueue;
use parking_lot::Mutex;

/// How long a lock lasts without being renewed, milliseconds.
pub const LOCK_MS: i64 = 60_000;

#[derive(Debug)]
struct Lock {
    client_id: String,
    renewed_ms: i64,
}

impl Lock {
    fn is_expired(&self, now_ms: i64) -> bool {
        now_ms.saturating_sub(self.renewed_ms) > LOCK_MS
    }
}

/// Locks by group and queue.
#[derive(Debug, Default)]
pub struct QueueLocks {
    groups: Mutex<HashMap<String, HashMap<MessageQueue, Lock>>>,
    scanned_ms: AtomicI64,
}

impl QueueLocks {
    /// No locks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes or renews the locks that `client_id` can have and returns the queues that it holds now.
    pub fn lock(
        &self,
        group: &str,
        client_id: &str,
        queues: &[MessageQueue],
        now_ms: i64,
    ) -> Vec<MessageQueue> {
        let mut groups = self.groups.lock();
        let locks = groups.entry(group.to_owned()).or_default();
        let mut held = Vec::with_capacity(queues.len());
        for queue in queues {
            match locks.get_mut(queue) {
                Some(lock) if lock.client_id == client_id => lock.renewed_ms = now_ms,
                Some(lock) if !lock.is_expired(now_ms) => continue,
                _ => {
                    let lock = Lock {
                        client_id: client_id.to_owned(),
                        renewed_ms: now_ms,
                    };
                    locks.insert(queue.clone(), lock);
                }
            }
            held.push(queue.clone());
        }
        held
    }

    /// Gives back the locks that `client_id` holds among `queues`.
    pub fn unlock(&self, group: &str, client_id: &str, queues: &[MessageQueue]) {
        let mut groups = self.groups.lock();
        let Some(locks) = groups.get_mut(group) else {
            return;
        };
        for queue in queues {
            if locks
                .get(queue)
                .is_some_and(|lock| lock.client_id == client_id)
            {
                locks.remove(queue);
            }
        }
        if locks.is_empty() {
            groups.remove(group);
        }
    }

    /// Whether any queue of the group is locked: it consumes in order.
    pub fn is_group_locked(&self, group: &str, now_ms: i64) -> bool {
        let groups = self.groups.lock();
        groups
            .get(group)
            .is_some_and(|locks| locks.values().any(|lock| !lock.is_expired(now_ms)))
    }

    /// Forgets expired locks, once a minute. They count as free anyway; this bounds the memory.
    pub fn expire(&self, now_ms: i64) {
        let scanned_ms = self.scanned_ms.load(Ordering::Relaxed);
        if now_ms.saturating_sub(scanned_ms) < LOCK_MS {
            return;
        }
        self.scanned_ms.store(now_ms, Ordering::Relaxed);
        self.groups.lock().retain(|_, locks| {
            locks.retain(|_, lock| !lock.is_expired(now_ms));
            !locks.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_its_owners_until_it_expires() {
        let queue = |queue_id| MessageQueue {
            topic: "t".to_owned(),
            broker_name: "b".to_owned(),
            queue_id,
        };
        let locks = QueueLocks::new();
        let both = [queue(0), queue(1)];
        assert_eq!(locks.lock("g", "c1", &both[..1], 0), &both[..1]);
        assert_eq!(locks.lock("g", "c2", &both, 1), &both[1..]);
        assert_eq!(locks.lock("h", "c2", &both, 1), both, "groups are apart");
        locks.unlock("g", "c2", &both);
        assert_eq!(locks.lock("g", "c2", &both[..1], 2), []);
        assert_eq!(locks.lock("g", "c1", &both[..1], 30_000), &both[..1]);
        assert_eq!(locks.lock("g", "c2", &both[..1], 90_000), []);
        assert!(locks.is_group_locked("g", 90_000));
        assert_eq!(locks.lock("g", "c2", &both[..1], 90_001), &both[..1]);
        locks.expire(200_000);
        assert!(!locks.is_group_locked("g", 200_000));
    }
}
