// SPDX-License-Identifier: Apache-2.0
//! Damage of the commit log.

use std::fs;

use kerolox_server::store::inspect::{Finding, Note, QueuePlace};

use super::{Fixture, SEGMENT, assert_clean, has_note, only, sorted};

fn text(path: std::path::PathBuf) -> String {
    path.display().to_string()
}

#[test]
fn whole_store_is_clean_and_counted() {
    let fixture = Fixture::filled();
    let report = fixture.verify();
    assert_clean(&report);
    let records = fixture.records();
    let summary = &report.summary;
    assert_eq!(
        (summary.records, summary.units, summary.queues),
        (150, 150, 3)
    );
    let last = records.last().unwrap();
    let end = last.physical_offset + i64::from(last.store_size);
    assert_eq!(summary.log_end, end.cast_unsigned());
    assert_eq!(summary.last_store_timestamp, last.store_timestamp);
    assert_eq!(summary.segment_len, SEGMENT);
    assert!(summary.segments > 3);
    assert_eq!(report.notes, [Note::NoIndex]);
}

#[test]
fn killed_store_is_clean_and_says_so() {
    let fixture = Fixture::new();
    let store = fixture.open();
    fixture.fill(&store, 40);
    drop(store);
    let report = fixture.verify();
    assert_clean(&report);
    let pid = Some(std::process::id());
    assert!(has_note(&report, |note| *note == Note::NotShutDown { pid }));
}

#[test]
fn records_with_a_crc_of_their_own_are_covered_whole() {
    let mut fixture = Fixture::new();
    fixture.options.append_prop_crc = true;
    let store = fixture.open();
    fixture.fill(&store, 20);
    store.shutdown().unwrap();
    assert_clean(&fixture.verify());
    let record = &fixture.records()[9];
    // The port of the producer, which nothing else covers.
    let from = record.physical_offset.cast_unsigned();
    fixture.patch_log(from, |bytes| bytes[55] ^= 1);
    let report = fixture.verify();
    match only(&report) {
        Finding::DamagedLog {
            from: at, reason, ..
        } => assert!(*at == from && reason.contains("CRC"), "{reason}"),
        other => panic!("{other}"),
    }
    assert_eq!(report.summary.records, 19);
}

#[test]
fn records_that_are_still_in_buffers_are_found_there() {
    let mut fixture = Fixture::new();
    fixture.options.transient_store_pool = true;
    let store = fixture.open();
    fixture.fill(&store, 3);
    drop(store);
    let report = fixture.verify();
    assert_clean(&report);
    assert_eq!((report.summary.records, report.summary.units), (0, 3));
    assert!(has_note(&report, |note| *note == Note::Buffers { buffers: 1 }));
    fs::remove_dir_all(fixture.path("transientpool")).unwrap();
    assert_eq!(fixture.verify().counts["danglingUnits"], 3);
}

#[test]
fn bit_in_a_body_costs_its_record() {
    let fixture = Fixture::filled();
    let records = fixture.records();
    for number in [0, 1, 17, 77, 148] {
        let damaged = &records[number];
        let (from, size) = (damaged.physical_offset.cast_unsigned(), damaged.store_size);
        let flip = |bytes: &mut [u8]| bytes[88 + number % 8] ^= 1 << (number % 8);
        fixture.patch_log(from, flip);
        let report = fixture.verify();
        let expected = Finding::DamagedLog {
            from,
            to: from + u64::try_from(size).unwrap(),
            reason: "the body is damaged".to_owned(),
            message: Some(QueuePlace {
                topic: "t".to_owned(),
                queue_id: damaged.queue_id,
                queue_offset: damaged.queue_offset,
            }),
        };
        assert_eq!(*only(&report), expected);
        assert_eq!(
            (report.summary.records, report.summary.damaged_units),
            (149, 1)
        );
        fixture.patch_log(from, flip);
    }
    assert_clean(&fixture.verify());
}

#[test]
fn damaged_last_record_is_found_because_it_was_on_disk() {
    let fixture = Fixture::filled();
    let last = fixture.records().pop().unwrap();
    let from = last.physical_offset.cast_unsigned();
    fixture.patch_log(from, |bytes| bytes[90] ^= 1);
    let report = fixture.verify();
    assert!(matches!(only(&report), Finding::DamagedLog { from: at, .. } if *at == from));
}

#[test]
fn records_without_a_head_are_searched_over() {
    let fixture = Fixture::filled();
    let records = fixture.records();
    // The second one of a segment up to the fifth: their magic, size, offset, and everything.
    let (from, to) = (records[1].physical_offset, records[5].physical_offset);
    let (from, to) = (from.cast_unsigned(), to.cast_unsigned());
    fixture.patch_log(records[1].physical_offset.cast_unsigned(), |bytes| {
        bytes[4] ^= 1;
    });
    fixture.patch_log(records[2].physical_offset.cast_unsigned(), |bytes| {
        bytes[1] ^= 4;
    });
    fixture.patch_log(records[3].physical_offset.cast_unsigned(), |bytes| {
        bytes[35] ^= 1;
    });
    let size = usize::try_from(records[4].store_size).unwrap();
    fixture.patch_log(records[4].physical_offset.cast_unsigned(), |bytes| {
        bytes[..size].fill(0xEE);
    });
    let report = fixture.verify();
    match only(&report) {
        Finding::DamagedLog {
            from: found_from,
            to: found_to,
            message: None,
            reason,
        } => {
            assert_eq!((*found_from, *found_to), (from, to));
            assert!(reason.starts_with("no record starts here"), "{reason}");
        }
        other => panic!("{other}"),
    }
    assert_eq!(
        (report.summary.records, report.summary.damaged_units),
        (146, 4)
    );
}

#[test]
fn damaged_filler_ends_its_segment_only() {
    let fixture = Fixture::filled();
    let records = fixture.records();
    let second = records
        .iter()
        .position(|r| r.physical_offset >= 8192)
        .unwrap();
    let last = &records[second - 1];
    let filler = (last.physical_offset + i64::from(last.store_size)).cast_unsigned();
    fixture.patch_log(filler, |bytes| bytes[2] ^= 1);
    let report = fixture.verify();
    match only(&report) {
        Finding::DamagedLog {
            from, to, reason, ..
        } => {
            assert_eq!((*from, *to), (filler, SEGMENT));
            assert!(reason.starts_with("a filler of"), "{reason}");
        }
        other => panic!("{other}"),
    }
    assert_eq!(report.summary.records, 150);
}

#[test]
fn tail_may_hold_anything_but_records() {
    let fixture = Fixture::new();
    let store = fixture.open();
    fixture.fill(&store, 10);
    store.shutdown().unwrap();
    let end = fixture.verify().summary.log_end;
    let mut random = fastrand::Rng::with_seed(5);
    fixture.patch_log(end, |bytes| bytes.fill_with(|| random.u8(..)));
    let report = fixture.verify();
    assert_clean(&report);
    assert_eq!(report.summary.log_end, end);
}

#[test]
fn missing_segment_between_others_is_a_hole() {
    let fixture = Fixture::filled();
    let removed = fixture.path(&format!("commitlog/{SEGMENT:020}"));
    fs::remove_file(removed).unwrap();
    let report = fixture.verify();
    let expected = Finding::Hole {
        dir: text(fixture.path("commitlog")),
        from: SEGMENT,
        to: 2 * SEGMENT,
    };
    assert_eq!(*only(&report), expected);
    let lost = 150 - report.summary.records;
    assert!(lost > 20);
    assert_eq!(report.summary.damaged_units, lost);
}

#[test]
fn missing_first_segment_counts_as_expired() {
    let fixture = Fixture::filled();
    fs::remove_file(fixture.path("commitlog/00000000000000000000")).unwrap();
    let report = fixture.verify();
    assert_clean(&report);
    assert!(has_note(&report, |note| *note == Note::LogBegins { offset: SEGMENT }));
    assert_eq!(report.summary.expired_units, 150 - report.summary.records);
    assert!(report.summary.expired_units > 20);
}

#[test]
fn log_without_files_leaves_all_units_dangling() {
    let fixture = Fixture::filled();
    for file in sorted(&fixture.path("commitlog")) {
        fs::remove_file(file).unwrap();
    }
    let report = fixture.verify();
    assert_eq!(report.counts["danglingUnits"], 3, "{report:#?}");
    assert!(
        report
            .counts
            .keys()
            .all(|kind| ["danglingUnits", "checkpoint"].contains(kind))
    );
}

#[test]
fn foreign_files_and_wrong_lengths_are_named() {
    let fixture = Fixture::filled();
    let junk = fixture.path("commitlog/junk");
    fs::write(&junk, "junk").unwrap();
    fs::create_dir(fixture.path("commitlog/folder")).unwrap();
    let expected = Finding::ForeignFile {
        file: text(junk.clone()),
        reason: "its name is not 20 digits".to_owned(),
    };
    assert_eq!(*only(&fixture.verify()), expected);
    fs::remove_file(junk).unwrap();

    let odd = fixture.path("commitlog/00000000000000000100");
    fs::write(&odd, [1; 8192]).unwrap();
    assert!(
        matches!(only(&fixture.verify()), Finding::ForeignFile { file, .. } if *file == text(odd.clone()))
    );
    fs::remove_file(odd).unwrap();

    let next = fixture.verify().summary.segments * SEGMENT;
    let last = fixture.path(&format!("commitlog/{next:020}"));
    fs::write(&last, "").unwrap();
    let report = fixture.verify();
    assert_clean(&report);
    assert!(has_note(&report, |note| *note
        == Note::EmptySegment {
            file: text(last.clone())
        }));
    fs::write(&last, [0; 100]).unwrap();
    let expected = Finding::WrongLength {
        file: text(last),
        len: 100,
        expected: SEGMENT,
    };
    assert_eq!(*only(&fixture.verify()), expected);
}

#[test]
fn cut_segments_lose_their_records_and_nothing_else() {
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..20 {
        let fixture = Fixture::filled();
        let segments = fixture.verify().summary.segments;
        let base = random.u64(..segments) * SEGMENT;
        let keep = random.u64(1..SEGMENT);
        let path = fixture.path(&format!("commitlog/{base:020}"));
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(keep).unwrap();
        let kept = fixture.records();
        let report = fixture.verify();
        let expected = Finding::WrongLength {
            file: text(path),
            len: keep,
            expected: SEGMENT,
        };
        assert_eq!(report.findings[0], expected, "{report:#?}");
        assert_eq!(report.summary.records, kept.len() as u64);
        let allowed = ["wrongLength", "damagedLog", "danglingUnits", "checkpoint"];
        assert!(
            report.counts.keys().all(|kind| allowed.contains(kind)),
            "{report:#?}"
        );
    }
}

#[test]
fn times_that_go_back_are_a_note() {
    let fixture = Fixture::filled();
    let record = &fixture.records()[20];
    let first = record.physical_offset.cast_unsigned();
    let earlier = record.store_timestamp - 5000;
    fixture.patch_log(first, |bytes| {
        bytes[56..64].copy_from_slice(&earlier.to_be_bytes());
    });
    let report = fixture.verify();
    assert_clean(&report);
    assert!(has_note(&report, |note| *note
        == Note::TimeWentBack { records: 1, first }));
}

#[test]
fn checkpoint_that_is_cut_missing_or_ahead() {
    let fixture = Fixture::filled();
    let path = fixture.path("checkpoint");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..60]).unwrap();
    let expected = Finding::WrongLength {
        file: text(path.clone()),
        len: 60,
        expected: 4096,
    };
    assert_eq!(*only(&fixture.verify()), expected);
    fs::remove_file(&path).unwrap();
    let report = fixture.verify();
    assert_clean(&report);
    assert!(has_note(&report, |note| *note == Note::NoCheckpoint));

    let mut ahead = whole;
    let time = fixture.records()[149].store_timestamp + 1;
    ahead[0..8].copy_from_slice(&time.to_be_bytes());
    fs::write(&path, ahead).unwrap();
    let expected = Finding::Checkpoint {
        field: "physicMsgTimestamp",
        value: time,
        limit: time - 1,
    };
    assert_eq!(*only(&fixture.verify()), expected);
}
