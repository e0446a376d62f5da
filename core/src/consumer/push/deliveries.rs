// SPDX-License-Identifier: Apache-2.0
//! Handing out and completing: deliveries by id.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::super::process_queue::ProcessQueue;
use super::super::{Delivery, Verdict};
use super::{CLOSED, Inner, closed};
use crate::error::{Error, ErrorCode, Result};
use crate::instance::SendBack;

/// How long a message that the broker would not take back waits here.
const LOCAL_RETRY: Duration = Duration::from_secs(5);

/// The deliveries that are out.
#[derive(Default)]
pub(super) struct Deliveries {
    by_id: HashMap<u64, (Arc<ProcessQueue>, i64)>,
    last_id: u64,
}

impl Inner {
    pub(super) fn try_poll(&self, max: usize) -> Result<Vec<Delivery>> {
        if !self.is_running() {
            return Err(closed("poll"));
        }
        let mut taken = Vec::new();
        let mut out = Vec::new();
        while out.len() < max {
            let Some(queue) = self.ready.lock().pop_front() else {
                break;
            };
            let before = out.len();
            let has_more = queue.take(max - before, &mut out);
            taken.push((Arc::clone(&queue), out.len() - before));
            if has_more {
                self.ready.lock().push_back(queue);
            }
        }
        if out.is_empty() {
            return Ok(Vec::new());
        }
        if !self.ready.lock().is_empty() {
            // Another poll may be waiting.
            self.arrived.notify_one();
        }
        let mut messages = out.into_iter();
        let mut deliveries = Vec::with_capacity(messages.len());
        let mut table = self.deliveries.lock();
        for (queue, count) in taken {
            for (offset, message) in messages.by_ref().take(count) {
                table.last_id += 1;
                let id = table.last_id;
                table.by_id.insert(id, (Arc::clone(&queue), offset));
                deliveries.push(Delivery { id, message });
            }
        }
        Ok(deliveries)
    }

    /// Puts a queue into the list of those with messages to hand out.
    pub(super) fn list(&self, queue: &Arc<ProcessQueue>) {
        self.ready.lock().push_back(Arc::clone(queue));
        self.arrived.notify_one();
    }

    pub(super) fn complete(this: &Arc<Self>, verdicts: &[(u64, Verdict)]) -> Result<()> {
        let mut unknown = None;
        let mut found = Vec::with_capacity(verdicts.len());
        {
            let mut table = this.deliveries.lock();
            for (id, verdict) in verdicts {
                match table.by_id.remove(id) {
                    Some((queue, offset)) => found.push((queue, offset, *verdict)),
                    None => unknown = unknown.or(Some(*id)),
                }
            }
        }
        for (queue, offset, verdict) in found {
            match verdict {
                Verdict::Success => {
                    queue.complete(offset);
                }
                Verdict::Later if this.is_clustering() => {
                    let inner = Arc::clone(this);
                    this.spawn_errand(async move { inner.send_back(&queue, offset).await });
                }
                Verdict::Later => {
                    let group = this.group();
                    tracing::warn!(group, queue = %queue.queue, offset, "dropped: broadcasting does not redeliver");
                    queue.complete(offset);
                }
            }
        }
        match unknown {
            Some(_) if this.state.load(std::sync::atomic::Ordering::Acquire) == CLOSED => Ok(()),
            Some(id) => Err(Error::new(ErrorCode::UnknownDelivery, "complete")
                .with_context("delivery", id.to_string())),
            None => Ok(()),
        }
    }

    /// Has the broker deliver a message again later; if it would not, does it itself.
    async fn send_back(self: Arc<Self>, queue: &Arc<ProcessQueue>, offset: i64) {
        let Some(info) = queue.back_info(offset) else {
            return;
        };
        let max = self.options.max_reconsume_times;
        let back = SendBack {
            group: self.group(),
            queue: &queue.queue,
            physical_offset: info.physical_offset,
            message_id: &info.message_id,
            topic: &info.topic,
            max_reconsume_times: if max < 0 { 16 } else { max },
        };
        match self.instance.send_back(&back).await {
            Ok(()) => {
                queue.complete(offset);
            }
            Err(error) => {
                tracing::warn!(group = self.group(), queue = %queue.queue, offset, %error, "not sent back, tried again here");
                tokio::time::sleep(LOCAL_RETRY).await;
                if queue.again(offset) {
                    self.list(queue);
                }
            }
        }
    }

    /// Forgets the deliveries of queues that count no more.
    pub(super) fn forget_deliveries(&self, queue: &Arc<ProcessQueue>) {
        // They stay known, so that completing them late is no error; the process queue ignores it.
        self.ready
            .lock()
            .retain(|listed| !Arc::ptr_eq(listed, queue));
    }
}
