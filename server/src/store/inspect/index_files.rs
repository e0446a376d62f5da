// SPDX-License-Identifier: Apache-2.0
//! The entries of all index files in the order they were made, which is the order of the log.

use std::io::ErrorKind;
use std::path::PathBuf;

use super::finding::Finding;
use super::note::Note;
use super::report::Sink;
use super::text;
use crate::store::StoreError;
use crate::store::disk::{Disk, ReadAt};
use crate::store::index::layout::{ENTRY_BYTES, Entry, HEADER_BYTES, Header, Shape};

/// Entries read at a time: 64 KiB.
const CHUNK: u32 = 3276;

/// One index file.
#[derive(Clone, Debug)]
pub(super) struct IndexFile {
    pub(super) path: PathBuf,
    pub(super) header: Header,
    /// Whether its entries can be read: its length fits the shape.
    pub(super) is_readable: bool,
}

/// An entry and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// Which of the files.
    pub(super) file: usize,
    pub(super) number: u32,
    pub(super) entry: Entry,
}

/// Reads all entries in order.
pub(super) struct Cursor<'d> {
    pub(super) disk: &'d dyn Disk,
    pub(super) shape: Shape,
    pub(super) files: Vec<IndexFile>,
    file: usize,
    number: u32,
    handle: Option<Box<dyn ReadAt>>,
    chunk: Vec<u8>,
    /// Number of the first entry in the chunk.
    chunk_first: u32,
}

impl<'d> Cursor<'d> {
    /// Finds the index files and reports those that can not be read. Of a store that is open, or was when its broker
    /// crashed, the newest may be in the making.
    pub(super) fn find(
        disk: &'d dyn Disk,
        dir: &std::path::Path,
        shape: Shape,
        is_open: bool,
        sink: &mut Sink,
    ) -> Result<Self, StoreError> {
        let mut files = Vec::new();
        let mut entries = disk.list(dir).map_err(StoreError::io("list", dir))?;
        entries.retain(|entry| !entry.is_dir);
        let newest = entries.iter().map(|entry| entry.name.clone()).max();
        for entry in entries {
            let path = dir.join(&entry.name);
            if !entry.name.bytes().all(|byte| byte.is_ascii_digit()) {
                sink.note(Note::Ignored { file: text(&path) });
                continue;
            }
            if is_open && entry.len == 0 && Some(&entry.name) == newest.as_ref() {
                sink.note(Note::EmptySegment { file: text(&path) });
                continue;
            }
            let is_readable = entry.len == shape.file_len();
            if !is_readable {
                sink.find(Finding::IndexShape {
                    file: text(&path),
                    len: entry.len,
                    expected: shape.file_len(),
                    slots: shape.slots,
                    entries: shape.entries,
                });
            }
            let handle = match disk.open_read(&path) {
                Ok(handle) => handle,
                // A running broker removes what has expired.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(StoreError::io("open", &path)(error)),
            };
            let mut bytes = [0; HEADER_BYTES as usize];
            let read = handle.read_at(0, &mut bytes);
            let read = read.map_err(StoreError::io("read", &path))?;
            let Some(mut header) = Header::decode(bytes.get(..read).unwrap_or_default()) else {
                continue;
            };
            sink.summary.index_files += 1;
            if is_readable && header.count > shape.entries {
                sink.find(Finding::IndexHeader {
                    file: text(&path),
                    reason: format!(
                        "it says {} entries and has room for {}",
                        header.count, shape.entries
                    ),
                });
                header.count = shape.entries;
            }
            files.push(IndexFile {
                path,
                header,
                is_readable,
            });
        }
        if files.is_empty() {
            sink.note(Note::NoIndex);
        }
        Ok(Self {
            disk,
            shape,
            files,
            file: 0,
            number: 1,
            handle: None,
            chunk: Vec::new(),
            chunk_first: 0,
        })
    }

    /// The next entry, without passing it.
    pub(super) fn peek(&mut self, sink: &mut Sink) -> Result<Option<Taken>, StoreError> {
        while let Some(file) = self.files.get(self.file) {
            if file.is_readable && self.number < file.header.count {
                let entry = self.entry()?;
                // Entries that were never written: the header counts too many.
                if entry != Some(Entry::default())
                    && let Some(entry) = entry
                {
                    return Ok(Some(Taken {
                        file: self.file,
                        number: self.number,
                        entry,
                    }));
                }
                if let Some(file) = self.files.get_mut(self.file) {
                    sink.find(Finding::IndexHeader {
                        file: text(&file.path),
                        reason: format!(
                            "it says {} entries, {} are there",
                            file.header.count - 1,
                            self.number - 1
                        ),
                    });
                    file.header.count = self.number;
                }
            }
            self.file += 1;
            self.number = 1;
            self.handle = None;
            self.chunk.clear();
        }
        Ok(None)
    }

    /// Passes the next entry.
    pub(super) fn take(&mut self) {
        self.number += 1;
    }

    fn entry(&mut self) -> Result<Option<Entry>, StoreError> {
        let Some(file) = self.files.get(self.file) else {
            return Ok(None);
        };
        let held = self.chunk_first..self.chunk_first + CHUNK;
        if self.chunk.is_empty() || !held.contains(&self.number) {
            if self.handle.is_none() {
                let handle = self.disk.open_read(&file.path);
                self.handle = Some(handle.map_err(StoreError::io("open", &file.path))?);
            }
            self.chunk_first = self.number;
            self.chunk
                .resize((CHUNK as usize) * (ENTRY_BYTES as usize), 0);
            let at = self.shape.entry_at(self.number);
            let read = match &self.handle {
                Some(handle) => handle.read_at(at, &mut self.chunk),
                None => Ok(0),
            };
            let read = read.map_err(StoreError::io("read", &file.path))?;
            self.chunk.truncate(read);
        }
        let at = (self.number - self.chunk_first) as usize * ENTRY_BYTES as usize;
        Ok(Entry::decode(self.chunk.get(at..).unwrap_or_default()))
    }
}
