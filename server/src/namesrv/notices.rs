// SPDX-License-Identifier: Apache-2.0
//! Notices to brokers that wait to be sent: the name server's logic leaves them here, whoever owns the sockets takes
//! them (`crate::embedded`).

use std::collections::VecDeque;

use parking_lot::Mutex;

use super::route_table::MinIdNotice;

/// Notices that wait at most; the oldest go first. Each is outdated by the next of its set anyway.
const MOST: usize = 1024;

type Listener = Box<dyn Fn() + Send + Sync>;

/// The outbox.
#[derive(Default)]
pub struct Notices {
    waiting: Mutex<VecDeque<MinIdNotice>>,
    listener: Mutex<Option<Listener>>,
}

impl Notices {
    /// Sets who is woken by new notices.
    pub fn listen(&self, listener: Listener) {
        *self.listener.lock() = Some(listener);
    }

    pub(super) fn add(&self, notices: impl IntoIterator<Item = MinIdNotice>) {
        let mut waiting = self.waiting.lock();
        waiting.extend(notices);
        let outdated = waiting.len().saturating_sub(MOST);
        drop(waiting.drain(..outdated));
        let is_empty = waiting.is_empty();
        drop(waiting);
        if !is_empty && let Some(wake) = self.listener.lock().as_ref() {
            wake();
        }
    }

    /// Takes what waits.
    pub fn take(&self) -> Vec<MinIdNotice> {
        self.waiting.lock().drain(..).collect()
    }
}

impl std::fmt::Debug for Notices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notices")
            .field("waiting", &self.waiting.lock().len())
            .finish_non_exhaustive()
    }
}
