// SPDX-License-Identifier: Apache-2.0
//! Unpacks the fixtures: just enough of the ustar format.

use std::fs;
use std::io::Read;
use std::path::{Component, Path};

const BLOCK: usize = 512;

/// Unpacks a gzipped archive of plain files and directories into `dir`.
pub(super) fn unpack(archive: &Path, dir: &Path) {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(fs::File::open(archive).unwrap())
        .read_to_end(&mut bytes)
        .unwrap();
    let mut rest = bytes.as_slice();
    while rest.len() >= BLOCK && rest[0] != 0 {
        let (header, data) = rest.split_at(BLOCK);
        let text = |range: std::ops::Range<usize>| {
            let field = &header[range];
            let end = field
                .iter()
                .position(|byte| *byte == 0)
                .unwrap_or(field.len());
            std::str::from_utf8(&field[..end]).unwrap().trim()
        };
        let size = usize::from_str_radix(text(124..136), 8).unwrap();
        let name = Path::new(text(0..100));
        assert!(
            name.components()
                .all(|part| matches!(part, Component::Normal(_))),
            "{name:?}"
        );
        let path = dir.join(name);
        match header[156] {
            b'5' => fs::create_dir_all(&path).unwrap(),
            b'0' | 0 => fs::write(&path, &data[..size]).unwrap(),
            other => panic!("entry of type {other} in {archive:?}"),
        }
        rest = &data[size.next_multiple_of(BLOCK)..];
    }
}
