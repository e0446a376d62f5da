// SPDX-License-Identifier: Apache-2.0
//! Who waits for which response: opaque id -> waiter, and the deadlines.
//!
//! One timer serves a whole connection. It is set to the earliest deadline that was known when it last ran; a request
//! with an earlier one resets it. So a request costs no timer of its own.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Instant;

use kerolox_protocol::Command;
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};

/// Why a waiter gets no response.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// Its deadline passed.
    Timeout,
    /// The connection ended; the text says why.
    Lost(String),
    /// The peer does not speak the protocol; the text says in what.
    Protocol(String),
}

type Outcome = Result<Command, Failure>;

struct Waiter {
    sender: oneshot::Sender<Outcome>,
    since: Instant,
    deadline: Instant,
    _permit: OwnedSemaphorePermit,
}

/// Opaque ids are counted up, so mixing their bits is not needed.
#[derive(Default)]
struct OpaqueHasher(u64);

impl Hasher for OpaqueHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 << 8) | u64::from(*byte);
        }
    }

    fn write_i32(&mut self, opaque: i32) {
        // The table takes its buckets from the low bits and its tags from the high ones.
        self.0 = u64::from(opaque.cast_unsigned()).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

struct Table {
    waiters: HashMap<i32, Waiter, BuildHasherDefault<OpaqueHasher>>,
    next_opaque: i32,
    /// When the timer runs next, if it is set.
    next_check: Option<Instant>,
    /// Set once the connection has ended.
    ended: Option<Failure>,
}

/// The waiters of one connection.
pub(super) struct Waiters {
    table: Mutex<Table>,
    /// Wakes the timer for an earlier deadline.
    earlier: Notify,
}

impl Waiters {
    pub(super) fn new() -> Self {
        Self {
            table: Mutex::new(Table {
                waiters: HashMap::default(),
                next_opaque: 1,
                next_check: None,
                ended: None,
            }),
            earlier: Notify::new(),
        }
    }

    /// Registers a waiter under a fresh opaque id.
    pub(super) fn add(
        &self,
        deadline: Instant,
        permit: OwnedSemaphorePermit,
    ) -> Result<(i32, oneshot::Receiver<Outcome>), Failure> {
        let (sender, receiver) = oneshot::channel();
        let mut table = self.table.lock();
        if let Some(failure) = &table.ended {
            return Err(failure.clone());
        }
        let opaque = loop {
            let opaque = table.next_opaque;
            table.next_opaque = opaque.wrapping_add(1);
            if !table.waiters.contains_key(&opaque) {
                break opaque;
            }
        };
        let waiter = Waiter {
            sender,
            since: Instant::now(),
            deadline,
            _permit: permit,
        };
        table.waiters.insert(opaque, waiter);
        let is_earlier = table.next_check.is_none_or(|check| deadline < check);
        if is_earlier {
            table.next_check = Some(deadline);
        }
        drop(table);
        if is_earlier {
            self.earlier.notify_one();
        }
        Ok((opaque, receiver))
    }

    /// An opaque id for a command that nobody waits for.
    pub(super) fn opaque(&self) -> i32 {
        let mut table = self.table.lock();
        let opaque = table.next_opaque;
        table.next_opaque = opaque.wrapping_add(1);
        opaque
    }

    /// Hands responses to their waiters; those of nobody are dropped.
    pub(super) fn complete(&self, responses: &mut Vec<Command>) {
        let mut found = Vec::with_capacity(responses.len());
        {
            let mut table = self.table.lock();
            for response in responses.drain(..) {
                if let Some(waiter) = table.waiters.remove(&response.opaque) {
                    found.push((waiter, response));
                }
            }
        }
        for (waiter, response) in found {
            // The receiver may have been dropped: nobody waits any more.
            drop(waiter.sender.send(Ok(response)));
        }
    }

    /// Forgets a waiter whose caller has gone.
    pub(super) fn forget(&self, opaque: i32) {
        let waiter = self.table.lock().waiters.remove(&opaque);
        drop(waiter);
    }

    /// Number of outstanding requests.
    pub(super) fn len(&self) -> usize {
        self.table.lock().waiters.len()
    }

    /// Fails every waiter, now and from now on.
    pub(super) fn end(&self, failure: Failure) {
        let waiters = {
            let mut table = self.table.lock();
            if table.ended.is_some() {
                return;
            }
            table.ended = Some(failure.clone());
            std::mem::take(&mut table.waiters)
        };
        for waiter in waiters.into_values() {
            drop(waiter.sender.send(Err(failure.clone())));
        }
    }

    /// Waits for deadlines and fails the waiters that they belong to. `on_expired` learns when the oldest of them was
    /// registered. Never returns.
    pub(super) async fn watch_deadlines(&self, on_expired: impl Fn(Instant)) {
        loop {
            let check = self.table.lock().next_check;
            let earlier = self.earlier.notified();
            match check {
                None => earlier.await,
                Some(check) => {
                    tokio::select! {
                        () = earlier => {}
                        () = tokio::time::sleep_until(check.into()) => {
                            if let Some(since) = self.expire(Instant::now()) {
                                on_expired(since);
                            }
                        }
                    }
                }
            }
        }
    }

    fn expire(&self, now: Instant) -> Option<Instant> {
        let expired: Vec<Waiter> = {
            let mut table = self.table.lock();
            let expired = table.waiters.extract_if(|_, waiter| waiter.deadline <= now);
            let expired: Vec<Waiter> = expired.map(|(_, waiter)| waiter).collect();
            table.next_check = table.waiters.values().map(|waiter| waiter.deadline).min();
            expired
        };
        let oldest = expired.iter().map(|waiter| waiter.since).min();
        for waiter in expired {
            drop(waiter.sender.send(Err(Failure::Timeout)));
        }
        oldest
    }
}
