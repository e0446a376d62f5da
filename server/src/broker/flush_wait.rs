// SPDX-License-Identifier: Apache-2.0
//! Sends that wait for the disk under SYNC_FLUSH: an acknowledgement is a promise.
//!
//! The store's thread flushes what many sends appended together and calls [`FlushWaiters::complete`]; a flush that is
//! later than `syncFlushTimeout` is answered FLUSH_DISK_TIMEOUT by [`FlushWaiters::expire`] (stored, weaker). A flush that
//! failed is not late: it is final, and those that wait for it are refused.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::Broker;
use super::processor::send::Ack;
use super::put_status::PutStatus;
use crate::config::FlushDiskType;
use crate::net::{Replies, Session};
use crate::store::AppendError;

#[derive(Debug)]
struct Waiting {
    session: Arc<Session>,
    end_offset: i64,
    deadline_ms: i64,
    acks: Vec<Ack>,
    /// Of the messages, in the commit log.
    bytes: usize,
}

/// Answers by the log offset that has to be flushed first.
#[derive(Debug, Default)]
pub(super) struct FlushWaiters {
    waiting: Mutex<VecDeque<Waiting>>,
    /// Bytes of all messages that wait.
    in_flight: AtomicUsize,
}

impl FlushWaiters {
    /// Parks answers until the log is flushed up to `end_offset`; `bytes` is how much of it is theirs.
    pub(super) fn park(
        &self,
        broker: &Broker,
        session: &Arc<Session>,
        end_offset: i64,
        bytes: usize,
        acks: Vec<Ack>,
    ) {
        let deadline_ms = broker.clock.now_ms() + broker.config.sync_flush_timeout;
        let session = Arc::clone(session);
        self.in_flight.fetch_add(bytes, Ordering::Relaxed);
        self.waiting.lock().push_back(Waiting {
            session,
            end_offset,
            deadline_ms,
            acks,
            bytes,
        });
        // The flush may have been quicker than this call.
        self.complete(broker, broker.store.flushed_offset());
    }

    /// Bytes of messages that are stored and not acknowledged.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The log is flushed up to `flushed`.
    pub(super) fn complete(&self, broker: &Broker, flushed: i64) {
        self.answer(broker, PutStatus::PutOk, None, |waiting| {
            waiting.end_offset <= flushed
        });
    }

    /// Answers those that waited too long; refuses all once the store can not flush any more.
    pub(super) fn expire(&self, broker: &Broker, now_ms: i64) {
        if broker.store.is_poisoned() {
            self.complete(broker, broker.store.flushed_offset());
            let remark = AppendError::Poisoned.to_string();
            let refused = PutStatus::ServiceNotAvailable;
            return self.answer(broker, refused, Some(&remark), |_| true);
        }
        self.answer(broker, PutStatus::FlushDiskTimeout, None, |waiting| {
            waiting.deadline_ms <= now_ms
        });
    }

    fn answer(
        &self,
        broker: &Broker,
        status: PutStatus,
        remark: Option<&str>,
        ready: impl Fn(&Waiting) -> bool,
    ) {
        let mut done = Vec::new();
        {
            // Connections append in turn, so the order is nearly that of the offsets; a few look-ups too many are cheap.
            let mut waiting = self.waiting.lock();
            let mut at = 0;
            while at < waiting.len() {
                if waiting.get(at).is_some_and(&ready) {
                    done.extend(waiting.remove(at));
                } else {
                    at += 1;
                }
            }
        }
        for waiting in done {
            self.in_flight.fetch_sub(waiting.bytes, Ordering::Relaxed);
            let mut replies = Replies::new();
            for ack in &waiting.acks {
                ack.write(broker, status, remark, &mut replies);
            }
            waiting.session.send_frames(replies.take());
        }
    }
}

impl Broker {
    /// Whether answers to sends wait for the disk.
    pub(super) fn waits_for_flush(&self) -> bool {
        self.config.flush_disk_type == FlushDiskType::Sync
    }
}
