// SPDX-License-Identifier: Apache-2.0
//! Random reads of many files with bounded memory and a bounded number of open files.

use std::collections::HashMap;
use std::hash::Hash;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::store::StoreError;
use crate::store::disk::{Disk, ReadAt};

/// Files that are held open.
const MAX_OPEN: usize = 128;

/// Names a file of a [`Blocks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FileId(usize);

/// Files that are read in blocks, of which the recently used ones are kept.
pub(super) struct Blocks<'d> {
    disk: &'d dyn Disk,
    block_len: u64,
    paths: Vec<PathBuf>,
    open: Recent<FileId, Box<dyn ReadAt>>,
    blocks: Recent<(FileId, u64), Vec<u8>>,
}

impl<'d> Blocks<'d> {
    pub(super) fn new(disk: &'d dyn Disk, block_len: usize, max_blocks: usize) -> Self {
        Self {
            disk,
            block_len: block_len.max(1) as u64,
            paths: Vec::new(),
            open: Recent::new(MAX_OPEN),
            blocks: Recent::new(max_blocks),
        }
    }

    pub(super) fn add(&mut self, path: PathBuf) -> FileId {
        self.paths.push(path);
        FileId(self.paths.len() - 1)
    }

    /// Forgets what was read, so that a running broker's changes are seen.
    pub(super) fn forget(&mut self) {
        self.blocks.clear();
    }

    /// Reads `len` bytes into `out`; fewer at the end of the file, none if the file is gone.
    pub(super) fn read(
        &mut self,
        file: FileId,
        offset: u64,
        len: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        out.clear();
        let mut at = offset;
        while out.len() < len {
            let block = at / self.block_len;
            let skip = usize::try_from(at % self.block_len).unwrap_or(0);
            let bytes = self.block(file, block)?;
            let rest = bytes.get(skip..).unwrap_or_default();
            let taken = rest.get(..len - out.len()).unwrap_or(rest);
            if taken.is_empty() {
                break;
            }
            out.extend_from_slice(taken);
            at += taken.len() as u64;
        }
        Ok(())
    }

    fn block(&mut self, file: FileId, block: u64) -> Result<&[u8], StoreError> {
        if self.blocks.get(&(file, block)).is_none() {
            let path = self
                .paths
                .get(file.0)
                .map_or(Path::new(""), PathBuf::as_path);
            let mut bytes = vec![0; usize::try_from(self.block_len).unwrap_or(0)];
            let read = read_block(
                self.disk,
                path,
                &mut self.open,
                file,
                block * self.block_len,
                &mut bytes,
            )
            .map_err(StoreError::io("read", path))?;
            bytes.truncate(read);
            self.blocks.put((file, block), bytes);
        }
        Ok(self
            .blocks
            .get(&(file, block))
            .map_or(&[], |bytes| bytes.as_slice()))
    }
}

fn read_block(
    disk: &dyn Disk,
    path: &Path,
    open: &mut Recent<FileId, Box<dyn ReadAt>>,
    file: FileId,
    offset: u64,
    bytes: &mut [u8],
) -> io::Result<usize> {
    if open.get(&file).is_none() {
        match disk.open_read(path) {
            Ok(handle) => open.put(file, handle),
            // A running broker removes what has expired.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error),
        }
    }
    match open.get(&file) {
        Some(handle) => handle.read_at(offset, bytes),
        None => Ok(0),
    }
}

/// A map that keeps about as many recently used entries as it is told: the younger half, and what is left of the older.
struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Copy + Eq + Hash, V> Recent<K, V> {
    fn new(max: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            half: (max / 2).max(1),
        }
    }

    fn get(&mut self, key: &K) -> Option<&V> {
        if !self.young.contains_key(key) {
            let value = self.old.remove(key)?;
            self.put(*key, value);
        }
        self.young.get(key)
    }

    fn put(&mut self, key: K, value: V) {
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::SimDisk;

    #[test]
    fn reads_span_blocks_and_end_with_the_file() {
        let disk = SimDisk::new();
        let bytes: Vec<u8> = (0..=255).collect();
        disk.write_atomic(Path::new("/f"), &bytes).unwrap();
        let mut blocks = Blocks::new(&disk, 10, 4);
        let file = blocks.add(PathBuf::from("/f"));
        let gone = blocks.add(PathBuf::from("/gone"));
        let mut out = Vec::new();
        for (offset, len) in [(0, 10), (5, 30), (250, 20), (256, 1), (999, 5), (3, 0)] {
            blocks.read(file, offset, len, &mut out).unwrap();
            let from = usize::try_from(offset).unwrap().min(256);
            assert_eq!(out, bytes[from..(from + len).min(256)]);
            blocks.read(gone, offset, len, &mut out).unwrap();
            assert!(out.is_empty());
        }
    }

    #[test]
    fn recently_used_entries_are_kept_and_the_others_bounded() {
        let mut recent = Recent::new(8);
        for key in 0..100 {
            recent.put(key, key);
            assert_eq!(recent.get(&0), Some(&0));
            assert!(recent.young.len() + recent.old.len() <= 9);
        }
        assert_eq!(recent.get(&50), None);
    }
}
