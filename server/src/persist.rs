// SPDX-License-Identifier: Apache-2.0
//! The servers' JSON tables on disk: `X` and its predecessor `X.bak` (store.md 11.1).
//!
//! A table that is missing, cut or garbage does not stop a server: its predecessor is taken, else it starts empty,
//! and the caller learns which.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use kerolox_protocol::body;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::disk::Disk;

/// Where a table came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The file itself.
    File,
    /// Its predecessor; the last change may be missing.
    Backup,
    /// Nowhere: there was no file.
    Missing,
    /// Nowhere: neither the file nor its predecessor could be read.
    Damaged,
}

impl Origin {
    /// Whether entries may be missing that there once were.
    pub(crate) const fn is_incomplete(self) -> bool {
        !matches!(self, Self::File)
    }
}

/// One JSON file.
pub(crate) struct TableFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// Writers take turns; the content is taken under this lock, so that the last write is the newest.
    writing: Mutex<()>,
}

impl std::fmt::Debug for TableFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableFile")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl TableFile {
    /// The file at `path`.
    pub(crate) fn new(disk: Arc<dyn Disk>, path: PathBuf) -> Self {
        Self {
            disk,
            path,
            writing: Mutex::new(()),
        }
    }

    fn backup(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".bak");
        name.into()
    }

    /// Reads the table.
    pub(crate) fn load<T: DeserializeOwned + Default>(&self) -> (T, Origin) {
        let main = self.read(&self.path);
        if let Ok(table) = main {
            return (table, Origin::File);
        }
        let backup = self.read(&self.backup());
        let path = self.path.display();
        match (main, backup) {
            (_, Ok(table)) => {
                tracing::warn!(file = %path, "table can not be read, its predecessor is used");
                // A damaged file must not become the next predecessor.
                if let Err(error) = self.disk.remove_file(&self.path) {
                    tracing::warn!(file = %path, %error, "damaged table could not be removed");
                }
                (table, Origin::Backup)
            }
            (Err(None), Err(None)) => (T::default(), Origin::Missing),
            (Err(reason), Err(_)) => {
                let reason = reason.unwrap_or_else(|| "missing".to_owned());
                tracing::error!(file = %path, %reason, "table and its predecessor can not be read, starting empty");
                (T::default(), Origin::Damaged)
            }
            // Taken care of above.
            (Ok(table), Err(_)) => (table, Origin::File),
        }
    }

    /// `Err(None)` is a missing file.
    fn read<T: DeserializeOwned>(&self, path: &std::path::Path) -> Result<T, Option<String>> {
        match self.disk.read(path) {
            Ok(text) if text.is_empty() => Err(Some("empty".to_owned())),
            Ok(text) => body::decode(&text).map_err(|error| Some(error.to_string())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(None),
            Err(error) => Err(Some(error.to_string())),
        }
    }

    /// Writes what `content` returns; the present file becomes the predecessor.
    ///
    /// # Errors
    /// As the disk reports; the file or its predecessor then still stands.
    pub(crate) fn save<T: Serialize>(&self, content: impl FnOnce() -> T) -> io::Result<()> {
        let _turn = self.writing.lock();
        let text = body::encode_pretty(&content());
        if let Some(dir) = self.path.parent() {
            self.disk.create_dir_all(dir)?;
        }
        match self.disk.read(&self.path) {
            Ok(old) if old == text => return Ok(()),
            Ok(old) if !old.is_empty() => self.disk.write_atomic(&self.backup(), &old)?,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        self.disk.write_atomic(&self.path, &text)
    }

    /// As [`TableFile::save`]; an error is logged, the table in memory stands.
    pub(crate) fn save_or_log<T: Serialize>(&self, content: impl FnOnce() -> T) {
        if let Err(error) = self.save(content) {
            tracing::error!(file = %self.path.display(), %error, "table could not be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use kerolox_protocol::body::offset::ConsumerOffsetTable;

    use super::*;
    use crate::store::disk::RealDisk;

    fn table(counter: i64) -> ConsumerOffsetTable {
        let mut table = ConsumerOffsetTable::default();
        table.data_version.counter = counter;
        table
    }

    #[test]
    fn damaged_tables_fall_back_to_their_predecessor_and_then_to_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config/t.json");
        let file = TableFile::new(Arc::new(RealDisk::new()), path.clone());
        assert_eq!(
            file.load::<ConsumerOffsetTable>(),
            (table(0), Origin::Missing)
        );
        file.save(|| table(1)).unwrap();
        file.save(|| table(2)).unwrap();
        assert_eq!(file.load(), (table(2), Origin::File));
        for garbage in ["", "{\"dataVersion\":{", "\u{0}\u{0}"] {
            std::fs::write(&path, garbage).unwrap();
            assert_eq!(file.load(), (table(1), Origin::Backup), "{garbage:?}");
            assert!(!path.exists());
        }
        file.save(|| table(3)).unwrap();
        assert_eq!(file.load(), (table(3), Origin::File));
        std::fs::write(&path, "x").unwrap();
        std::fs::write(file.backup(), "y").unwrap();
        assert_eq!(
            file.load::<ConsumerOffsetTable>(),
            (table(0), Origin::Damaged)
        );
    }
}
