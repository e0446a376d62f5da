// SPDX-License-Identifier: Apache-2.0
//! The producer as bindings see it.

use super::{Call, Guarded, Message, ProducerOptions, Queue, Result, SendResult};
use crate::producer as inner;

/// Sends messages.
#[derive(Clone)]
pub struct Producer(Guarded<inner::Producer>);

impl Producer {
    /// Starts a producer.
    pub fn start(options: ProducerOptions) -> Call<Self> {
        Call::spawn("start producer", async move {
            Ok(Self(Guarded::new(inner::Producer::start(options).await?)))
        })
    }

    /// Sends a message to a queue of its topic, and again to another broker if that fails.
    pub fn send(&self, message: Message) -> Call<SendResult> {
        match self.0.get("send") {
            Ok(producer) => Call::spawn("send", producer.send(message)),
            Err(error) => Call::ready("send", Err(error)),
        }
    }

    /// Sends a message to the given queue, once.
    pub fn send_to_queue(&self, message: Message, queue: Queue) -> Call<SendResult> {
        self.run("send_to_queue", move |producer| {
            producer.send_to_queue(message, &queue)
        })
    }

    /// Sends a message without waiting for an answer; done when it is handed to the connection.
    pub fn send_oneway(&self, message: Message) -> Call<()> {
        self.run("send_oneway", move |producer| producer.send_oneway(message))
    }

    /// Sends messages of one topic as one request. They are stored next to each other, all or none.
    pub fn send_batch(&self, messages: Vec<Message>) -> Call<SendResult> {
        self.run("send_batch", move |producer| producer.send_batch(messages))
    }

    /// The queues that messages of the topic are sent to.
    pub fn queues(&self, topic: impl Into<String>) -> Call<Vec<Queue>> {
        let topic = topic.into();
        self.run("queues", move |producer| async move {
            producer.queues(&topic).await
        })
    }

    /// Ends the producer. Sends that are outstanding are waited for. May be called twice.
    pub fn close(&self) -> Call<()> {
        match self.0.get("close") {
            Ok(producer) => {
                let producer = inner::Producer::clone(producer);
                Call::spawn("close", async move { producer.close().await })
            }
            Err(_forked) => Call::ready("close", Ok(())),
        }
    }

    fn run<T, F>(
        &self,
        operation: &'static str,
        start: impl FnOnce(inner::Producer) -> F,
    ) -> Call<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        match self.0.get(operation) {
            Ok(producer) => Call::spawn(operation, start(inner::Producer::clone(producer))),
            Err(error) => Call::ready(operation, Err(error)),
        }
    }
}
