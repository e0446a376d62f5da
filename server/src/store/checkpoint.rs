// SPDX-License-Identifier: Apache-2.0
//! The checkpoint file: up to where everything was on disk (store.md 3.8).
//!
//! 4096 bytes, i64 fields. The first six are the reference's; two places for an extension of ours follow, which its broker
//! leaves alone.
//!
//! | offset | field | in a place | field |
//! |---|---|---|---|
//! | 0 | physicMsgTimestamp | 0 | magic `KEROLOX4` |
//! | 8 | logicsMsgTimestamp | 8 | number of the checkpoint |
//! | 16 | indexMsgTimestamp | 16 | flushed offset of the commit log |
//! | 24 | masterFlushedOffset | 24 | restart offset: queues hold everything before it |
//! | 32 | confirmPhyOffset | 32 | copy of the field at 0 |
//! | 40 | logicsPhysicalOffset | 40 | copy of the field at 8 |
//! | 48 | first place | 48 | run of the machine ([`Disk::boot_id`]) |
//! | 128 | second place | 56 | sum of the queues' ends at the restart offset |
//! | | | 64 | sum of the queues' first offsets that have files |
//! | | | 72 | CRC of the 72 bytes before |
//!
//! The reference's timestamps are store times of messages; it restarts three seconds before the smaller one. Our offsets
//! say the same exactly. Checkpoints with even and odd numbers have their own places, so that a process that is killed
//! while it writes one leaves the one before. If the reference's broker has written since (the timestamps are those of
//! neither), or both CRCs are wrong, there is no extension.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::StoreError;
use super::disk::{Disk, OpenSegment};

/// Length of the file.
pub(crate) const LEN: u64 = 4096;
const MAGIC: i64 = i64::from_be_bytes(*b"KEROLOX4");
/// Where the extension's two places begin.
const PLACES: [usize; 2] = [48, 128];
/// What the CRC of a place covers.
const CHECKED: usize = 72;

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
    /// Whether an extension was there and was not written to its end: attempts failed, so the times may be theirs, too.
    pub(crate) is_torn: bool,
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
    /// Sum of the first offsets of all consume queues that have files: tells that no oldest file is missing.
    pub(crate) lows: i64,
}

/// Clocks are set back by some seconds now and then.
const TOLERANCE_MS: i64 = 60_000;

impl Checkpoint {
    /// Whether its times can be right at `now_ms`.
    pub(crate) fn is_of_the_past(&self, now_ms: i64) -> bool {
        self.physic_timestamp.min(self.logics_timestamp) <= now_ms.saturating_add(TOLERANCE_MS)
    }

    /// Whether it says anything: one that is missing, cut or overwritten has no times, or none that can be right. Without
    /// the extension nothing but its times tells.
    pub(crate) fn is_credible(&self, now_ms: i64) -> bool {
        let times = 0..=now_ms.saturating_add(TOLERANCE_MS);
        self.exact.is_some()
            || !self.is_torn
                && self.physic_timestamp > 0
                && times.contains(&self.physic_timestamp)
                && times.contains(&self.logics_timestamp)
    }

    /// The checkpoint to go on from at `now_ms`: times that can not be right would stay for ever.
    pub(crate) fn to_go_on(self, now_ms: i64) -> Self {
        if self.is_of_the_past(now_ms) {
            self
        } else {
            Self::default()
        }
    }

    /// Time at which abnormal recovery starts, as the reference computes it.
    pub(crate) fn min_timestamp(&self) -> i64 {
        const MARGIN_MS: i64 = 3000;
        (self.physic_timestamp.min(self.logics_timestamp) - MARGIN_MS).max(0)
    }

    /// The reference's fields.
    fn encode(&self) -> Vec<u8> {
        bytes_of(&[
            self.physic_timestamp,
            self.logics_timestamp,
            self.index_timestamp,
            self.master_flushed_offset,
            self.confirm_offset,
            self.logics_offset,
        ])
    }

    /// Ours.
    fn encode_extension(&self, number: i64) -> Vec<u8> {
        let exact = self.exact.unwrap_or_default();
        let mut bytes = bytes_of(&[
            if self.exact.is_some() { MAGIC } else { 0 },
            number,
            exact.flushed.cast_signed(),
            exact.restart.cast_signed(),
            self.physic_timestamp,
            self.logics_timestamp,
            exact.boot_id.cast_signed(),
            exact.units,
            exact.lows,
        ]);
        let crc = i64::from(crc32fast::hash(&bytes));
        bytes.extend_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// The checkpoint, and how far it was written.
    pub(crate) fn decode(bytes: &[u8]) -> (Self, Last) {
        let places = PLACES.map(|at| Place::decode(bytes.get(at..).unwrap_or_default()));
        let valid = || places.iter().flatten();
        // A killed process may have written some of the fields.
        let is_own = [0, 1].into_iter().all(|index| {
            let mut places = valid();
            places.any(|place| place.timestamps.get(index) == Some(&field(bytes, index)))
        });
        let newest = valid().max_by_key(|place| place.number);
        let is_begun = |at: usize| {
            bytes
                .get(at..)
                .is_some_and(|place| field(place, 0) == MAGIC)
        };
        let is_torn = PLACES
            .into_iter()
            .zip(&places)
            .any(|(at, place)| place.is_none() && is_begun(at));
        let checkpoint = Self {
            physic_timestamp: field(bytes, 0),
            logics_timestamp: field(bytes, 1),
            index_timestamp: field(bytes, 2),
            master_flushed_offset: field(bytes, 3),
            confirm_offset: field(bytes, 4),
            logics_offset: field(bytes, 5),
            exact: newest.filter(|_| is_own).map(|place| place.exact),
            is_torn,
        };
        let times = [checkpoint.physic_timestamp, checkpoint.logics_timestamp];
        let begun = newest.filter(|place| is_own && place.timestamps != times);
        let last = Last {
            number: newest.map_or(0, |place| place.number),
            unfinished: begun.map(|place| Self {
                physic_timestamp: place.timestamps[0],
                logics_timestamp: place.timestamps[1],
                ..checkpoint
            }),
        };
        (checkpoint, last)
    }
}

/// An extension that was read.
struct Place {
    number: i64,
    timestamps: [i64; 2],
    exact: Exact,
}

impl Place {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let checked = bytes.get(..CHECKED)?;
        let is_whole = field(bytes, CHECKED / 8) == i64::from(crc32fast::hash(checked));
        let offset = |index| u64::try_from(field(bytes, index)).unwrap_or(0);
        (is_whole && field(bytes, 0) == MAGIC).then(|| Self {
            number: field(bytes, 1),
            timestamps: [field(bytes, 4), field(bytes, 5)],
            exact: Exact {
                flushed: offset(2),
                restart: offset(3),
                boot_id: field(bytes, 6).cast_unsigned(),
                units: field(bytes, 7),
                lows: field(bytes, 8),
            },
        })
    }
}

fn field(bytes: &[u8], index: usize) -> i64 {
    let chunk = bytes.get(index * 8..).and_then(|rest| rest.first_chunk());
    chunk.map_or(0, |chunk| i64::from_be_bytes(*chunk))
}

fn bytes_of(fields: &[i64]) -> Vec<u8> {
    fields
        .iter()
        .flat_map(|field| field.to_be_bytes())
        .collect()
}

/// The checkpoint file of a store.
pub(crate) struct CheckpointFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    last: Mutex<Last>,
}

/// The last checkpoint that was begun.
#[derive(Debug, Default)]
pub(crate) struct Last {
    number: i64,
    /// If it was not written to its end, it is written again before anything else: the same bytes can not spoil its place, on
    /// which the file may rest already.
    unfinished: Option<Checkpoint>,
}

impl CheckpointFile {
    pub(crate) fn new(disk: Arc<dyn Disk>, path: PathBuf) -> Self {
        let last = Mutex::default();
        Self { disk, path, last }
    }

    /// Reads the file; missing or cut, its fields are zero, which makes recovery slow but right.
    pub(crate) fn read(&self) -> Checkpoint {
        let bytes = self.disk.read(&self.path).unwrap_or_default();
        let (checkpoint, last) = Checkpoint::decode(&bytes);
        *self.last.lock() = last;
        checkpoint
    }

    /// Writes the file in place, as the reference does, and syncs it. All fields lie in one sector.
    pub(crate) fn write(&self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let mut last = self.last.lock();
        let written = self.finish(&mut last).and_then(|()| {
            last.number = last.number.wrapping_add(1);
            last.unfinished = Some(*checkpoint);
            self.finish(&mut last)
        });
        written.map_err(StoreError::io("write", &self.path))
    }

    /// Writes the unfinished checkpoint, if there is one.
    fn finish(&self, last: &mut Last) -> io::Result<()> {
        let Some(checkpoint) = &last.unfinished else {
            return Ok(());
        };
        let create = self.disk.read(&self.path).is_err();
        let open = OpenSegment {
            len: LEN,
            create,
            readable: 0,
            head: &[],
        };
        let mut writer = self.disk.open_segment(&self.path, open)?;
        if create {
            // A write into a hole of the mapping would end the process on a full disk.
            writer.segment().reserve(0, LEN)?;
        }
        let [even, odd] = PLACES;
        let place = if last.number % 2 == 0 { even } else { odd };
        writer.write(place as u64, &checkpoint.encode_extension(last.number))?;
        writer.write(0, &checkpoint.encode())?;
        writer.segment().flush(0, LEN)?;
        last.unfinished = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::disk::{Fault, FaultKind, SimDisk};
    use super::*;

    #[test]
    fn checkpoint_round_trips_and_foreign_writes_void_the_extension() {
        let exact = Some(Exact {
            flushed: 700,
            restart: 300,
            boot_id: 9,
            units: 10,
            lows: 2,
        });
        let checkpoint = Checkpoint {
            physic_timestamp: 5000,
            logics_timestamp: 4000,
            index_timestamp: 3,
            master_flushed_offset: 4,
            confirm_offset: 5,
            logics_offset: 6,
            exact,
            is_torn: false,
        };
        let disk = SimDisk::new();
        let path = PathBuf::from("/checkpoint");
        disk.create_dir_all(Path::new("/")).unwrap();
        let open = || CheckpointFile::new(Arc::new(disk.clone()), path.clone());
        assert_eq!(open().read(), Checkpoint::default());
        let file = open();
        for physic_timestamp in [5000, 5001, 5002] {
            let checkpoint = Checkpoint {
                physic_timestamp,
                ..checkpoint
            };
            file.write(&checkpoint).unwrap();
            assert_eq!(open().read(), checkpoint);
        }
        assert_eq!(checkpoint.min_timestamp(), 1000);
        let bytes = disk.read(&path).unwrap();
        let (last, before) = (128, 48);
        let exact_after = |changes: &[usize]| {
            let mut bytes = bytes.clone();
            for at in changes {
                bytes[*at] ^= 1;
            }
            Checkpoint::decode(&bytes).0.exact
        };
        // The newest is spoiled: the one before is taken, unless it is, too.
        assert_eq!(
            exact_after(&[last + 30]),
            None,
            "the timestamps are not those of the other"
        );
        assert_eq!(exact_after(&[before + 30]), exact);
        assert_eq!(exact_after(&[last + 30, before + 30]), None);
        // Some other broker wrote a timestamp.
        assert_eq!(exact_after(&[6]), None);
        let is_credible = |changes: &[usize]| {
            let mut bytes = bytes.clone();
            changes.iter().for_each(|at| bytes[*at] ^= 1);
            Checkpoint::decode(&bytes).0.is_credible(6000)
        };
        assert!(is_credible(&[]) && is_credible(&[7]) && is_credible(&[before + 30]));
        // Some other broker, or attempts of ours that failed: nobody knows.
        assert!(!is_credible(&[7, before + 30]));
    }

    #[test]
    fn attempts_that_fail_leave_a_checkpoint() {
        for after in 0..2 {
            for percent in [0, 40, 90] {
                let disk = SimDisk::new();
                disk.create_dir_all(Path::new("/")).unwrap();
                let open =
                    || CheckpointFile::new(Arc::new(disk.clone()), PathBuf::from("/checkpoint"));
                let checkpoint = |flushed: u64| Checkpoint {
                    physic_timestamp: flushed.cast_signed() * 2,
                    logics_timestamp: flushed.cast_signed() * 3,
                    exact: Some(Exact {
                        flushed,
                        ..Exact::default()
                    }),
                    ..Checkpoint::default()
                };
                let found = || open().read().exact.map(|exact| exact.flushed);
                let fail = |file: &CheckpointFile, flushed, after| {
                    disk.inject(Fault {
                        after,
                        kind: FaultKind::Short { percent },
                        is_lasting: true,
                    });
                    assert!(file.write(&checkpoint(flushed)).is_err());
                    disk.heal();
                };
                let file = open();
                file.write(&checkpoint(1)).unwrap();
                file.write(&checkpoint(2)).unwrap();
                fail(&file, 3, after);
                assert_eq!(found(), Some(2 + after));
                // What the file rests on stays, whatever else fails, also in the next process.
                fail(&file, 4, 0);
                fail(&file, 5, 1);
                assert_eq!(found(), Some(3));
                let file = open();
                file.read();
                fail(&file, 6, 0);
                fail(&file, 7, 1);
                assert!(found().is_some_and(|flushed| (3..=6).contains(&flushed)));
                file.write(&checkpoint(8)).unwrap();
                assert_eq!(found(), Some(8));
            }
        }
    }
}
