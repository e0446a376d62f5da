// SPDX-License-Identifier: Apache-2.0
//! The pull consumer: reads the queues that it is told to, at the offsets that it is told to.
//!
//! Each assigned queue is read ahead by [`reader`]; `poll` takes from what is here. The position of a queue is behind
//! the last message that a poll returned. A commit stores positions; an automatic one stores those of *earlier* polls,
//! so that a message is committed only after the application came back for more.

mod assigned;
mod member;
mod reader;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use kerolox_protocol::body::heartbeat::SubscriptionData;
use kerolox_protocol::message::name;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

use super::PullConsumerOptions;
use super::position::Beginning;
use super::process_queue::{ProcessQueue, Thresholds};
use super::subscription;
use crate::error::{Error, ErrorCode, Result};
use crate::instance::{Instance, InstanceConfig, client_id, now_ms, unique_instance_name};
use crate::message::{Queue, ReceivedMessage};
use crate::options::{Value, invalid};
use crate::runtime;

/// Deadline of questions about routes.
const ROUTE_TIMEOUT: Duration = Duration::from_secs(3);

const RUNNING: u8 = 0;
const CLOSING: u8 = 1;
const CLOSED: u8 = 2;

/// Reads queues of the application's choice, at offsets of its choice. Clones share it; it closes when the last one
/// is dropped.
#[derive(Clone)]
pub struct PullConsumer {
    owner: Arc<Owner>,
}

/// Closes the consumer when the last handle is dropped.
struct Owner(Arc<Inner>);

struct Inner {
    options: PullConsumerOptions,
    instance: Arc<Instance>,
    beginning: Beginning,
    thresholds: Thresholds,
    started_ms: i64,
    filters: Mutex<HashMap<String, SubscriptionData>>,
    queues: Mutex<HashMap<Queue, Assigned>>,
    /// Queues with messages, in turn.
    ready: Mutex<VecDeque<Arc<ProcessQueue>>>,
    /// Wakes a poll.
    arrived: Notify,
    /// What a reader can not get over by itself; the next poll says it.
    failure: Mutex<Option<Error>>,
    committed_at: Mutex<Instant>,
    /// Held while offsets are stored: an older position must not overwrite a newer one.
    storing: tokio::sync::Mutex<()>,
    state: AtomicU8,
    closed: Notify,
    errands: Mutex<JoinSet<()>>,
}

/// A queue that is read.
struct Assigned {
    queue: Arc<ProcessQueue>,
    reader: JoinHandle<()>,
}

impl PullConsumer {
    /// Starts a consumer; it reads nothing until queues are assigned.
    ///
    /// # Errors
    /// `INVALID_GROUP`, `INVALID_OPTION`, `NO_NAME_SERVER`, `DUPLICATE_GROUP`.
    pub async fn start(options: PullConsumerOptions) -> Result<Self> {
        subscription::check_group(&options.group)?;
        if !(1..=1024).contains(&options.pull_batch_size) {
            let value = Value::Int(options.pull_batch_size.into());
            return Err(invalid("pull_batch_size", &value, "1 to 1024"));
        }
        let beginning = Beginning::new(options.consume_from, &options.consume_timestamp)?;
        let instance_name = if options.instance_name.is_empty() {
            unique_instance_name()
        } else {
            options.instance_name.clone()
        };
        let instance = Instance::acquire(InstanceConfig {
            name_servers: options.name_servers.clone(),
            client_id: client_id(&options.client_ip, &instance_name),
        })?;
        let thresholds = Thresholds {
            messages: usize::try_from(options.pull_threshold_for_queue)
                .unwrap_or(usize::MAX)
                .max(1),
            bytes: options.pull_threshold_bytes_for_queue.max(1),
            span: i64::MAX,
        };
        let inner = Arc::new(Inner {
            options,
            instance,
            beginning,
            thresholds,
            started_ms: now_ms(),
            filters: Mutex::default(),
            queues: Mutex::default(),
            ready: Mutex::default(),
            arrived: Notify::new(),
            failure: Mutex::default(),
            committed_at: Mutex::new(Instant::now()),
            storing: tokio::sync::Mutex::new(()),
            state: AtomicU8::new(RUNNING),
            closed: Notify::new(),
            errands: Mutex::default(),
        });
        if let Err(error) = inner
            .instance
            .add_consumer(&inner.options.group, inner.member())
        {
            inner.instance.release().await;
            return Err(error);
        }
        Ok(Self {
            owner: Arc::new(Owner(inner)),
        })
    }

    /// The queues of a topic, sorted.
    ///
    /// # Errors
    /// `INVALID_TOPIC`, `NO_ROUTE`, `NAME_SERVER_UNREACHABLE`, `CLOSED`.
    pub async fn queues(&self, topic: &str) -> Result<Vec<Queue>> {
        let inner = self.open("queues")?;
        subscription::parse("queues", topic, "*", 0)?;
        // Asked for anew: whoever asks wants to see queues that were added.
        if inner
            .instance
            .fetch_route(topic, ROUTE_TIMEOUT)
            .await?
            .is_none()
        {
            inner.instance.forget_route(topic);
        }
        let route = inner.instance.route(topic, None, ROUTE_TIMEOUT).await;
        let route = route.map_err(|error| error.in_operation("queues"))?;
        let mut queues = route.subscribe.clone();
        queues.sort_unstable();
        Ok(queues)
    }

    /// Reads exactly these queues from now on; queues that stay keep their position. With `auto_commit`, the positions
    /// of the others are committed.
    ///
    /// # Errors
    /// `CLOSED`, `INVALID_TOPIC`.
    pub fn assign(&self, queues: Vec<Queue>) -> Result<()> {
        self.open("assign")?;
        for queue in &queues {
            if let Err(error) = name::check_topic(&queue.topic) {
                return Err(Error::new(ErrorCode::InvalidTopic, "assign")
                    .with_message(format!("the topic name is not allowed: {error}"))
                    .with_context("topic", &queue.topic));
            }
        }
        Inner::assign(&self.owner.0, queues);
        Ok(())
    }

    /// Filters a topic by tags, `*` or `a || b`, from the next assignment or seek of each of its queues on.
    ///
    /// # Errors
    /// `INVALID_SUBSCRIPTION`, `INVALID_TOPIC`, `CLOSED`.
    pub fn filter(&self, topic: &str, expression: &str) -> Result<()> {
        let inner = self.open("filter")?;
        let data = subscription::parse("filter", topic, expression, now_ms())?;
        inner.filters.lock().insert(topic.to_owned(), data);
        Ok(())
    }

    /// Continues a queue at this offset; what was read ahead is thrown away.
    ///
    /// # Errors
    /// `QUEUE_NOT_ASSIGNED`; `INVALID_ARGUMENT` when the offset is outside the queue; what the broker answers.
    pub async fn seek(&self, queue: &Queue, offset: i64) -> Result<()> {
        let inner = self.assigned("seek", queue)?;
        let (min, max) = (
            inner.instance.min_offset(queue).await?,
            inner.instance.max_offset(queue).await?,
        );
        if !(min..=max).contains(&offset) {
            return Err(Error::new(ErrorCode::InvalidArgument, "seek")
                .with_message(format!("offset is {offset}, the queue has {min} to {max}"))
                .with_context("queue", queue.to_string()));
        }
        Inner::seek(&self.owner.0, queue, offset)
    }

    /// Continues a queue at its first message.
    ///
    /// # Errors
    /// `QUEUE_NOT_ASSIGNED`; what the broker answers.
    pub async fn seek_to_begin(&self, queue: &Queue) -> Result<()> {
        let offset = self
            .assigned("seek_to_begin", queue)?
            .instance
            .min_offset(queue)
            .await?;
        Inner::seek(&self.owner.0, queue, offset)
    }

    /// Continues a queue at its end.
    ///
    /// # Errors
    /// `QUEUE_NOT_ASSIGNED`; what the broker answers.
    pub async fn seek_to_end(&self, queue: &Queue) -> Result<()> {
        let offset = self
            .assigned("seek_to_end", queue)?
            .instance
            .max_offset(queue)
            .await?;
        Inner::seek(&self.owner.0, queue, offset)
    }

    /// Takes up to `max` messages that are here already.
    ///
    /// # Errors
    /// `CLOSED`; what keeps a queue from being read, once.
    pub fn try_poll(&self, max: u32) -> Result<Vec<ReceivedMessage>> {
        self.open("poll")?;
        Inner::try_poll(&self.owner.0, usize::try_from(max).unwrap_or(usize::MAX))
    }

    /// Takes up to `max` messages; waits up to `wait` for the first. Empty when none came in time.
    ///
    /// # Errors
    /// As [`PullConsumer::try_poll`].
    pub async fn poll(&self, max: u32, wait: Duration) -> Result<Vec<ReceivedMessage>> {
        let deadline = Instant::now() + wait;
        loop {
            let arrived = self.owner.0.arrived.notified();
            let messages = self.try_poll(max)?;
            if !messages.is_empty() || max == 0 {
                return Ok(messages);
            }
            if tokio::time::timeout_at(deadline.into(), arrived)
                .await
                .is_err()
            {
                return self.try_poll(max);
            }
        }
    }

    /// Stores the positions and waits until the brokers have them.
    ///
    /// # Errors
    /// What the brokers answer.
    pub async fn commit(&self) -> Result<()> {
        let inner = self.open("commit")?;
        let positions = inner.positions();
        inner
            .commit(positions)
            .await
            .map_err(|error| error.in_operation("commit"))
    }

    /// The stored position of a queue, if there is one.
    ///
    /// # Errors
    /// What the broker answers.
    pub async fn committed(&self, queue: &Queue) -> Result<Option<i64>> {
        let inner = self.open("committed")?;
        inner
            .instance
            .stored_offset(&inner.options.group, queue, true)
            .await
    }

    /// Offset of the first message of a queue.
    ///
    /// # Errors
    /// What the broker answers.
    pub async fn min_offset(&self, queue: &Queue) -> Result<i64> {
        self.open("min_offset")?.instance.min_offset(queue).await
    }

    /// Offset that the next message of a queue will get.
    ///
    /// # Errors
    /// What the broker answers.
    pub async fn max_offset(&self, queue: &Queue) -> Result<i64> {
        self.open("max_offset")?.instance.max_offset(queue).await
    }

    /// Offset of the first message stored at or after a time, in milliseconds since 1970.
    ///
    /// # Errors
    /// What the broker answers.
    pub async fn offset_by_time(&self, queue: &Queue, timestamp_ms: i64) -> Result<i64> {
        self.open("offset_by_time")?
            .instance
            .offset_by_time(queue, timestamp_ms)
            .await
    }

    /// Ends the consumer; with `auto_commit`, the positions are committed first. May be called twice; both calls return
    /// when it is done.
    ///
    /// # Errors
    /// None today: positions that can not be stored are logged.
    pub async fn close(&self) -> Result<()> {
        self.owner.0.close().await;
        Ok(())
    }

    /// Its client id.
    pub fn client_id(&self) -> &str {
        self.owner.0.instance.client_id()
    }

    fn open(&self, operation: &'static str) -> Result<&Inner> {
        if self.owner.0.state.load(Ordering::Acquire) == RUNNING {
            return Ok(&self.owner.0);
        }
        Err(Error::new(ErrorCode::Closed, operation))
    }

    fn assigned(&self, operation: &'static str, queue: &Queue) -> Result<&Inner> {
        let inner = self.open(operation)?;
        if inner.queues.lock().contains_key(queue) {
            return Ok(inner);
        }
        Err(not_assigned(operation, queue))
    }
}

fn not_assigned(operation: &'static str, queue: &Queue) -> Error {
    Error::new(ErrorCode::QueueNotAssigned, operation).with_context("queue", queue.to_string())
}

impl Drop for Owner {
    fn drop(&mut self) {
        if self.0.state.load(Ordering::Acquire) == RUNNING
            && let Ok(handle) = runtime::handle()
        {
            let inner = Arc::clone(&self.0);
            handle.spawn(async move { inner.close().await });
        }
    }
}

impl std::fmt::Debug for PullConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PullConsumer")
            .field("group", &self.owner.0.options.group)
            .field("client_id", &self.client_id())
            .finish_non_exhaustive()
    }
}
