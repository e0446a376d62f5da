// SPDX-License-Identifier: Apache-2.0
//! A disk in memory that behaves as badly as real ones may.
//!
//! Each file has the content that the machine sees and the content that is durable. A sync copies the range, rounded to
//! pages, from the first to the second. [`SimDisk::crash`] is a power failure: of every page that differs, any subset of
//! its 4 KiB, or of its 512-byte sectors, survives. [`SimDisk::kill`] is the death of the process: the page cache
//! survives. Creating, removing and atomically replacing files is durable at once, because the real disk syncs the
//! directory in these places. All choices come from a seed, so a run can be repeated.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{
    DirEntry, Disk, DiskLock, LockHolder, OpenSegment, ReadAt, Segment, SegmentWriter, Space,
};

const PAGE: usize = 4096;
const SECTOR: usize = 512;

/// What an injected fault looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The device fails.
    Io,
    /// The disk is full.
    NoSpace,
}

/// A fault that is waiting to happen.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Which writing operation fails, counted from the next one as 0.
    pub after: u64,
    /// How.
    pub kind: FaultKind,
    /// Whether all later ones fail too.
    pub is_lasting: bool,
}

/// [`Disk`] in memory; clones share their content.
#[derive(Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<PathBuf, Arc<Mutex<Content>>>,
    dirs: BTreeSet<PathBuf>,
    locks: BTreeSet<PathBuf>,
    faults: Arc<Mutex<Faults>>,
    available: Option<u64>,
    /// Counts the power failures.
    boot: u64,
}

#[derive(Default)]
struct Faults {
    steps: u64,
    next: Option<(u64, FaultKind, bool)>,
}

#[derive(Clone, Default)]
struct Content {
    seen: Vec<u8>,
    durable: Vec<u8>,
    modified_ms: i64,
}

impl Faults {
    fn step(&mut self) -> io::Result<()> {
        let step = self.steps;
        self.steps += 1;
        match self.next {
            Some((at, kind, is_lasting)) if step == at || (is_lasting && step > at) => {
                Err(match kind {
                    FaultKind::Io => io::Error::from(ErrorKind::Other),
                    FaultKind::NoSpace => io::Error::from(ErrorKind::StorageFull),
                })
            }
            _ => Ok(()),
        }
    }
}

impl SimDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many writing operations (write, flush, reserve, create, remove, replace) there were.
    pub fn steps(&self) -> u64 {
        self.state.lock().faults.lock().steps
    }

    /// Lets a later operation fail.
    pub fn inject(&self, fault: Fault) {
        let state = self.state.lock();
        let mut faults = state.faults.lock();
        faults.next = Some((faults.steps + fault.after, fault.kind, fault.is_lasting));
    }

    /// Sets the space that [`Disk::space`] reports as available, of 1 GiB.
    pub fn set_available(&self, bytes: u64) {
        self.state.lock().available = Some(bytes);
    }

    /// Sets a file's modification time.
    pub fn set_modified_ms(&self, path: &Path, ms: i64) {
        if let Some(file) = self.state.lock().files.get(path) {
            file.lock().modified_ms = ms;
        }
    }

    /// The disk as the next process finds it after the process died: everything written is there, locks are gone.
    pub fn kill(&self) -> Self {
        self.survivor(0, |content| Content {
            durable: content.durable.clone(),
            ..content.clone()
        })
    }

    /// The disk after a power failure. `random` gives the next number of a seeded sequence.
    pub fn crash(&self, mut random: impl FnMut() -> u64) -> Self {
        self.survivor(1, |content| {
            let mut left = content.durable.clone();
            left.resize(content.seen.len(), 0);
            let sizes = (left.len(), content.seen.len());
            for page in (0..sizes.0.min(sizes.1)).step_by(PAGE) {
                let page_end = (page + PAGE).min(left.len());
                if left.get(page..page_end) == content.seen.get(page..page_end) {
                    continue;
                }
                // 0: lost, 1: kept, 2: torn at sectors.
                let fate = random() % 3;
                for sector in (page..page_end).step_by(SECTOR) {
                    let range = sector..(sector + SECTOR).min(page_end);
                    if (fate == 1 || fate == 2 && random().is_multiple_of(2))
                        && let (Some(to), Some(from)) =
                            (left.get_mut(range.clone()), content.seen.get(range))
                    {
                        to.copy_from_slice(from);
                    }
                }
            }
            Content {
                seen: left.clone(),
                durable: left,
                modified_ms: content.modified_ms,
            }
        })
    }

    /// Inverts one bit of a file, in what is seen and what is durable; `false` if there is no such byte.
    pub fn flip_bit(&self, path: &Path, byte: usize, bit: u8) -> bool {
        let state = self.state.lock();
        let Some(file) = state.files.get(path) else {
            return false;
        };
        let content = &mut *file.lock();
        let mut is_flipped = false;
        for bytes in [&mut content.seen, &mut content.durable] {
            if let Some(byte) = bytes.get_mut(byte) {
                *byte ^= 1 << (bit % 8);
                is_flipped = true;
            }
        }
        is_flipped
    }

    /// Paths of all files.
    pub fn files(&self) -> Vec<PathBuf> {
        self.state.lock().files.keys().cloned().collect()
    }

    fn survivor(&self, boots: u64, mut content: impl FnMut(&Content) -> Content) -> Self {
        let state = self.state.lock();
        let files = state.files.iter().map(|(path, file)| {
            let content = content(&file.lock());
            (path.clone(), Arc::new(Mutex::new(content)))
        });
        let files = files.collect();
        let dirs = state.dirs.clone();
        let survivor = State {
            files,
            dirs,
            available: state.available,
            boot: state.boot + boots,
            ..State::default()
        };
        Self {
            state: Arc::new(Mutex::new(survivor)),
        }
    }

    fn step(&self) -> io::Result<()> {
        let faults = Arc::clone(&self.state.lock().faults);
        let mut faults = faults.lock();
        faults.step()
    }
}

impl Disk for SimDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.dirs.extend(dir.ancestors().map(Path::to_path_buf));
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let state = self.state.lock();
        let mut entries = Vec::new();
        let is_child = |path: &Path| path.parent() == Some(dir);
        let name = |path: &Path| {
            path.file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        };
        for path in state.dirs.iter().filter(|path| is_child(path)) {
            entries.push(DirEntry {
                name: name(path),
                is_dir: true,
                len: 0,
            });
        }
        for (path, file) in state.files.iter().filter(|(path, _)| is_child(path)) {
            let len = file.lock().seen.len() as u64;
            entries.push(DirEntry {
                name: name(path),
                is_dir: false,
                len,
            });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let state = self.state.lock();
        let file = state.files.get(path).ok_or(ErrorKind::NotFound)?;
        let content = file.lock().seen.clone();
        Ok(content)
    }

    fn write_atomic(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        self.step()?;
        let content = Content {
            seen: content.to_vec(),
            durable: content.to_vec(),
            modified_ms: 0,
        };
        self.state
            .lock()
            .files
            .insert(path.to_path_buf(), Arc::new(Mutex::new(content)));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        self.state.lock().files.remove(path);
        Ok(())
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.step()?;
        let mut state = self.state.lock();
        state.files.retain(|path, _| !path.starts_with(dir));
        state.dirs.retain(|path| !path.starts_with(dir));
        Ok(())
    }

    fn open_segment(&self, path: &Path, open: OpenSegment) -> io::Result<Box<dyn SegmentWriter>> {
        if open.create {
            self.step()?;
        }
        let len = usize::try_from(open.len).map_err(|_| ErrorKind::InvalidInput)?;
        let mut state = self.state.lock();
        if path.parent().is_some_and(|dir| !state.dirs.contains(dir)) {
            return Err(ErrorKind::NotFound.into());
        }
        let content = match state.files.get(path) {
            Some(_) if open.create => return Err(ErrorKind::AlreadyExists.into()),
            Some(content) => Arc::clone(content),
            None if open.create => {
                let content = Arc::new(Mutex::new(Content::default()));
                state.files.insert(path.to_path_buf(), Arc::clone(&content));
                content
            }
            None => return Err(ErrorKind::NotFound.into()),
        };
        {
            let content = &mut *content.lock();
            for bytes in [&mut content.seen, &mut content.durable] {
                if bytes.len() < len {
                    bytes.resize(len, 0);
                }
            }
        }
        let segment = Arc::new(SimSegment {
            content,
            len: open.len,
            readable: AtomicU64::new(open.readable.min(open.len)),
            faults: Arc::clone(&state.faults),
        });
        Ok(Box::new(SimWriter {
            shared: Arc::clone(&segment) as Arc<dyn Segment>,
            segment,
        }))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn ReadAt>> {
        let state = self.state.lock();
        let content = Arc::clone(state.files.get(path).ok_or(ErrorKind::NotFound)?);
        Ok(Box::new(SimFile { content }))
    }

    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        let state = self.state.lock();
        let file = state.files.get(path).ok_or(ErrorKind::NotFound)?;
        let modified_ms = file.lock().modified_ms;
        Ok(modified_ms)
    }

    fn space(&self, _: &Path) -> io::Result<Space> {
        const TOTAL: u64 = 1 << 30;
        let available = self.state.lock().available.unwrap_or(TOTAL);
        Ok(Space {
            used: TOTAL.saturating_sub(available),
            available,
        })
    }

    fn lock_exclusive(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        if !self.state.lock().locks.insert(path.to_path_buf()) {
            return Ok(None);
        }
        Ok(Some(Box::new(SimLock {
            state: Arc::clone(&self.state),
            path: path.to_path_buf(),
        })))
    }

    fn lock_holder(&self, path: &Path) -> io::Result<Option<LockHolder>> {
        let is_held = self.state.lock().locks.contains(path);
        Ok(is_held.then(|| LockHolder {
            pid: Some(std::process::id()),
        }))
    }

    fn memory_bytes(&self) -> u64 {
        1 << 30
    }

    fn most_mapped(&self) -> usize {
        3
    }

    fn boot_id(&self) -> u64 {
        self.state.lock().boot + 1
    }
}

struct SimFile {
    content: Arc<Mutex<Content>>,
}

impl ReadAt for SimFile {
    fn len(&self) -> u64 {
        self.content.lock().seen.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let content = self.content.lock();
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = content.seen.get(from..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..len), rest.get(..len)) {
            to.copy_from_slice(from);
        }
        Ok(len)
    }
}

struct SimLock {
    state: Arc<Mutex<State>>,
    path: PathBuf,
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.state.lock().locks.remove(&self.path);
    }
}

struct SimSegment {
    content: Arc<Mutex<Content>>,
    len: u64,
    readable: AtomicU64,
    faults: Arc<Mutex<Faults>>,
}

impl SimSegment {
    fn copy(&self, offset: u64, len: usize) -> Option<Vec<u8>> {
        if offset.checked_add(len as u64)? > self.readable() {
            return None;
        }
        let offset = usize::try_from(offset).ok()?;
        self.content
            .lock()
            .seen
            .get(offset..offset + len)
            .map(<[u8]>::to_vec)
    }
}

impl Segment for SimSegment {
    fn len(&self) -> u64 {
        self.len
    }

    fn readable(&self) -> u64 {
        self.readable.load(Ordering::Acquire)
    }

    fn view(&self, offset: u64, len: usize) -> Option<Cow<'_, [u8]>> {
        self.copy(offset, len).map(Cow::Owned)
    }

    fn bytes(self: Arc<Self>, offset: u64, len: usize) -> Option<Bytes> {
        self.copy(offset, len).map(Bytes::from)
    }

    fn flush(&self, from: u64, to: u64) -> io::Result<()> {
        self.faults.lock().step()?;
        let content = &mut *self.content.lock();
        let to = usize::try_from(to).map_err(|_| ErrorKind::InvalidInput)?;
        let from = usize::try_from(from).map_err(|_| ErrorKind::InvalidInput)? / PAGE * PAGE;
        let to = to.next_multiple_of(PAGE).min(content.seen.len());
        if let (Some(durable), Some(seen)) = (
            content.durable.get_mut(from..to),
            content.seen.get(from..to),
        ) {
            durable.copy_from_slice(seen);
        }
        Ok(())
    }

    fn reserve(&self, _: u64, _: u64) -> io::Result<()> {
        self.faults.lock().step()
    }

    fn prefault(&self, _: u64, _: u64) {}
}

struct SimWriter {
    segment: Arc<SimSegment>,
    shared: Arc<dyn Segment>,
}

impl SegmentWriter for SimWriter {
    fn segment(&self) -> &Arc<dyn Segment> {
        &self.shared
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.segment.faults.lock().step()?;
        if offset < self.segment.readable() {
            return Err(ErrorKind::InvalidInput.into());
        }
        let offset = usize::try_from(offset).map_err(|_| ErrorKind::InvalidInput)?;
        let mut content = self.segment.content.lock();
        let target = content
            .seen
            .get_mut(offset..offset.saturating_add(bytes.len()));
        target
            .ok_or(ErrorKind::InvalidInput)?
            .copy_from_slice(bytes);
        Ok(())
    }

    fn peek(&self, offset: u64, len: usize) -> Option<Cow<'_, [u8]>> {
        let offset = usize::try_from(offset).ok()?;
        let content = self.segment.content.lock();
        let bytes = content.seen.get(offset..offset.checked_add(len)?)?;
        Some(Cow::Owned(bytes.to_vec()))
    }

    fn publish(&mut self, to: u64) {
        self.segment
            .readable
            .fetch_max(to.min(self.segment.len), Ordering::Release);
    }

    fn write_through(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write(offset, bytes)
    }

    fn release(&mut self, from: u64, to: u64) {
        let page = PAGE as u64;
        let (from, to) = (from.next_multiple_of(page), to / page * page);
        if let (Ok(from), Ok(to)) = (usize::try_from(from), usize::try_from(to))
            && let Some(bytes) = self.segment.content.lock().seen.get_mut(from..to)
        {
            bytes.fill(0);
        }
    }

    fn lock_in_memory(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn zero_from(&mut self, from: u64) -> io::Result<()> {
        self.segment.faults.lock().step()?;
        if from < self.segment.readable() {
            return Err(ErrorKind::InvalidInput.into());
        }
        let from = usize::try_from(from).map_err(|_| ErrorKind::InvalidInput)?;
        if let Some(rest) = self.segment.content.lock().seen.get_mut(from..) {
            rest.fill(0);
        }
        Ok(())
    }
}
