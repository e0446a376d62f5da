// SPDX-License-Identifier: Apache-2.0
//! Damage of consume queues.

use std::fs;

use kerolox_protocol::message::{RecordFields, sys_flag};
use kerolox_server::store::inspect::{Finding, Note, UnitFields};

use super::{Fixture, append, append_with, assert_clean, fields, has_note, only, verify};

#[test]
fn bit_in_a_unit_is_a_wrong_unit() {
    let fixture = Fixture::filled();
    let record = fixture
        .records()
        .into_iter()
        .find(|record| (record.queue_id, record.queue_offset) == (1, 23))
        .unwrap();
    let expected = UnitFields {
        physical_offset: record.physical_offset,
        size: record.store_size,
        tags_code: 0,
    };
    // The lowest bits of offset, size and tags code, and one that points behind the log.
    for at in [7, 11, 19, 4] {
        fixture.patch_unit(1, 23, |unit| unit[at] ^= 1);
        let mut found = expected;
        match at {
            7 => found.physical_offset ^= 1,
            11 => found.size ^= 1,
            19 => found.tags_code ^= 1,
            _ => found.physical_offset ^= 1 << 24,
        }
        let finding = Finding::WrongUnit {
            topic: "t".to_owned(),
            queue_id: 1,
            queue_offset: 23,
            expected,
            found,
        };
        assert_eq!(*only(&fixture.verify()), finding);
        fixture.patch_unit(1, 23, |unit| unit[at] ^= 1);
    }
    assert_clean(&fixture.verify());
}

#[test]
fn units_that_are_not_there_are_one_finding_for_each_gap() {
    let fixture = Fixture::filled();
    for queue_offset in [3, 4, 5, 30] {
        fixture.patch_unit(2, queue_offset, |unit| unit[..20].fill(0));
    }
    let records = fixture.records();
    let place = |queue_offset| {
        let found = records
            .iter()
            .find(|record| (record.queue_id, record.queue_offset) == (2, queue_offset));
        found.unwrap().physical_offset.cast_unsigned()
    };
    let missing = |from, to| Finding::MissingUnits {
        topic: "t".to_owned(),
        queue_id: 2,
        from,
        to,
        physical_offset: place(from),
    };
    assert_eq!(fixture.verify().findings, [missing(3, 5), missing(30, 30)]);
}

#[test]
fn exchanged_units_are_both_wrong() {
    let fixture = Fixture::filled();
    let mut one = [0; 20];
    fixture.patch_unit(0, 7, |unit| one.copy_from_slice(&unit[..20]));
    let mut other = [0; 20];
    fixture.patch_unit(1, 40, |unit| {
        other.copy_from_slice(&unit[..20]);
        unit[..20].copy_from_slice(&one);
    });
    fixture.patch_unit(0, 7, |unit| unit[..20].copy_from_slice(&other));
    let report = fixture.verify();
    assert_eq!(report.counts.len(), 1);
    assert_eq!(report.counts["wrongUnit"], 2, "{report:#?}");
}

#[test]
fn queue_that_is_gone_is_missing_unless_its_topic_was_deleted() {
    let fixture = Fixture::filled();
    let dir = fixture.path("consumequeue/t/1");
    fs::remove_dir_all(&dir).unwrap();
    let expected = Finding::MissingQueue {
        dir: dir.display().to_string(),
        topic: "t".to_owned(),
        queue_id: 1,
        records: 50,
    };
    assert_eq!(*only(&fixture.verify()), expected);

    fs::create_dir_all(fixture.path("config")).unwrap();
    let topics = fixture.path("config/topics.json");
    fs::write(&topics, r#"{"topicConfigTable":{"t":{"topicName":"t"}}}"#).unwrap();
    assert_eq!(*only(&fixture.verify()), expected);
    fs::write(&topics, r#"{"topicConfigTable":{"u":{"topicName":"u"}}}"#).unwrap();
    let report = fixture.verify();
    assert_clean(&report);
    let (topic, queue_id, records) = ("t".to_owned(), 1, 50);
    let deleted = Note::DeletedTopic {
        topic,
        queue_id,
        records,
    };
    assert!(report.notes.contains(&deleted), "{report:#?}");
    let topic = "t".to_owned();
    assert!(report.notes.contains(&Note::UnknownTopic { topic }));
}

#[test]
fn cut_queue_files_lack_what_was_cut() {
    let fixture = Fixture::filled();
    let path = fixture.path("consumequeue/t/0/00000000000000000400");
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(75).unwrap();
    let report = fixture.verify();
    let [one, two] = report.findings.as_slice() else {
        panic!("{report:#?}");
    };
    let expected = Finding::WrongLength {
        file: path.display().to_string(),
        len: 75,
        expected: 200,
    };
    assert_eq!(*one, expected);
    assert!(
        matches!(
            two,
            Finding::MissingUnits {
                queue_id: 0,
                from: 23,
                to: 29,
                ..
            }
        ),
        "{two}"
    );

    fs::remove_file(path).unwrap();
    let report = fixture.verify();
    let [one, two] = report.findings.as_slice() else {
        panic!("{report:#?}");
    };
    assert!(
        matches!(
            one,
            Finding::Hole {
                from: 400,
                to: 600,
                ..
            }
        ),
        "{one}"
    );
    assert!(
        matches!(
            two,
            Finding::MissingUnits {
                queue_id: 0,
                from: 20,
                to: 29,
                ..
            }
        ),
        "{two}"
    );
}

#[test]
fn units_behind_the_log_dangle() {
    let fixture = Fixture::filled();
    let end = fixture.verify().summary.log_end;
    let mut files = super::sorted(&fixture.path("consumequeue/t/2"));
    let last = files.pop().unwrap();
    // 50 units fill five files: more follow in the next one.
    let mut bytes = vec![0; 200];
    if last.ends_with("00000000000000001000") {
        bytes = fs::read(&last).unwrap();
    }
    for (unit, offset) in bytes.chunks_exact_mut(20).zip([end, end + 100]) {
        unit[..8].copy_from_slice(&offset.to_be_bytes());
        unit[8..12].copy_from_slice(&100_i32.to_be_bytes());
    }
    fs::write(fixture.path("consumequeue/t/2/00000000000000001000"), bytes).unwrap();
    let expected = Finding::DanglingUnits {
        topic: "t".to_owned(),
        queue_id: 2,
        from: 50,
        to: 51,
        physical_offset: end.cast_signed(),
        reason: "behind the end of the log".to_owned(),
    };
    assert_eq!(*only(&fixture.verify()), expected);
}

#[test]
fn queue_without_records_dangles() {
    let fixture = Fixture::filled();
    let other = fixture.path("consumequeue/other/0");
    fs::create_dir_all(&other).unwrap();
    let units = fs::read(fixture.path("consumequeue/t/0/00000000000000000000")).unwrap();
    fs::write(other.join("00000000000000000000"), units).unwrap();
    let report = fixture.verify();
    assert_eq!(report.counts["danglingUnits"], 10, "{report:#?}");
    let reason = "the record there is of t queue 0 offset 0";
    assert!(
        matches!(&report.findings[0], Finding::DanglingUnits { from: 0, to: 0, reason: r, .. } if r == reason)
    );
}

#[test]
fn fillers_and_extension_addresses_are_allowed() {
    let fixture = Fixture::filled();
    // A queue that was rebuilt after the first segment expired: its first units stand for nothing.
    fs::remove_file(fixture.path("commitlog/00000000000000000000")).unwrap();
    let expired = fixture.verify().summary.expired_units;
    for queue_offset in 0..5 {
        fixture.patch_unit(0, queue_offset, |unit| {
            unit[..8].fill(0);
            unit[8..12].copy_from_slice(&i32::MAX.to_be_bytes());
        });
    }
    let address = i64::MIN + 4096;
    fixture.patch_unit(1, 45, |unit| {
        unit[12..20].copy_from_slice(&address.to_be_bytes());
    });
    let report = fixture.verify();
    assert_clean(&report);
    let summary = &report.summary;
    assert_eq!(
        (summary.filler_units, summary.expired_units),
        (5, expired - 5)
    );

    // A filler where a record is, is no unit of it.
    fixture.patch_unit(0, 45, |unit| {
        unit[..8].fill(0);
        unit[8..12].copy_from_slice(&i32::MAX.to_be_bytes());
    });
    assert!(matches!(
        only(&fixture.verify()),
        Finding::MissingUnits {
            from: 45,
            to: 45,
            ..
        }
    ));
}

#[test]
fn topic_that_was_made_anew_leaves_records_of_its_earlier_life() {
    let fixture = Fixture::new();
    let store = fixture.open();
    for _ in 0..12 {
        append(&store, "t", 0, b"earlier");
    }
    store.delete_topic("t").unwrap();
    for _ in 0..5 {
        append(&store, "t", 0, b"later");
    }
    store.shutdown().unwrap();
    let report = fixture.verify();
    assert_clean(&report);
    let (topic, queue_id, records) = ("t".to_owned(), 0, 12);
    let superseded = Note::Superseded {
        topic,
        queue_id,
        records,
    };
    assert!(has_note(&report, |note| *note == superseded), "{report:#?}");
}

#[test]
fn half_messages_have_no_units_and_delayed_ones_their_time() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let queue = store.queue("SCHEDULE_TOPIC_XXXX", 2).unwrap();
    let mut batch = store.new_batch();
    let delayed = ["DELAY\u{1}3\u{2}TAGS\u{1}a\u{2}".as_bytes()];
    let record = fields("SCHEDULE_TOPIC_XXXX", 2, b"later", &delayed);
    batch.push_delayed(&queue, &record, 10_000).unwrap();
    let half = RecordFields {
        sys_flag: sys_flag::TRANSACTION_PREPARED,
        ..fields("t", 0, b"half", &[])
    };
    let queue = store.queue("t", 0).unwrap();
    batch.push(&queue, &half, 0).unwrap();
    store.append(&mut batch);
    append_with(&store, "t", 0, b"tagged", "TAGS\u{1}b\u{2}");
    store.shutdown().unwrap();
    let report = fixture.verify();
    assert_clean(&report);
    assert_eq!((report.summary.records, report.summary.units), (3, 2));

    let mut layout = fixture.layout();
    layout.delay_levels_ms = vec![1, 2, 3];
    let report = verify(&layout);
    assert!(matches!(
        only(&report),
        Finding::WrongUnit {
            queue_id: 2,
            queue_offset: 0,
            ..
        }
    ));
}

#[test]
fn foreign_things_in_queue_directories() {
    let fixture = Fixture::filled();
    fs::create_dir(fixture.path("consumequeue/t/not-a-number")).unwrap();
    let junk = fixture.path("consumequeue/t/0/junk.tmp");
    fs::write(&junk, "x").unwrap();
    let report = fixture.verify();
    assert!(
        matches!(only(&report), Finding::ForeignFile { file, .. } if *file == junk.display().to_string())
    );
    assert!(has_note(&report, |note| matches!(
        note,
        Note::Ignored { .. }
    )));
}
