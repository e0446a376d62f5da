// SPDX-License-Identifier: Apache-2.0
//! The producer.

use kerolox::facade::{self, ProducerOptions};
use napi::Env;
use napi_derive::napi;

use crate::completion::{promise, promise_with};
use crate::convert::{JsValue, Message, Queue, set_options};

/// Sends messages.
#[napi]
pub struct Producer(facade::Producer);

#[napi]
impl Producer {
    #[napi]
    pub fn start(env: Env, options: Vec<String>) -> napi::Result<JsValue> {
        let mut table = ProducerOptions::default();
        let read = set_options("start producer", options, |name, value| {
            table.set(name, value)
        });
        let call = read.map(|()| facade::Producer::start(table));
        promise_with(&env, call, |_, js, producer| js.value(Self(producer)))
    }

    #[napi]
    pub fn send(&self, env: Env, message: Message) -> napi::Result<JsValue> {
        promise(&env, self.0.send(message.into()))
    }

    #[napi]
    pub fn send_to_queue(&self, env: Env, message: Message, queue: Queue) -> napi::Result<JsValue> {
        promise(&env, self.0.send_to_queue(message.into(), queue.into()))
    }

    #[napi]
    pub fn send_oneway(&self, env: Env, message: Message) -> napi::Result<JsValue> {
        promise(&env, self.0.send_oneway(message.into()))
    }

    #[napi]
    pub fn send_batch(&self, env: Env, messages: Vec<Message>) -> napi::Result<JsValue> {
        let messages = messages.into_iter().map(Into::into).collect();
        promise(&env, self.0.send_batch(messages))
    }

    #[napi]
    pub fn queues(&self, env: Env, topic: String) -> napi::Result<JsValue> {
        promise(&env, self.0.queues(topic))
    }

    #[napi]
    pub fn close(&self, env: Env) -> napi::Result<JsValue> {
        promise(&env, self.0.close())
    }
}
