// SPDX-License-Identifier: Apache-2.0
//! All queues of a store, by topic and queue id.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::RwLock;

use super::QueueHandle;
use super::open_queues::OpenQueues;
use crate::store::disk::Disk;
use crate::store::segments::SegmentFiles;

/// Queues by topic; the queues of a topic are sorted by id. Looking one up allocates nothing.
pub(crate) struct QueueTable {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    segment_len: u64,
    open: Arc<OpenQueues>,
    topics: RwLock<HashMap<Box<str>, Vec<Arc<QueueHandle>>>>,
}

/// What [`QueueTable::load`] met.
pub(crate) struct Loaded {
    pub(crate) table: QueueTable,
    /// Directories of queues that could not be used and were removed.
    pub(crate) removed: Vec<PathBuf>,
}

impl QueueTable {
    /// Finds the queues under `root`. A queue whose directory holds anything but segments is removed: it can be rebuilt.
    pub(crate) fn load(disk: Arc<dyn Disk>, root: PathBuf, segment_len: u64) -> io::Result<Loaded> {
        let open = Arc::new(OpenQueues::new(disk.most_mapped()));
        let mut topics: HashMap<Box<str>, Vec<Arc<QueueHandle>>> = HashMap::new();
        let mut removed = Vec::new();
        for topic in disk.list(&root)?.into_iter().filter(|entry| entry.is_dir) {
            let topic_dir = root.join(&topic.name);
            let mut queues = Vec::new();
            for entry in disk
                .list(&topic_dir)?
                .into_iter()
                .filter(|entry| entry.is_dir)
            {
                // Only the canonical spelling: "01" would be a second directory of queue 1.
                let Some(id) = entry
                    .name
                    .parse::<i32>()
                    .ok()
                    .filter(|id| *id >= 0 && id.to_string() == entry.name)
                else {
                    continue;
                };
                let dir = topic_dir.join(&entry.name);
                match SegmentFiles::load(Arc::clone(&disk), dir.clone(), segment_len)? {
                    Ok(files) => {
                        queues.push(QueueHandle::new(&topic.name, id, files, Arc::clone(&open)));
                    }
                    Err(misfit) => {
                        tracing::warn!(file = %misfit.path.display(), reason = misfit.reason, "queue is rebuilt");
                        disk.remove_dir_all(&dir)?;
                        removed.push(dir);
                    }
                }
            }
            queues.sort_by_key(|queue| queue.queue_id());
            if !queues.is_empty() {
                topics.insert(topic.name.into(), queues);
            }
        }
        let table = Self {
            disk,
            root,
            segment_len,
            open,
            topics: RwLock::new(topics),
        };
        Ok(Loaded { table, removed })
    }

    pub(crate) fn find(&self, topic: &str, queue_id: i32) -> Option<Arc<QueueHandle>> {
        let topics = self.topics.read();
        let queues = topics.get(topic)?;
        let at = queues
            .binary_search_by_key(&queue_id, |queue| queue.queue_id())
            .ok()?;
        queues.get(at).map(Arc::clone)
    }

    /// The queue, made if it is not there; its directory appears with the first message.
    pub(crate) fn find_or_add(&self, topic: &str, queue_id: i32) -> Arc<QueueHandle> {
        if let Some(queue) = self.find(topic, queue_id) {
            return queue;
        }
        let mut topics = self.topics.write();
        let queues = topics.entry(topic.into()).or_default();
        match queues.binary_search_by_key(&queue_id, |queue| queue.queue_id()) {
            Ok(at) if queues.get(at).is_some() => queues
                .get(at)
                .map_or_else(|| self.make(topic, queue_id), Arc::clone),
            Ok(at) | Err(at) => {
                let queue = self.make(topic, queue_id);
                queues.insert(at, Arc::clone(&queue));
                queue
            }
        }
    }

    fn make(&self, topic: &str, queue_id: i32) -> Arc<QueueHandle> {
        let dir = QueueHandle::dir(&self.root, topic, queue_id);
        let files = SegmentFiles::new(Arc::clone(&self.disk), dir, self.segment_len);
        QueueHandle::new(topic, queue_id, files, Arc::clone(&self.open))
    }

    pub(crate) fn all(&self) -> Vec<Arc<QueueHandle>> {
        self.topics.read().values().flatten().cloned().collect()
    }

    /// Topics and their queue ids, sorted.
    pub(crate) fn names(&self) -> Vec<(String, Vec<i32>)> {
        let topics = self.topics.read();
        let ids =
            |queues: &Vec<Arc<QueueHandle>>| queues.iter().map(|queue| queue.queue_id()).collect();
        let mut names: Vec<_> = topics
            .iter()
            .map(|(topic, queues)| (topic.to_string(), ids(queues)))
            .collect();
        names.sort();
        names
    }

    /// Removes a topic and its files; returns the sum of its queues' ends.
    pub(crate) fn remove(&self, topic: &str) -> io::Result<i64> {
        let queues = self.topics.write().remove(topic).unwrap_or_default();
        let mut units = 0;
        for queue in &queues {
            units += queue.delete()?;
        }
        if !queues.is_empty() {
            self.disk.remove_dir_all(&self.root.join(topic))?;
        }
        Ok(units)
    }

    /// Removes one queue's files and forgets it; it can be made anew.
    pub(crate) fn discard(&self, queue: &QueueHandle) -> io::Result<()> {
        if let Some(queues) = self.topics.write().get_mut(queue.topic()) {
            queues.retain(|other| other.queue_id() != queue.queue_id());
        }
        queue.delete().map(drop)
    }

    /// Removes all queues.
    pub(crate) fn clear(&self) -> io::Result<()> {
        let topics = std::mem::take(&mut *self.topics.write());
        for queue in topics.values().flatten() {
            queue.delete()?;
        }
        self.disk.remove_dir_all(&self.root)
    }
}
