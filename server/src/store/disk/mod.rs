// SPDX-License-Identifier: Apache-2.0
//! The one seam to the file system: everything the store does with files goes through [`Disk`].
//!
//! [`RealDisk`] maps files into memory; [`SimDisk`] keeps them in memory, remembers what was synced, and can crash,
//! tear, flip bits and fail on command. Segments are files of fixed length that are only ever appended to. The bytes
//! below a segment's *readable* mark never change, which is what makes zero-copy reads sound: a [`SegmentWriter`]
//! (there is one per segment, it can not be cloned) writes at or above the mark and then raises it.

mod real;
mod sim;

use std::borrow::Cow;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

pub use real::RealDisk;
pub use sim::{Fault, FaultKind, SimDisk};

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// File name without directories. Names that are not UTF-8 are given lossily.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Length in bytes; 0 for a directory.
    pub len: u64,
}

/// Space of the partition that holds a directory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// In use.
    pub used: u64,
    /// Available to this process.
    pub available: u64,
}

/// How to open a segment.
#[derive(Clone, Copy, Debug)]
pub struct OpenSegment {
    /// Its fixed length in bytes; a shorter file is extended with zeros.
    pub len: u64,
    /// Whether to create the file, which then must not exist.
    pub create: bool,
    /// First readable mark: what lies below never changes again.
    pub readable: u64,
    /// What a file that is created starts with, from when it has its length.
    pub head: &'static [u8],
}

/// File operations of the store.
pub trait Disk: Send + Sync {
    /// Creates a directory and its parents.
    ///
    /// # Errors
    /// As the operating system reports them; so for all methods.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Entries of a directory sorted by name; empty if it does not exist.
    ///
    /// # Errors
    /// The directory can not be read.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;
    /// Content of a file that is read as a whole, such as a table.
    ///
    /// # Errors
    /// `NotFound` if there is none, `FileTooLarge` above 256 MiB.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Replaces a small file so that a crash leaves the old or the new content; durable on return.
    ///
    /// # Errors
    /// The old content then still stands.
    fn write_atomic(&self, path: &Path, content: &[u8]) -> io::Result<()>;
    /// Removes a file; no error if there is none.
    ///
    /// # Errors
    /// The file can not be removed.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory with all its content; no error if there is none.
    ///
    /// # Errors
    /// Something in it can not be removed.
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Opens or creates a segment. A created one is durable in its directory on return.
    ///
    /// # Errors
    /// The file can not be opened, created or mapped.
    fn open_segment(&self, path: &Path, open: OpenSegment) -> io::Result<Box<dyn SegmentWriter>>;
    /// Writes what a range of a file holds over itself, so that a sync writes it to the disk whatever happened before; holes
    /// stay holes.
    ///
    /// # Errors
    /// The file can not be opened, read or written, or ends before `range` does.
    fn write_again(&self, path: &Path, range: Range<u64>) -> io::Result<()>;
    /// Opens a file to be looked at only: it is neither extended nor locked nor mapped.
    ///
    /// # Errors
    /// The file can not be opened.
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn ReadAt>>;
    /// When the file was last modified, Unix milliseconds.
    ///
    /// # Errors
    /// The file can not be examined.
    fn modified_ms(&self, path: &Path) -> io::Result<i64>;
    /// Space of the partition of `dir`.
    ///
    /// # Errors
    /// The partition can not be examined.
    fn space(&self, dir: &Path) -> io::Result<Space>;
    /// Takes an exclusive lock that lasts until the guard is dropped or the process ends. `None`: somebody holds it.
    ///
    /// # Errors
    /// The lock file can not be opened or locked for another reason.
    fn lock_exclusive(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>>;
    /// Who holds the lock of [`Disk::lock_exclusive`]; nothing is taken or opened. `None`: nobody, or it can not be told.
    ///
    /// # Errors
    /// The lock file can not be examined.
    fn lock_holder(&self, path: &Path) -> io::Result<Option<LockHolder>>;
    /// Physical memory of the machine, bytes.
    fn memory_bytes(&self) -> u64;
    /// How many queues may have mapped files at a time.
    fn most_mapped(&self) -> usize;
    /// Tells the runs of the machine apart: what was written, synced or not, is there as long as this stays the same.
    fn boot_id(&self) -> u64;
}

/// A file that is only read.
pub trait ReadAt: Send + Sync {
    /// Length of the file in bytes.
    fn len(&self) -> u64;
    /// Whether the file has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Reads up to `buffer.len()` bytes at `offset`; fewer only at the end of the file.
    ///
    /// # Errors
    /// As the operating system reports, for example for an unreadable sector.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
}

/// Who holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockHolder {
    /// The process, if it can be seen from here.
    pub pid: Option<u32>,
}

/// Guard of [`Disk::lock_exclusive`].
pub trait DiskLock: Send + Sync {}

/// Shared side of a segment: reads below the readable mark, and syncs.
pub trait Segment: Send + Sync {
    /// Length of the file in bytes.
    fn len(&self) -> u64;
    /// The readable mark.
    fn readable(&self) -> u64;
    /// Bytes `offset .. offset + len`, or `None` if they do not all lie below the readable mark.
    fn view(&self, offset: u64, len: usize) -> Option<Cow<'_, [u8]>>;
    /// As [`Segment::view`], but keeps the segment alive instead of borrowing it; copies nothing on a real disk.
    fn bytes(self: Arc<Self>, offset: u64, len: usize) -> Option<Bytes>;
    /// Makes the bytes `from .. to` durable.
    ///
    /// # Errors
    /// The range, or a part of it, may be lost: do not try again and believe the second answer.
    fn flush(&self, from: u64, to: u64) -> io::Result<()>;
    /// Reserves space on disk for `from .. to`, so that writing there can not fail for lack of it.
    ///
    /// # Errors
    /// `StorageFull`, or as the operating system reports.
    fn reserve(&self, from: u64, to: u64) -> io::Result<()>;
    /// Brings the pages of `from .. to` into memory, ready to be written. If it `is_small`, a later flush of a few bytes
    /// writes few bytes, but this takes longer. Only advice: it does not fail.
    fn prefault(&self, from: u64, to: u64, is_small: bool);
    /// Begins to write `from .. to` to disk. Only advice: it does not fail, and nothing is known to be there after it.
    fn begin_writing(&self, from: u64, to: u64);
    /// Says whether reads come in no order; advice that need not be followed.
    fn expect_random(&self, _is_random: bool) {}
    /// Whether the segment has no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The writing side of a segment.
pub trait SegmentWriter: Send {
    /// The shared side.
    fn segment(&self) -> &Arc<dyn Segment>;
    /// Writes at `offset`, which must not lie below the readable mark.
    ///
    /// # Errors
    /// `InvalidInput` if the range lies outside the segment or below the mark; on a simulated disk also injected faults.
    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Bytes anywhere in the segment, as nobody else writes; `None` beyond its end.
    fn peek(&self, offset: u64, len: usize) -> Option<Cow<'_, [u8]>>;
    /// Raises the readable mark to `to`; a lower value changes nothing.
    fn publish(&mut self, to: u64);
    /// As [`SegmentWriter::write`], through the file's handle and not the mapping: the space need not be reserved.
    ///
    /// # Errors
    /// As [`SegmentWriter::write`], and what the operating system reports, such as `StorageFull`.
    fn write_through(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Gives the space of `from .. to` back, rounded inwards to pages; it reads as zeros. Only advice: it does not fail.
    fn release(&mut self, from: u64, to: u64);
    /// Keeps the pages in memory once they are there.
    ///
    /// # Errors
    /// The process may not lock that much.
    fn lock_in_memory(&mut self) -> io::Result<()>;
    /// Makes everything from `from` to the end zero, giving its space back.
    ///
    /// # Errors
    /// `InvalidInput` below the readable mark, or as the operating system reports.
    fn zero_from(&mut self, from: u64) -> io::Result<()>;
}
