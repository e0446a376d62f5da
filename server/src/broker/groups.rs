// SPDX-License-Identifier: Apache-2.0
//! Consumer groups and their settings: `subscriptionGroup.json`.
//!
//! Facts: server.md 9, store.md 11.5.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kerolox_protocol::body::group::{SubscriptionGroupConfig, SubscriptionGroupTable};
use kerolox_protocol::body::topic::{DataVersion, perm};
use kerolox_protocol::message::name;
use parking_lot::{Mutex, RwLock};

use crate::config::BrokerConfig;
use crate::persist::TableFile;
use crate::store::disk::Disk;
use crate::store::light;

/// Groups that exist without being created.
const BUILT_IN: [&str; 8] = [
    "TOOLS_CONSUMER",
    "FILTERSRV_CONSUMER",
    "SELF_TEST_C_GROUP",
    "CID_ONS-HTTP-PROXY",
    "CID_ONSAPI_PULL",
    "CID_ONSAPI_PERMISSION",
    "CID_ONSAPI_OWNER",
    "CID_RMQ_SYS_TRANS",
];

/// Groups by name.
#[derive(Debug)]
pub struct GroupTable {
    groups: RwLock<HashMap<String, Arc<SubscriptionGroupConfig>>>,
    /// Group to topic to bits of what is forbidden.
    forbidden: RwLock<BTreeMap<String, BTreeMap<String, i32>>>,
    /// Whether there is any of that: nearly never.
    has_forbidden: AtomicBool,
    version: Mutex<DataVersion>,
    auto_create: AtomicBool,
    auto_create_system: AtomicBool,
    /// Each group of a light queue is there without being made (`enableLmq`).
    has_light: bool,
    file: TableFile,
}

impl GroupTable {
    /// Loads `subscriptionGroup.json` of `directory` and adds the built-in groups.
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
        let file = TableFile::new(disk, directory.join("subscriptionGroup.json"));
        let (table, origin) = file.load::<SubscriptionGroupTable>();
        let mut groups: HashMap<String, Arc<SubscriptionGroupConfig>> = BUILT_IN
            .iter()
            .map(|group| ((*group).to_owned(), Arc::new(new_group(group))))
            .collect();
        for (name, mut group) in table.subscription_group_table {
            group.group_name.clone_from(&name);
            groups.insert(name, Arc::new(group));
        }
        let mut version = table.data_version;
        if origin.is_incomplete() {
            version.next(now_ms);
        }
        Ok(Self {
            groups: RwLock::new(groups),
            has_forbidden: AtomicBool::new(!table.forbidden_table.is_empty()),
            forbidden: RwLock::new(table.forbidden_table),
            version: Mutex::new(version),
            auto_create: AtomicBool::new(config.auto_create_subscription_group),
            auto_create_system: AtomicBool::new(config.enable_create_sys_group),
            has_light: config.enable_lmq,
            file,
        })
    }

    /// The settings of a group; an unknown one is created if the configuration allows it and its name is legal.
    pub fn find(&self, group: &str, now_ms: i64) -> Option<Arc<SubscriptionGroupConfig>> {
        if let Some(config) = self.get(group) {
            return Some(config);
        }
        let allowed = self.auto_create.load(Ordering::Relaxed)
            || (self.auto_create_system.load(Ordering::Relaxed) && name::is_system_group(group));
        if !allowed || name::check_group_on_broker(group).is_err() {
            return None;
        }
        let mut groups = self.groups.write();
        if let Some(present) = groups.get(group) {
            return Some(Arc::clone(present));
        }
        let config = Arc::new(new_group(group));
        groups.insert(group.to_owned(), Arc::clone(&config));
        drop(groups);
        self.changed(now_ms);
        Some(config)
    }

    /// Whether groups, and those of the system, come into being with their first member, from now on.
    pub fn set_auto_create(&self, groups: bool, system_groups: bool) {
        self.auto_create.store(groups, Ordering::Relaxed);
        self.auto_create_system
            .store(system_groups, Ordering::Relaxed);
    }

    /// The settings of a group if it exists.
    pub fn get(&self, group: &str) -> Option<Arc<SubscriptionGroupConfig>> {
        if self.has_light && light::is_light(group) {
            return Some(Arc::new(new_group(group)));
        }
        self.groups.read().get(group).cloned()
    }

    /// Creates groups or replaces their settings.
    pub fn update(&self, configs: impl IntoIterator<Item = SubscriptionGroupConfig>, now_ms: i64) {
        let named = configs
            .into_iter()
            .map(|config| (config.group_name.clone(), Arc::new(config)));
        self.groups.write().extend(named);
        self.changed(now_ms);
    }

    /// Names of all groups, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.groups.read().keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// Removes a group; `false` if there was none.
    pub fn remove(&self, group: &str, now_ms: i64) -> bool {
        let removed = self.groups.write().remove(group).is_some();
        let was_forbidden = self.forbidden.write().remove(group).is_some();
        if removed || was_forbidden {
            self.changed(now_ms);
        }
        removed
    }

    /// Whether the group may not read the topic.
    pub fn is_read_forbidden(&self, group: &str, topic: &str) -> bool {
        self.has_forbidden.load(Ordering::Relaxed)
            && self
                .forbidden
                .read()
                .get(group)
                .and_then(|topics| topics.get(topic))
                .is_some_and(|bits| *bits > 0 && bits & perm::READ != 0)
    }

    /// Lets the group read the topic, or not.
    pub fn set_readable(&self, group: &str, topic: &str, is_readable: bool, now_ms: i64) {
        {
            let mut forbidden = self.forbidden.write();
            if is_readable {
                if let Some(topics) = forbidden.get_mut(group) {
                    if let Some(bits) = topics.get_mut(topic) {
                        *bits &= !perm::READ;
                    }
                    topics.retain(|_, bits| *bits > 0);
                }
                forbidden.retain(|_, topics| !topics.is_empty());
            } else {
                let topics = forbidden.entry(group.to_owned()).or_default();
                let bits = topics.entry(topic.to_owned()).or_default();
                *bits = (*bits).max(0) | perm::READ;
            }
            self.has_forbidden
                .store(!forbidden.is_empty(), Ordering::Relaxed);
        }
        self.changed(now_ms);
    }

    fn changed(&self, now_ms: i64) {
        self.version.lock().next(now_ms);
        self.persist(now_ms);
    }

    /// Writes `subscriptionGroup.json`.
    pub fn persist(&self, _now_ms: i64) {
        self.file.save_or_log(|| self.snapshot());
    }

    /// The whole table as it goes to disk.
    pub fn snapshot(&self) -> SubscriptionGroupTable {
        let groups = self.groups.read();
        SubscriptionGroupTable {
            data_version: *self.version.lock(),
            forbidden_table: self.forbidden.read().clone(),
            subscription_group_table: groups
                .iter()
                .map(|(name, config)| (name.clone(), SubscriptionGroupConfig::clone(config)))
                .collect(),
        }
    }
}

fn new_group(group: &str) -> SubscriptionGroupConfig {
    SubscriptionGroupConfig {
        group_name: group.to_owned(),
        ..SubscriptionGroupConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::RealDisk;

    #[test]
    fn groups_come_into_being_only_where_that_is_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let open = |config: &BrokerConfig| {
            GroupTable::open(config, dir.path(), Arc::new(RealDisk::new()), 1).unwrap()
        };
        let groups = open(&BrokerConfig::default());
        assert_eq!(groups.find("g", 2).unwrap().retry_max_times, 16);
        assert!(groups.find("../g", 2).is_none() && groups.find("", 2).is_none());
        let h = SubscriptionGroupConfig {
            retry_max_times: 3,
            ..new_group("h")
        };
        groups.update([h], 3);
        groups.set_readable("h", "t", false, 3);

        let closed = BrokerConfig {
            auto_create_subscription_group: false,
            ..BrokerConfig::default()
        };
        let groups = open(&closed);
        assert_eq!(groups.find("h", 4).unwrap().retry_max_times, 3);
        assert!(groups.is_read_forbidden("h", "t") && !groups.is_read_forbidden("h", "u"));
        groups.set_readable("h", "t", true, 4);
        assert!(!open(&closed).is_read_forbidden("h", "t"));
        assert!(groups.find("g", 4).is_some() && groups.find("new", 4).is_none());
        assert!(groups.find("CID_RMQ_SYS_x", 4).is_some());
        assert!(groups.remove("g", 5) && groups.find("g", 6).is_none());
    }
}
