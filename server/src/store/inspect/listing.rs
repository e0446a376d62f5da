// SPDX-License-Identifier: Apache-2.0
//! The segments of a directory as they are, the ones that are not as they should be included.
//!
//! A store opens only with segments that are all right ([`crate::store::segments`]); here everything is listed, and the
//! length of a segment is found from the files, as no file says it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::finding::Finding;
use super::note::Note;
use super::report::Sink;
use super::text;
use crate::store::StoreError;
use crate::store::disk::Disk;

/// A file whose name is that of a segment.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    /// Offset of its first byte.
    pub(super) base: u64,
    pub(super) len: u64,
    pub(super) path: PathBuf,
}

/// Files of a directory: those named by an offset, and the others.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) segments: Vec<Listed>,
    pub(super) foreign: Vec<PathBuf>,
}

/// Lists the files of `dir`.
pub(super) fn list(disk: &dyn Disk, dir: &Path) -> Result<Listing, StoreError> {
    let mut listing = Listing::default();
    let entries = disk.list(dir).map_err(StoreError::io("list", dir))?;
    for entry in entries.into_iter().filter(|entry| !entry.is_dir) {
        let path = dir.join(&entry.name);
        let is_name =
            entry.name.len() == 20 && entry.name.bytes().all(|byte| byte.is_ascii_digit());
        match entry.name.parse() {
            Ok(base) if is_name => listing.segments.push(Listed {
                base,
                len: entry.len,
                path,
            }),
            _ => listing.foreign.push(path),
        }
    }
    Ok(listing)
}

/// The length that most files have, of those whose names are multiples of it; of two the longer one.
#[derive(Debug, Default)]
pub(super) struct LenTally(HashMap<u64, u64>);

impl LenTally {
    pub(super) fn add(&mut self, segments: &[Listed]) {
        for segment in segments {
            if segment.len > 0 && segment.base.is_multiple_of(segment.len) {
                *self.0.entry(segment.len).or_default() += 1;
            }
        }
    }

    pub(super) fn winner(&self) -> Option<u64> {
        let most = self.0.iter().max_by_key(|(len, count)| (**count, **len));
        most.map(|(len, _)| *len)
    }
}

impl Listing {
    /// Reports what is wrong with the files of `dir` and leaves the segments that can be read, in order.
    pub(super) fn check(self, dir: &Path, len: u64, sink: &mut Sink) -> Vec<Listed> {
        for file in &self.foreign {
            sink.find(Finding::ForeignFile {
                file: text(file),
                reason: "its name is not 20 digits".to_owned(),
            });
        }
        let mut segments = self.segments;
        segments.sort_by_key(|segment| segment.base);
        segments.retain(|segment| {
            let end = segment.base.checked_add(len);
            let is_place = segment.base.is_multiple_of(len)
                && end.is_some_and(|end| i64::try_from(end).is_ok());
            if !is_place {
                sink.find(Finding::ForeignFile {
                    file: text(&segment.path),
                    reason: format!("its name is no multiple of the segment length {len}"),
                });
            }
            is_place
        });
        let newest = segments.last().map(|segment| segment.base);
        for segment in segments.iter().filter(|segment| segment.len != len) {
            if segment.len == 0 && Some(segment.base) == newest {
                sink.note(Note::EmptySegment {
                    file: text(&segment.path),
                });
            } else {
                sink.find(Finding::WrongLength {
                    file: text(&segment.path),
                    len: segment.len,
                    expected: len,
                });
            }
        }
        for pair in segments.windows(2) {
            if let [one, next] = pair
                && one.base + len < next.base
            {
                sink.find(Finding::Hole {
                    dir: text(dir),
                    from: one.base + len,
                    to: next.base,
                });
            }
        }
        segments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(files: &[(u64, u64)]) -> Option<u64> {
        let mut tally = LenTally::default();
        let listed = files.iter().map(|&(base, len)| Listed {
            base,
            len,
            path: PathBuf::new(),
        });
        tally.add(&listed.collect::<Vec<_>>());
        tally.winner()
    }

    #[test]
    fn most_files_say_the_length() {
        assert_eq!(tally(&[]), None);
        assert_eq!(tally(&[(0, 0)]), None);
        assert_eq!(tally(&[(0, 77)]), Some(77));
        assert_eq!(tally(&[(0, 100), (100, 100), (200, 30)]), Some(100));
        assert_eq!(tally(&[(300, 100), (400, 33)]), Some(100));
        assert_eq!(tally(&[(0, 100), (100, 50)]), Some(100));
        assert_eq!(tally(&[(100, 30), (200, 100)]), Some(100));
    }
}
