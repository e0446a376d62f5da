// SPDX-License-Identifier: Apache-2.0
//! Which queues this member reads: computed anew when members or routes change, and every 20 s.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kerolox_protocol::message::name;

use super::super::allocate;
use super::super::process_queue::ProcessQueue;
use super::{Assigned, Inner};
use crate::error::Result;
use crate::instance::BACKGROUND_TIMEOUT;
use crate::message::Queue;
use crate::runtime;

/// Period without a change.
const PERIOD: Duration = Duration::from_secs(20);
/// Period while something is missing: a route, or this member in the broker's list.
const UNBALANCED_PERIOD: Duration = Duration::from_secs(1);
/// Period while another member still holds a queue; longer once it has held it for a while.
const LOCKED_PERIOD: Duration = Duration::from_millis(50);
const LONG_LOCKED_PERIOD: Duration = Duration::from_millis(250);

/// What this member shall read of a topic.
struct Share {
    queues: Vec<Queue>,
    /// The group has no other member.
    is_alone: bool,
}

impl Inner {
    pub(super) async fn rebalance_loop(self: Arc<Self>) {
        let mut renewed = Instant::now();
        loop {
            let is_balanced = self.rebalance().await;
            if renewed.elapsed() >= PERIOD {
                self.renew_locks().await;
                renewed = Instant::now();
            }
            let period = match self.refused_for() {
                Some(waited) if waited < Duration::from_secs(1) => LOCKED_PERIOD,
                Some(_) => LONG_LOCKED_PERIOD,
                None if is_balanced => PERIOD,
                None => UNBALANCED_PERIOD,
            };
            // Either way the next round is due; the timer is not needed any more.
            drop(tokio::time::timeout(period, self.changed.notified()).await);
        }
    }

    /// One round over all topics; `false` if something was missing.
    async fn rebalance(self: &Arc<Self>) -> bool {
        let mut is_balanced = true;
        let mut is_alone = true;
        let mut wanted_anew = Vec::new();
        for topic in self.subscriptions.keys() {
            match self.share(topic).await {
                Ok(Some(share)) => {
                    is_alone &= share.is_alone;
                    wanted_anew.extend(self.apply(topic, &share.queues));
                }
                Ok(None) => is_balanced = false,
                Err(error) => {
                    tracing::warn!(group = self.group(), topic, %error, "not rebalanced");
                    is_balanced = false;
                }
            }
        }
        if wanted_anew.is_empty() {
            self.refused.lock().clear();
            return is_balanced;
        }
        for queue in self.lock(wanted_anew, is_alone).await {
            self.take(queue);
        }
        is_balanced
    }

    /// This member's share of a topic; `None` if that can not be said now, and everything stays as it is.
    async fn share(&self, topic: &str) -> Result<Option<Share>> {
        let known = self
            .instance
            .known_route(topic)
            .filter(|route| !route.is_default);
        let route = match known {
            Some(route) => route,
            None => {
                if self
                    .instance
                    .fetch_route(topic, BACKGROUND_TIMEOUT)
                    .await?
                    .is_none()
                {
                    // A retry topic appears with the first heartbeat; nothing waits for it.
                    let nothing = Share {
                        queues: Vec::new(),
                        is_alone: true,
                    };
                    return Ok(name::is_retry_topic(topic).then_some(nothing));
                }
                // A broker that was not known before has not heard of this member.
                self.instance.heartbeat().await;
                match self.instance.known_route(topic) {
                    Some(route) => route,
                    None => return Ok(None),
                }
            }
        };
        let mut queues = route.subscribe.clone();
        queues.sort_unstable();
        if !self.is_clustering() {
            return Ok(Some(Share {
                queues,
                is_alone: true,
            }));
        }
        let Some(address) = route.any_address() else {
            return Ok(None);
        };
        let Some(members) = self.instance.group_members(address, self.group()).await? else {
            self.instance.heartbeat_to(address).await?;
            return Ok(None);
        };
        let me = self.instance.client_id();
        if !members.iter().any(|member| member == me) {
            self.instance.heartbeat_to(address).await?;
            return Ok(None);
        }
        let queues = allocate::averagely(&queues, &members, me);
        Ok(Some(Share {
            queues,
            is_alone: members.len() == 1,
        }))
    }

    /// Gives up what is not this member's share of a topic any more; what it has to begin to read.
    fn apply(self: &Arc<Self>, topic: &str, wanted: &[Queue]) -> Vec<Queue> {
        let held: Vec<Queue> = self
            .queues
            .lock()
            .keys()
            .filter(|queue| queue.topic == topic)
            .cloned()
            .collect();
        for queue in held.iter().filter(|queue| !wanted.contains(queue)) {
            tracing::info!(group = self.group(), %queue, "queue given up");
            self.give_up(queue);
        }
        let leaving = self.leaving.lock();
        wanted
            .iter()
            .filter(|queue| !held.contains(queue) && !leaving.contains_key(queue))
            .cloned()
            .collect()
    }

    /// Begins to read a queue.
    fn take(self: &Arc<Self>, queue: Queue) {
        let Ok(handle) = runtime::handle() else {
            return;
        };
        if !self.is_running() {
            return;
        }
        tracing::info!(group = self.group(), %queue, "queue taken");
        let process_queue = Arc::new(ProcessQueue::new(queue.clone()));
        let (inner, reading) = (Arc::clone(self), Arc::clone(&process_queue));
        let puller = handle.spawn(async move { inner.pull_loop(reading).await });
        self.queues.lock().insert(
            queue,
            Assigned {
                queue: process_queue,
                puller,
            },
        );
    }
}
