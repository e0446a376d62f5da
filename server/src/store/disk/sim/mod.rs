// SPDX-License-Identifier: Apache-2.0
//! A disk in memory that behaves as badly as real ones may.
//!
//! Each file has the content that the machine sees and the content that is durable. A sync copies the range, rounded to
//! pages, from the first to the second; one that fails leaves pages that no later sync will write.
//! [`SimDisk::crash`] is a power failure: of every page that differs, any subset of its 4 KiB, or of its 512-byte sectors,
//! survives. [`SimDisk::kill`] is the death of the process: the page cache
//! survives. Creating, removing and atomically replacing files is durable at once, because the real disk syncs the
//! directory in these places. All choices come from a seed, so a run can be repeated.

mod content;
mod faults;
mod segment;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{DirEntry, Disk, DiskLock, LockHolder, OpenSegment, ReadAt, SegmentWriter, Space};
use content::Content;
use faults::Faults;
pub use faults::{Fault, FaultKind};
use segment::{SimFile, SimSegment, SimWriter};

/// A disk in memory; clones share their content.
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
    /// What files are stamped with when they are written.
    now_ms: Arc<AtomicI64>,
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

    /// Lets nothing fail any more.
    pub fn heal(&self) {
        self.state.lock().faults.lock().next = None;
    }

    /// Whether an injected fault has happened.
    pub fn has_struck(&self) -> bool {
        self.state.lock().faults.lock().has_struck
    }

    /// Writes to mapped pages that had no space while the disk was full: each would have killed the process.
    pub fn bus_errors(&self) -> u64 {
        self.state.lock().faults.lock().bus_errors
    }

    /// Sets the space that [`Disk::space`] reports as available, of 1 GiB.
    pub fn set_available(&self, bytes: u64) {
        self.state.lock().available = Some(bytes);
    }

    /// Sets the time that files get when they are written.
    pub fn set_now_ms(&self, ms: i64) {
        self.state.lock().now_ms.store(ms, Ordering::Relaxed);
    }

    /// Sets a file's modification time.
    pub fn set_modified_ms(&self, path: &Path, ms: i64) {
        if let Some(file) = self.state.lock().files.get(path) {
            file.lock().modified_ms = ms;
        }
    }

    /// The disk as the next process finds it after the process died: everything written is there, locks are gone.
    pub fn kill(&self) -> Self {
        self.survivor(0, Content::clone)
    }

    /// The disk after a power failure. `random` gives the next number of a seeded sequence.
    pub fn crash(&self, mut random: impl FnMut() -> u64) -> Self {
        self.survivor(1, |content| content.crash(&mut random))
    }

    /// Inverts one bit of a file, in what is seen and what is durable; `false` if there is no such byte.
    pub fn flip_bit(&self, path: &Path, byte: usize, bit: u8) -> bool {
        let state = self.state.lock();
        let file = state.files.get(path);
        file.is_some_and(|file| file.lock().flip(byte, bit))
    }

    /// Puts a file there, or in the place of another, as if somebody had done so while nobody used the disk.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.state.lock();
        let parents = path.ancestors().skip(1).map(Path::to_path_buf);
        state.dirs.extend(parents);
        let content = Content::new(bytes, state.now_ms.load(Ordering::Relaxed));
        state
            .files
            .insert(path.to_path_buf(), Arc::new(Mutex::new(content)));
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
        let now_ms = state.now_ms.load(Ordering::Relaxed);
        let survivor = State {
            files,
            dirs,
            available: state.available,
            boot: state.boot + boots,
            now_ms: Arc::new(now_ms.into()),
            ..State::default()
        };
        Self {
            state: Arc::new(Mutex::new(survivor)),
        }
    }

    fn faults(&self) -> Arc<Mutex<Faults>> {
        Arc::clone(&self.state.lock().faults)
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
        self.faults().lock().step_with_space()?;
        self.put(path, content);
        Ok(())
    }

    fn write_again(&self, path: &Path, range: Range<u64>) -> io::Result<()> {
        self.faults().lock().step_in_place()?;
        let state = self.state.lock();
        let content = state.files.get(path).ok_or(ErrorKind::NotFound)?;
        let from = usize::try_from(range.start).map_err(|_| ErrorKind::InvalidInput)?;
        let to = usize::try_from(range.end).map_err(|_| ErrorKind::InvalidInput)?;
        let mut content = content.lock();
        let bytes = content.seen.get(from..to).map(<[u8]>::to_vec);
        let bytes = bytes.ok_or(ErrorKind::UnexpectedEof)?;
        let now_ms = state.now_ms.load(Ordering::Relaxed);
        content.write(from, &bytes, now_ms);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.faults().lock().step_in_place()?;
        self.state.lock().files.remove(path);
        Ok(())
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.faults().lock().step_in_place()?;
        let mut state = self.state.lock();
        state.files.retain(|path, _| !path.starts_with(dir));
        state.dirs.retain(|path| !path.starts_with(dir));
        Ok(())
    }

    fn open_segment(&self, path: &Path, open: OpenSegment) -> io::Result<Box<dyn SegmentWriter>> {
        if open.create {
            self.faults().lock().step_with_space()?;
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
                let content = Arc::new(Mutex::new(Content::new(
                    &[],
                    state.now_ms.load(Ordering::Relaxed),
                )));
                state.files.insert(path.to_path_buf(), Arc::clone(&content));
                content
            }
            None => return Err(ErrorKind::NotFound.into()),
        };
        content.lock().extend(len);
        if open.create {
            let now_ms = state.now_ms.load(Ordering::Relaxed);
            content.lock().write(0, open.head, now_ms);
        }
        let segment = Arc::new(SimSegment {
            content,
            len: open.len,
            readable: AtomicU64::new(open.readable.min(open.len)),
            faults: Arc::clone(&state.faults),
            now_ms: Arc::clone(&state.now_ms),
        });
        Ok(Box::new(SimWriter {
            shared: Arc::<SimSegment>::clone(&segment),
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
