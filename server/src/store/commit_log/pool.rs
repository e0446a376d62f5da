// SPDX-License-Identifier: Apache-2.0
//! The transient store pool: buffers that take records before the log's files do (store.md 4.5).
//!
//! With `transientStorePoolEnable` an append writes to a buffer alone; [`TransientPool::commit`] copies what was appended
//! to the log's file through its file handle, and only then is it visible. The reference's buffers are private memory, so
//! it loses acknowledged messages with the process. These are files of the store, `transientpool/<offset>`, mapped and
//! shared: they outlive the process, and [`restore`] commits what they hold at the next start. What is committed is given
//! back before the system would write it to the disk a second time.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kerolox_protocol::message::record::{BLANK_BYTES, MIN_BYTES, RecordCheck, check};
use parking_lot::Mutex;

use crate::store::AppendError;
use crate::store::disk::{Disk, OpenSegment, ReadAt, SegmentWriter};
use crate::store::recovery::is_torn;
use crate::store::sabotage::{self, Sabotage};
use crate::store::segments::{SegmentFiles, file_name, remove_segments};

/// Bytes copied at a time.
const STEP: usize = 256 * 1024;
/// Committed bytes of a buffer are given back in pieces of this size at least.
pub(super) const RELEASE_STEP: u64 = 4 << 20;

/// Directory of the buffers.
fn pool_dir(root: &Path) -> PathBuf {
    root.join("transientpool")
}

/// The buffers in use.
pub(crate) struct TransientPool {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// Most buffers at a time (`transientStorePoolSize`).
    size: usize,
    /// No segment is made without a buffer (`fastFailIfNoBufferInStorePool`), as an error of its own.
    fails_fast: bool,
    /// Log segments whose records are not all committed, oldest first.
    targets: Mutex<VecDeque<Target>>,
    /// Everything before is in the log's files.
    committed: AtomicU64,
}

struct Target {
    base: u64,
    log: Box<dyn SegmentWriter>,
    buffer: Box<dyn ReadAt>,
    path: PathBuf,
}

impl Target {
    /// Copies a range of the buffer to the log's file.
    fn copy(&mut self, mut from: u64, to: u64, scratch: &mut Vec<u8>) -> io::Result<()> {
        while from < to {
            let step = usize::try_from(to - from).unwrap_or(STEP).min(STEP);
            scratch.resize(step, 0);
            let place = from - self.base;
            if self.buffer.read_at(place, scratch)? < step {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.log.write_through(place, scratch)?;
            from += step as u64;
        }
        Ok(())
    }
}

impl TransientPool {
    /// A pool without buffers, for a log that ends at `committed`.
    pub(crate) fn new(disk: Arc<dyn Disk>, root: &Path, size: usize, fails_fast: bool) -> Self {
        Self {
            disk,
            dir: pool_dir(root),
            // One is filled while another is committed.
            size: size.max(2),
            fails_fast,
            targets: Mutex::default(),
            committed: AtomicU64::new(0),
        }
    }

    pub(super) fn committed(&self) -> u64 {
        self.committed.load(Ordering::Acquire)
    }

    pub(super) fn set_committed(&self, offset: u64) {
        self.committed.store(offset, Ordering::Release);
    }

    /// Buffers that can still be taken.
    pub(super) fn free(&self) -> usize {
        self.size.saturating_sub(self.targets.lock().len())
    }

    /// Why no further buffer can be taken, if so.
    pub(super) fn refusal(&self) -> Option<AppendError> {
        let is_empty = self.targets.lock().len() >= self.size;
        is_empty.then_some(if self.fails_fast {
            AppendError::CreateSegment
        } else {
            AppendError::NoBuffer
        })
    }

    /// Makes the buffer for the segment at `base`.
    pub(super) fn create(&self, base: u64, len: u64) -> io::Result<Box<dyn SegmentWriter>> {
        self.disk.create_dir_all(&self.dir)?;
        let path = self.dir.join(file_name(base));
        self.disk.remove_file(&path)?;
        let open = OpenSegment {
            len,
            create: true,
            readable: 0,
            head: &[],
        };
        let mut writer = self.disk.open_segment(&path, open)?;
        if let Err(error) = writer.lock_in_memory() {
            tracing::warn!(%error, "a buffer of the transient store pool can not be locked in memory; raise the memlock limit if it should be");
        }
        Ok(writer)
    }

    /// Takes the log's segment that the buffer at `base` is committed to.
    pub(super) fn add(&self, base: u64, log: Box<dyn SegmentWriter>) -> io::Result<()> {
        let path = self.dir.join(file_name(base));
        let buffer = self.disk.open_read(&path)?;
        self.targets.lock().push_back(Target {
            base,
            log,
            buffer,
            path,
        });
        Ok(())
    }

    /// Removes a buffer that was created ahead but not used.
    pub(super) fn discard(&self, base: u64) -> io::Result<()> {
        self.disk.remove_file(&self.dir.join(file_name(base)))
    }

    /// Copies everything before `written`, where a record ends, to the log's files and makes it readable there.
    ///
    /// Only ends of records, and of segments, become the committed position: whoever reads up to it must not meet half
    /// a record. After an error the same bytes are copied again.
    pub(super) fn commit(&self, files: &SegmentFiles, written: u64) -> io::Result<()> {
        let mut targets = self.targets.lock();
        let mut scratch = Vec::new();
        loop {
            let committed = self.committed();
            if committed >= written {
                return Ok(());
            }
            let Some(target) = targets.front_mut() else {
                return Err(io::ErrorKind::NotFound.into());
            };
            let segment_end = target.base + files.segment_len();
            if committed >= segment_end {
                self.disk.remove_file(&target.path)?;
                targets.pop_front();
                continue;
            }
            let end = segment_end.min(written);
            if sabotage::is(Sabotage::CommittedTooEarly) {
                self.committed.store(end, Ordering::Release);
            }
            target.copy(committed, end, &mut scratch)?;
            target.log.publish(end - target.base);
            files.set_end(end);
            self.committed.store(end, Ordering::Release);
        }
    }

    /// Removes all buffers; everything is committed.
    pub(super) fn remove_all(&self) -> io::Result<()> {
        self.targets.lock().clear();
        remove_segments(self.disk.as_ref(), &self.dir)
    }
}

/// Copies the records that follow at `at` in the buffers of a process that died to the log's files, and makes them
/// durable; returns the offset after them.
pub(crate) fn restore(
    disk: &dyn Disk,
    root: &Path,
    files: &SegmentFiles,
    at: u64,
) -> io::Result<u64> {
    let dir = pool_dir(root);
    let mut end = at;
    loop {
        let base = files.base_of(end);
        let buffer = match disk.open_read(&dir.join(file_name(base))) {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(end),
            Err(error) => return Err(error),
        };
        let mut writer = None;
        let from = end;
        while let Some(bytes) = next(buffer.as_ref(), end, end - base)? {
            let writer = match &mut writer {
                Some(writer) => writer,
                None => {
                    files.set_end(end);
                    writer.insert(open_or_create(files, base)?)
                }
            };
            writer.write_through(end - base, &bytes)?;
            let is_blank = bytes.len() == BLANK_BYTES;
            end = if is_blank {
                base + files.segment_len()
            } else {
                end + bytes.len() as u64
            };
        }
        if let Some(writer) = writer {
            writer.segment().flush(from - base, end - base)?;
            files.unmap_all();
        }
        files.set_end(u64::MAX);
        if end < base + files.segment_len() {
            return Ok(end);
        }
    }
}

/// Removes the buffers of an earlier process, once they are restored.
pub(crate) fn remove_buffers(disk: &dyn Disk, root: &Path) -> io::Result<()> {
    remove_segments(disk, &pool_dir(root))
}

fn open_or_create(files: &SegmentFiles, base: u64) -> io::Result<Box<dyn SegmentWriter>> {
    if files.bases().contains(&base) {
        return files.open_tail(base);
    }
    let writer = files.create(base)?;
    files.add(base, writer.segment());
    Ok(writer)
}

/// The intact record, or the head of the blank, at `at` of a buffer.
fn next(buffer: &dyn ReadAt, offset: u64, at: u64) -> io::Result<Option<Vec<u8>>> {
    let mut head = [0; BLANK_BYTES];
    if buffer.read_at(at, &mut head)? < BLANK_BYTES {
        return Ok(None);
    }
    if let RecordCheck::Blank { size } = check(&head) {
        let is_rest = at + size as u64 == buffer.len();
        return Ok(is_rest.then(|| head.to_vec()));
    }
    let [a, b, c, d, ..] = head;
    let size = usize::try_from(i32::from_be_bytes([a, b, c, d])).unwrap_or(0);
    if size < MIN_BYTES || at + size as u64 > buffer.len() {
        return Ok(None);
    }
    let mut bytes = vec![0; size];
    if buffer.read_at(at, &mut bytes)? < size {
        return Ok(None);
    }
    Ok(match check(&bytes) {
        RecordCheck::Record(record)
            if record.physical_offset == offset.cast_signed() && !is_torn(&record, at) =>
        {
            Some(bytes)
        }
        _ => None,
    })
}
