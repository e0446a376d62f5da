// SPDX-License-Identifier: Apache-2.0
//! Filters that groups registered with their heartbeats: `consumerFilter.json` (server.md 10.5, store.md 11.7).
//!
//! A filter whose group is gone is dead, but stays for a day: its messages keep their bits, and the group may come back.
//! The bits of a message say which filters it passed when it was stored. They only spare work: a message without bits, or
//! stored before the filter was born, is evaluated when it is read.

mod bloom;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use kerolox_protocol::body::filter::{
    BloomFilterData, ConsumerFilterData, ConsumerFilterTable, TopicFilters,
};
use kerolox_protocol::body::heartbeat::SubscriptionData;
use parking_lot::RwLock;

use bloom::Bloom;

use crate::config::BrokerConfig;
use crate::filter::{CompileError, Filter, FilterCache};
use crate::persist::TableFile;
use crate::store::disk::Disk;
use crate::store::{BitSource, StoredBits};

/// Type of the filters that there are besides tags.
const SQL92: &str = "SQL92";
/// Milliseconds between two looks for dead filters and two writes of the file.
const PERSIST_INTERVAL_MS: i64 = 10_000;
/// A filter is born this long after it was registered: messages whose bits were calculated before, but which are stored
/// only now, then count as older than it.
const SETTLE_MS: i64 = 1_000;
/// A filter of a file is dead for that long already when it is loaded.
const DEAD_BEFORE_LOAD_MS: i64 = 30_000;

/// What is wrong with an expression that is to filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// There is no such type.
    #[error("the expression type is '{0}', allowed: TAG, SQL92")]
    Type(String),
    /// It does not compile.
    #[error(transparent)]
    Expression(#[from] CompileError),
}

/// The filter of one group for one topic.
#[derive(Clone, Debug)]
pub struct GroupFilter {
    /// Version of the subscription.
    pub version: i64,
    /// Compiled.
    pub filter: Arc<Filter>,
    expression: Box<str>,
    born_ms: i64,
    /// 0 if the group is there.
    dead_ms: i64,
    bloom: BloomFilterData,
}

impl GroupFilter {
    fn is_dead(&self) -> bool {
        self.dead_ms >= self.born_ms
    }

    fn die(&mut self, now_ms: i64) {
        self.dead_ms = now_ms.max(self.born_ms);
    }

    /// Whether a message can pass, as far as its bits tell.
    pub fn may_pass(&self, stored: &StoredBits) -> bool {
        let bits = usize::try_from(self.bloom.bit_num).unwrap_or(0);
        stored.store_timestamp <= self.born_ms
            || stored.bits.len() * 8 != bits
            || bloom::has_all(&stored.bits, &self.bloom)
    }
}

type Groups = HashMap<Box<str>, Arc<GroupFilter>>;

/// Filters by topic and group.
#[derive(Debug)]
pub struct FilterTable {
    topics: RwLock<HashMap<Box<str>, Groups>>,
    compiled: FilterCache,
    bloom: Bloom,
    keep_dead_ms: i64,
    is_dirty: AtomicBool,
    persisted_ms: AtomicI64,
    file: TableFile,
}

impl FilterTable {
    /// Loads `consumerFilter.json` of `directory`. A table whose bits are of another shape is left out as a whole. After a
    /// crash the bits of older messages may be cut: they are not looked at.
    ///
    /// # Errors
    /// The directory can not be created.
    pub fn open(
        config: &BrokerConfig,
        directory: &Path,
        disk: Arc<dyn Disk>,
        is_after_crash: bool,
        now_ms: i64,
    ) -> io::Result<Self> {
        disk.create_dir_all(directory)?;
        let file = TableFile::new(disk, directory.join("consumerFilter.json"));
        let (loaded, _) = file.load::<ConsumerFilterTable>();
        let table = Self {
            topics: RwLock::default(),
            compiled: FilterCache::default(),
            bloom: Bloom::new(
                config.max_error_rate_of_bloom_filter,
                config.expect_consumer_num_use_filter,
            ),
            keep_dead_ms: config.filter_data_clean_time_span,
            is_dirty: AtomicBool::new(false),
            persisted_ms: AtomicI64::new(now_ms),
            file,
        };
        let bits_from_ms = if is_after_crash { now_ms } else { i64::MIN };
        *table.topics.write() = table.taken_over(loaded, bits_from_ms, now_ms);
        Ok(table)
    }

    fn taken_over(
        &self,
        loaded: ConsumerFilterTable,
        bits_from_ms: i64,
        now_ms: i64,
    ) -> HashMap<Box<str>, Groups> {
        let mut topics: HashMap<Box<str>, Groups> = HashMap::new();
        for (topic, filters) in loaded.filter_data_by_topic {
            for (group, data) in filters.group_filter_data {
                let Some(bloom) = data.bloom_filter_data.filter(|bits| self.bloom.fits(bits))
                else {
                    tracing::warn!(
                        topic,
                        group,
                        "bits of filters have another shape, all filters are dropped"
                    );
                    return HashMap::new();
                };
                let filter = match self.compile(&data.expression_type, &data.expression) {
                    Ok(filter) => filter,
                    Err(error) => {
                        tracing::warn!(topic, group, %error, "a filter of consumerFilter.json is dropped");
                        continue;
                    }
                };
                let mut found = GroupFilter {
                    version: data.client_version,
                    filter,
                    expression: data.expression.into(),
                    born_ms: data.born_time.max(bits_from_ms),
                    dead_ms: data.dead_time,
                    bloom,
                };
                if found.dead_ms == 0 || found.dead_ms < found.born_ms {
                    found.die(now_ms.saturating_sub(DEAD_BEFORE_LOAD_MS));
                }
                let groups = topics.entry(topic.as_str().into()).or_default();
                groups.insert(group.into(), Arc::new(found));
            }
        }
        topics
    }

    /// The filter of an expression, compiled at most once in a while.
    ///
    /// # Errors
    /// [`FilterError`]
    pub fn compile(&self, kind: &str, expression: &str) -> Result<Arc<Filter>, FilterError> {
        if kind != SQL92 {
            return Err(FilterError::Type(kind.chars().take(64).collect()));
        }
        Ok(self.compiled.compile(expression)?)
    }

    /// The filter of a group for a topic.
    pub fn get(&self, topic: &str, group: &str) -> Option<Arc<GroupFilter>> {
        self.topics.read().get(topic)?.get(group).cloned()
    }

    /// Takes over the subscriptions of a group; its filters for other topics die. What does not compile is left out and
    /// makes an older filter go, so that the client learns of it when it pulls.
    pub fn register(&self, group: &str, subscriptions: &[SubscriptionData], now_ms: i64) {
        let is_sql = |data: &&SubscriptionData| !is_tag(&data.expression_type);
        if !subscriptions.iter().any(|data| is_sql(&data)) && self.topics.read().is_empty() {
            return;
        }
        let mut changed = false;
        let mut topics = self.topics.write();
        for data in subscriptions.iter().filter(is_sql) {
            if !data.sub_string.is_empty() {
                changed |= self.register_one(&mut topics, group, data, now_ms);
            }
        }
        for (topic, groups) in topics.iter_mut() {
            let is_subscribed = || subscriptions.iter().any(|data| *data.topic == **topic);
            if let Some(filter) = groups.get_mut(group)
                && !filter.is_dead()
                && !is_subscribed()
            {
                Arc::make_mut(filter).die(now_ms);
                self.is_dirty.store(true, Ordering::Relaxed);
            }
        }
        drop(topics);
        // At once: bits of messages that are stored from now on must not be read by an older expression after a restart.
        if changed {
            self.persist(now_ms);
        }
    }

    /// Whether an expression is new.
    fn register_one(
        &self,
        topics: &mut HashMap<Box<str>, Groups>,
        group: &str,
        data: &SubscriptionData,
        now_ms: i64,
    ) -> bool {
        let bloom = self.bloom.of(group, &data.topic);
        let old = topics
            .get_mut(data.topic.as_str())
            .and_then(|groups| groups.get_mut(group));
        if let Some(old) = old {
            let is_same = *old.expression == *data.sub_string
                && data.expression_type == SQL92
                && old.bloom == bloom;
            if data.sub_version < old.version || (data.sub_version == old.version && !old.is_dead())
            {
                return false;
            }
            if is_same || data.sub_version == old.version {
                let old = Arc::make_mut(old);
                old.version = data.sub_version;
                old.dead_ms = 0;
                self.is_dirty.store(true, Ordering::Relaxed);
                return false;
            }
        }
        let topic: Box<str> = data.topic.as_str().into();
        let filter = match self.compile(&data.expression_type, &data.sub_string) {
            Ok(filter) => filter,
            Err(error) => {
                tracing::warn!(group, topic = data.topic, %error, "a filter is not registered");
                return topics
                    .get_mut(&topic)
                    .is_some_and(|groups| groups.remove(group).is_some());
            }
        };
        let new = GroupFilter {
            version: data.sub_version,
            filter,
            expression: data.sub_string.as_str().into(),
            born_ms: now_ms.saturating_add(SETTLE_MS),
            dead_ms: 0,
            bloom,
        };
        let groups = topics.entry(topic).or_default();
        groups.insert(group.into(), Arc::new(new));
        true
    }

    /// The group has no members any more.
    pub fn unregister(&self, group: &str, now_ms: i64) {
        for groups in self.topics.write().values_mut() {
            if let Some(filter) = groups.get_mut(group)
                && !filter.is_dead()
            {
                Arc::make_mut(filter).die(now_ms);
                self.is_dirty.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Every ten seconds: drops what has been dead for too long, and writes the file if something changed.
    pub fn tick(&self, now_ms: i64) {
        if now_ms.saturating_sub(self.persisted_ms.load(Ordering::Relaxed)) < PERSIST_INTERVAL_MS {
            return;
        }
        self.persisted_ms.store(now_ms, Ordering::Relaxed);
        let mut removed = false;
        self.topics.write().retain(|_, groups| {
            let before = groups.len();
            groups.retain(|_, filter| {
                let is_old = now_ms.saturating_sub(filter.dead_ms) >= self.keep_dead_ms;
                !(filter.is_dead() && is_old)
            });
            removed |= groups.len() != before;
            !groups.is_empty()
        });
        if removed || self.is_dirty.load(Ordering::Relaxed) {
            self.persist(now_ms);
        }
    }

    /// Writes the file.
    pub fn persist(&self, now_ms: i64) {
        self.persisted_ms.store(now_ms, Ordering::Relaxed);
        self.is_dirty.store(false, Ordering::Relaxed);
        if let Err(error) = self.file.save(|| self.snapshot()) {
            tracing::error!(%error, "consumerFilter.json could not be written");
            self.is_dirty.store(true, Ordering::Relaxed);
        }
    }

    /// Writes the file if something changed since it was written.
    pub fn persist_changes(&self, now_ms: i64) {
        if self.is_dirty.load(Ordering::Relaxed) {
            self.persist(now_ms);
        }
    }

    fn snapshot(&self) -> ConsumerFilterTable {
        let topics = self.topics.read();
        let filters = topics.iter().map(|(topic, groups)| {
            let groups = groups.iter().map(|(group, filter)| {
                let data = ConsumerFilterData {
                    bloom_filter_data: Some(filter.bloom.clone()),
                    born_time: filter.born_ms,
                    client_version: filter.version,
                    consumer_group: group.to_string(),
                    dead: filter.is_dead(),
                    dead_time: filter.dead_ms,
                    expression: filter.expression.to_string(),
                    expression_type: SQL92.to_owned(),
                    topic: topic.to_string(),
                };
                (group.to_string(), data)
            });
            let filters = TopicFilters {
                group_filter_data: groups.collect(),
                topic: topic.to_string(),
            };
            (topic.to_string(), filters)
        });
        ConsumerFilterTable {
            filter_data_by_topic: filters.collect(),
        }
    }
}

impl BitSource for FilterTable {
    fn bits(&self, topic: &str, properties: &[&[u8]]) -> Option<Box<[u8]>> {
        let topics = self.topics.read();
        let groups = topics.get(topic)?;
        let joined = properties.concat();
        let properties = String::from_utf8_lossy(&joined);
        let mut bits = vec![0; self.bloom.bytes()];
        for filter in groups.values() {
            if filter.filter.matches(&properties) {
                bloom::set(&mut bits, &filter.bloom);
            }
        }
        Some(bits.into())
    }
}

/// Whether an expression type means tags.
pub fn is_tag(kind: &str) -> bool {
    kind.is_empty() || kind == "TAG"
}

#[cfg(test)]
mod tests;
