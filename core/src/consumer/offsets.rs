// SPDX-License-Identifier: Apache-2.0
//! Where the offsets of a group are kept: at the broker (one member of the group gets a message), or in a local file
//! (every member gets it).

mod local;

use std::sync::Arc;

pub(super) use local::LocalFileOffsetStore;

use crate::error::Result;
use crate::instance::Instance;
use crate::message::Queue;

/// Where the offsets of a group are kept.
pub(super) enum OffsetStore {
    Remote(RemoteBrokerOffsetStore),
    Local(LocalFileOffsetStore),
}

impl OffsetStore {
    /// The stored offset of a queue, if there is one.
    pub(super) async fn read(&self, queue: &Queue) -> Result<Option<i64>> {
        match self {
            Self::Remote(remote) => remote.read(queue).await,
            Self::Local(local) => Ok(local.read(queue)),
        }
    }

    /// Stores offsets. With `wait`, they are there when this returns.
    pub(super) async fn store(&self, offsets: &[(Queue, i64)], wait: bool) -> Result<()> {
        match self {
            Self::Remote(remote) => {
                for (queue, offset) in offsets {
                    remote.store(queue, *offset, wait).await?;
                }
                Ok(())
            }
            Self::Local(local) => local.store(offsets),
        }
    }
}

/// Offsets at the brokers that hold the queues.
pub(super) struct RemoteBrokerOffsetStore {
    pub(super) instance: Arc<Instance>,
    pub(super) group: String,
}

impl RemoteBrokerOffsetStore {
    pub(super) async fn read(&self, queue: &Queue) -> Result<Option<i64>> {
        self.instance.stored_offset(&self.group, queue, false).await
    }

    pub(super) async fn store(&self, queue: &Queue, offset: i64, wait: bool) -> Result<()> {
        self.instance
            .store_offset(&self.group, queue, offset, wait)
            .await
    }
}
