// SPDX-License-Identifier: Apache-2.0
//! The one API that every language binding wraps.
//!
//! Invariants: plain data in and out; every operation that can wait returns a [`Call`]; consumers are polled and
//! completed, so that no foreign code is ever called from here; handles are cheap to clone, may be used from any
//! thread, and `close` may be called twice. The logic lives in [`crate::producer`], [`crate::consumer`] and
//! [`crate::admin`]; this layer adds the runtime and the refusal of handles that were made before a fork.

pub mod api;
pub mod options;
pub mod types;

mod admin;
mod call;
mod producer;
mod pull_consumer;
mod push_consumer;

pub use admin::Admin;
pub use call::{Call, Canceller};
pub use options::{
    AdminOptions, OptionField, OptionKind, ProducerOptions, PullConsumerOptions,
    PushConsumerOptions, Value,
};
pub use producer::Producer;
pub use pull_consumer::PullConsumer;
pub use push_consumer::PushConsumer;
pub use types::{
    ConsumeFrom, Delivery, Message, MessageModel, Queue, ReceivedMessage, SendResult, SendStatus,
    Subscription, Verdict,
};

pub use crate::error::{Category, Error, ErrorCode, ErrorCodeInfo, Result, Retry};
pub use crate::runtime::{generation, is_io_thread, set_io_threads};

use std::sync::Arc;

/// What a handle wraps, and the fork generation that it was made in.
struct Guarded<T> {
    inner: Option<Arc<T>>,
    generation: u64,
}

impl<T> Guarded<T> {
    fn new(inner: T) -> Self {
        Self {
            inner: Some(Arc::new(inner)),
            generation: crate::runtime::generation(),
        }
    }

    fn is_stale(&self) -> bool {
        self.generation != crate::runtime::generation()
    }

    /// The wrapped part, unless the process has forked since.
    fn get(&self, operation: &'static str) -> Result<&Arc<T>> {
        self.inner
            .as_ref()
            .filter(|_| !self.is_stale())
            .ok_or_else(|| Error::new(ErrorCode::Forked, operation))
    }
}

impl<T> Clone for Guarded<T> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            generation: self.generation,
        }
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        if self.is_stale() {
            // Threads and locks of the parent are not here: nothing behind the handle may be touched.
            std::mem::forget(self.inner.take());
        }
    }
}
