// SPDX-License-Identifier: Apache-2.0
//! What can go wrong in the store.

use std::io;
use std::path::{Path, PathBuf};

use kerolox_protocol::message::EncodeError;
use thiserror::Error;

/// An error of the store.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process (or another store of this one) uses the directory.
    #[error("store {} is in use by {}", dir.display(), holder(*pid))]
    Locked {
        /// The store's root.
        dir: PathBuf,
        /// Process id of the holder, if its abort file could be read.
        pid: Option<u32>,
    },
    /// A file operation failed.
    #[error("can not {operation} {}: {source}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file that is no segment lies in the commit log's directory. The reference's broker refuses this too.
    #[error(
        "{} is no commit log segment of {expected_len} bytes: {reason}; move it away, or set mappedFileSizeCommitLog \
         to the size that the store was written with",
        path.display()
    )]
    ForeignFile {
        /// The file.
        path: PathBuf,
        /// Configured length of a segment (`mappedFileSizeCommitLog`).
        expected_len: u64,
        /// What does not fit.
        reason: &'static str,
    },
    /// A directory that can not be examined.
    #[error("can not examine {}: {reason}", path.display())]
    NotExaminable {
        /// The directory.
        path: PathBuf,
        /// What is in the way, and what to do.
        reason: String,
    },
    /// An option has a value that can not work.
    #[error("{key}={value} is not possible: {allowed}")]
    Option {
        /// The reference's name of the option.
        key: &'static str,
        /// Its value.
        value: u64,
        /// What would be possible.
        allowed: &'static str,
    },
    /// A topic that can not be the name of a directory, or a negative queue id.
    #[error("topic {topic:?} queue {queue_id} can not be stored")]
    IllegalName {
        /// The topic.
        topic: String,
        /// The queue.
        queue_id: i32,
    },
    /// There is no room for another light queue.
    #[error("there are {max} light queues already, maxLmqConsumeQueueNum allows no more")]
    TooManyLightQueues {
        /// How many there may be.
        max: usize,
    },
    /// The message breaks a limit of the store.
    #[error("the message is illegal: {0}")]
    MessageIllegal(&'static str),
    /// The properties text is longer than 32767 bytes.
    #[error("the properties have {bytes} bytes, more than 32767")]
    PropertiesTooLong {
        /// Its length.
        bytes: usize,
    },
    /// The store takes no more writes.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The store's thread could not be started.
    #[error("can not start the store's thread: {0}")]
    Thread(#[source] io::Error),
}

/// Why a record was not appended.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum AppendError {
    /// A write or sync failed earlier; nothing is acknowledged any more until the store is opened again.
    #[error("the store failed to write and takes no more messages")]
    Poisoned,
    /// There is no space left on the device, or less than the configured reserve.
    #[error(
        "the disk of the store is full; free space or lower fileReservedTime, messages are taken again once there is space"
    )]
    DiskFull,
    /// The next segment could not be created.
    #[error("a segment could not be created")]
    CreateSegment,
    /// All buffers of the transient store pool are full: the disk takes longer than the senders.
    #[error("all transientStorePoolSize buffers wait for the disk, try again")]
    NoBuffer,
    /// The queue's topic was deleted.
    #[error("the queue was deleted")]
    QueueDeleted,
    /// The store was shut down.
    #[error("the store is shut down")]
    Closed,
}

impl StoreError {
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            operation,
            path: path.to_path_buf(),
            source,
        }
    }
}

impl From<EncodeError> for StoreError {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::TopicTooLong { .. } => Self::MessageIllegal("the topic is too long"),
            EncodeError::PropertiesTooLong { bytes, .. } => Self::PropertiesTooLong { bytes },
            _ => Self::MessageIllegal("the body is too long"),
        }
    }
}

fn holder(pid: Option<u32>) -> String {
    match pid {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}
