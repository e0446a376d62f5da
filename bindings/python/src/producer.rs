// SPDX-License-Identifier: Apache-2.0
//! The producer: arguments in, a result or a future out.

use kerolox::facade;
use pyo3::prelude::*;

use crate::completion::{Completions, ToPython, finish, handle};
use crate::convert::{Message, Queue};

/// Sends messages.
#[pyclass(frozen, module = "kerolox._native")]
pub(crate) struct Producer(pub(crate) facade::Producer);

handle! {
    impl Producer(Self, ProducerOptions) {
        send(message: Message => message.0);
        send_to_queue(message: Message => message.0, queue: Queue => queue.0);
        send_oneway(message: Message => message.0);
        send_batch(messages: Vec<Message> => messages.into_iter().map(|one| one.0).collect());
        queues(topic: String => topic);
        close();
    }
}
