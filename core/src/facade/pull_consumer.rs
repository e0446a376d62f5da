// SPDX-License-Identifier: Apache-2.0
//! The pull consumer as bindings see it.

use std::time::Duration;

use super::{Call, Guarded, PullConsumerOptions, Queue, ReceivedMessage, Result};
use crate::consumer as inner;

/// Reads queues of the application's choice, at offsets of its choice.
#[derive(Clone)]
pub struct PullConsumer(Guarded<inner::PullConsumer>);

impl PullConsumer {
    /// Starts a consumer; it reads nothing until queues are assigned.
    pub fn start(options: PullConsumerOptions) -> Call<Self> {
        Call::spawn("start pull consumer", async move {
            Ok(Self(Guarded::new(
                inner::PullConsumer::start(options).await?,
            )))
        })
    }

    /// The queues of a topic.
    pub fn queues(&self, topic: impl Into<String>) -> Call<Vec<Queue>> {
        let topic = topic.into();
        self.run("queues", move |consumer| async move {
            consumer.queues(&topic).await
        })
    }

    /// Reads exactly these queues from now on; queues that stay keep their position.
    ///
    /// # Errors
    /// `CLOSED`, `FORKED`, `INVALID_TOPIC`.
    pub fn assign(&self, queues: Vec<Queue>) -> Result<()> {
        self.0.get("assign")?.assign(queues)
    }

    /// Filters a topic by tags, `*` or `a || b`, from the next `assign` or `seek` of each queue on.
    ///
    /// # Errors
    /// `INVALID_SUBSCRIPTION`, `INVALID_TOPIC`, `CLOSED`, `FORKED`.
    pub fn filter(&self, topic: &str, expression: &str) -> Result<()> {
        self.0.get("filter")?.filter(topic, expression)
    }

    /// Continues a queue at this offset; what was read ahead is thrown away.
    pub fn seek(&self, queue: Queue, offset: i64) -> Call<()> {
        self.run("seek", move |consumer| async move {
            consumer.seek(&queue, offset).await
        })
    }

    /// Continues a queue at its first message.
    pub fn seek_to_begin(&self, queue: Queue) -> Call<()> {
        self.run("seek_to_begin", move |consumer| async move {
            consumer.seek_to_begin(&queue).await
        })
    }

    /// Continues a queue at its end.
    pub fn seek_to_end(&self, queue: Queue) -> Call<()> {
        self.run("seek_to_end", move |consumer| async move {
            consumer.seek_to_end(&queue).await
        })
    }

    /// Takes up to `max` messages; waits up to `wait_ms` for the first. Empty when none came in time.
    pub fn poll(&self, max: u32, wait_ms: u64) -> Call<Vec<ReceivedMessage>> {
        let consumer = match self.0.get("poll") {
            Ok(consumer) => inner::PullConsumer::clone(consumer),
            Err(error) => return Call::ready("poll", Err(error)),
        };
        match consumer.try_poll(max) {
            Ok(messages) if messages.is_empty() && wait_ms > 0 => Call::spawn("poll", async move {
                consumer.poll(max, Duration::from_millis(wait_ms)).await
            }),
            ready => Call::ready("poll", ready),
        }
    }

    /// Stores the position behind what has been polled, and waits until the brokers have it.
    pub fn commit(&self) -> Call<()> {
        self.run(
            "commit",
            move |consumer| async move { consumer.commit().await },
        )
    }

    /// The stored position of a queue, if there is one.
    pub fn committed(&self, queue: Queue) -> Call<Option<i64>> {
        self.run("committed", move |consumer| async move {
            consumer.committed(&queue).await
        })
    }

    /// Offset of the first message of a queue.
    pub fn min_offset(&self, queue: Queue) -> Call<i64> {
        self.run("min_offset", move |consumer| async move {
            consumer.min_offset(&queue).await
        })
    }

    /// Offset that the next message of a queue will get.
    pub fn max_offset(&self, queue: Queue) -> Call<i64> {
        self.run("max_offset", move |consumer| async move {
            consumer.max_offset(&queue).await
        })
    }

    /// Offset of the first message stored at or after a time, in milliseconds since 1970.
    pub fn offset_by_time(&self, queue: Queue, timestamp_ms: i64) -> Call<i64> {
        self.run("offset_by_time", move |consumer| async move {
            consumer.offset_by_time(&queue, timestamp_ms).await
        })
    }

    /// Ends the consumer; commits first if `auto_commit` is on. May be called twice.
    pub fn close(&self) -> Call<()> {
        match self.0.get("close") {
            Ok(consumer) => {
                let consumer = inner::PullConsumer::clone(consumer);
                Call::spawn("close", async move { consumer.close().await })
            }
            Err(_forked) => Call::ready("close", Ok(())),
        }
    }

    fn run<T, F>(
        &self,
        operation: &'static str,
        start: impl FnOnce(inner::PullConsumer) -> F,
    ) -> Call<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        match self.0.get(operation) {
            Ok(consumer) => Call::spawn(operation, start(inner::PullConsumer::clone(consumer))),
            Err(error) => Call::ready(operation, Err(error)),
        }
    }
}
