// SPDX-License-Identifier: Apache-2.0
//! The inspection of stores: what is whole is clean, and each thing that is broken is one finding that names it.

mod cli;
mod garbage;
mod golden;
mod index;
mod log;
mod offsets;
mod queues;
mod running;
mod simulated;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kerolox_protocol::message::{MessageExt, record};
use kerolox_server::store::clock::{Clock, ManualClock};
use kerolox_server::store::disk::{Disk, RealDisk};
use kerolox_server::store::inspect::{self, Finding, Note, StoreLayout, VerifyReport};
use kerolox_server::store::{MessageStore, StoreOptions};

use super::{fields, golden::unpacked, open};

/// A store of ours in a directory: small files, so that there are several.
struct Fixture {
    _dir: tempfile::TempDir,
    options: StoreOptions,
    time: Arc<ManualClock>,
}

const SEGMENT: u64 = 8192;
/// Ten units a file.
const QUEUE_SEGMENT: u64 = 200;

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = StoreOptions {
            commit_log_file_size: SEGMENT,
            consume_queue_file_size: QUEUE_SEGMENT,
            max_hash_slot_num: 16,
            max_index_num: 50,
            ..StoreOptions::new(dir.path().join("store"))
        };
        Self {
            _dir: dir,
            options,
            time: Arc::new(ManualClock::new(1_700_000_000_000)),
        }
    }

    /// A store that was shut down with 150 messages: topic `t` with three queues, in turn.
    fn filled() -> Self {
        let fixture = Self::new();
        let store = fixture.open();
        fixture.fill(&store, 150);
        store.shutdown().unwrap();
        fixture
    }

    fn open(&self) -> Arc<MessageStore> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&self.time);
        open(&self.options, &disk, &clock).0
    }

    fn fill(&self, store: &MessageStore, count: usize) {
        for number in 0..count {
            self.time.advance(7);
            let body = format!("message {number} {}", "x".repeat(number * 37 % 300));
            append(
                store,
                "t",
                i32::try_from(number % 3).unwrap(),
                body.as_bytes(),
            );
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.options.root_dir.join(name)
    }

    fn layout(&self) -> StoreLayout {
        StoreLayout::from(&self.options)
    }

    fn verify(&self) -> VerifyReport {
        verify(&self.layout())
    }

    /// All records by their offset, read without the inspection.
    fn records(&self) -> Vec<MessageExt> {
        let mut records = Vec::new();
        for entry in sorted(&self.path("commitlog")) {
            let bytes = bytes::Bytes::from(fs::read(entry).unwrap());
            records.extend(record::decode_all(bytes));
        }
        records
    }

    /// Changes bytes of the commit log.
    fn patch_log(&self, offset: u64, change: impl FnOnce(&mut [u8])) {
        let base = offset - offset % SEGMENT;
        let path = self.path(&format!("commitlog/{base:020}"));
        patch(&path, offset - base, change);
    }

    /// Changes the unit of `t`.
    fn patch_unit(&self, queue_id: i32, queue_offset: u64, change: impl FnOnce(&mut [u8])) {
        let at = queue_offset * 20;
        let base = at - at % QUEUE_SEGMENT;
        let path = self.path(&format!("consumequeue/t/{queue_id}/{base:020}"));
        patch(&path, at - base, change);
    }
}

fn append(store: &MessageStore, topic: &str, queue_id: i32, body: &[u8]) {
    append_with(store, topic, queue_id, body, "");
}

/// Appends a message with properties; its tags code is that of TAGS.
fn append_with(store: &MessageStore, topic: &str, queue_id: i32, body: &[u8], properties: &str) {
    use kerolox_protocol::message::{properties as text, property, tags};
    let queue = store.queue(topic, queue_id).unwrap();
    let mut batch = store.new_batch();
    let code = tags::tags_code(text::find(properties, property::TAGS));
    let parts = [properties.as_bytes()];
    let fields = fields(topic, queue_id, body, &parts);
    batch.push(&queue, &fields, code).unwrap();
    assert_eq!(store.append(&mut batch).appended, 1);
}

fn verify(layout: &StoreLayout) -> VerifyReport {
    inspect::verify(&RealDisk::new(), layout, &mut |_| {}).unwrap()
}

/// Changes the bytes of a file from `at` on.
fn patch(path: &Path, at: u64, change: impl FnOnce(&mut [u8])) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes[usize::try_from(at).unwrap()..]);
    fs::write(path, bytes).unwrap();
}

/// Files and directories of a directory.
fn sorted(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// The only finding.
fn only(report: &VerifyReport) -> &Finding {
    assert_eq!(report.findings.len(), 1, "{report:#?}");
    &report.findings[0]
}

fn assert_clean(report: &VerifyReport) {
    assert!(
        report.is_clean() && report.findings.is_empty(),
        "{report:#?}"
    );
}

/// A store of the reference, stopped cleanly or killed.
fn reference(kind: &str) -> (tempfile::TempDir, StoreLayout) {
    let (dir, options) = unpacked(kind);
    let layout = StoreLayout {
        max_hash_slot_num: 500,
        max_index_num: 2000,
        ..StoreLayout::from(&options)
    };
    (dir, layout)
}

/// Everything below a directory with content and time of change, to see that nothing was touched.
fn snapshot(dir: &Path) -> Vec<(PathBuf, Option<Vec<u8>>, std::time::SystemTime)> {
    let mut found = Vec::new();
    for path in sorted(dir) {
        let metadata = fs::metadata(&path).unwrap();
        let modified = metadata.modified().unwrap();
        if metadata.is_dir() {
            found.push((path.clone(), None, modified));
            found.extend(snapshot(&path));
        } else {
            let content = fs::read(&path).unwrap();
            found.push((path, Some(content), modified));
        }
    }
    found
}

fn has_note(report: &VerifyReport, is_it: impl Fn(&Note) -> bool) -> bool {
    report.notes.iter().any(is_it)
}
