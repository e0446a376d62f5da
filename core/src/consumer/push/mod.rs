// SPDX-License-Identifier: Apache-2.0
//! The push consumer: polled for deliveries, told what became of each.
//!
//! ```text
//! rebalance (which queues) -> pull_loop (one a queue) -> process queue -> poll -> application -> complete
//!        \-> handover: a queue that moves is settled, committed and unlocked before its next owner reads it
//! ```

mod deliveries;
mod handover;
mod member;
mod pull_loop;
mod rebalance;

pub(super) use member::from_where;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use kerolox_protocol::body::heartbeat::SubscriptionData;
use kerolox_protocol::message::name;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

use self::deliveries::Deliveries;
use super::offsets::{LocalFileOffsetStore, OffsetStore, RemoteBrokerOffsetStore};
use super::position::Beginning;
use super::process_queue::{ProcessQueue, Thresholds};
use super::subscription;
use super::{Delivery, MessageModel, PushConsumerOptions, Subscription, Verdict};
use crate::error::{Error, ErrorCode, Result};
use crate::instance::{Instance, InstanceConfig, client_id, now_ms, unique_instance_name};
use crate::message::Queue;
use crate::options::{Value, invalid};
use crate::runtime;

/// Deadline of what a start has to wait for.
const START_TIMEOUT: Duration = Duration::from_secs(3);

const RUNNING: u8 = 0;
const CLOSING: u8 = 1;
const CLOSED: u8 = 2;

/// Receives the messages of its share of the group's queues. Clones share it; it leaves the group when the last one
/// is dropped.
#[derive(Clone)]
pub struct PushConsumer {
    owner: Arc<Owner>,
}

/// Closes the consumer when the last handle is dropped.
struct Owner(Arc<Inner>);

struct Inner {
    options: PushConsumerOptions,
    instance: Arc<Instance>,
    offsets: OffsetStore,
    beginning: Beginning,
    thresholds: Thresholds,
    subscriptions: BTreeMap<String, SubscriptionData>,
    started_ms: i64,
    /// The queues that are read now.
    queues: Mutex<HashMap<Queue, Assigned>>,
    /// Queues that are being given up; they can not be taken again before that is done.
    leaving: Mutex<HashMap<Queue, Arc<ProcessQueue>>>,
    /// Since when another member has not let go of a queue.
    refused: Mutex<HashMap<Queue, Instant>>,
    /// Queues with messages to hand out, in turn.
    ready: Mutex<VecDeque<Arc<ProcessQueue>>>,
    /// Wakes a poll.
    arrived: Notify,
    deliveries: Mutex<Deliveries>,
    /// Wakes the rebalance.
    changed: Notify,
    /// Held while offsets are stored, so that a late one can not overwrite that of a handover.
    storing: tokio::sync::Mutex<()>,
    state: AtomicU8,
    closed: Notify,
    /// Rebalance and the storing of offsets.
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// Handovers and send-backs in progress.
    errands: Mutex<JoinSet<()>>,
}

/// A queue that is read.
struct Assigned {
    queue: Arc<ProcessQueue>,
    puller: JoinHandle<()>,
}

impl PushConsumer {
    /// Starts a consumer: joins the group at every broker of the topics. A topic that does not exist yet is found once
    /// it does.
    ///
    /// # Errors
    /// `INVALID_GROUP`, `INVALID_TOPIC`, `INVALID_SUBSCRIPTION`, `INVALID_OPTION`, `NO_NAME_SERVER`,
    /// `NAME_SERVER_UNREACHABLE`, `DUPLICATE_GROUP`, `IO` (offset file).
    pub async fn start(
        options: PushConsumerOptions,
        subscriptions: Vec<Subscription>,
    ) -> Result<Self> {
        check(&options)?;
        let is_clustering = options.message_model == MessageModel::Clustering;
        let beginning = Beginning::new(options.consume_from, &options.consume_timestamp)?;
        let subscriptions = read_subscriptions(&options.group, is_clustering, &subscriptions)?;
        let instance_name = match options.instance_name.as_str() {
            "" if is_clustering => unique_instance_name(),
            "" => "DEFAULT".to_owned(),
            name => name.to_owned(),
        };
        let client_id = client_id(&options.client_ip, &instance_name);
        let instance = Instance::acquire(InstanceConfig {
            name_servers: options.name_servers.clone(),
            client_id: client_id.clone(),
        })?;
        let offsets = if is_clustering {
            let (instance, group) = (Arc::clone(&instance), options.group.clone());
            OffsetStore::Remote(RemoteBrokerOffsetStore { instance, group })
        } else {
            match LocalFileOffsetStore::open(&options.offset_store_dir, &client_id, &options.group)
            {
                Ok(local) => OffsetStore::Local(local),
                Err(error) => {
                    instance.release().await;
                    return Err(error.in_operation("start"));
                }
            }
        };
        let thresholds = Thresholds {
            messages: usize::try_from(options.pull_threshold_for_queue).unwrap_or(usize::MAX),
            bytes: options.pull_threshold_bytes_for_queue,
            span: i64::from(options.consume_max_span),
        };
        let inner = Arc::new(Inner {
            options,
            instance,
            offsets,
            beginning,
            thresholds,
            subscriptions,
            started_ms: now_ms(),
            queues: Mutex::default(),
            leaving: Mutex::default(),
            refused: Mutex::default(),
            ready: Mutex::default(),
            arrived: Notify::new(),
            deliveries: Mutex::default(),
            changed: Notify::new(),
            storing: tokio::sync::Mutex::new(()),
            state: AtomicU8::new(RUNNING),
            closed: Notify::new(),
            tasks: Mutex::default(),
            errands: Mutex::default(),
        });
        match inner.join().await {
            Ok(()) => Ok(Self {
                owner: Arc::new(Owner(inner)),
            }),
            Err(error) => {
                inner.state.store(CLOSED, Ordering::Release);
                inner.instance.release().await;
                Err(error.in_operation("start"))
            }
        }
    }

    /// Takes up to `max` messages that are here already.
    ///
    /// # Errors
    /// `CLOSED`.
    pub fn try_poll(&self, max: u32) -> Result<Vec<Delivery>> {
        self.inner()
            .try_poll(usize::try_from(max).unwrap_or(usize::MAX))
    }

    /// Takes up to `max` messages; waits up to `wait` for the first. Empty when none came in time.
    ///
    /// Each has to be completed once. Cancel-safe: messages are taken only when the result is ready.
    ///
    /// # Errors
    /// `CLOSED`, also when the consumer is closed while this waits.
    pub async fn poll(&self, max: u32, wait: Duration) -> Result<Vec<Delivery>> {
        let inner = self.inner();
        let deadline = Instant::now() + wait;
        loop {
            let arrived = inner.arrived.notified();
            let deliveries = self.try_poll(max)?;
            if !deliveries.is_empty() || max == 0 {
                return Ok(deliveries);
            }
            if tokio::time::timeout_at(deadline.into(), arrived)
                .await
                .is_err()
            {
                return self.try_poll(max);
            }
        }
    }

    /// Says what became of a delivery.
    ///
    /// # Errors
    /// `UNKNOWN_DELIVERY` when it has been completed before. A delivery whose queue has moved to another member is
    /// accepted and ignored: the other member gets the message.
    pub fn complete(&self, id: u64, verdict: Verdict) -> Result<()> {
        self.complete_batch(&[(id, verdict)])
    }

    /// Completes many deliveries at once.
    ///
    /// # Errors
    /// As [`PushConsumer::complete`], for the first one that is unknown; the others are completed.
    pub fn complete_batch(&self, verdicts: &[(u64, Verdict)]) -> Result<()> {
        Inner::complete(&self.owner.0, verdicts)
    }

    /// The queues that this member has now, sorted; those of the group's retry topic are left out.
    pub fn assigned(&self) -> Vec<Queue> {
        let queues = self.inner().queues.lock();
        let own = queues
            .keys()
            .filter(|queue| !name::is_retry_topic(&queue.topic));
        let mut queues: Vec<Queue> = own.cloned().collect();
        queues.sort_unstable();
        queues
    }

    /// Its client id.
    pub fn client_id(&self) -> &str {
        self.inner().instance.client_id()
    }

    /// Leaves the group: hands out nothing more, waits up to `close_wait_ms` for what is out to be completed, stores
    /// the offsets, lets the queues go. May be called twice; both calls return when it is done.
    ///
    /// # Errors
    /// None today.
    pub async fn close(&self) -> Result<()> {
        Inner::close(&self.owner.0).await;
        Ok(())
    }

    fn inner(&self) -> &Inner {
        &self.owner.0
    }
}

impl Inner {
    fn group(&self) -> &str {
        &self.options.group
    }

    fn is_clustering(&self) -> bool {
        self.options.message_model == MessageModel::Clustering
    }

    fn is_running(&self) -> bool {
        self.state.load(Ordering::Acquire) == RUNNING
    }

    /// Registers at the brokers and starts the background work.
    async fn join(self: &Arc<Self>) -> Result<()> {
        for topic in self
            .subscriptions
            .keys()
            .filter(|topic| !name::is_retry_topic(topic))
        {
            if self
                .instance
                .fetch_route(topic, START_TIMEOUT)
                .await?
                .is_none()
            {
                tracing::info!(group = self.group(), topic, "the topic does not exist yet");
            }
        }
        self.instance.add_consumer(self.group(), self.member())?;
        self.instance.heartbeat().await;
        let handle = runtime::handle()?;
        let rebalance = Arc::clone(self);
        let storing = Arc::clone(self);
        let mut tasks = self.tasks.lock();
        tasks.push(handle.spawn(async move { rebalance.rebalance_loop().await }));
        tasks.push(handle.spawn(async move { storing.store_loop().await }));
        Ok(())
    }

    /// Stores offsets from time to time.
    async fn store_loop(&self) {
        let period = Duration::from_millis(self.options.persist_interval_ms);
        loop {
            tokio::time::sleep(period).await;
            self.store_offsets().await;
        }
    }

    async fn store_offsets(&self) {
        let _storing = self.storing.lock().await;
        let queues: Vec<Arc<ProcessQueue>> = self
            .queues
            .lock()
            .values()
            .map(|assigned| Arc::clone(&assigned.queue))
            .collect();
        let changed: Vec<(Arc<ProcessQueue>, i64)> = queues
            .into_iter()
            .filter_map(|queue| Some((Arc::clone(&queue), queue.uncommitted()?)))
            .collect();
        for (queue, offset) in changed {
            match self
                .offsets
                .store(&[(queue.queue.clone(), offset)], false)
                .await
            {
                Ok(()) => queue.set_committed(offset),
                Err(error) => {
                    tracing::warn!(group = self.group(), queue = %queue.queue, %error, "offset not stored");
                }
            }
        }
    }

    async fn close(self: &Arc<Self>) {
        let first =
            self.state
                .compare_exchange(RUNNING, CLOSING, Ordering::AcqRel, Ordering::Acquire);
        if first.is_err() {
            loop {
                let closed = self.closed.notified();
                if self.state.load(Ordering::Acquire) == CLOSED {
                    return;
                }
                closed.await;
            }
        }
        self.arrived.notify_waiters();
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            task.abort();
            // The outcome of an aborted task says nothing.
            drop(task.await);
        }
        let wait = Duration::from_millis(self.options.close_wait_ms);
        self.give_up_all(wait).await;
        let mut errands = std::mem::take(&mut *self.errands.lock());
        // A send-back or handover that is still under way has had its time.
        errands.shutdown().await;
        self.instance.leave(None, Some(self.group())).await;
        self.instance.release().await;
        self.state.store(CLOSED, Ordering::Release);
        self.closed.notify_waiters();
    }

    /// Runs something that [`Inner::close`] will not leave behind.
    fn spawn_errand(&self, errand: impl Future<Output = ()> + Send + 'static) {
        let Ok(handle) = runtime::handle() else {
            return;
        };
        let mut errands = self.errands.lock();
        while errands.try_join_next().is_some() {}
        errands.spawn_on(errand, handle);
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if self.0.is_running()
            && let Ok(handle) = runtime::handle()
        {
            let inner = Arc::clone(&self.0);
            handle.spawn(async move { inner.close().await });
        }
    }
}

impl std::fmt::Debug for PushConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PushConsumer")
            .field("group", &self.inner().options.group)
            .field("client_id", &self.client_id())
            .finish_non_exhaustive()
    }
}

fn closed(operation: &'static str) -> Error {
    Error::new(ErrorCode::Closed, operation)
}

fn check(options: &PushConsumerOptions) -> Result<()> {
    subscription::check_group(&options.group)?;
    for (name, value, max) in [
        ("pull_batch_size", i64::from(options.pull_batch_size), 1024),
        (
            "pull_threshold_for_queue",
            i64::from(options.pull_threshold_for_queue),
            65_535,
        ),
        (
            "consume_max_span",
            i64::from(options.consume_max_span),
            65_535,
        ),
    ] {
        if !(1..=max).contains(&value) {
            return Err(invalid(name, &Value::Int(value), &format!("1 to {max}")));
        }
    }
    if options.persist_interval_ms == 0 {
        return Err(invalid("persist_interval_ms", &Value::Int(0), "at least 1"));
    }
    Ok(())
}

fn read_subscriptions(
    group: &str,
    is_clustering: bool,
    subscriptions: &[Subscription],
) -> Result<BTreeMap<String, SubscriptionData>> {
    if subscriptions.is_empty() {
        return Err(Error::new(ErrorCode::InvalidSubscription, "start")
            .with_message("a push consumer subscribes to at least one topic"));
    }
    let version = now_ms();
    let mut read = BTreeMap::new();
    for Subscription { topic, expression } in subscriptions {
        let data = subscription::parse("start", topic, expression, version)?;
        read.insert(topic.clone(), data);
    }
    if is_clustering {
        let topic = name::retry_topic(group);
        let data = subscription::parse("start", &topic, "*", version)?;
        read.insert(topic, data);
    }
    Ok(read)
}
