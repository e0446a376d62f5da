// SPDX-License-Identifier: Apache-2.0
//! A file of fixed length mapped into memory. The only `unsafe` code of the server is here.
//!
//! Invariants that make it sound:
//! - bytes below `readable` are never written through this mapping again; shared slices are handed out only there;
//! - bytes at or above `readable` are written only by the one [`MappedWriter`], through the mapping or the file, which takes
//!   `&mut self`, and no slice of them exists but those that borrow this writer;
//! - `readable` is raised with `Release` after the bytes were written and read with `Acquire` before they are read.
//!
//! What can not be excluded from here: another process that truncates the file. The store's lock keeps other brokers
//! away; space is reserved ahead of writing so that a full disk shows as an error and not as a signal.
#![allow(unsafe_code, reason = "mapped files; see the invariants above")]

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{Advice, MmapOptions, MmapRaw};

/// Page size that ranges are rounded to; mappings with larger pages only do more than asked.
const PAGE: usize = 4096;
/// Largest page size of the systems that we run on.
const LARGEST_PAGE: u64 = 64 * 1024;

/// The shared side of a mapped file.
#[derive(Debug)]
pub(crate) struct MappedFile {
    map: MmapRaw,
    file: File,
    readable: AtomicU64,
}

/// The writing side of a mapped file; there is exactly one per [`MappedFile`].
#[derive(Debug)]
pub(crate) struct MappedWriter {
    file: Arc<MappedFile>,
}

/// A range of a mapped file that keeps the mapping alive.
pub(crate) struct MappedRange {
    file: Arc<MappedFile>,
    offset: usize,
    len: usize,
}

impl MappedFile {
    /// Maps a file that is open for reading and writing, extending it with zeros to `len` bytes.
    pub(crate) fn map(file: File, len: u64, readable: u64) -> io::Result<MappedWriter> {
        if file.metadata()?.len() < len {
            file.set_len(len)?;
        }
        let map_len = usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        let map = MmapOptions::new().len(map_len).map_raw(&file)?;
        let readable = AtomicU64::new(readable.min(len));
        Ok(MappedWriter {
            file: Arc::new(Self {
                map,
                file,
                readable,
            }),
        })
    }

    pub(crate) fn len(&self) -> u64 {
        self.map.len() as u64
    }

    pub(crate) fn readable(&self) -> u64 {
        self.readable.load(Ordering::Acquire)
    }

    /// The bytes of a range below the readable mark.
    pub(crate) fn view(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let end = offset.checked_add(len as u64)?;
        if end > self.readable() {
            return None;
        }
        let offset = usize::try_from(offset).ok()?;
        // SAFETY: offset + len <= readable <= mapping length, so the range lies inside the mapping, which lives as long
        // as self. Bytes below `readable` are initialised file content and no longer written (module invariants).
        Some(unsafe { std::slice::from_raw_parts(self.map.as_ptr().add(offset), len) })
    }

    /// A range below the readable mark that owns a share of the mapping.
    pub(crate) fn range(self: &Arc<Self>, offset: u64, len: usize) -> Option<MappedRange> {
        self.view(offset, len)?;
        Some(MappedRange {
            file: Arc::clone(self),
            offset: usize::try_from(offset).ok()?,
            len,
        })
    }

    /// Waits until `from .. to` is on disk.
    pub(crate) fn flush(&self, from: u64, to: u64) -> io::Result<()> {
        match self.clamp(from, to) {
            Some((at, len)) => self.map.flush_range(at, len),
            None => Ok(()),
        }
    }

    /// Asks for space on disk for all pages that the range touches: a page is written whole, so one with space for a part
    /// of it only, where blocks are smaller, ends the process on a full disk. File systems that can not reserve are taken
    /// as they are.
    pub(crate) fn reserve(&self, from: u64, to: u64) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        let from = from / LARGEST_PAGE * LARGEST_PAGE;
        let to = to.next_multiple_of(LARGEST_PAGE).min(self.len());
        if from >= to {
            return Ok(());
        }
        match fallocate(&self.file, FallocateFlags::empty(), from, to - from) {
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Brings pages into memory for writing; unsupported kernels ignore it.
    ///
    /// Left to itself the kernel reads ahead into ever larger folios, which is cheap for a file that grows fast; but each
    /// flush of a few bytes then writes a folio of up to 2 MiB. `is_small` asks for single pages.
    pub(crate) fn prefault(&self, from: u64, to: u64, is_small: bool) {
        let Some((at, len)) = self.clamp(from, to) else {
            return;
        };
        let (at, len) = (at / PAGE * PAGE, len + at % PAGE);
        // Advice only: without it the first write to each page takes the fault.
        let advise = |advice| self.map.advise_range(advice, at, len).unwrap_or(());
        if is_small {
            advise(Advice::Random);
        }
        advise(Advice::PopulateWrite);
        if is_small {
            advise(Advice::Normal);
        }
    }

    /// Asks the kernel to begin to write a range; nothing is known to be on disk by that. Unsupported kernels ignore it.
    pub(crate) fn begin_writing(&self, from: u64, to: u64) {
        use rustix::fs::{Advice, fadvise};
        // Dirty pages are written on this advice; as they are mapped, they stay.
        if let Some(len) = std::num::NonZeroU64::new(to.saturating_sub(from)) {
            fadvise(&self.file, from, Some(len), Advice::DontNeed).unwrap_or(());
        }
    }

    /// Says whether reads come in no order: the system then reads nothing ahead of them.
    pub(crate) fn expect_random(&self, is_random: bool) {
        let advice = if is_random {
            Advice::Random
        } else {
            Advice::Normal
        };
        // Advice only.
        self.map.advise(advice).unwrap_or(());
    }

    fn clamp(&self, from: u64, to: u64) -> Option<(usize, usize)> {
        let (from, to) = (
            usize::try_from(from).ok()?,
            usize::try_from(to.min(self.len())).ok()?,
        );
        (from < to).then(|| (from, to - from))
    }
}

impl MappedWriter {
    pub(crate) fn file(&self) -> &Arc<MappedFile> {
        &self.file
    }

    /// Copies `bytes` to `offset`, at or above the readable mark and inside the file.
    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = offset
            .checked_add(bytes.len() as u64)
            .ok_or(io::ErrorKind::InvalidInput)?;
        // Only this writer raises the mark, so a relaxed load sees its own last value.
        if offset < self.file.readable.load(Ordering::Relaxed) || end > self.file.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: the range lies inside the mapping and above `readable`, so no slice of it exists; `&mut self` is the only
        // writer. `bytes` can not overlap it, as safe code holds no slice above the mark.
        unsafe {
            std::ptr::copy_nonoverlapping(
                bytes.as_ptr(),
                self.file.map.as_mut_ptr().add(offset),
                bytes.len(),
            );
        }
        Ok(())
    }

    /// Any bytes of the file.
    pub(crate) fn peek(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let end = offset.checked_add(len as u64)?;
        if end > self.file.len() {
            return None;
        }
        let offset = usize::try_from(offset).ok()?;
        // SAFETY: the range lies inside the mapping, which lives as long as self. Above `readable` only this writer
        // writes, which needs `&mut self` and so waits for the end of the borrow; below it nobody does.
        Some(unsafe { std::slice::from_raw_parts(self.file.map.as_ptr().add(offset), len) })
    }

    /// Raises the readable mark.
    pub(crate) fn publish(&mut self, to: u64) {
        let to = to.min(self.file.len());
        if to > self.file.readable.load(Ordering::Relaxed) {
            self.file.readable.store(to, Ordering::Release);
        }
    }

    /// Writes to the file instead of the mapping, which shows the same pages.
    pub(crate) fn write_through(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        let end = offset.checked_add(bytes.len() as u64);
        let is_outside = end.is_none_or(|end| end > self.file.len());
        if offset < self.file.readable.load(Ordering::Relaxed) || is_outside {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // Bytes above the mark, to which no slice exists while this writer is borrowed exclusively.
        self.file.file.write_all_at(bytes, offset)
    }

    /// Gives whole pages of `from .. to` back if they lie above the readable mark.
    pub(crate) fn release(&mut self, from: u64, to: u64) {
        use rustix::fs::{FallocateFlags, fallocate};
        let page = PAGE as u64;
        let from = from.max(self.file.readable()).next_multiple_of(page);
        let to = to.min(self.file.len()) / page * page;
        if from < to {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            // Advice only: without it the pages stay until the file goes.
            fallocate(&self.file.file, flags, from, to - from).unwrap_or(());
        }
    }

    /// Locks pages into memory as they come.
    pub(crate) fn lock_in_memory(&mut self) -> io::Result<()> {
        let map = &self.file.map;
        // SAFETY: the range is exactly the mapping, which lives as long as self; locking changes no content, and unmapping
        // unlocks.
        unsafe {
            rustix::mm::mlock_with(
                map.as_mut_ptr().cast(),
                map.len(),
                rustix::mm::MlockFlags::ONFAULT,
            )?;
        }
        Ok(())
    }

    /// Zeroes `from ..` (not below the readable mark), by a hole where the file system can.
    pub(crate) fn zero_from(&mut self, from: u64) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        let len = self.file.len();
        if from < self.file.readable() || from > len {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if from == len {
            return Ok(());
        }
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if fallocate(&self.file.file, flags, from, len - from).is_ok() {
            return Ok(());
        }
        let zeros = [0; 64 * 1024];
        let mut at = from;
        while at < len {
            let part = usize::try_from(len - at)
                .unwrap_or(usize::MAX)
                .min(zeros.len());
            self.write(at, zeros.get(..part).unwrap_or(&zeros))?;
            at += part as u64;
        }
        Ok(())
    }
}

impl AsRef<[u8]> for MappedRange {
    fn as_ref(&self) -> &[u8] {
        // The mark only rises, so a range that was readable stays readable.
        self.file.view(self.offset as u64, self.len).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn open(path: &Path) -> File {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        options.open(path).unwrap()
    }

    #[test]
    fn reads_stop_at_the_mark_and_writes_start_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("00000000000000000000");
        let empty = open(&path);
        let mut writer = MappedFile::map(empty, 10_000, 0).unwrap();
        let file = Arc::clone(writer.file());
        file.reserve(0, 20_000).unwrap();
        file.prefault(5, 20_000, true);
        writer.write(0, b"hello").unwrap();
        assert_eq!(file.view(0, 1), None);
        writer.publish(5);
        assert_eq!(file.view(1, 4), Some(&b"ello"[..]));
        assert_eq!(file.view(1, 5), None);
        assert_eq!(file.view(u64::MAX, 5), None);
        assert!(writer.write(4, b"x").is_err() && writer.write(9_999, b"xy").is_err());
        file.flush(0, 5).unwrap();

        let range = file.range(0, 5).unwrap();
        drop((writer, file));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(range.as_ref(), b"hello");
    }

    #[test]
    fn zeroing_clears_the_rest_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, vec![7; 9_000]).unwrap();
        let mut writer = MappedFile::map(open(&path), 10_000, 5_000).unwrap();
        assert!(writer.zero_from(4_999).is_err());
        writer.zero_from(5_000).unwrap();
        writer.publish(10_000);
        let file = writer.file();
        assert!(file.view(0, 5_000).unwrap().iter().all(|byte| *byte == 7));
        assert!(
            file.view(5_000, 5_000)
                .unwrap()
                .iter()
                .all(|byte| *byte == 0)
        );
    }
}
