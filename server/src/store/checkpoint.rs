// SPDX-License-Identifier: Apache-2.0
//! The checkpoint file: up to where everything was on disk (store.md 3.8).
//!
//! 4096 bytes, i64 fields. The first six are the reference's; an extension of ours follows, which its broker leaves alone.
//!
//! | offset | field | offset | field |
//! |---|---|---|---|
//! | 0 | physicMsgTimestamp | 48 | magic `KEROLOX3` |
//! | 8 | logicsMsgTimestamp | 56 | flushed offset of the commit log |
//! | 16 | indexMsgTimestamp | 64 | restart offset: queues hold everything before it |
//! | 24 | masterFlushedOffset | 72 | copy of the field at 0 |
//! | 32 | confirmPhyOffset | 80 | copy of the field at 8 |
//! | 40 | logicsPhysicalOffset | 88 | run of the machine ([`Disk::boot_id`]) |
//! | | | 96 | sum of the queues' ends at the restart offset |
//! | | | 104 | CRC of bytes 48 to 103 |
//!
//! The reference's timestamps are store times of messages; it restarts three seconds before the smaller one. Our offsets
//! say the same exactly. If its broker has written since (the copies differ), or the CRC is wrong, they are ignored.

use std::path::PathBuf;
use std::sync::Arc;

use super::StoreError;
use super::disk::{Disk, OpenSegment};

/// Length of the file.
pub(crate) const LEN: u64 = 4096;
const MAGIC: i64 = i64::from_be_bytes(*b"KEROLOX3");
const FIELDS: usize = 14;

/// What the checkpoint file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// Store time of the last flushed message.
    pub(crate) physic_timestamp: i64,
    /// Store time of the last message whose consume-queue unit is flushed.
    pub(crate) logics_timestamp: i64,
    /// Store time that the message index reaches.
    pub(crate) index_timestamp: i64,
    /// Kept for the reference's brokers.
    pub(crate) master_flushed_offset: i64,
    /// Kept for the reference's brokers.
    pub(crate) confirm_offset: i64,
    /// Commit-log offset of the last record in a flushed consume queue.
    pub(crate) logics_offset: i64,
    /// Offsets of the extension, if it is there and current.
    pub(crate) exact: Option<Exact>,
}

/// The extension's offsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Exact {
    /// Everything before is on disk.
    pub(crate) flushed: u64,
    /// Everything before is in consume queues that are on disk.
    pub(crate) restart: u64,
    /// The run of the machine in which it was written: in the same run everything written since is still there, too.
    pub(crate) boot_id: u64,
    /// Sum of the ends of all consume queues at the restart offset: tells that none is missing or cut.
    pub(crate) units: i64,
}

impl Checkpoint {
    /// Whether its times can be right at `now_ms`.
    pub(crate) fn is_of_the_past(&self, now_ms: i64) -> bool {
        /// Clocks are set back by some seconds now and then.
        const TOLERANCE_MS: i64 = 60_000;
        self.physic_timestamp.min(self.logics_timestamp) <= now_ms.saturating_add(TOLERANCE_MS)
    }

    /// Time at which abnormal recovery starts, as the reference computes it.
    pub(crate) fn min_timestamp(&self) -> i64 {
        const MARGIN_MS: i64 = 3000;
        (self.physic_timestamp.min(self.logics_timestamp) - MARGIN_MS).max(0)
    }

    fn encode(&self) -> Vec<u8> {
        let exact = self.exact.unwrap_or_default();
        let magic = if self.exact.is_some() { MAGIC } else { 0 };
        let (flushed, restart) = (exact.flushed.cast_signed(), exact.restart.cast_signed());
        let mut bytes = Vec::with_capacity(FIELDS * 8);
        for field in [
            self.physic_timestamp,
            self.logics_timestamp,
            self.index_timestamp,
            self.master_flushed_offset,
            self.confirm_offset,
            self.logics_offset,
            magic,
            flushed,
            restart,
            self.physic_timestamp,
            self.logics_timestamp,
            exact.boot_id.cast_signed(),
            exact.units,
        ] {
            bytes.extend_from_slice(&field.to_be_bytes());
        }
        let crc = extension_crc(&bytes);
        bytes.extend_from_slice(&crc.to_be_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let field = |index: usize| {
            let chunk = bytes.get(index * 8..).and_then(|rest| rest.first_chunk());
            chunk.map_or(0, |chunk| i64::from_be_bytes(*chunk))
        };
        let is_current = field(6) == MAGIC
            && field(9) == field(0)
            && field(10) == field(1)
            && field(13) == extension_crc(bytes);
        let offset = |index| u64::try_from(field(index)).unwrap_or(0);
        Self {
            physic_timestamp: field(0),
            logics_timestamp: field(1),
            index_timestamp: field(2),
            master_flushed_offset: field(3),
            confirm_offset: field(4),
            logics_offset: field(5),
            exact: is_current.then(|| Exact {
                flushed: offset(7),
                restart: offset(8),
                boot_id: field(11).cast_unsigned(),
                units: field(12),
            }),
        }
    }
}

fn extension_crc(bytes: &[u8]) -> i64 {
    i64::from(crc32fast::hash(bytes.get(48..104).unwrap_or_default()))
}

/// The checkpoint file of a store.
pub(crate) struct CheckpointFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl CheckpointFile {
    pub(crate) fn new(disk: Arc<dyn Disk>, path: PathBuf) -> Self {
        Self { disk, path }
    }

    /// Reads the file; missing or cut, its fields are zero, which makes recovery slow but right.
    pub(crate) fn read(&self) -> Checkpoint {
        Checkpoint::decode(&self.disk.read(&self.path).unwrap_or_default())
    }

    /// Writes the file in place, as the reference does, and syncs it. A crash in between can only spoil the extension
    /// (its CRC tells) as all fields lie in one sector.
    pub(crate) fn write(&self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let create = self.disk.read(&self.path).is_err();
        let open = OpenSegment {
            len: LEN,
            create,
            readable: 0,
        };
        let written = (|| {
            let mut writer = self.disk.open_segment(&self.path, open)?;
            if create {
                // A write into a hole of the mapping would end the process on a full disk.
                writer.segment().reserve(0, LEN)?;
            }
            writer.write(0, &checkpoint.encode())?;
            writer.segment().flush(0, LEN)
        })();
        written.map_err(StoreError::io("write", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoint_round_trips_and_foreign_writes_void_the_extension() {
        let exact = Some(Exact {
            flushed: 700,
            restart: 300,
            boot_id: 9,
            units: 10,
        });
        let checkpoint = Checkpoint {
            physic_timestamp: 5000,
            logics_timestamp: 4000,
            index_timestamp: 3,
            master_flushed_offset: 4,
            confirm_offset: 5,
            logics_offset: 6,
            exact,
        };
        let mut bytes = checkpoint.encode();
        assert_eq!(Checkpoint::decode(&bytes), checkpoint);
        assert_eq!(checkpoint.min_timestamp(), 1000);
        assert_eq!(Checkpoint::decode(&bytes[..106]).exact, None);
        assert_eq!(Checkpoint::decode(&[]), Checkpoint::default());
        bytes[7] ^= 1;
        assert_eq!(Checkpoint::decode(&bytes).exact, None);
        bytes[7] ^= 1;
        bytes[63] ^= 1;
        assert_eq!(Checkpoint::decode(&bytes).exact, None);
    }
}
