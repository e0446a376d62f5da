// SPDX-License-Identifier: Apache-2.0
//! A directory of segments of one length, named by the offset of their first byte (store.md 1.1, 1.2).
//!
//! The commit log and every consume queue are one of these. Segments are mapped when they are first used; the newest one
//! is written by whoever took it with [`SegmentFiles::open_tail`] or [`SegmentFiles::create`].

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::RwLock;

use super::disk::{DirEntry, Disk, OpenSegment, ReadAt, Segment, SegmentWriter};

/// The segments of a directory.
pub(crate) struct SegmentFiles {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    len: u64,
    /// Offset up to which bytes may be read when a segment is mapped anew.
    end: AtomicU64,
    slots: RwLock<VecDeque<Slot>>,
    /// What a created segment starts with.
    head: &'static [u8],
    /// Reads come in no order.
    is_random: AtomicBool,
}

struct Slot {
    base: u64,
    segment: Option<Arc<dyn Segment>>,
    /// Set by each use, cleared by [`SegmentFiles::unmap_idle`].
    is_used: std::sync::atomic::AtomicBool,
}

impl Slot {
    fn new(base: u64, segment: Option<Arc<dyn Segment>>) -> Self {
        Self {
            base,
            segment,
            is_used: true.into(),
        }
    }
}

/// A file that does not belong into a directory of segments.
#[derive(Debug)]
pub(crate) struct Misfit {
    pub(crate) path: PathBuf,
    pub(crate) reason: &'static str,
}

/// Name of the segment that starts at `base`: 20 decimal digits.
pub(crate) fn file_name(base: u64) -> String {
    format!("{base:020}")
}

fn parse_name(entry: &DirEntry) -> Option<u64> {
    let is_name = entry.name.len() == 20 && entry.name.bytes().all(|byte| byte.is_ascii_digit());
    is_name.then(|| entry.name.parse().ok())?
}

impl SegmentFiles {
    /// An empty list for a directory that need not exist yet.
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: PathBuf, len: u64) -> Self {
        Self {
            disk,
            dir,
            len,
            end: AtomicU64::new(0),
            slots: RwLock::default(),
            head: &[],
            is_random: AtomicBool::new(false),
        }
    }

    /// Segments that are created from now on start with these bytes.
    pub(crate) fn with_head(mut self, head: &'static [u8]) -> Self {
        self.head = head;
        self
    }

    /// Finds the segments of `dir`, which holds nothing else. An empty last file is removed, a short last one is taken
    /// (opening extends it): both are what a crash at creation leaves. Everything read later is readable to the segments'
    /// ends until [`SegmentFiles::set_end`].
    pub(crate) fn load(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        len: u64,
    ) -> io::Result<Result<Self, Misfit>> {
        let mut entries = files_of(disk.as_ref(), &dir)?;
        if let Some(last) = entries.pop_if(|last| last.len == 0) {
            disk.remove_file(&dir.join(last.name))?;
        }
        Ok(Self::from_entries(disk, dir, len, &entries))
    }

    /// As [`SegmentFiles::load`], for a directory whose content can be made again: foreign files are left alone, and if a
    /// segment can not be right, all are removed.
    pub(crate) fn load_derived(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        len: u64,
    ) -> io::Result<Result<Self, Misfit>> {
        let mut entries = files_of(disk.as_ref(), &dir)?;
        entries.retain(|entry| {
            let is_own = parse_name(entry).is_some();
            if !is_own {
                let file = dir.join(&entry.name);
                tracing::warn!(file = %file.display(), "this is no file of the store; it is left alone");
            }
            is_own
        });
        if let Some(last) = entries.pop_if(|last| last.len == 0) {
            disk.remove_file(&dir.join(last.name))?;
        }
        let mut loaded = Self::from_entries(Arc::clone(&disk), dir.clone(), len, &entries);
        // Opening would extend the last, and the zeros at its end would pass for a part of what was cut.
        if let Some(last) = entries.last().filter(|last| last.len < len)
            && loaded.is_ok()
        {
            loaded = Err(Misfit {
                path: dir.join(&last.name),
                reason: "it is cut",
            });
        }
        if loaded.is_err() {
            for entry in entries {
                disk.remove_file(&dir.join(entry.name))?;
            }
        }
        Ok(loaded)
    }

    fn from_entries(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        len: u64,
        entries: &[DirEntry],
    ) -> Result<Self, Misfit> {
        let mut slots = VecDeque::new();
        let last = entries.len().saturating_sub(1);
        for (index, entry) in entries.iter().enumerate() {
            let misfit = |reason| {
                Err(Misfit {
                    path: dir.join(&entry.name),
                    reason,
                })
            };
            let Some(base) = parse_name(entry) else {
                return misfit("its name is not 20 digits");
            };
            if entry.len != len && (index != last || entry.len > len) {
                return misfit("its length differs");
            }
            if !base.is_multiple_of(len) {
                return misfit("its name is no multiple of the segment length");
            }
            slots.push_back(Slot::new(base, None));
        }
        let end = slots
            .back()
            .map_or(0, |slot: &Slot| slot.base.saturating_add(len));
        Ok(Self {
            disk,
            dir,
            len,
            end: AtomicU64::new(end),
            slots: RwLock::new(slots),
            head: &[],
            is_random: AtomicBool::new(false),
        })
    }

    /// Length of each segment.
    pub(crate) fn segment_len(&self) -> u64 {
        self.len
    }

    /// Offset of the segment that holds `offset`.
    pub(crate) fn base_of(&self, offset: u64) -> u64 {
        offset - offset % self.len
    }

    /// Offsets of all segments, oldest first.
    pub(crate) fn bases(&self) -> Vec<u64> {
        self.slots.read().iter().map(|slot| slot.base).collect()
    }

    /// Offset of the oldest segment.
    pub(crate) fn first(&self) -> Option<u64> {
        self.slots.read().front().map(|slot| slot.base)
    }

    /// Offset of the newest segment.
    pub(crate) fn last(&self) -> Option<u64> {
        self.slots.read().back().map(|slot| slot.base)
    }

    pub(crate) fn path(&self, base: u64) -> PathBuf {
        self.dir.join(file_name(base))
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Sets the offset up to which segments mapped from now on may be read.
    pub(crate) fn set_end(&self, end: u64) {
        self.end.store(end, Ordering::Release);
    }

    /// The segment that holds `offset`, mapped if need be; `None` if there is no such segment.
    pub(crate) fn segment(&self, offset: u64) -> io::Result<Option<(u64, Arc<dyn Segment>)>> {
        let base = self.base_of(offset);
        {
            let slots = self.slots.read();
            let Some(slot) = find(&slots, base, self.len) else {
                return Ok(None);
            };
            if !slot.is_used.load(Ordering::Relaxed) {
                slot.is_used.store(true, Ordering::Relaxed);
            }
            if let Some(segment) = &slot.segment {
                return Ok(Some((base, Arc::clone(segment))));
            }
        }
        let mut slots = self.slots.write();
        let Ok(at) = slots.binary_search_by_key(&base, |slot| slot.base) else {
            return Ok(None);
        };
        let Some(slot) = slots.get_mut(at) else {
            return Ok(None);
        };
        if let Some(segment) = &slot.segment {
            return Ok(Some((base, Arc::clone(segment))));
        }
        let writer = self.open(base, false)?;
        let segment = Arc::clone(writer.segment());
        slot.segment = Some(Arc::clone(&segment));
        Ok(Some((base, segment)))
    }

    /// Opens the segment at `base` without mapping it.
    pub(crate) fn open_read(&self, base: u64) -> io::Result<Box<dyn ReadAt>> {
        self.disk.open_read(&self.path(base))
    }

    /// Opens an existing segment for writing; readers use the new mapping from now on.
    pub(crate) fn open_tail(&self, base: u64) -> io::Result<Box<dyn SegmentWriter>> {
        let mut slots = self.slots.write();
        let at = slots.binary_search_by_key(&base, |slot| slot.base);
        let slot = at
            .ok()
            .and_then(|at| slots.get_mut(at))
            .ok_or(io::ErrorKind::NotFound)?;
        let writer = self.open(base, false)?;
        slot.segment = Some(Arc::clone(writer.segment()));
        Ok(writer)
    }

    /// Opens the newest segment as [`SegmentFiles::open_tail`] does and zeroes it from `end` on. One of which nothing is left
    /// starts with what created segments start with.
    pub(crate) fn cut_tail(&self, end: u64) -> io::Result<Box<dyn SegmentWriter>> {
        let base = self.base_of(end);
        self.set_end(end);
        let mut writer = self.open_tail(base)?;
        let mut from = end - base;
        if from == 0 {
            writer.write_through(0, self.head)?;
            from = self.head.len() as u64;
        }
        writer.zero_from(from)?;
        Ok(writer)
    }

    /// Creates a segment, but does not show it to readers: see [`SegmentFiles::add`].
    pub(crate) fn create(&self, base: u64) -> io::Result<Box<dyn SegmentWriter>> {
        match self.open(base, true) {
            // Left by a crash or a failed attempt; nobody has written to it as it is not in the list.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.disk.remove_file(&self.path(base))?;
                self.open(base, true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.disk.create_dir_all(&self.dir)?;
                self.open(base, true)
            }
            other => other,
        }
    }

    /// Shows a created segment to readers. It must follow the others.
    pub(crate) fn add(&self, base: u64, segment: &Arc<dyn Segment>) {
        self.slots
            .write()
            .push_back(Slot::new(base, Some(Arc::clone(segment))));
    }

    /// Writes what lies between two offsets over itself. If a sync failed and the process ended for it, the system counts the
    /// pages as written although the disk may not have them; now they are written again.
    pub(crate) fn write_again(&self, mut from: u64, to: u64) -> io::Result<()> {
        while from < to {
            let base = self.base_of(from);
            let end = to.min(base + self.len);
            // There may be holes.
            if self.bases().contains(&base) {
                let path = self.path(base);
                self.disk.write_again(&path, from - base..end - base)?;
            }
            from = end;
        }
        Ok(())
    }

    /// Removes the segment at `base`; ranges of it that are still being read stay valid.
    pub(crate) fn remove(&self, base: u64) -> io::Result<()> {
        self.disk.remove_file(&self.path(base))?;
        self.slots.write().retain(|slot| slot.base != base);
        Ok(())
    }

    /// Removes a created segment that was never added.
    pub(crate) fn discard(&self, base: u64) -> io::Result<()> {
        self.disk.remove_file(&self.path(base))
    }

    /// Removes all segments, and the directory if nothing else is in it.
    pub(crate) fn remove_all(&self) -> io::Result<()> {
        let slots = std::mem::take(&mut *self.slots.write());
        for slot in slots {
            self.disk.remove_file(&self.path(slot.base))?;
        }
        remove_if_empty(self.disk.as_ref(), &self.dir)
    }

    /// Unmaps all segments, so that the next use sees the current end.
    pub(crate) fn unmap_all(&self) {
        self.slots
            .write()
            .iter_mut()
            .for_each(|slot| slot.segment = None);
    }

    /// Whether a segment was used since the last call.
    pub(crate) fn take_used(&self) -> bool {
        let mut is_used = false;
        for slot in self.slots.write().iter_mut() {
            is_used |= std::mem::take(slot.is_used.get_mut());
        }
        is_used
    }

    /// Unmaps segments, except the newest, that were not used since the last call.
    pub(crate) fn unmap_idle(&self) {
        let mut slots = self.slots.write();
        let older = slots.len().saturating_sub(1);
        for slot in slots.iter_mut().take(older) {
            if !std::mem::take(slot.is_used.get_mut()) {
                slot.segment = None;
            }
        }
    }

    /// When the segment at `base` was last modified.
    pub(crate) fn modified_ms(&self, base: u64) -> io::Result<i64> {
        self.disk.modified_ms(&self.path(base))
    }

    /// Says of all segments, also of those mapped later, whether reads come in no order.
    pub(crate) fn expect_random(&self, is_random: bool) {
        self.is_random.store(is_random, Ordering::Relaxed);
        for slot in &*self.slots.read() {
            if let Some(segment) = &slot.segment {
                segment.expect_random(is_random);
            }
        }
    }

    fn open(&self, base: u64, create: bool) -> io::Result<Box<dyn SegmentWriter>> {
        let end = self.end.load(Ordering::Acquire);
        let readable = if create { 0 } else { end.saturating_sub(base) };
        let writer = self.disk.open_segment(
            &self.path(base),
            OpenSegment {
                len: self.len,
                create,
                readable,
                head: self.head,
            },
        )?;
        if self.is_random.load(Ordering::Relaxed) {
            writer.segment().expect_random(true);
        }
        Ok(writer)
    }
}

fn files_of(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<DirEntry>> {
    let mut entries = disk.list(dir)?;
    entries.retain(|entry| !entry.is_dir);
    Ok(entries)
}

/// Removes the segments of a directory that was never loaded, and the directory if nothing else is in it.
pub(crate) fn remove_segments(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    for entry in files_of(disk, dir)? {
        if parse_name(&entry).is_some() {
            disk.remove_file(&dir.join(entry.name))?;
        }
    }
    remove_if_empty(disk, dir)
}

/// Removes a directory that holds nothing: what the store does not know it does not remove.
pub(crate) fn remove_if_empty(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    if disk.list(dir)?.is_empty() {
        return disk.remove_dir_all(dir);
    }
    Ok(())
}

/// The slot of `base`; segments are nearly always consecutive, so its place is computed first.
fn find(slots: &VecDeque<Slot>, base: u64, len: u64) -> Option<&Slot> {
    let first = slots.front()?.base;
    let guess = usize::try_from(base.checked_sub(first)? / len).ok()?;
    match slots.get(guess) {
        Some(slot) if slot.base == base => Some(slot),
        _ => slots
            .binary_search_by_key(&base, |slot| slot.base)
            .ok()
            .and_then(|at| slots.get(at)),
    }
}
