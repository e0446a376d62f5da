// SPDX-License-Identifier: Apache-2.0
//! Subscriptions that came with pulls instead of heartbeats: of pull consumers, and of consumers behind a proxy.
//!
//! Administrators ask for them, and the next pull need not parse its expression again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use kerolox_protocol::body::heartbeat::SubscriptionData;
use parking_lot::RwLock;

#[derive(Debug)]
struct Pulled {
    data: Arc<SubscriptionData>,
    seen_ms: AtomicI64,
}

/// By group and topic; forgotten when no pull came for `subscriptionExpiredTimeout`.
#[derive(Debug, Default)]
pub(super) struct PulledSubscriptions(RwLock<HashMap<String, HashMap<String, Pulled>>>);

impl PulledSubscriptions {
    pub(super) fn get(&self, group: &str, topic: &str) -> Option<Arc<SubscriptionData>> {
        let groups = self.0.read();
        let pulled = groups.get(group)?.get(topic)?;
        Some(Arc::clone(&pulled.data))
    }

    /// The subscription if the last pull had the same expression.
    pub(super) fn again(
        &self,
        group: &str,
        topic: &str,
        expression: &str,
        kind: &str,
        now_ms: i64,
    ) -> Option<Arc<SubscriptionData>> {
        let groups = self.0.read();
        let pulled = groups.get(group)?.get(topic)?;
        if pulled.data.sub_string != expression || pulled.data.expression_type != kind {
            return None;
        }
        pulled.seen_ms.store(now_ms, Ordering::Relaxed);
        Some(Arc::clone(&pulled.data))
    }

    pub(super) fn insert(&self, group: &str, data: &Arc<SubscriptionData>, now_ms: i64) {
        let pulled = Pulled {
            data: Arc::clone(data),
            seen_ms: AtomicI64::new(now_ms),
        };
        let mut groups = self.0.write();
        let topics = groups.entry(group.to_owned()).or_default();
        topics.insert(data.topic.clone(), pulled);
    }

    pub(super) fn expire(&self, now_ms: i64, after_ms: i64) {
        self.0.write().retain(|_, topics| {
            topics.retain(|_, pulled| {
                now_ms.saturating_sub(pulled.seen_ms.load(Ordering::Relaxed)) <= after_ms
            });
            !topics.is_empty()
        });
    }
}
