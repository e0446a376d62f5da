// SPDX-License-Identifier: Apache-2.0
//! Whether a group pulls or pops a topic: `config/messageRequestMode.json`.
//!
//! Source: server.md 20.4, store.md 11.9.

use std::path::Path;
use std::sync::Arc;

use kerolox_protocol::body::assignment::{RequestMode, RequestModeTable, SetRequestModeRequest};
use kerolox_protocol::message::name;
use parking_lot::RwLock;

use crate::config::{BrokerConfig, MessageRequestMode};
use crate::persist::TableFile;
use crate::store::disk::Disk;

/// Request modes by topic and group.
#[derive(Debug)]
pub(in crate::broker) struct RequestModes {
    default_mode: RequestMode,
    default_share: i32,
    file: TableFile,
    table: RwLock<RequestModeTable>,
}

impl RequestModes {
    pub(super) fn open(config: &BrokerConfig, directory: &Path, disk: Arc<dyn Disk>) -> Self {
        let file = TableFile::new(disk, directory.join("messageRequestMode.json"));
        let (table, _) = file.load();
        Self {
            default_mode: match config.default_message_request_mode {
                MessageRequestMode::Pull => RequestMode::Pull,
                MessageRequestMode::Pop => RequestMode::Pop,
            },
            default_share: config.default_pop_share_queue_num,
            file,
            table: RwLock::new(table),
        }
    }

    /// The mode of a group and topic, and with how many further clients a popped queue is shared.
    pub(super) fn get(&self, topic: &str, group: &str) -> (RequestMode, i32) {
        let table = self.table.read();
        let known = table
            .message_request_mode_map
            .get(topic)
            .and_then(|groups| groups.get(group));
        match known {
            Some(known) => (known.mode, known.pop_share_queue_num),
            None if name::is_retry_topic(topic) => (RequestMode::Pull, 0),
            None => (self.default_mode, self.default_share),
        }
    }

    /// Sets a mode and writes the file.
    pub(in crate::broker) fn set(&self, mode: SetRequestModeRequest) {
        let mut table = self.table.write();
        let groups = table
            .message_request_mode_map
            .entry(mode.topic.clone())
            .or_default();
        groups.insert(mode.consumer_group.clone(), mode);
        drop(table);
        self.file.save_or_log(|| self.snapshot());
    }

    /// The whole table as it goes to disk.
    pub(in crate::broker) fn snapshot(&self) -> RequestModeTable {
        self.table.read().clone()
    }
}
