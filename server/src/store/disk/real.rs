// SPDX-License-Identifier: Apache-2.0
//! The real file system.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{
    DirEntry, Disk, DiskLock, LockHolder, OpenSegment, ReadAt, Segment, SegmentWriter, Space,
};
use crate::store::mapped_file::{MappedFile, MappedWriter};

/// Longest file that is read whole: the table of a million topics.
const MAX_SMALL_FILE: u64 = 256 << 20;

/// Bytes of a page of the system.
const PAGE_LEN: usize = 4096;

/// Lock files held by this process. Record locks do not exclude their own process, and closing any handle of the file
/// would drop them, so a second store of one process is refused here.
static HELD: LazyLock<Mutex<HashSet<PathBuf>>> = LazyLock::new(Mutex::default);

/// [`Disk`] on the operating system's files; segments are mapped into memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl RealDisk {
    /// The real disk.
    pub const fn new() -> Self {
        Self
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

/// Creates a file that has its length and its head from the moment at which it has a name: a process that is killed leaves
/// the whole of it or nothing.
fn create_whole(path: &Path, open: &OpenSegment) -> io::Result<File> {
    use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat};
    use rustix::io::Errno;
    let dir = path.parent().ok_or(ErrorKind::InvalidInput)?;
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::open(dir, flags, Mode::from_raw_mode(0o666)) {
        Ok(nameless) => {
            let file = File::from(nameless);
            lay_out(&file, open)?;
            let own = format!("/proc/self/fd/{}", file.as_raw_fd());
            match linkat(CWD, own, CWD, path, AtFlags::SYMLINK_FOLLOW) {
                Ok(()) => return Ok(file),
                // There is no /proc here.
                Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // A file system, or a kernel, without nameless files.
        Err(Errno::OPNOTSUPP | Errno::ISDIR) => {}
        Err(error) => return Err(error.into()),
    }
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)?;
    lay_out(&file, open)?;
    Ok(file)
}

fn lay_out(file: &File, open: &OpenSegment) -> io::Result<()> {
    file.set_len(open.len)?;
    // Not through a mapping: space is not reserved yet.
    file.write_all_at(open.head, 0)
}

fn none_if_missing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Disk for RealDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in none_if_missing(fs::read_dir(dir))?.into_iter().flatten() {
            let entry = entry?;
            // Files of a running store come and go.
            let Some(metadata) = none_if_missing(entry.metadata())? else {
                continue;
            };
            let is_dir = metadata.is_dir();
            let name = entry.file_name().to_string_lossy().into_owned();
            entries.push(DirEntry {
                name,
                is_dir,
                len: if is_dir { 0 } else { metadata.len() },
            });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        let mut file = File::open(path)?.take(MAX_SMALL_FILE + 1);
        file.read_to_end(&mut content)?;
        // Half of a table would be believed to be the whole.
        if file.limit() == 0 {
            return Err(ErrorKind::FileTooLarge.into());
        }
        Ok(content)
    }

    fn write_atomic(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut name = path.file_name().ok_or(ErrorKind::InvalidInput)?.to_owned();
        name.push(".tmp");
        let temporary = path.with_file_name(name);
        let mut file = File::create(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_parent(path)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        none_if_missing(fs::remove_file(path)).map(drop)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        none_if_missing(fs::remove_dir_all(dir)).map(drop)
    }

    fn open_segment(&self, path: &Path, open: OpenSegment) -> io::Result<Box<dyn SegmentWriter>> {
        let file = if open.create {
            create_whole(path, &open)?
        } else {
            File::options().read(true).write(true).open(path)?
        };
        let writer = MappedFile::map(file, open.len, open.readable)?;
        if open.create {
            sync_parent(path)?;
        }
        let segment: Arc<dyn Segment> = Arc::<MappedFile>::clone(writer.file());
        Ok(Box::new(RealWriter { writer, segment }))
    }

    fn write_again(&self, path: &Path, range: Range<u64>) -> io::Result<()> {
        let file = File::options().read(true).write(true).open(path)?;
        let mut page = [0; PAGE_LEN];
        let mut from = range.start;
        while from < range.end {
            let to = range.end.min((from + 1).next_multiple_of(PAGE_LEN as u64));
            let len = usize::try_from(to - from).unwrap_or(PAGE_LEN);
            let bytes = page.get_mut(..len).ok_or(ErrorKind::InvalidInput)?;
            file.read_exact_at(bytes, from)?;
            // What was never written has no space either.
            if bytes.iter().any(|byte| *byte != 0) {
                file.write_all_at(bytes, from)?;
            }
            from = to;
        }
        Ok(())
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn ReadAt>> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Box::new(RealFile { file, len }))
    }

    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        let since_epoch = fs::metadata(path)?
            .modified()?
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Ok(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(dir)?;
        let used = stat
            .f_blocks
            .saturating_sub(stat.f_bfree)
            .saturating_mul(stat.f_frsize);
        Ok(Space {
            used,
            available: stat.f_bavail.saturating_mul(stat.f_frsize),
        })
    }

    fn lock_exclusive(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        use rustix::fs::{FlockOperation, fcntl_lock};
        let dir = path
            .parent()
            .ok_or(ErrorKind::InvalidInput)?
            .canonicalize()?;
        let key = dir.join(path.file_name().ok_or(ErrorKind::InvalidInput)?);
        let mut held = HELD.lock();
        if held.contains(&key) {
            return Ok(None);
        }
        // The same file that the reference locks at [0,1), with the same kind of lock: a record lock over the whole file
        // overlaps that byte. `flock` would not conflict with it.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        file.write_all(b"lock")?;
        held.insert(key.clone());
        Ok(Some(Box::new(RealLock { _file: file, key })))
    }

    fn lock_holder(&self, path: &Path) -> io::Result<Option<LockHolder>> {
        use std::os::unix::fs::MetadataExt;
        // The lock file must not be opened: closing it would drop this process's own lock.
        let Some(metadata) = none_if_missing(fs::metadata(path))? else {
            return Ok(None);
        };
        // Where the kernel keeps no such list nothing is known.
        let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
        Ok(find_lock(&locks, metadata.dev(), metadata.ino()))
    }

    fn memory_bytes(&self) -> u64 {
        const FALLBACK: u64 = 4 << 30;
        let Ok(text) = fs::read_to_string("/proc/meminfo") else {
            return FALLBACK;
        };
        let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let kib = total.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        kib.map_or(FALLBACK, |kib| kib.saturating_mul(1024))
    }

    fn most_mapped(&self) -> usize {
        // A quarter of the files that the process may open; the other limit is the system's on mappings, 65530.
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let files = limit.current.unwrap_or(u64::MAX) / 4;
        usize::try_from(files).unwrap_or(usize::MAX).clamp(16, 4096)
    }

    fn boot_id(&self) -> u64 {
        // 0 where the kernel does not tell: then every start counts as one of the same run.
        let text = fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        if text.is_empty() {
            return 0;
        }
        u64::from(crc32fast::hash(&text)) | 1 << 32
    }
}

/// Finds the writer's record lock of a file in the kernel's list, whose lines are
/// `7: POSIX  ADVISORY  WRITE 1234 08:01:5678 0 EOF`: process, device (hexadecimal) and inode.
fn find_lock(locks: &str, dev: u64, inode: u64) -> Option<LockHolder> {
    let (major, minor) = (rustix::fs::major(dev), rustix::fs::minor(dev));
    let file = format!("{major:02x}:{minor:02x}:{inode}");
    locks.lines().find_map(|line| {
        let mut fields = line
            .split_ascii_whitespace()
            .skip(1)
            .skip_while(|field| *field == "->");
        let is_record_lock = fields.next()? == "POSIX";
        let is_writer = fields.nth(1)? == "WRITE";
        let pid = fields.next()?.parse().ok().filter(|pid| *pid > 0);
        (is_record_lock && is_writer && fields.next()? == file).then_some(LockHolder { pid })
    })
}

struct RealFile {
    file: File,
    len: u64,
}

impl ReadAt for RealFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }
}

/// The record lock goes with the file's handle.
struct RealLock {
    _file: File,
    key: PathBuf,
}

impl DiskLock for RealLock {}

impl Drop for RealLock {
    fn drop(&mut self) {
        HELD.lock().remove(&self.key);
    }
}

impl Segment for MappedFile {
    fn len(&self) -> u64 {
        Self::len(self)
    }

    fn readable(&self) -> u64 {
        Self::readable(self)
    }

    fn view(&self, offset: u64, len: usize) -> Option<Cow<'_, [u8]>> {
        Self::view(self, offset, len).map(Cow::Borrowed)
    }

    fn bytes(self: Arc<Self>, offset: u64, len: usize) -> Option<Bytes> {
        self.range(offset, len).map(Bytes::from_owner)
    }

    fn flush(&self, from: u64, to: u64) -> io::Result<()> {
        Self::flush(self, from, to)
    }

    fn reserve(&self, from: u64, to: u64) -> io::Result<()> {
        Self::reserve(self, from, to)
    }

    fn prefault(&self, from: u64, to: u64, is_small: bool) {
        Self::prefault(self, from, to, is_small);
    }

    fn begin_writing(&self, from: u64, to: u64) {
        Self::begin_writing(self, from, to);
    }

    fn expect_random(&self, is_random: bool) {
        Self::expect_random(self, is_random);
    }
}

struct RealWriter {
    writer: MappedWriter,
    segment: Arc<dyn Segment>,
}

impl SegmentWriter for RealWriter {
    fn segment(&self) -> &Arc<dyn Segment> {
        &self.segment
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.writer.write(offset, bytes)
    }

    fn peek(&self, offset: u64, len: usize) -> Option<Cow<'_, [u8]>> {
        self.writer.peek(offset, len).map(Cow::Borrowed)
    }

    fn publish(&mut self, to: u64) {
        self.writer.publish(to);
    }

    fn write_through(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_through(offset, bytes)
    }

    fn release(&mut self, from: u64, to: u64) {
        self.writer.release(from, to);
    }

    fn lock_in_memory(&mut self) -> io::Result<()> {
        self.writer.lock_in_memory()
    }

    fn zero_from(&mut self, from: u64) -> io::Result<()> {
        self.writer.zero_from(from)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_segment_is_never_seen_unfinished() {
        const HEAD: &[u8] = b"head";
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("00000000000000000000");
        let open = OpenSegment {
            len: 10_000,
            create: true,
            readable: 0,
            head: HEAD,
        };
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watch = scope.spawn(|| {
                let mut seen = 0;
                while !is_done.load(Ordering::Relaxed) {
                    if let Ok(content) = fs::read(&path) {
                        assert_eq!(content.len(), 10_000);
                        assert_eq!(content.get(..HEAD.len()), Some(HEAD));
                        seen += 1;
                    }
                }
                seen
            });
            let mut created = 0;
            while created < 2_000 && !watch.is_finished() {
                RealDisk.open_segment(&path, open).unwrap();
                let again = RealDisk.open_segment(&path, open).map(drop);
                assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyExists);
                fs::remove_file(&path).unwrap();
                created += 1;
            }
            is_done.store(true, Ordering::Relaxed);
            assert!(watch.join().unwrap() > 0);
        });
    }
}
