// SPDX-License-Identifier: Apache-2.0
//! What is worth knowing about a store but not wrong.

use std::fmt;

use serde::Serialize;

/// A remark of an inspection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "the fields' names and the lines of Display say it"
)]
pub enum Note {
    /// Somebody holds the lock: what was read may be out of date, and newer things were taken as they came.
    InUse { pid: Option<u32> },
    /// The abort file is there: the store was not shut down, or it runs.
    NotShutDown { pid: Option<u32> },
    /// Buffers of a store that was killed; the next start puts their records into the log.
    Buffers { buffers: u64 },
    /// Older segments have expired, or are missing.
    LogBegins { offset: u64 },
    /// The newest segment or index file has no bytes: it is being made, or was when the broker crashed.
    EmptySegment { file: String },
    /// Store times are not in order.
    TimeWentBack { records: u64, first: u64 },
    /// Records of an earlier life of their queue: the topic was deleted and made again.
    Superseded {
        topic: String,
        queue_id: i32,
        records: u64,
    },
    /// Records whose topic `topics.json` does not have and that are in no queue: the topic was deleted.
    DeletedTopic {
        topic: String,
        queue_id: i32,
        records: u64,
    },
    /// Queues of a topic that `topics.json` does not have.
    UnknownTopic { topic: String },
    /// A kind of queue that is not looked into.
    NotExamined { what: String },
    /// There is no index: `messageIndexEnable=false`, or nothing was indexed yet.
    NoIndex,
    /// No tags are in the index, as in older releases.
    NoTagKeys { file: String, keys: u64 },
    /// Newer records are not in the index.
    IndexEnds { offset: i64, records: u64 },
    /// Entries that are in the index again, as after a recovery.
    RepeatedEntries { entries: u64 },
    /// A file that the broker does not look at.
    Ignored { file: String },
    /// There is no checkpoint: the next start reads the whole log.
    NoCheckpoint,
    /// An offset lies before the queue's first message.
    OffsetBelowMin {
        group: String,
        topic: String,
        queue_id: i32,
        offset: i64,
        min: i64,
    },
    /// An offset of a queue that is not there.
    OffsetOfNoQueue {
        group: String,
        topic: String,
        queue_id: i32,
        offset: i64,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { pid } => write!(f, "the store is in use by {}", Holder(*pid)),
            Self::NotShutDown { pid } => write!(
                f,
                "the store was not shut down, or is running: abort names {}",
                Holder(*pid)
            ),
            Self::Buffers { buffers } => write!(
                f,
                "{buffers} buffers hold records that the next start puts into the log"
            ),
            Self::LogBegins { offset } => write!(
                f,
                "the commit log begins at {offset}: what lay before has expired or is missing"
            ),
            Self::EmptySegment { file } => {
                write!(f, "{file} has no bytes; the next start removes it")
            }
            Self::TimeWentBack { records, first } => write!(
                f,
                "{records} records have an earlier store time than their predecessor, first at {first}"
            ),
            Self::Superseded {
                topic,
                queue_id,
                records,
            } => write!(
                f,
                "{records} records of {topic} queue {queue_id} are of an earlier life of the queue"
            ),
            Self::DeletedTopic {
                topic,
                queue_id,
                records,
            } => write!(
                f,
                "{records} records of {topic} queue {queue_id} are in no queue: topics.json does not have the topic"
            ),
            Self::UnknownTopic { topic } => {
                write!(f, "{topic} has queues, but topics.json does not have it")
            }
            Self::NotExamined { what } => write!(f, "not examined: {what}"),
            Self::NoIndex => write!(f, "there is no index (messageIndexEnable=false?)"),
            Self::NoTagKeys { file, keys } => write!(
                f,
                "{file} holds no tags, {keys} were looked for: written by a release before 5.5?"
            ),
            Self::IndexEnds { offset, records } => write!(
                f,
                "the index ends at {offset}; {records} newer records with keys are not in it"
            ),
            Self::RepeatedEntries { entries } => {
                write!(f, "{entries} entries are in the index again")
            }
            Self::Ignored { file } => write!(f, "{file} is not looked at"),
            Self::NoCheckpoint => write!(
                f,
                "there is no checkpoint; the next start reads the whole log"
            ),
            Self::OffsetBelowMin {
                group,
                topic,
                queue_id,
                offset,
                min,
            } => write!(
                f,
                "{group} is at {offset} of {topic} queue {queue_id}, which begins at {min}"
            ),
            Self::OffsetOfNoQueue {
                group,
                topic,
                queue_id,
                offset,
            } => write!(
                f,
                "{group} is at {offset} of {topic} queue {queue_id}, which is not there"
            ),
        }
    }
}

struct Holder(Option<u32>);

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pid) => write!(f, "process {pid}"),
            None => write!(f, "another process"),
        }
    }
}
