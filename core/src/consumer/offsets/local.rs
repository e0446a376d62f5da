// SPDX-License-Identifier: Apache-2.0
//! Offsets in a file, at the reference's place and in its format: `<dir>/<client id>/<group>/offsets.json`, whose map
//! keys are objects. The content before the last change stays in `offsets.json.bak`, which is read when the file is
//! missing or broken.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use kerolox_protocol::body;
use kerolox_protocol::body::offset::QueueOffsets;
use kerolox_protocol::body::queue::{MessageQueue, QueueMap};
use parking_lot::Mutex;

use crate::error::{Error, ErrorCode, Result};
use crate::message::Queue;

/// Offsets in a file.
pub(in crate::consumer) struct LocalFileOffsetStore {
    file: PathBuf,
    offsets: Mutex<BTreeMap<MessageQueue, i64>>,
}

impl LocalFileOffsetStore {
    /// Reads the offsets of a client and group below `dir`; empty means `.rocketmq_offsets` in the home directory.
    pub(in crate::consumer) fn open(dir: &str, client_id: &str, group: &str) -> Result<Self> {
        let dir = if dir.is_empty() {
            std::env::home_dir()
                .unwrap_or_default()
                .join(".rocketmq_offsets")
        } else {
            PathBuf::from(dir)
        };
        let file = dir.join(client_id).join(group).join("offsets.json");
        let offsets = load(&file)?;
        Ok(Self {
            file,
            offsets: Mutex::new(offsets),
        })
    }

    pub(in crate::consumer) fn read(&self, queue: &Queue) -> Option<i64> {
        self.offsets.lock().get(&MessageQueue::from(queue)).copied()
    }

    pub(in crate::consumer) fn store(&self, changed: &[(Queue, i64)]) -> Result<()> {
        if changed.is_empty() {
            return Ok(());
        }
        let mut offsets = self.offsets.lock();
        for (queue, offset) in changed {
            offsets.insert(MessageQueue::from(queue), *offset);
        }
        let table = QueueOffsets {
            offset_table: QueueMap(offsets.clone()),
        };
        save(&self.file, &body::encode_pretty(&table)).map_err(|error| unusable(&self.file, error))
    }
}

fn unusable(file: &Path, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorCode::Io, "offset file")
        .with_context("file", file.display().to_string())
        .with_source(error)
}

fn backup(file: &Path) -> PathBuf {
    file.with_extension("json.bak")
}

fn load(file: &Path) -> Result<BTreeMap<MessageQueue, i64>> {
    let mut problem = None;
    for candidate in [file.to_owned(), backup(file)] {
        match fs::read(&candidate) {
            Ok(bytes) if bytes.trim_ascii().is_empty() => {}
            Ok(bytes) => match body::decode::<QueueOffsets>(&bytes) {
                Ok(table) => return Ok(table.offset_table.0),
                Err(error) => {
                    tracing::warn!(file = %candidate.display(), %error, "offset file is broken");
                    problem = Some(unusable(&candidate, error));
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => problem = Some(unusable(&candidate, error)),
        }
    }
    match problem {
        Some(error) => Err(error),
        None => Ok(BTreeMap::new()),
    }
}

/// Writes a new file beside the old one, keeps the old one as the backup, then puts the new one in its place.
fn save(file: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(dir) = file.parent() {
        fs::create_dir_all(dir)?;
    }
    let fresh = file.with_extension("json.tmp");
    fs::write(&fresh, content)?;
    match fs::rename(file, backup(file)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::rename(&fresh, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(queue_id: i32) -> Queue {
        Queue {
            topic: "t".into(),
            broker_name: "b".into(),
            queue_id,
        }
    }

    #[test]
    fn offsets_survive_in_the_references_format() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().to_str().expect("text");
        let store = LocalFileOffsetStore::open(root, "ip@DEFAULT", "g").expect("opened");
        assert_eq!(store.read(&queue(0)), None);
        store.store(&[(queue(0), 5)]).expect("stored");
        store.store(&[(queue(1), 6)]).expect("stored");
        let file = dir.path().join("ip@DEFAULT/g/offsets.json");
        let text = fs::read_to_string(&file).expect("written");
        let compact: String = text.split_whitespace().collect();
        assert_eq!(
            compact,
            r#"{"offsetTable":{{"brokerName":"b","queueId":0,"topic":"t"}:5,{"brokerName":"b","queueId":1,"topic":"t"}:6}}"#
        );
        let again = LocalFileOffsetStore::open(root, "ip@DEFAULT", "g").expect("opened");
        assert_eq!(
            (again.read(&queue(0)), again.read(&queue(1))),
            (Some(5), Some(6))
        );
    }

    #[test]
    fn a_broken_file_is_stood_in_for_by_its_backup() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().to_str().expect("text");
        let store = LocalFileOffsetStore::open(root, "c", "g").expect("opened");
        store.store(&[(queue(0), 5)]).expect("stored");
        store.store(&[(queue(0), 9)]).expect("stored");
        let file = dir.path().join("c/g/offsets.json");
        fs::write(&file, "{\"offsetTable\":{{").expect("written");
        let store = LocalFileOffsetStore::open(root, "c", "g").expect("opened");
        assert_eq!(store.read(&queue(0)), Some(5));
        fs::write(backup(&file), "nonsense").expect("written");
        let error = LocalFileOffsetStore::open(root, "c", "g")
            .err()
            .expect("both are broken");
        assert_eq!(error.code(), ErrorCode::Io);
        assert!(error.to_string().contains("offsets.json"), "{error}");
    }
}
