// SPDX-License-Identifier: Apache-2.0
//! Whatever the files hold, an inspection ends with a report.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use kerolox_server::store::disk::{Disk, RealDisk, SimDisk};
use kerolox_server::store::inspect::{self, Finding, Part, StoreLayout, VerifyReport};

use super::{reference, sorted};

const SEEDS: u64 = 120;

/// Copies a directory to the same place on a simulated disk; the timer's large files are not looked at.
fn copy(from: &Path, disk: &SimDisk) {
    disk.create_dir_all(from).unwrap();
    for path in sorted(from) {
        let name = path.file_name().unwrap().to_string_lossy();
        if name.starts_with("timer") {
            continue;
        }
        if path.is_dir() {
            copy(&path, disk);
        } else {
            disk.write_atomic(&path, &fs::read(&path).unwrap()).unwrap();
        }
    }
}

/// Verifies and dumps; both must come to an end.
fn examine(disk: &dyn Disk, layout: &StoreLayout) -> VerifyReport {
    let mut records = 0;
    inspect::records(disk, layout, 0..u64::MAX, &mut |part| {
        records += u64::from(matches!(part, Part::Record(..)));
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    let report = inspect::verify(disk, layout, &mut |_| {}).unwrap();
    assert_eq!(report.summary.records, records);
    for line in &report.findings {
        assert!(!line.to_string().is_empty());
    }
    report
}

#[test]
fn damaged_files_of_all_kinds_are_survived() {
    let (_dir, layout) = reference("killed");
    let whole = SimDisk::new();
    copy(&layout.root_dir, &whole);
    assert!(examine(&whole, &layout).is_clean());
    for seed in 0..SEEDS {
        let mut random = fastrand::Rng::with_seed(seed);
        let disk = whole.kill();
        let files = disk.files();
        for _ in 0..random.usize(1..12) {
            let path = &files[random.usize(..files.len())];
            // Removed by an earlier turn.
            let Ok(mut bytes) = disk.read(path) else {
                continue;
            };
            match random.u8(..6) {
                0 => bytes.truncate(random.usize(..=bytes.len())),
                1 => bytes.fill_with(|| random.u8(..)),
                2 if !bytes.is_empty() => {
                    let at = random.usize(..bytes.len());
                    bytes[at] ^= 1 << random.u8(..8);
                }
                3 if !bytes.is_empty() => {
                    // Records and units at wrong places.
                    let (from, to) = (random.usize(..bytes.len()), random.usize(..bytes.len()));
                    let end = (from + random.usize(..5000)).min(bytes.len());
                    let to = to.min(bytes.len() - (end - from));
                    bytes.copy_within(from..end, to);
                }
                4 => {
                    let name = format!("{:020}", random.u64(..));
                    disk.write_atomic(&path.with_file_name(name), &bytes)
                        .unwrap();
                }
                _ => {
                    let len = bytes.len();
                    bytes.resize(len + random.usize(..999), 0);
                    bytes[len..].fill_with(|| random.u8(..));
                }
            }
            if random.u8(..9) == 0 {
                disk.remove_file(path).unwrap();
            } else {
                disk.write_atomic(path, &bytes).unwrap();
            }
        }
        drop(examine(&disk, &layout));
    }
}

#[test]
fn garbage_instead_of_a_store_is_survived() {
    for seed in 0..SEEDS {
        let mut random = fastrand::Rng::with_seed(seed);
        let disk = SimDisk::new();
        let layout = StoreLayout {
            max_hash_slot_num: 3,
            max_index_num: 20,
            ..StoreLayout::new("/store")
        };
        for (dir, len) in [
            ("commitlog", 4096),
            ("consumequeue/t/0", 400),
            ("index", 452),
        ] {
            let dir = layout.root_dir.join(dir);
            disk.create_dir_all(&dir).unwrap();
            for number in 0..random.u64(..4) {
                // Small numbers make lengths and offsets that fit, and magics are strewn in.
                let limit = [2, 5, 255][random.usize(..3)];
                let mut bytes: Vec<u8> = (0..len).map(|_| random.u8(..=limit)).collect();
                for _ in 0..random.usize(..20) {
                    let at = random.usize(..len - 4);
                    let magic = [0xDAA3_20A7_u32, 0xDAA3_20AB, 0xCBD4_3194][random.usize(..3)];
                    bytes[at..at + 4].copy_from_slice(&magic.to_be_bytes());
                }
                let path = dir.join(format!("{:020}", number * len as u64));
                disk.write_atomic(&path, &bytes).unwrap();
            }
        }
        for file in [
            "checkpoint",
            "abort",
            "config/topics.json",
            "config/consumerOffset.json",
        ] {
            let bytes: Vec<u8> = (0..random.usize(..200)).map(|_| random.u8(..)).collect();
            disk.write_atomic(&layout.root_dir.join(file), &bytes)
                .unwrap();
        }
        drop(examine(&disk, &layout));
    }
}

#[test]
fn one_bit_of_the_log_costs_at_most_one_record() {
    let (_dir, layout) = reference("clean");
    let whole = SimDisk::new();
    copy(&layout.root_dir, &whole);
    let end = examine(&whole, &layout).summary.log_end;
    let mut random = fastrand::Rng::with_seed(3);
    let mut found = 0;
    for _ in 0..150 {
        let at = random.u64(..end);
        let (base, bit) = (at - at % 1_048_576, random.u8(..8));
        let path = layout.root_dir.join(format!("commitlog/{base:020}"));
        let disk = whole.kill();
        assert!(disk.flip_bit(&path, usize::try_from(at - base).unwrap(), bit));
        let report = examine(&disk, &layout);
        assert!(
            report.summary.records >= 223,
            "byte {at} bit {bit}: {report:#?}"
        );
        let damaged = |finding: &&Finding| matches!(finding, Finding::DamagedLog { .. });
        assert!(
            report.findings.iter().filter(damaged).count() <= 1,
            "{report:#?}"
        );
        found += u64::from(!report.is_clean());
    }
    // What no checksum covers and nothing refers to (hosts, born times, flags) can not be noticed.
    assert!(found > 130, "{found}");
}

#[test]
fn what_is_no_store_is_refused_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let disk = RealDisk::new();
    let verify = |layout: &StoreLayout| inspect::verify(&disk, layout, &mut |_| {});
    let refusal = |layout: &StoreLayout| verify(layout).unwrap_err().to_string();
    let gone = StoreLayout::new(dir.path().join("gone"));
    assert!(refusal(&gone).contains("there is no such directory"));
    let data = StoreLayout::new(dir.path());
    assert!(refusal(&data).contains("storePathRootDir"));
    fs::create_dir_all(dir.path().join("store/commitlog")).unwrap();
    assert!(refusal(&data).ends_with(&format!(
        "the store is {}",
        dir.path().join("store").display()
    )));
    let store = StoreLayout::new(dir.path().join("store"));
    assert!(verify(&store).unwrap().is_clean(), "an empty store");
    let mut elsewhere = store.clone();
    elsewhere.commit_log_dirs = vec![dir.path().join("elsewhere")];
    assert!(refusal(&elsewhere).contains("elsewhere"));
    fs::create_dir_all(dir.path().join("store/consumequeue")).unwrap();
    fs::write(dir.path().join("store/consumequeue/CURRENT"), "MANIFEST").unwrap();
    assert!(refusal(&store).contains("RocksDB"));
}
