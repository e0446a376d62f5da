// SPDX-License-Identifier: Apache-2.0
//! All queues of a store, by topic and queue id.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::RwLock;

use super::ext::QueueExt;
use super::open_queues::OpenQueues;
use super::{NONE_YET, QueueHandle};
use crate::store::disk::Disk;
use crate::store::segments::{SegmentFiles, remove_if_empty};

/// Queues by topic; the queues of a topic are sorted by id. Looking one up allocates nothing.
pub(crate) struct QueueTable {
    disk: Arc<dyn Disk>,
    layout: QueueLayout,
    open: Arc<OpenQueues>,
    topics: RwLock<BTreeMap<Box<str>, Vec<Arc<QueueHandle>>>>,
}

/// Where queues lie.
#[derive(Clone, Debug)]
pub(crate) struct QueueLayout {
    /// `consumequeue`.
    pub(crate) root: PathBuf,
    pub(crate) segment_len: u64,
    /// `consumequeue_ext`.
    pub(crate) ext_root: PathBuf,
    pub(crate) ext_segment_len: u64,
    /// Whether appends write to extensions.
    pub(crate) is_ext_enabled: bool,
}

/// What [`QueueTable::load`] met.
pub(crate) struct Loaded {
    pub(crate) table: QueueTable,
    /// Directories of queues that could not be used and were removed.
    pub(crate) removed: Vec<PathBuf>,
}

impl QueueTable {
    /// Finds the queues. A queue whose directory holds anything but segments is removed: it can be rebuilt.
    pub(crate) fn load(disk: Arc<dyn Disk>, layout: QueueLayout) -> io::Result<Loaded> {
        let QueueLayout {
            root, segment_len, ..
        } = &layout;
        let open = Arc::new(OpenQueues::new(disk.most_mapped()));
        let mut topics: BTreeMap<Box<str>, Vec<Arc<QueueHandle>>> = BTreeMap::new();
        let mut removed = Vec::new();
        for topic in disk.list(root)?.into_iter().filter(|entry| entry.is_dir) {
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
                match SegmentFiles::load_derived(Arc::clone(&disk), dir.clone(), *segment_len)? {
                    Ok(files) => {
                        let ext = load_ext(&disk, &layout, &topic.name, id)?;
                        let files = files.with_head(&NONE_YET);
                        let open = Arc::clone(&open);
                        queues.push(QueueHandle::new(&topic.name, id, files, ext, open));
                    }
                    Err(misfit) => {
                        tracing::warn!(file = %misfit.path.display(), reason = misfit.reason, "queue is rebuilt");
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
            layout,
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
        let dir = QueueHandle::dir(&self.layout.root, topic, queue_id);
        let files = SegmentFiles::new(Arc::clone(&self.disk), dir, self.layout.segment_len)
            .with_head(&NONE_YET);
        let ext = self.layout.is_ext_enabled.then(|| {
            let dir = QueueHandle::dir(&self.layout.ext_root, topic, queue_id);
            let len = self.layout.ext_segment_len;
            let files = SegmentFiles::new(Arc::clone(&self.disk), dir, len);
            Box::new(QueueExt::new(files, true))
        });
        QueueHandle::new(topic, queue_id, files, ext, Arc::clone(&self.open))
    }

    pub(crate) fn all(&self) -> Vec<Arc<QueueHandle>> {
        self.topics.read().values().flatten().cloned().collect()
    }

    /// How many topics begin with `prefix`.
    pub(crate) fn count(&self, prefix: &str) -> usize {
        let topics = self.topics.read();
        let from = topics.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        from.take_while(|(topic, _)| topic.starts_with(prefix))
            .count()
    }

    /// Shows every topic with its queues.
    pub(crate) fn each_topic(&self, look: &mut dyn FnMut(&str, &[Arc<QueueHandle>])) {
        for (topic, queues) in &*self.topics.read() {
            look(topic, queues);
        }
    }

    /// The queues of a topic.
    pub(crate) fn of_topic(&self, topic: &str) -> Vec<Arc<QueueHandle>> {
        self.topics.read().get(topic).cloned().unwrap_or_default()
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
            for root in [&self.layout.root, &self.layout.ext_root] {
                remove_if_empty(self.disk.as_ref(), &root.join(topic))?;
            }
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
        for (topic, queues) in &topics {
            for queue in queues {
                queue.delete()?;
            }
            for root in [&self.layout.root, &self.layout.ext_root] {
                remove_if_empty(self.disk.as_ref(), &root.join(topic.as_ref()))?;
            }
        }
        Ok(())
    }
}

/// The extension of a queue that was found. One that can not be right is removed; that costs the queue a rebuild.
fn load_ext(
    disk: &Arc<dyn Disk>,
    layout: &QueueLayout,
    topic: &str,
    queue_id: i32,
) -> io::Result<Option<Box<QueueExt>>> {
    let dir = QueueHandle::dir(&layout.ext_root, topic, queue_id);
    let is_enabled = layout.is_ext_enabled;
    // Most stores have none: no look at each queue then.
    if !is_enabled && disk.list(&layout.ext_root)?.is_empty() {
        return Ok(None);
    }
    let len = layout.ext_segment_len;
    let files = match SegmentFiles::load_derived(Arc::clone(disk), dir.clone(), len)? {
        Ok(files) => files,
        Err(misfit) => {
            tracing::warn!(file = %misfit.path.display(), reason = misfit.reason, "the queue's extension is left out");
            SegmentFiles::new(Arc::clone(disk), dir, len)
        }
    };
    let is_needed = is_enabled || files.first().is_some();
    Ok(is_needed.then(|| Box::new(QueueExt::new(files, is_enabled))))
}
