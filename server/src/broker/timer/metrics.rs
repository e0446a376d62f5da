// SPDX-License-Identifier: Apache-2.0
//! How many timer messages of each topic wait: `config/timermetrics` (store.md 11.9).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use kerolox_protocol::body;
use kerolox_protocol::body::topic::DataVersion;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::persist::TableFile;
use crate::store::disk::Disk;

/// Content of the file, and of the answer to GET_TIMER_METRICS.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Table {
    data_version: DataVersion,
    timing_count: BTreeMap<String, Metric>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metric {
    count: i64,
    time_stamp: i64,
}

/// The counts.
pub(super) struct Metrics {
    file: TableFile,
    table: Mutex<(Table, bool)>,
}

impl Metrics {
    pub(super) fn open(disk: Arc<dyn Disk>, directory: &Path) -> Self {
        let file = TableFile::new(disk, directory.join("timermetrics"));
        let (table, _) = file.load();
        Self {
            file,
            table: Mutex::new((table, false)),
        }
    }

    /// Counts from nothing again.
    pub(super) fn clear(&self) {
        let mut table = self.table.lock();
        table.0.timing_count.clear();
        table.1 = true;
    }

    pub(super) fn add(&self, topic: &str, count: i64, now_ms: i64) {
        let mut table = self.table.lock();
        let (table, is_dirty) = &mut *table;
        *is_dirty = true;
        table.data_version.next(now_ms);
        let metric = match table.timing_count.get_mut(topic) {
            Some(metric) => metric,
            None => table.timing_count.entry(topic.to_owned()).or_default(),
        };
        metric.count = metric.count.saturating_add(count);
        metric.time_stamp = now_ms;
    }

    pub(super) fn body(&self) -> Vec<u8> {
        body::encode(&self.table.lock().0)
    }

    /// Writes the file if something changed; a failure is logged, the next checkpoint tries again.
    pub(super) fn save(&self) {
        if !std::mem::take(&mut self.table.lock().1) {
            return;
        }
        if let Err(error) = self.file.save(|| self.table.lock().0.clone()) {
            tracing::error!(%error, "the counts of timer messages were not written, trying again");
            self.table.lock().1 = true;
        }
    }
}
