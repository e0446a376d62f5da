// SPDX-License-Identifier: Apache-2.0
//! Pulls that wait for a message: parked as data, woken by the append that makes a message visible.
//!
//! No wake-up is lost: a pull is put into the table first, then the queue's watch flag is set and the queue's maximum
//! read again; an append that came before the flag shows in that maximum, one that comes later sees the flag. A
//! message that does not pass the filter leaves the pull where it is. Time-outs are looked for by [`LongPoll::expire`].

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Broker;
use super::processor::pull::HeldPull;
use crate::net::{Replies, Session};
use crate::store::{GetStatus, QueueHandle};

/// Key of a queue: the address of its handle, which the held pulls keep alive.
fn key(queue: &Arc<QueueHandle>) -> usize {
    Arc::as_ptr(queue).addr()
}

/// The table of held pulls by queue.
#[derive(Debug, Default)]
pub(super) struct LongPoll {
    held: Mutex<HashMap<usize, Vec<HeldPull>>>,
}

impl LongPoll {
    /// Parks a pull that found nothing, or answers it if a message came in the meantime.
    pub(super) fn park(&self, broker: &Broker, pull: HeldPull) {
        let mut waiting = Some(pull);
        while let Some(pull) = waiting {
            waiting = self.put(pull).and_then(|pull| look_again(broker, pull));
        }
    }

    /// Puts a pull into the table; gives it back if a message came in the meantime.
    fn put(&self, pull: HeldPull) -> Option<HeldPull> {
        let queue = Arc::clone(&pull.queue);
        let scanned = pull.scanned;
        let mut held = self.held.lock();
        let pulls = held.entry(key(&queue)).or_default();
        pulls.push(pull);
        if queue.watch() <= scanned {
            return None;
        }
        let pull = pulls.pop();
        if pulls.is_empty() {
            held.remove(&key(&queue));
            queue.unwatch();
        }
        pull
    }

    /// A message became visible in `queue`: answers the pulls that match.
    pub(super) fn arrived(&self, broker: &Broker, queue: &Arc<QueueHandle>) {
        let pulls = {
            let mut held = self.held.lock();
            queue.unwatch();
            held.remove(&key(queue)).unwrap_or_default()
        };
        for pull in pulls {
            if let Some(pull) = look_again(broker, pull) {
                self.park(broker, pull);
            }
        }
    }

    /// Answers the pulls whose time is up, found or not.
    pub(super) fn expire(&self, broker: &Broker, now_ms: i64) {
        let mut expired = Vec::new();
        {
            let mut held = self.held.lock();
            for pulls in held.values_mut() {
                expired.extend(pulls.extract_if(.., |pull| pull.deadline_ms <= now_ms));
            }
            held.retain(|_, pulls| !pulls.is_empty());
        }
        for pull in expired {
            send(broker, &pull, pull.read(broker));
        }
    }

    /// Drops the pulls of a connection that is gone.
    pub(super) fn forget(&self, session: &Arc<Session>) {
        self.held.lock().retain(|_, pulls| {
            pulls.retain(|pull| pull.session.id() != session.id());
            !pulls.is_empty()
        });
    }

    /// How many pulls wait.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.held.lock().values().map(Vec::len).sum()
    }
}

/// Answers a pull, or gives it back to wait on, behind what does not match.
fn look_again(broker: &Broker, mut pull: HeldPull) -> Option<HeldPull> {
    if pull.session.is_closed() {
        return None;
    }
    let result = pull.read(broker);
    if result.status == GetStatus::NoMatchedMessage && result.next_offset > pull.scanned {
        pull.scanned = result.next_offset;
        return Some(pull);
    }
    if pull.can_wait(&result) {
        return Some(pull);
    }
    send(broker, &pull, result);
    None
}

fn send(broker: &Broker, pull: &HeldPull, result: crate::store::GetResult) {
    let mut replies = Replies::new();
    pull.answer(broker, result, &mut replies);
    pull.session.send_frames(replies.take());
}
