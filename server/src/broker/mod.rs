// SPDX-License-Identifier: Apache-2.0
//! The broker: topics, groups, offsets and clients around a [`crate::store`].
//!
//! Its logic is synchronous and deterministic: a processor is a function from request, state and `now` to an outcome,
//! requests that wait are parked as data (`long_poll`, `flush_wait`), and timers are data driven by
//! [`Broker::tick`]. No tokio, no sockets, no threads of its own.
//!
//! The way of a request: `dispatch` (one `match`) -> `processor/*` -> [`crate::store`] -> [`crate::net::Replies`].

mod calls;
mod consumption;
mod dispatch;
mod draft;
mod flush_wait;
mod long_poll;
mod pop;
mod processor;
mod read_filter;
mod schedule;
mod settings;
mod stats;
mod timer;
mod transaction;
mod unique_ids;

pub mod clients;
pub mod filters;
pub mod groups;
pub mod locks;
pub mod offsets;
pub mod put_status;
pub mod registration;
pub mod routes;
pub mod topics;

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use thread_local::ThreadLocal;

use crate::config::{BrokerConfig, Managed};
use crate::net::Calls;
use crate::store::clock::Clock;
use crate::store::disk::Disk;
use crate::store::timer::SECONDS_A_WEEK;
use crate::store::{FlushReport, MessageStore, QueueHandle, RecoveryReport, StoreError};

use clients::{ClientTable, PendingNotices};
use filters::FilterTable;
use flush_wait::FlushWaiters;
use groups::GroupTable;
use locks::QueueLocks;
use long_poll::LongPoll;
use offsets::ConsumerOffsets;
use pop::Pop;
use processor::client;
use processor::cold_data::ColdReadLimits;
use processor::send::SendBatch;
use routes::TopicRoutes;
use schedule::DelaySchedule;
use stats::BrokerStats;
use timer::TimerService;
use topics::TopicTable;
use transaction::Transactions;
use unique_ids::UniqueIds;

/// Why a broker can not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The message store could not be opened.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A file under `config/` could not be read.
    #[error("{path}: {source}")]
    State {
        /// The file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
}

/// A broker. All methods can be called from any thread.
pub struct Broker {
    pub(crate) config: Managed<BrokerConfig>,
    pub(crate) store: Arc<MessageStore>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Address that clients use, written into every record.
    pub(crate) store_host: SocketAddr,
    pub(crate) topics: TopicTable,
    pub(crate) groups: GroupTable,
    pub(crate) offsets: ConsumerOffsets,
    pub(crate) clients: ClientTable,
    pub(crate) filters: Arc<FilterTable>,
    pub(crate) notices: PendingNotices,
    pub(crate) locks: QueueLocks,
    stats: BrokerStats,
    cold_reads: ColdReadLimits,
    routes: TopicRoutes,
    pop: Pop,
    long_poll: LongPoll,
    flush_waiters: FlushWaiters,
    calls: Calls<calls::Waiting>,
    schedule: DelaySchedule,
    timer: TimerService,
    transactions: Transactions,
    unique_ids: UniqueIds,
    /// Properties that the broker adds to every message, as text.
    stamp: String,
    /// One for each thread that handles sends, so that its memory stays in the cache of one processor.
    batches: ThreadLocal<Cell<Option<SendBatch>>>,
}

impl Broker {
    /// Opens the store and the tables under `config.store_path_root_dir`.
    ///
    /// `store_host` is the address that clients use. Nothing listens yet and no thread is started.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was changed on disk when another process holds the directory.
    pub fn open(
        config: BrokerConfig,
        store_host: SocketAddr,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Arc<Self>, RecoveryReport), OpenError> {
        Self::open_with_wheel(config, store_host, disk, clock, SECONDS_A_WEEK)
    }

    /// As [`Broker::open`], with a timer wheel of twice `wheel_slots` slots. Their number is fixed in the reference; a small
    /// wheel is for tests on disks in memory.
    pub(crate) fn open_with_wheel(
        config: BrokerConfig,
        store_host: SocketAddr,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        wheel_slots: i64,
    ) -> Result<(Arc<Self>, RecoveryReport), OpenError> {
        let (store, report) = MessageStore::open(
            config.store_options(),
            Arc::clone(&disk),
            Arc::clone(&clock),
        )?;
        let directory = config.store_path_root_dir.join("config");
        let state = |path: &Path, source| OpenError::State {
            path: path.display().to_string(),
            source,
        };
        let now_ms = clock.now_ms();
        let topics = TopicTable::open(&config, &directory, Arc::clone(&disk), now_ms)
            .map_err(|e| state(&directory.join("topics.json"), e))?;
        let groups = GroupTable::open(&config, &directory, Arc::clone(&disk), now_ms)
            .map_err(|e| state(&directory.join("subscriptionGroup.json"), e))?;
        let offsets = ConsumerOffsets::open(&config, &directory, Arc::clone(&disk), now_ms)
            .map_err(|e| state(&directory.join("consumerOffset.json"), e))?;
        let after_crash = report.is_after_crash;
        let filters =
            FilterTable::open(&config, &directory, Arc::clone(&disk), after_crash, now_ms)
                .map_err(|e| state(&directory.join("consumerFilter.json"), e))?;
        let filters = Arc::new(filters);
        if config.enable_calc_filter_bit_map {
            let filters = Arc::clone(&filters);
            store.calculate_bits(filters);
        }
        let pop = Pop::open(&config, &directory, &disk, now_ms);
        let schedule = DelaySchedule::open(&config, &directory, Arc::clone(&disk), now_ms);
        let timer = TimerService::open(&config, Arc::clone(&disk), &store, wheel_slots, now_ms)?;
        topics.adopt(&store.topics(), now_ms);
        let broker = Self {
            stamp: processor::send::stamp(&config),
            store,
            clock,
            store_host,
            topics,
            groups,
            offsets,
            clients: ClientTable::new(&config),
            filters,
            notices: PendingNotices::default(),
            locks: QueueLocks::new(),
            stats: BrokerStats::new(&config.broker_cluster_name, now_ms),
            cold_reads: ColdReadLimits::default(),
            routes: TopicRoutes::default(),
            pop,
            long_poll: LongPoll::default(),
            flush_waiters: FlushWaiters::default(),
            calls: Calls::new(calls::LIMITS),
            schedule,
            timer,
            transactions: Transactions::new(&config, now_ms),
            unique_ids: UniqueIds::new(store_host.ip()),
            batches: ThreadLocal::new(),
            config: Managed::new(
                config.clone(),
                disk,
                config.broker_config_path.clone(),
                &config.black_list(),
                now_ms,
            ),
        };
        let broker = Arc::new(broker);
        broker.report_consumption();
        Ok((broker, report))
    }

    /// The message store, for the thread that flushes it.
    pub fn store(&self) -> &Arc<MessageStore> {
        &self.store
    }

    /// The configuration that is in effect.
    pub fn config(&self) -> &BrokerConfig {
        &self.config
    }

    /// The topics, for the registration with name servers.
    pub fn topics(&self) -> &TopicTable {
        &self.topics
    }

    /// Where queues of topics are, for the task that asks name servers.
    pub fn routes(&self) -> &TopicRoutes {
        &self.routes
    }

    /// Address that clients use.
    pub fn store_host(&self) -> SocketAddr {
        self.store_host
    }

    /// Does what is due: held pulls, pops and flush waits that time out, delayed messages, popped messages that were not
    /// acknowledged, expiry of clients, persistence.
    ///
    /// Call it about every 100 ms; that is the precision of time-outs.
    pub fn tick(&self, now_ms: i64) {
        self.flush_waiters.expire(self, now_ms);
        self.long_poll.expire(self, now_ms);
        self.expire_calls(now_ms);
        self.schedule.tick(self, now_ms);
        self.timer.tick(self, now_ms);
        self.transactions.tick(self, now_ms);
        self.pop.tick(self, now_ms);
        for session in self.clients.expire(now_ms) {
            client::expired(self, &session, now_ms);
        }
        client::notify_collected(self, now_ms);
        self.filters.tick(now_ms);
        self.locks.expire(now_ms);
        self.stats.tick(&self.store, now_ms);
        if self.offsets.is_due(now_ms) {
            self.persist_offsets(now_ms);
        }
    }

    /// Writes the consumer offsets. Some rest on messages that the broker stored itself, as pops on their check points:
    /// these go to disk first, so that no offset is safer than what it rests on.
    fn persist_offsets(&self, now_ms: i64) {
        self.offsets.persist(now_ms, |rests_on| {
            if rests_on <= self.store.flushed_offset() {
                return true;
            }
            match self.store.flush_pass() {
                Ok(report) => {
                    self.flushed(&report);
                    true
                }
                Err(error) => {
                    tracing::error!(%error, "consumer offsets are not written, what they rest on is not on disk");
                    false
                }
            }
        });
    }

    /// The store flushed: completes the sends that waited and wakes the pulls that can be answered now.
    pub fn flushed(&self, report: &FlushReport) {
        self.flush_waiters.complete(self, report.flushed);
        for queue in &report.visible {
            self.arrived(queue);
        }
    }

    /// A unique key for a message that came without one.
    pub(crate) fn unique_id(&self, now_ms: i64) -> String {
        self.unique_ids.next(now_ms)
    }

    /// A message became visible in `queue`.
    pub(crate) fn arrived(&self, queue: &Arc<QueueHandle>) {
        if queue.is_watched() {
            self.long_poll.arrived(self, queue);
            self.pop.arrived(self, queue);
        }
    }

    /// Persists every table. The store is shut down by its owner afterwards.
    pub fn persist(&self) {
        let now_ms = self.clock.now_ms();
        self.transactions.flush(self, now_ms);
        self.topics.persist(now_ms);
        self.groups.persist(now_ms);
        self.filters.persist_changes(now_ms);
        self.persist_offsets(now_ms);
        self.schedule.persist(self, now_ms);
        self.timer.persist(self, now_ms);
        self.pop.persist(self, now_ms);
    }
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker")
            .field("store_host", &self.store_host)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
