// SPDX-License-Identifier: Apache-2.0
//! Damage of index files; the reference's are used.

use std::fs;
use std::path::PathBuf;

use kerolox_server::store::inspect::{Finding, Note, StoreLayout};

use super::{Fixture, append_with, assert_clean, has_note, only, patch, reference, sorted, verify};

const SLOTS: u64 = 500;

fn index_file(layout: &StoreLayout) -> PathBuf {
    sorted(&layout.root_dir.join("index")).pop().unwrap()
}

fn entry_at(number: u32) -> u64 {
    40 + SLOTS * 4 + u64::from(number) * 20
}

/// Inverts one bit of byte `at`, verifies, and inverts it again.
fn with_bit(layout: &StoreLayout, at: u64) -> Finding {
    let path = index_file(layout);
    let flip = |bytes: &mut [u8]| bytes[0] ^= 1;
    patch(&path, at, flip);
    let report = verify(layout);
    patch(&path, at, flip);
    only(&report).clone()
}

#[test]
fn each_field_of_an_entry_is_compared() {
    let (_dir, layout) = reference("clean");
    let file = index_file(&layout).display().to_string();
    for number in [2, 3, 100, 321, 640] {
        // The lowest byte of hash, offset and time, and the highest of the offset.
        for (field, means) in [(3, "hash"), (11, "a key of"), (15, "time"), (4, "a key of")] {
            let finding = with_bit(&layout, entry_at(number) + field);
            match finding {
                Finding::IndexEntry {
                    file: found,
                    number: at,
                    reason,
                    ..
                } => {
                    assert_eq!((found, at), (file.clone(), number));
                    assert!(reason.contains(means), "{reason}");
                }
                other => panic!("entry {number} byte {field}: {other}"),
            }
        }
        let finding = with_bit(&layout, entry_at(number) + 19);
        assert!(
            matches!(finding, Finding::IndexChain { number: at, .. } if at == number),
            "{finding}"
        );
    }
}

#[test]
fn each_slot_is_compared() {
    let (_dir, layout) = reference("clean");
    for slot in [0_u32, 7, 250, 499] {
        let finding = with_bit(&layout, 40 + u64::from(slot) * 4 + 3);
        assert!(
            matches!(finding, Finding::IndexSlot { slot: at, .. } if at == slot),
            "{finding}"
        );
    }
}

#[test]
fn our_own_index_holds_every_key() {
    let fixture = Fixture::new();
    let store = fixture.open();
    for number in 0..100 {
        let properties = format!(
            "UNIQ_KEY\u{1}id{number}\u{2}KEYS\u{1}k{number} same same\u{2}TAGS\u{1}{}\u{2}",
            number % 3
        );
        fixture.time.advance(1700);
        append_with(&store, "t", number % 4, b"x", &properties);
    }
    store.shutdown().unwrap();
    let report = fixture.verify();
    assert_clean(&report);
    assert_eq!(report.notes, []);
    let summary = &report.summary;
    assert_eq!((summary.keys, summary.index_entries), (500, 500));
    assert_eq!(summary.index_files, 11);

    // A file in the middle is gone: what it held is not found.
    fs::remove_file(&sorted(&fixture.path("index"))[4]).unwrap();
    let report = fixture.verify();
    assert!(
        matches!(only(&report), Finding::MissingKeys { keys: 49, .. }),
        "{report:#?}"
    );
}

#[test]
fn header_is_compared() {
    let (_dir, layout) = reference("clean");
    // Lowest bytes of: begin time, begin offset, end offset, used slots.
    for (at, means) in [
        (7, "begin time"),
        (23, "begin offset"),
        (31, "end offset"),
        (35, "used slots"),
    ] {
        match with_bit(&layout, at) {
            Finding::IndexHeader { reason, .. } => assert!(reason.contains(means), "{reason}"),
            other => panic!("byte {at}: {other}"),
        }
    }
    // 643 entries, 642 of them used, become 1667 and 131715.
    for (at, means) in [(38, "642 are there"), (37, "room for 2000")] {
        let path = index_file(&layout);
        let flip = |bytes: &mut [u8]| bytes[0] ^= if at == 38 { 4 } else { 2 };
        patch(&path, at, flip);
        let report = verify(&layout);
        patch(&path, at, flip);
        let is_named = |finding: &Finding| finding.to_string().contains(means);
        assert!(report.findings.iter().any(is_named), "{report:#?}");
        assert_eq!(report.counts.keys().collect::<Vec<_>>(), [&"indexHeader"]);
    }
}

#[test]
fn entries_that_are_gone_leave_their_keys_missing() {
    let (_dir, layout) = reference("clean");
    let path = index_file(&layout);
    // The chains lead over the entries, so they are made entries of something else.
    for number in 300..303 {
        patch(&path, entry_at(number), |bytes| bytes[4..12].fill(0x7F));
    }
    let report = verify(&layout);
    assert_eq!(report.counts["indexEntry"], 3, "{report:#?}");

    // An index that was lost after 200 entries, and begun anew 100 entries later.
    let (_dir, layout) = reference("clean");
    let whole = fs::read(index_file(&layout)).unwrap();
    let mut bytes = whole[..usize::try_from(entry_at(1)).unwrap()].to_vec();
    let at = |number| usize::try_from(entry_at(number)).unwrap();
    bytes.extend_from_slice(&whole[at(1)..at(200)]);
    bytes.extend_from_slice(&whole[at(300)..]);
    bytes.resize(whole.len(), 0);
    bytes[36..40].copy_from_slice(&543_i32.to_be_bytes());
    fs::write(index_file(&layout), bytes).unwrap();
    let report = verify(&layout);
    let missing: u64 = report
        .findings
        .iter()
        .map(|finding| match finding {
            Finding::MissingKeys { keys, .. } => *keys,
            _ => 0,
        })
        .sum();
    assert_eq!(missing, 100, "{report:#?}");
}

#[test]
fn index_that_is_not_there_is_a_note() {
    let (_dir, layout) = reference("clean");
    fs::remove_dir_all(layout.root_dir.join("index")).unwrap();
    let report = verify(&layout);
    assert_clean(&report);
    assert!(has_note(&report, |note| *note == Note::NoIndex));
}

#[test]
fn other_shapes_and_cut_files_are_named() {
    let (_dir, layout) = reference("clean");
    let path = index_file(&layout);
    let mut other = layout.clone();
    other.max_index_num = 20_000_000;
    let finding = only(&verify(&other)).clone();
    assert!(
        matches!(
            finding,
            Finding::IndexShape {
                len: 42_040,
                slots: 500,
                ..
            }
        ),
        "{finding}"
    );

    for len in [0, 39, 40, 1000, 42_039] {
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..len]).unwrap();
        let finding = only(&verify(&layout)).clone();
        assert!(
            matches!(
                finding,
                Finding::IndexShape {
                    expected: 42_040,
                    ..
                }
            ),
            "{finding}"
        );
        fs::write(&path, whole).unwrap();
    }
    fs::write(path.with_file_name("readme"), "").unwrap();
    let report = verify(&layout);
    assert_clean(&report);
    assert!(has_note(&report, |note| matches!(
        note,
        Note::Ignored { .. }
    )));
}

#[test]
fn entries_of_damaged_and_expired_records_are_counted() {
    let (_dir, layout) = reference("clean");
    fs::remove_file(layout.root_dir.join("commitlog/00000000000000000000")).unwrap();
    let report = verify(&layout);
    assert_clean(&report);
    let summary = &report.summary;
    assert!(summary.expired_entries > 300, "{summary:?}");
    assert_eq!(summary.index_entries, 642);

    let (_dir, layout) = reference("clean");
    let log = layout.root_dir.join("commitlog/00000000000000000000");
    let second = fs::read(&log).unwrap();
    let size = i32::from_be_bytes(*second.first_chunk().unwrap());
    patch(&log, u64::try_from(size).unwrap() + 90, |bytes| {
        bytes[0] ^= 1;
    });
    let report = verify(&layout);
    assert!(matches!(only(&report), Finding::DamagedLog { .. }));
    assert!(report.summary.damaged_entries >= 2, "{report:#?}");
}
