// SPDX-License-Identifier: Apache-2.0
//! The push consumer as bindings see it: polled and completed, so the user's listener runs in the user's language.

use std::time::Duration;

use super::{Call, Delivery, Guarded, PushConsumerOptions, Queue, Result, Subscription, Verdict};
use crate::consumer as inner;

/// Receives the messages of its share of the group's queues.
#[derive(Clone)]
pub struct PushConsumer(Guarded<inner::PushConsumer>);

impl PushConsumer {
    /// Starts a consumer and subscribes it.
    pub fn start(options: PushConsumerOptions, subscriptions: Vec<Subscription>) -> Call<Self> {
        Call::spawn("start push consumer", async move {
            let consumer = inner::PushConsumer::start(options, subscriptions).await?;
            Ok(Self(Guarded::new(consumer)))
        })
    }

    /// Takes up to `max` messages; waits up to `wait_ms` for the first. Empty when none came in time.
    ///
    /// Each has to be completed once, else its queue stops sooner or later.
    pub fn poll(&self, max: u32, wait_ms: u64) -> Call<Vec<Delivery>> {
        let consumer = match self.0.get("poll") {
            Ok(consumer) => inner::PushConsumer::clone(consumer),
            Err(error) => return Call::ready("poll", Err(error)),
        };
        match consumer.try_poll(max) {
            Ok(deliveries) if deliveries.is_empty() && wait_ms > 0 => {
                Call::spawn("poll", async move {
                    consumer.poll(max, Duration::from_millis(wait_ms)).await
                })
            }
            ready => Call::ready("poll", ready),
        }
    }

    /// Says what became of a delivery.
    ///
    /// # Errors
    /// `UNKNOWN_DELIVERY` when it has been completed before. A delivery whose queue has moved to another member is
    /// accepted and ignored.
    pub fn complete(&self, id: u64, verdict: Verdict) -> Result<()> {
        self.0.get("complete")?.complete(id, verdict)
    }

    /// Completes many deliveries at once.
    ///
    /// # Errors
    /// As [`PushConsumer::complete`], for the first one that is unknown; the others are completed.
    pub fn complete_batch(&self, verdicts: &[(u64, Verdict)]) -> Result<()> {
        self.0.get("complete_batch")?.complete_batch(verdicts)
    }

    /// The queues that this member has now; those of the group's retry topic are left out.
    pub fn assigned(&self) -> Vec<Queue> {
        self.0
            .get("assigned")
            .map(|consumer| consumer.assigned())
            .unwrap_or_default()
    }

    /// Leaves the group: waits for outstanding deliveries for a while, stores the offsets, then lets the queues go.
    /// May be called twice.
    pub fn close(&self) -> Call<()> {
        match self.0.get("close") {
            Ok(consumer) => {
                let consumer = inner::PushConsumer::clone(consumer);
                Call::spawn("close", async move { consumer.close().await })
            }
            Err(_forked) => Call::ready("close", Ok(())),
        }
    }
}
