// SPDX-License-Identifier: Apache-2.0
//! The push consumer, polled and completed, and the pull consumer. Loops and listeners are in `index.js`.

use std::cell::Cell;

use kerolox::facade::{self, PullConsumerOptions, PushConsumerOptions, Subscription, Verdict};
use napi::Env;
use napi_derive::napi;

use crate::completion::{Bridge, now, promise, promise_with};
use crate::convert::{Js, JsValue, Queue, ToJs, pairs, set_options};

/// Receives its share of a group's messages. An open one keeps the process alive.
#[napi]
pub struct PushConsumer {
    consumer: facade::PushConsumer,
    holds: Cell<bool>,
}

fn verdict(success: bool) -> Verdict {
    match success {
        true => Verdict::Success,
        false => Verdict::Later,
    }
}

#[napi]
impl PushConsumer {
    #[napi]
    pub fn start(
        env: Env,
        options: Vec<String>,
        subscriptions: Vec<String>,
    ) -> napi::Result<JsValue> {
        let mut table = PushConsumerOptions::default();
        let set = |name: &str, value| table.set(name, value);
        let read = set_options("start push consumer", options, set);
        let subscriptions = pairs(subscriptions)
            .map(|(topic, expression)| Subscription::new(topic, expression))
            .collect();
        let call = read.map(|()| facade::PushConsumer::start(table, subscriptions));
        promise_with(&env, call, |bridge, js, consumer| {
            let instance = js.value(Self {
                consumer,
                holds: Cell::new(true),
            })?;
            bridge.hold(js);
            Ok(instance)
        })
    }

    /// `[id, message, id, message, …]`.
    #[napi]
    pub fn poll(&self, env: Env, max: u32, wait_ms: u32) -> napi::Result<JsValue> {
        promise(&env, self.consumer.poll(max, u64::from(wait_ms)))
    }

    #[napi]
    pub fn complete(&self, env: Env, id: i64, success: bool) -> napi::Result<()> {
        now(
            &env,
            self.consumer.complete(id.unsigned_abs(), verdict(success)),
        )
    }

    #[napi]
    pub fn complete_batch(&self, env: Env, done: Vec<i64>, later: Vec<i64>) -> napi::Result<()> {
        let done = done
            .into_iter()
            .map(|id| (id.unsigned_abs(), Verdict::Success));
        let later = later
            .into_iter()
            .map(|id| (id.unsigned_abs(), Verdict::Later));
        let verdicts: Vec<_> = done.chain(later).collect();
        now(&env, self.consumer.complete_batch(&verdicts))
    }

    #[napi]
    pub fn assigned(&self, env: Env) -> napi::Result<JsValue> {
        self.consumer.assigned().to_js(Js::new(&env))
    }

    #[napi]
    pub fn close(&self, env: Env) -> napi::Result<JsValue> {
        let promise = promise(&env, self.consumer.close())?;
        // The promise keeps the process alive from here on.
        if self.holds.replace(false) {
            Bridge::of(&env)?.release(Js::new(&env));
        }
        Ok(promise)
    }
}

/// Reads queues of the application's choice.
#[napi]
pub struct PullConsumer(facade::PullConsumer);

#[napi]
impl PullConsumer {
    #[napi]
    pub fn start(env: Env, options: Vec<String>) -> napi::Result<JsValue> {
        let mut table = PullConsumerOptions::default();
        let set = |name: &str, value| table.set(name, value);
        let read = set_options("start pull consumer", options, set);
        let call = read.map(|()| facade::PullConsumer::start(table));
        promise_with(&env, call, |_, js, consumer| js.value(Self(consumer)))
    }

    #[napi]
    pub fn queues(&self, env: Env, topic: String) -> napi::Result<JsValue> {
        promise(&env, self.0.queues(topic))
    }

    #[napi]
    pub fn assign(&self, env: Env, queues: Vec<Queue>) -> napi::Result<()> {
        let queues = queues.into_iter().map(Into::into).collect();
        now(&env, self.0.assign(queues))
    }

    #[napi]
    pub fn filter(&self, env: Env, topic: String, expression: String) -> napi::Result<()> {
        now(&env, self.0.filter(&topic, &expression))
    }

    #[napi]
    pub fn seek(&self, env: Env, queue: Queue, offset: i64) -> napi::Result<JsValue> {
        promise(&env, self.0.seek(queue.into(), offset))
    }

    #[napi]
    pub fn seek_to_begin(&self, env: Env, queue: Queue) -> napi::Result<JsValue> {
        promise(&env, self.0.seek_to_begin(queue.into()))
    }

    #[napi]
    pub fn seek_to_end(&self, env: Env, queue: Queue) -> napi::Result<JsValue> {
        promise(&env, self.0.seek_to_end(queue.into()))
    }

    #[napi]
    pub fn poll(&self, env: Env, max: u32, wait_ms: u32) -> napi::Result<JsValue> {
        promise(&env, self.0.poll(max, u64::from(wait_ms)))
    }

    #[napi]
    pub fn commit(&self, env: Env) -> napi::Result<JsValue> {
        promise(&env, self.0.commit())
    }

    #[napi]
    pub fn committed(&self, env: Env, queue: Queue) -> napi::Result<JsValue> {
        promise(&env, self.0.committed(queue.into()))
    }

    #[napi]
    pub fn min_offset(&self, env: Env, queue: Queue) -> napi::Result<JsValue> {
        promise(&env, self.0.min_offset(queue.into()))
    }

    #[napi]
    pub fn max_offset(&self, env: Env, queue: Queue) -> napi::Result<JsValue> {
        promise(&env, self.0.max_offset(queue.into()))
    }

    #[napi]
    pub fn offset_by_time(&self, env: Env, queue: Queue, time_ms: i64) -> napi::Result<JsValue> {
        promise(&env, self.0.offset_by_time(queue.into(), time_ms))
    }

    #[napi]
    pub fn close(&self, env: Env) -> napi::Result<JsValue> {
        promise(&env, self.0.close())
    }
}
