// SPDX-License-Identifier: Apache-2.0
//! The broker's topics: creation on demand and by administrators, `topics.json`, and what name servers have to learn.
//!
//! Facts: server.md 4, store.md 11.3.

mod changes;
mod system;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kerolox_protocol::body::topic::{DataVersion, TopicConfig, TopicConfigTable, perm};
use kerolox_protocol::message::name;
use parking_lot::{Mutex, RwLock};

pub use changes::{Changes, TopicChanges};

use crate::config::BrokerConfig;
use crate::persist::{Origin, TableFile};
use crate::store::disk::Disk;
use crate::store::light;

/// Topics by name.
#[derive(Debug)]
pub struct TopicTable {
    topics: RwLock<HashMap<String, Arc<TopicConfig>>>,
    version: Mutex<DataVersion>,
    system: HashSet<String>,
    origin: Origin,
    auto_create: AtomicBool,
    /// Each light queue is a topic of its own that nobody made (`enableLmq`).
    has_light: bool,
    file: TableFile,
    changes: Arc<TopicChanges>,
}

impl TopicTable {
    /// Loads `topics.json` of `directory` and adds the system's topics.
    ///
    /// # Errors
    /// The directory can not be created.
    pub fn open(
        config: &BrokerConfig,
        directory: &Path,
        disk: Arc<dyn Disk>,
        now_ms: i64,
    ) -> io::Result<Self> {
        disk.create_dir_all(directory)?;
        let file = TableFile::new(disk, directory.join("topics.json"));
        let (table, origin) = file.load::<TopicConfigTable>();
        let mut topics = HashMap::new();
        let mut system = HashSet::new();
        for topic in system::topics(config) {
            system.insert(topic.topic_name.clone());
            topics.insert(topic.topic_name.clone(), Arc::new(topic));
        }
        for (name, mut topic) in table.topic_config_table {
            topic.topic_name.clone_from(&name);
            topics.insert(name, Arc::new(topic));
        }
        let mut version = table.data_version;
        if origin.is_incomplete() {
            version.next(now_ms);
        }
        Ok(Self {
            topics: RwLock::new(topics),
            version: Mutex::new(version),
            system,
            origin,
            auto_create: AtomicBool::new(config.auto_create_topic_enable),
            has_light: config.enable_lmq,
            file,
            changes: Arc::new(TopicChanges::default()),
        })
    }

    /// Takes in topics that the store has queues of and `topics.json` should have named but was lost or damaged, so
    /// that their messages stay reachable. `stored` are topics with the ids of their queues.
    pub fn adopt(&self, stored: &[(String, Vec<i32>)], now_ms: i64) {
        if !self.origin.is_incomplete() {
            return;
        }
        let lost = stored
            .iter()
            .filter(|(name, _)| self.get(name).is_none() && name::check_topic(name).is_ok())
            .filter(|(name, _)| !light::is_light(name));
        let adopted: Vec<TopicConfig> = lost
            .map(|(name, queues)| {
                tracing::warn!(
                    topic = name,
                    "topic found in the store only, taken in with its queues"
                );
                let highest = queues.iter().copied().max().unwrap_or(0);
                TopicConfig::new(
                    name,
                    highest.saturating_add(1).max(1),
                    perm::READ | perm::WRITE,
                )
            })
            .collect();
        self.update(adopted, now_ms);
    }

    /// The settings of a topic.
    pub fn get(&self, topic: &str) -> Option<Arc<TopicConfig>> {
        if self.has_light && light::is_light(topic) {
            let config = TopicConfig::new(topic, 1, perm::READ | perm::WRITE);
            return Some(Arc::new(config));
        }
        self.topics.read().get(topic).cloned()
    }

    /// Does something while the topic does not exist and can not come into being; `None` if it exists.
    pub fn while_absent<T>(&self, topic: &str, act: impl FnOnce() -> T) -> Option<T> {
        // Whoever makes a topic needs this lock for himself.
        let topics = self.topics.read();
        (!topics.contains_key(topic)).then(act)
    }

    /// Creates a topic on its first send after the pattern of `default_topic`.
    ///
    /// # Errors
    /// Why it can not be created, as a remark for the sender.
    pub fn create_on_send(
        &self,
        topic: &str,
        default_topic: &str,
        queue_nums: i32,
        topic_sys_flag: i32,
        now_ms: i64,
    ) -> Result<Arc<TopicConfig>, String> {
        if let Some(config) = self.get(topic) {
            return Ok(config);
        }
        name::check_topic(topic).map_err(|error| format!("topic '{topic}': {error}"))?;
        let created = self.inherit(topic, default_topic, queue_nums, topic_sys_flag, now_ms);
        let config = match created {
            Ok(config) => config,
            Err(_) if name::is_retry_topic(topic) => TopicConfig {
                topic_sys_flag,
                ..TopicConfig::new(topic, 1, perm::READ | perm::WRITE)
            },
            Err(remark) => return Err(remark),
        };
        Ok(self.insert_new(config, now_ms))
    }

    fn inherit(
        &self,
        topic: &str,
        default_topic: &str,
        queue_nums: i32,
        topic_sys_flag: i32,
        now_ms: i64,
    ) -> Result<TopicConfig, String> {
        let refused =
            |why: String| format!("topic '{topic}' does not exist and is not created: {why}");
        let auto_create = self.auto_create.load(Ordering::Relaxed);
        let Some(pattern) = self.get(default_topic) else {
            return Err(refused(format!(
                "the default topic '{default_topic}' does not exist (autoCreateTopicEnable={auto_create})"
            )));
        };
        // A left-over of a time with automatic creation counts for nothing, and is an ordinary topic from now on.
        let is_left_over = default_topic == name::AUTO_CREATE_TOPIC && !auto_create;
        let inherits = perm::is_inherited(pattern.perm) && !is_left_over;
        if is_left_over && pattern.perm != perm::READ | perm::WRITE {
            let demoted = TopicConfig {
                perm: perm::READ | perm::WRITE,
                ..TopicConfig::clone(&pattern)
            };
            self.update([demoted], now_ms);
        }
        if !inherits {
            return Err(refused(format!(
                "the default topic '{default_topic}' has permission {} without 'X' (inherit)",
                perm::text(pattern.perm)
            )));
        }
        Ok(TopicConfig {
            topic_filter_type: pattern.topic_filter_type.clone(),
            topic_sys_flag,
            ..TopicConfig::new(
                topic,
                queue_nums.min(pattern.write_queue_nums).max(0),
                pattern.perm & !perm::INHERIT,
            )
        })
    }

    /// Creates a retry or dead-letter topic, or returns it if it exists.
    pub fn create_on_send_back(
        &self,
        topic: &str,
        queue_nums: i32,
        perm: i32,
        now_ms: i64,
    ) -> Arc<TopicConfig> {
        match self.get(topic) {
            Some(config) => config,
            None => self.insert_new(TopicConfig::new(topic, queue_nums, perm), now_ms),
        }
    }

    /// Inserts a topic unless somebody was faster.
    fn insert_new(&self, config: TopicConfig, now_ms: i64) -> Arc<TopicConfig> {
        let mut topics = self.topics.write();
        if let Some(present) = topics.get(&config.topic_name) {
            return Arc::clone(present);
        }
        let config = Arc::new(config);
        topics.insert(config.topic_name.clone(), Arc::clone(&config));
        drop(topics);
        self.changed([Arc::clone(&config)], now_ms);
        config
    }

    /// Creates topics or replaces their settings; equal ones are left alone. `false` if nothing changed.
    pub fn update(&self, configs: impl IntoIterator<Item = TopicConfig>, now_ms: i64) -> bool {
        let mut changed = Vec::new();
        let mut topics = self.topics.write();
        for config in configs {
            if topics
                .get(&config.topic_name)
                .is_some_and(|present| **present == config)
            {
                continue;
            }
            let config = Arc::new(config);
            topics.insert(config.topic_name.clone(), Arc::clone(&config));
            changed.push(config);
        }
        drop(topics);
        let any = !changed.is_empty();
        if any {
            self.changed(changed, now_ms);
        }
        any
    }

    /// Removes a topic; `false` if there was none.
    pub fn remove(&self, topic: &str, now_ms: i64) -> bool {
        let removed = self.topics.write().remove(topic).is_some();
        if removed {
            self.version.lock().next(now_ms);
            self.save();
            self.changes.add_full();
        }
        removed
    }

    /// Sets the order flag of the topics that a name server's order configuration lists.
    pub fn mark_ordered<'t>(&self, ordered: impl IntoIterator<Item = &'t str>, now_ms: i64) {
        let changed: Vec<TopicConfig> = ordered
            .into_iter()
            .filter_map(|topic| self.get(topic))
            .filter(|config| !config.order)
            .map(|config| TopicConfig {
                order: true,
                ..TopicConfig::clone(&config)
            })
            .collect();
        self.update(changed, now_ms);
    }

    /// Whether topics come into being with their first message, from now on.
    pub fn set_auto_create(&self, enabled: bool) {
        self.auto_create.store(enabled, Ordering::Relaxed);
    }

    /// Something that all topics' registrations depend on has changed.
    pub fn touch(&self, now_ms: i64) {
        self.version.lock().next(now_ms);
        self.save();
        self.changes.add_full();
    }

    fn changed(&self, configs: impl IntoIterator<Item = Arc<TopicConfig>>, now_ms: i64) {
        // Under the version's lock: the changes of a version never come after those of a later one.
        let mut version = self.version.lock();
        version.next(now_ms);
        self.changes.add(configs, *version);
        drop(version);
        self.save();
    }

    /// Writes `topics.json`.
    pub fn persist(&self, _now_ms: i64) {
        self.save();
    }

    fn save(&self) {
        self.file.save_or_log(|| self.snapshot());
    }

    /// Whether the topic belongs to the system: it can not be changed or deleted.
    pub fn is_system(&self, topic: &str) -> bool {
        self.system.contains(topic) || name::is_system_topic(topic)
    }

    /// Names of the system's topics on this broker.
    pub fn system_topics(&self) -> Vec<String> {
        let mut names: Vec<String> = self.system.iter().cloned().collect();
        names.sort_unstable();
        names
    }

    /// All topics that begin with `prefix`.
    pub fn with_prefix(&self, prefix: &str) -> Vec<String> {
        self.topics
            .read()
            .keys()
            .filter(|name| name.starts_with(prefix))
            .cloned()
            .collect()
    }

    /// Number of topics.
    pub fn len(&self) -> usize {
        self.topics.read().len()
    }

    /// Whether there is no topic; there always are the system's.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Version of the table.
    pub fn version(&self) -> DataVersion {
        *self.version.lock()
    }

    /// The whole table as it goes to disk and to name servers.
    pub fn snapshot(&self) -> TopicConfigTable {
        let topics = self.topics.read();
        TopicConfigTable {
            data_version: self.version(),
            topic_config_table: topics
                .iter()
                .map(|(name, config)| (name.clone(), TopicConfig::clone(config)))
                .collect(),
            ..TopicConfigTable::default()
        }
    }

    /// What name servers do not know yet.
    pub fn changes(&self) -> &Arc<TopicChanges> {
        &self.changes
    }
}

#[cfg(test)]
mod tests;
