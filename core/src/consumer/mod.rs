// SPDX-License-Identifier: Apache-2.0
//! Consumers: [`PushConsumer`] shares the queues of its topics with its group, [`PullConsumer`] reads queues of the
//! application's choice.

mod allocate;
mod offsets;
mod options;
mod position;
mod process_queue;
mod pull;
mod push;
mod received;
mod subscription;

pub use options::{ConsumeFrom, MessageModel, PullConsumerOptions, PushConsumerOptions};
pub use pull::PullConsumer;
pub use push::PushConsumer;

use crate::message::ReceivedMessage;

/// What a push consumer wants of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The topic.
    pub topic: String,
    /// `*` for everything, or tags joined by `||`.
    pub expression: String,
}

impl Subscription {
    /// A subscription of `topic` with a tag expression.
    pub fn new(topic: impl Into<String>, expression: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            expression: expression.into(),
        }
    }
}

/// A message handed out by a push consumer, to be completed by its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// What to complete it by.
    pub id: u64,
    /// The message.
    pub message: ReceivedMessage,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It has been dealt with.
    Success,
    /// Deliver it again later. With broadcasting it is dropped with a log line.
    Later,
}
