// SPDX-License-Identifier: Apache-2.0
//! How many popped messages of a queue are neither acknowledged nor handed out again; only `enablePopMessageThreshold`
//! wants to know. In memory: after a restart counting begins anew.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::order_info::QueueOfGroup;
use crate::config::BrokerConfig;

/// Messages in flight by queue and group.
#[derive(Debug, Default)]
pub(super) struct InFlight(Mutex<HashMap<QueueOfGroup, usize>>);

impl InFlight {
    /// Whether a queue has to wait for acknowledgements.
    pub(super) fn is_full(&self, config: &BrokerConfig, queue: &QueueOfGroup) -> bool {
        config.enable_pop_message_threshold
            && self.0.lock().get(queue).copied().unwrap_or(0)
                > config.pop_inflight_message_threshold
    }

    pub(super) fn add(&self, config: &BrokerConfig, queue: &QueueOfGroup, count: usize) {
        if config.enable_pop_message_threshold {
            *self.0.lock().entry(queue.clone()).or_default() += count;
        }
    }

    /// Messages were acknowledged or handed out again.
    pub(super) fn remove(&self, config: &BrokerConfig, queue: &QueueOfGroup, count: usize) {
        if !config.enable_pop_message_threshold {
            return;
        }
        let mut counts = self.0.lock();
        if let Some(left) = counts.get_mut(queue) {
            *left = left.saturating_sub(count);
            if *left == 0 {
                counts.remove(queue);
            }
        }
    }

    pub(super) fn clear(&self, queue: &QueueOfGroup) {
        let mut counts = self.0.lock();
        if !counts.is_empty() {
            counts.remove(queue);
        }
    }
}
