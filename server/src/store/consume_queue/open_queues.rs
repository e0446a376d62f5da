// SPDX-License-Identifier: Apache-2.0
//! How many queues have mapped files at a time: a store may have more queues than a process may have files.
//!
//! A queue maps its files when it is used and is then listed here. When there are too many, one that was not used lately is
//! closed; its next use maps it again.

use std::collections::VecDeque;
use std::sync::Weak;

use parking_lot::Mutex;

use super::QueueHandle;

/// The queues with mapped files, oldest first.
pub(crate) struct OpenQueues {
    limit: usize,
    list: Mutex<VecDeque<Weak<QueueHandle>>>,
}

impl OpenQueues {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            list: Mutex::default(),
        }
    }

    /// Lists a queue that has just mapped a file, and closes others if there are too many.
    ///
    /// Called with or without the queue's writer locked: the writers of others are only tried.
    pub(super) fn add(&self, queue: Weak<QueueHandle>) {
        let mut list = self.list.lock();
        list.push_back(queue);
        // One round in which those used lately are spared, one in which they are not.
        let mut attempts = 2 * list.len();
        while list.len() > self.limit && attempts > 0 {
            attempts -= 1;
            let Some(oldest) = list.pop_front() else {
                return;
            };
            let Some(queue) = oldest.upgrade() else {
                continue;
            };
            let is_spared = queue.files.take_used() && attempts > list.len();
            if is_spared || !queue.close() {
                list.push_back(oldest);
            }
        }
    }
}
