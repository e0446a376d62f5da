// SPDX-License-Identifier: Apache-2.0
//! Sending messages.
//!
//! ```text
//! Producer::send -> outgoing (checks, properties, compression) -> send (queue choice, retries)
//!                -> instance (route) -> net (connection)
//! ```

mod batch;
mod options;
mod outgoing;
mod send;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use kerolox_protocol::message::name;
use tokio::sync::Notify;

pub use options::ProducerOptions;

use crate::error::{Error, ErrorCode, Result};
use crate::instance::{Instance, InstanceConfig, MessageIds, client_id, unique_instance_name};
use crate::message::{Message, Queue, SendResult};
use crate::runtime;

/// Sends messages. Clones share it; it closes when the last one is dropped.
///
/// Its connections run on the crate's own runtime, so its methods may be awaited on any tokio runtime.
#[derive(Clone)]
pub struct Producer {
    owner: Arc<Owner>,
}

/// Closes the producer when the last handle is dropped.
struct Owner(Arc<Inner>);

struct Inner {
    options: ProducerOptions,
    instance: Arc<Instance>,
    ids: MessageIds,
    is_closed: AtomicBool,
    outstanding: AtomicUsize,
    idle: Notify,
}

/// One operation in progress; [`Producer::close`] waits for it. It begins when it is called, not when its future is
/// first polled, so that a send that comes before a close in the program is never refused.
struct Busy(Arc<Owner>);

impl std::ops::Deref for Busy {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0.0
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if self.outstanding.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.idle.notify_waiters();
        }
    }
}

impl Producer {
    /// Starts a producer. Nothing is sent before the first message.
    ///
    /// # Errors
    /// `INVALID_GROUP`, `INVALID_OPTION`, `NO_NAME_SERVER`, `DUPLICATE_GROUP`.
    pub async fn start(options: ProducerOptions) -> Result<Self> {
        check(&options)?;
        let instance_name = if options.instance_name.is_empty() {
            unique_instance_name()
        } else {
            options.instance_name.clone()
        };
        let instance = Instance::acquire(InstanceConfig {
            name_servers: options.name_servers.clone(),
            client_id: client_id(&options.client_ip, &instance_name),
        })?;
        let owner = Owner(Arc::new(Inner {
            options,
            instance,
            ids: MessageIds::new(),
            is_closed: AtomicBool::new(false),
            outstanding: AtomicUsize::new(0),
            idle: Notify::new(),
        }));
        if let Err(error) = owner.0.instance.add_producer(&owner.0.options.group) {
            owner.0.is_closed.store(true, Ordering::Release);
            owner.0.instance.release().await;
            return Err(error);
        }
        Ok(Self {
            owner: Arc::new(owner),
        })
    }

    /// Sends a message to a queue of its topic; if that fails, again, to another broker if there is one, until the
    /// deadline.
    ///
    /// # Errors
    /// Usage errors before anything is sent; `NO_ROUTE`, `NAME_SERVER_UNREACHABLE`; else the last attempt's error.
    pub fn send(
        &self,
        message: Message,
    ) -> impl Future<Output = Result<SendResult>> + Send + use<> {
        let begun = self.begin("send");
        async move { begun?.send(&message).await }
    }

    /// Sends a message to the given queue, once.
    ///
    /// # Errors
    /// As [`Producer::send`], and `INVALID_QUEUE`, `BROKER_NOT_FOUND`.
    pub fn send_to_queue(
        &self,
        message: Message,
        queue: &Queue,
    ) -> impl Future<Output = Result<SendResult>> + Send + use<> {
        let begun = self.begin("send_to_queue");
        let queue = queue.clone();
        async move { begun?.send_to_queue(&message, &queue).await }
    }

    /// Sends a message without waiting for an answer; whether it arrived stays unknown.
    ///
    /// # Errors
    /// As [`Producer::send`], but nothing of what the broker says.
    pub fn send_oneway(&self, message: Message) -> impl Future<Output = Result<()>> + Send + use<> {
        let begun = self.begin("send_oneway");
        async move { begun?.send_oneway(&message).await }
    }

    /// Sends messages of one topic as one request: stored next to each other, all or none.
    ///
    /// # Errors
    /// As [`Producer::send`], and `INVALID_BATCH`.
    pub fn send_batch(
        &self,
        messages: Vec<Message>,
    ) -> impl Future<Output = Result<SendResult>> + Send + use<> {
        let begun = self.begin("send_batch");
        async move { begun?.send_batch(&messages).await }
    }

    /// The queues that messages of the topic are sent to.
    ///
    /// # Errors
    /// `INVALID_TOPIC`, `NO_ROUTE`, `NAME_SERVER_UNREACHABLE`.
    pub async fn queues(&self, topic: &str) -> Result<Vec<Queue>> {
        let inner = self.begin("queues")?;
        outgoing::check_topic("queues", topic)?;
        let most = Some(inner.options.default_topic_queues);
        let route = inner.instance.route(topic, most, inner.timeout()).await?;
        let queue = |queue: &crate::instance::PublishQueue| Queue {
            topic: topic.to_owned(),
            broker_name: queue.broker_name.to_string(),
            queue_id: queue.queue_id,
        };
        Ok(route.publish.iter().map(queue).collect())
    }

    /// Its client id.
    pub fn client_id(&self) -> &str {
        self.inner().instance.client_id()
    }

    /// Ends the producer: refuses new sends, waits for those that are outstanding, leaves the brokers.
    /// May be called twice.
    ///
    /// # Errors
    /// None today.
    pub async fn close(&self) -> Result<()> {
        self.inner().close().await;
        Ok(())
    }

    fn inner(&self) -> &Inner {
        &self.owner.0
    }

    fn begin(&self, operation: &'static str) -> Result<Busy> {
        self.inner().outstanding.fetch_add(1, Ordering::AcqRel);
        let busy = Busy(Arc::clone(&self.owner));
        if busy.is_closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorCode::Closed, operation));
        }
        Ok(busy)
    }
}

impl Inner {
    fn timeout(&self) -> Duration {
        Duration::from_millis(self.options.send_timeout_ms)
    }

    async fn close(&self) {
        if self.is_closed.swap(true, Ordering::AcqRel) {
            return;
        }
        let all_done = async {
            loop {
                let idle = self.idle.notified();
                if self.outstanding.load(Ordering::Acquire) == 0 {
                    return;
                }
                idle.await;
            }
        };
        if tokio::time::timeout(self.timeout(), all_done)
            .await
            .is_err()
        {
            tracing::warn!(group = self.options.group, "closed with sends outstanding");
        }
        self.instance.leave(Some(&self.options.group), None).await;
        self.instance.release().await;
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if self.0.is_closed.load(Ordering::Acquire) {
            return;
        }
        if let Ok(handle) = runtime::handle() {
            let inner = Arc::clone(&self.0);
            handle.spawn(async move { inner.close().await });
        }
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer")
            .field("group", &self.inner().options.group)
            .field("client_id", &self.client_id())
            .finish_non_exhaustive()
    }
}

fn check(options: &ProducerOptions) -> Result<()> {
    let group = options.group.as_str();
    let invalid = |what: String| {
        Err(Error::new(ErrorCode::InvalidGroup, "start")
            .with_message(what)
            .with_context("group", group))
    };
    if let Err(error) = name::check_group(group) {
        return invalid(format!("the group name '{group}' is not allowed: {error}"));
    }
    if group == "DEFAULT_PRODUCER" {
        return invalid("the group name DEFAULT_PRODUCER is reserved".to_owned());
    }
    for (name, value, range) in [
        (
            "send_timeout_ms",
            options.send_timeout_ms,
            1..=u64::from(u32::MAX),
        ),
        (
            "max_message_bytes",
            options.max_message_bytes as u64,
            1..=16 * 1024 * 1024,
        ),
        (
            "default_topic_queues",
            u64::try_from(options.default_topic_queues).unwrap_or(0),
            1..=65_535,
        ),
    ] {
        if !range.contains(&value) {
            let allowed = format!("{} to {}", range.start(), range.end());
            let shown = crate::options::Value::Int(i64::try_from(value).unwrap_or(i64::MAX));
            return Err(crate::options::invalid(name, &shown, &allowed).in_operation("start"));
        }
    }
    Ok(())
}
