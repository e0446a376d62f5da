// SPDX-License-Identifier: Apache-2.0
//! Giving queues up so that their next owner neither misses nor repeats a message.
//!
//! The order is what matters: stop handing out; drop what was not handed out; wait, for a while, until what is out has
//! been completed; store the offset and have the broker confirm it; only then unlock the queue. The next owner, if it
//! is one of ours, begins when it gets the lock, and reads that offset.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::process_queue::ProcessQueue;
use super::{Assigned, Inner};
use crate::error::Result;
use crate::instance::MASTER;
use crate::message::Queue;

/// A member that wants a queue waits this much longer than the one that has it may hold it.
const GRACE: Duration = Duration::from_secs(2);

impl Inner {
    fn handover_wait(&self) -> Duration {
        Duration::from_millis(self.options.handover_wait_ms)
    }

    pub(super) fn uses_locks(&self) -> bool {
        self.options.lock_queues && self.is_clustering()
    }

    /// Gives one queue up, in the background.
    pub(super) fn give_up(self: &Arc<Self>, queue: &Queue) {
        let Some(leaving) = self.start_leaving(queue) else {
            return;
        };
        let inner = Arc::clone(self);
        self.spawn_errand(async move {
            let is_settled = tokio::time::timeout(inner.handover_wait(), leaving.settled())
                .await
                .is_ok();
            inner.finish_leaving(&[leaving], is_settled).await;
            inner.changed.notify_one();
        });
    }

    /// Gives every queue up and waits until that is done.
    pub(super) async fn give_up_all(&self, wait: Duration) {
        let assigned: Vec<Queue> = self.queues.lock().keys().cloned().collect();
        for queue in &assigned {
            self.start_leaving(queue);
        }
        let leaving: Vec<Arc<ProcessQueue>> = self.leaving.lock().values().cloned().collect();
        let all_settled = async {
            for queue in &leaving {
                queue.settled().await;
            }
        };
        let are_settled = tokio::time::timeout(wait, all_settled).await.is_ok();
        self.finish_leaving(&leaving, are_settled).await;
    }

    fn start_leaving(&self, queue: &Queue) -> Option<Arc<ProcessQueue>> {
        let Assigned {
            queue: leaving,
            puller,
        } = self.queues.lock().remove(queue)?;
        leaving.leave();
        puller.abort();
        self.forget_deliveries(&leaving);
        self.leaving
            .lock()
            .insert(queue.clone(), Arc::clone(&leaving));
        Some(leaving)
    }

    async fn finish_leaving(&self, leaving: &[Arc<ProcessQueue>], are_settled: bool) {
        if !are_settled {
            tracing::warn!(
                group = self.group(),
                "queues are given up with deliveries outstanding"
            );
        }
        {
            let _storing = self.storing.lock().await;
            for queue in leaving {
                if let Some(offset) = queue.commit_offset()
                    && let Err(error) = self.store_surely(&queue.queue, offset).await
                {
                    let group = self.group();
                    tracing::warn!(group, queue = %queue.queue, offset, %error, "offset not stored");
                }
                queue.drop_all();
            }
        }
        let queues: Vec<Queue> = leaving.iter().map(|queue| queue.queue.clone()).collect();
        self.unlock(&queues).await;
        let mut table = self.leaving.lock();
        for queue in &queues {
            table.remove(queue);
        }
    }

    async fn store_surely(&self, queue: &Queue, offset: i64) -> Result<()> {
        let offsets = [(queue.clone(), offset)];
        if self.offsets.store(&offsets, true).await.is_ok() {
            return Ok(());
        }
        self.offsets.store(&offsets, true).await
    }

    /// Begins a queue anew at another offset: the broker says that the old one is outside, or an administrator moves it.
    pub(super) async fn move_offset(self: Arc<Self>, queue: &Queue, offset: i64) {
        let Some(leaving) = self.start_leaving(queue) else {
            return;
        };
        {
            let _storing = self.storing.lock().await;
            leaving.drop_all();
            if let Err(error) = self.store_surely(queue, offset).await {
                tracing::warn!(group = self.group(), %queue, offset, %error, "offset not stored");
            }
        }
        self.leaving.lock().remove(queue);
        self.changed.notify_one();
    }

    /// Locks what this member wants to begin to read. The queues that may be read: those that are locked now, those that
    /// are not guarded by locks, and those that another member has kept for too long. The only member of a group waits
    /// for nobody: a lock that it does not get was left behind by a member that died.
    pub(super) async fn lock(&self, wanted: Vec<Queue>, is_alone: bool) -> Vec<Queue> {
        if !self.uses_locks() {
            return wanted;
        }
        let mut granted = Vec::new();
        for (broker_name, queues) in by_broker(&wanted) {
            let Some(address) = self.instance.broker_address(&broker_name, MASTER, false) else {
                continue;
            };
            match self
                .instance
                .lock_queues(&address, self.group(), &queues)
                .await
            {
                Ok(locked) => {
                    granted.extend(queues.into_iter().filter(|queue| locked.contains(queue)));
                }
                Err(error) if error.broker_code().is_some() => {
                    tracing::debug!(group = self.group(), broker_name, %error, "no locks there");
                    granted.extend(queues);
                }
                Err(error) => {
                    tracing::warn!(group = self.group(), broker_name, %error, "no answer about locks");
                }
            }
        }
        let mut refused = self.refused.lock();
        if is_alone {
            refused.clear();
            return wanted;
        }
        refused.retain(|queue, _| wanted.contains(queue) && !granted.contains(queue));
        for queue in wanted {
            if granted.contains(&queue) {
                continue;
            }
            let since = *refused.entry(queue.clone()).or_insert_with(Instant::now);
            if since.elapsed() >= self.handover_wait() + GRACE {
                tracing::warn!(group = self.group(), %queue, "taken although another member holds its lock");
                refused.remove(&queue);
                granted.push(queue);
            }
        }
        granted
    }

    /// How long the first queue has been waited for that another member holds.
    pub(super) fn refused_for(&self) -> Option<Duration> {
        self.refused.lock().values().map(Instant::elapsed).max()
    }

    /// Renews the locks of what is read.
    pub(super) async fn renew_locks(&self) {
        if !self.uses_locks() {
            return;
        }
        let held: Vec<Queue> = self.queues.lock().keys().cloned().collect();
        for (broker_name, queues) in by_broker(&held) {
            let Some(address) = self.instance.broker_address(&broker_name, MASTER, false) else {
                continue;
            };
            if let Err(error) = self
                .instance
                .lock_queues(&address, self.group(), &queues)
                .await
            {
                tracing::debug!(group = self.group(), broker_name, %error, "locks not renewed");
            }
        }
    }

    async fn unlock(&self, queues: &[Queue]) {
        if !self.uses_locks() {
            return;
        }
        for (broker_name, queues) in by_broker(queues) {
            let Some(address) = self.instance.broker_address(&broker_name, MASTER, false) else {
                continue;
            };
            if let Err(error) = self
                .instance
                .unlock_queues(&address, self.group(), &queues)
                .await
            {
                tracing::debug!(group = self.group(), broker_name, %error, "not unlocked");
            }
        }
    }

    /// Moves offsets as an administrator says.
    pub(super) fn move_offsets(self: &Arc<Self>, offsets: BTreeMap<Queue, i64>) {
        for (queue, offset) in offsets {
            let inner = Arc::clone(self);
            self.spawn_errand(async move { inner.move_offset(&queue, offset).await });
        }
    }
}

fn by_broker(queues: &[Queue]) -> HashMap<String, Vec<Queue>> {
    let mut grouped: HashMap<String, Vec<Queue>> = HashMap::new();
    for queue in queues {
        grouped
            .entry(queue.broker_name.clone())
            .or_default()
            .push(queue.clone());
    }
    grouped
}
