// SPDX-License-Identifier: Apache-2.0
//! The key-value configuration of the name server: namespace to key to value, the only thing that it keeps on disk.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::persist::TableFile;
use crate::store::disk::Disk;

/// Namespace of the order configuration: topic to `broker:queues;broker:queues`.
pub const ORDER_TOPIC_CONFIG: &str = "ORDER_TOPIC_CONFIG";

/// Pairs of a namespace.
pub type Pairs = BTreeMap<String, String>;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Content {
    config_table: BTreeMap<String, Pairs>,
}

/// The configuration.
#[derive(Debug)]
pub struct KvConfig {
    content: RwLock<Content>,
    file: Option<TableFile>,
}

impl KvConfig {
    /// Reads the file at `path`; without one everything stays in memory.
    ///
    /// # Errors
    /// The file's directory can not be created.
    pub fn open(disk: Arc<dyn Disk>, path: Option<PathBuf>) -> io::Result<Self> {
        let Some(path) = path else {
            return Ok(Self {
                content: RwLock::default(),
                file: None,
            });
        };
        if let Some(directory) = path.parent() {
            disk.create_dir_all(directory)?;
        }
        let file = TableFile::new(disk, path);
        let (content, _) = file.load();
        Ok(Self {
            content: RwLock::new(content),
            file: Some(file),
        })
    }

    /// Sets a value.
    ///
    /// # Errors
    /// It could not be written to disk; in memory it is set.
    pub fn put(&self, namespace: &str, key: &str, value: &str) -> io::Result<()> {
        let mut content = self.content.write();
        let pairs = content
            .config_table
            .entry(namespace.to_owned())
            .or_default();
        pairs.insert(key.to_owned(), value.to_owned());
        drop(content);
        self.save()
    }

    /// Removes a value; no error if there is none.
    ///
    /// # Errors
    /// The change could not be written to disk; in memory it is made.
    pub fn remove(&self, namespace: &str, key: &str) -> io::Result<()> {
        let mut content = self.content.write();
        let Some(pairs) = content.config_table.get_mut(namespace) else {
            return Ok(());
        };
        if pairs.remove(key).is_none() {
            return Ok(());
        }
        drop(content);
        self.save()
    }

    /// A value.
    pub fn get(&self, namespace: &str, key: &str) -> Option<String> {
        self.content
            .read()
            .config_table
            .get(namespace)?
            .get(key)
            .cloned()
    }

    /// All values of a namespace, `None` if it was never used.
    pub fn namespace(&self, namespace: &str) -> Option<Pairs> {
        self.content.read().config_table.get(namespace).cloned()
    }

    fn save(&self) -> io::Result<()> {
        match &self.file {
            Some(file) => file.save(|| self.content.read().clone()),
            None => Ok(()),
        }
    }
}
