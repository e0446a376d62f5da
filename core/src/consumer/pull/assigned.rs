// SPDX-License-Identifier: Apache-2.0
//! The queues that are assigned: taking from them, moving in them, committing their positions.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kerolox_protocol::body::heartbeat::SubscriptionData;

use super::super::process_queue::ProcessQueue;
use super::{Assigned, CLOSED, CLOSING, Inner, RUNNING, not_assigned};
use crate::error::{Error, Result};
use crate::message::{Queue, ReceivedMessage};
use crate::runtime;

impl Inner {
    pub(super) fn assign(this: &Arc<Self>, wanted: Vec<Queue>) {
        let mut queues = this.queues.lock();
        let dropped: Vec<Assigned> = queues
            .extract_if(|queue, _| !wanted.contains(queue))
            .map(|(_, assigned)| assigned)
            .collect();
        for queue in wanted {
            queues
                .entry(queue)
                .or_insert_with_key(|queue| Self::read(this, queue, None));
        }
        drop(queues);
        let mut positions = Vec::new();
        for Assigned { queue, reader } in dropped {
            reader.abort();
            positions.extend(
                queue
                    .uncommitted()
                    .map(|offset| (Arc::clone(&queue), offset)),
            );
            queue.leave();
            this.ready
                .lock()
                .retain(|listed| !Arc::ptr_eq(listed, &queue));
        }
        let is_committed = this.options.auto_commit && !positions.is_empty();
        let inner = Arc::clone(this);
        this.spawn_errand(async move {
            if is_committed {
                inner.commit_quietly(positions).await;
            }
            inner.instance.heartbeat().await;
        });
    }

    pub(super) fn seek(this: &Arc<Self>, queue: &Queue, offset: i64) -> Result<()> {
        let mut queues = this.queues.lock();
        let Some(assigned) = queues.get_mut(queue) else {
            return Err(not_assigned("seek", queue));
        };
        let before = std::mem::replace(assigned, Self::read(this, queue, Some(offset)));
        before.reader.abort();
        before.queue.drop_all();
        this.ready
            .lock()
            .retain(|listed| !Arc::ptr_eq(listed, &before.queue));
        Ok(())
    }

    /// Begins to read a queue, at the given or at its stored offset.
    pub(super) fn read(this: &Arc<Self>, queue: &Queue, at: Option<i64>) -> Assigned {
        let process_queue = Arc::new(ProcessQueue::new(queue.clone()));
        if let Some(offset) = at {
            process_queue.begin(offset, false);
        }
        let filter = this.filters.lock().get(&queue.topic).cloned();
        let filter =
            filter.unwrap_or_else(|| SubscriptionData::tags(&queue.topic, "*", this.started_ms));
        let (inner, reading) = (Arc::clone(this), Arc::clone(&process_queue));
        let reader = match runtime::handle() {
            Ok(handle) => handle.spawn(async move { inner.read_loop(reading, filter).await }),
            // The runtime is up: the instance runs on it.
            Err(_unreachable) => tokio::spawn(async {}),
        };
        Assigned {
            queue: process_queue,
            reader,
        }
    }

    pub(super) fn try_poll(this: &Arc<Self>, max: usize) -> Result<Vec<ReceivedMessage>> {
        if let Some(error) = this.failure.lock().take() {
            return Err(error.in_operation("poll"));
        }
        if this.options.auto_commit && this.is_commit_due() {
            let positions = this.positions();
            let inner = Arc::clone(this);
            this.spawn_errand(async move { inner.commit_quietly(positions).await });
        }
        let mut taken = Vec::new();
        while taken.len() < max {
            let Some(queue) = this.ready.lock().pop_front() else {
                break;
            };
            let before = taken.len();
            let has_more = queue.take(max - before, &mut taken);
            for (offset, _) in taken.iter().skip(before) {
                queue.complete(*offset);
            }
            if has_more {
                this.ready.lock().push_back(queue);
            }
        }
        if !taken.is_empty() && !this.ready.lock().is_empty() {
            // Another poll may be waiting.
            this.arrived.notify_one();
        }
        Ok(taken.into_iter().map(|(_, message)| message).collect())
    }

    pub(super) fn list(&self, queue: &Arc<ProcessQueue>) {
        self.ready.lock().push_back(Arc::clone(queue));
        self.arrived.notify_one();
    }

    pub(super) fn fail(&self, error: Error) {
        *self.failure.lock() = Some(error);
        self.arrived.notify_one();
    }

    pub(super) fn is_commit_due(&self) -> bool {
        let mut committed_at = self.committed_at.lock();
        let interval = Duration::from_millis(self.options.auto_commit_interval_ms);
        if committed_at.elapsed() < interval {
            return false;
        }
        *committed_at = Instant::now();
        true
    }

    pub(super) fn positions(&self) -> Vec<(Arc<ProcessQueue>, i64)> {
        let queues = self.queues.lock();
        let changed = queues.values().filter_map(|assigned| {
            Some((Arc::clone(&assigned.queue), assigned.queue.uncommitted()?))
        });
        changed.collect()
    }

    pub(super) async fn commit(&self, positions: Vec<(Arc<ProcessQueue>, i64)>) -> Result<()> {
        let _storing = self.storing.lock().await;
        for (queue, offset) in positions {
            self.instance
                .store_offset(&self.options.group, &queue.queue, offset, true)
                .await?;
            queue.set_committed(offset);
        }
        Ok(())
    }

    pub(super) async fn commit_quietly(&self, positions: Vec<(Arc<ProcessQueue>, i64)>) {
        if let Err(error) = self.commit(positions).await {
            tracing::warn!(group = self.options.group, %error, "positions not stored");
        }
    }

    pub(super) async fn close(&self) {
        let first =
            self.state
                .compare_exchange(RUNNING, CLOSING, Ordering::AcqRel, Ordering::Acquire);
        if first.is_err() {
            loop {
                let closed = self.closed.notified();
                if self.state.load(Ordering::Acquire) == CLOSED {
                    return;
                }
                closed.await;
            }
        }
        self.arrived.notify_waiters();
        let mut errands = std::mem::take(&mut *self.errands.lock());
        if self.options.auto_commit {
            self.commit_quietly(self.positions()).await;
        }
        errands.shutdown().await;
        let queues = std::mem::take(&mut *self.queues.lock());
        for Assigned { queue, reader } in queues.into_values() {
            reader.abort();
            queue.drop_all();
        }
        self.instance.leave(None, Some(&self.options.group)).await;
        self.instance.release().await;
        self.state.store(CLOSED, Ordering::Release);
        self.closed.notify_waiters();
    }

    /// Runs something that [`Inner::close`] will not leave behind.
    pub(super) fn spawn_errand(&self, errand: impl Future<Output = ()> + Send + 'static) {
        let Ok(handle) = runtime::handle() else {
            return;
        };
        let mut errands = self.errands.lock();
        while errands.try_join_next().is_some() {}
        errands.spawn_on(errand, handle);
    }
}
