// SPDX-License-Identifier: Apache-2.0
//! `kill -9` of a broker in the middle of sending, again and again on one store, in each way of flushing.
//!
//! `KEROLOX_CRASH_ROUNDS=200` sets the rounds of each way, `KEROLOX_SEED=N` repeats the random choices of a run that
//! failed, and `KEROLOX_BIN` names another build. Every failure says seed and round.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::Context;
use kerolox_tests::broker::Broker;
use kerolox_tests::cluster::Kind;
use kerolox_tests::tools;

use crate::rounds::{self, Rounds};

/// Rounds of a way of flushing, unless the environment says otherwise.
const ROUNDS: u64 = 12;
/// Messages that are looked for by key in each round.
const BY_KEY: usize = 50;
const ASYNC: [(&str, &str); 1] = [("flushDiskType", "ASYNC_FLUSH")];
const SYNC: [(&str, &str); 1] = [("flushDiskType", "SYNC_FLUSH")];
/// Commits are so late that most kills find acknowledged messages in the pool alone.
const POOL: [(&str, &str); 5] = [
    ("flushDiskType", "ASYNC_FLUSH"),
    ("transientStorePoolEnable", "true"),
    ("transientStorePoolSize", "3"),
    ("commitCommitLogLeastPages", "1000000"),
    ("commitCommitLogThoroughInterval", "1000"),
];

/// Files so small that kills meet the change from one to the next, of the log, of queues and of the index.
const SMALL_FILES: [(&str, &str); 4] = [
    ("mappedFileSizeCommitLog", "1048576"),
    ("mappedFileSizeConsumeQueue", "1000"),
    ("maxHashSlotNum", "500"),
    ("maxIndexNum", "2000"),
];
const LARGE_FILES: [(&str, &str); 1] = [("mappedFileSizeCommitLog", "134217728")];

#[test]
fn no_acknowledged_message_is_lost_with_asynchronous_flush() {
    kill_ours("ASYNC_FLUSH", &ASYNC);
}

#[test]
fn no_acknowledged_message_is_lost_with_synchronous_flush() {
    kill_ours("SYNC_FLUSH", &SYNC);
}

#[test]
fn no_acknowledged_message_is_lost_with_the_transient_store_pool() {
    kill_ours("transientStorePoolEnable", &POOL);
}

/// Two of three rounds on a store of small files, the others on one of large files.
fn kill_ours(name: &str, settings: &[(&str, &str)]) {
    let rounds = rounds();
    let large = (rounds / 3).max(1);
    for (files, sizes, rounds) in [
        (
            "small files",
            &SMALL_FILES[..],
            rounds.saturating_sub(large),
        ),
        ("large files", &LARGE_FILES[..], large),
    ] {
        let settings = [settings, sizes].concat();
        let run = || {
            Rounds::run(
                &format!("{name}, {files}"),
                &mut Broker::new(&settings)?,
                rounds,
                BY_KEY,
            )
        };
        if let Err(error) = run() {
            panic!("{error:?}");
        }
    }
}

/// The control: what the test asks of ours, the official broker gives.
#[test]
fn nor_is_one_of_the_official_broker() {
    if tools::missing("kill -9 of the official broker", &["java", "mvn"]) {
        return;
    }
    let run = || {
        let mut official = Kind::Official.start()?;
        Rounds::run("official 5.5.0", &mut official, 1, BY_KEY)
    };
    if let Err(error) = run() {
        panic!("{error:?}");
    }
}

fn rounds() -> u64 {
    match std::env::var("KEROLOX_CRASH_ROUNDS") {
        Ok(text) => text.parse().expect("KEROLOX_CRASH_ROUNDS is a number"),
        Err(_) => ROUNDS,
    }
}

/// The rounds can fail: what is taken out of the log behind the broker's back is missed.
#[test]
fn message_that_is_taken_out_of_the_log_is_missed() {
    let error = kill_and_take(&ASYNC, |store| {
        zero_second_half(&store.join("commitlog").join("0".repeat(20)))
    });
    assert!(error.contains("Lost"), "{error}");
}

/// The kills hit messages that are in the pool only.
#[test]
fn message_that_is_taken_out_of_the_pool_is_missed() {
    let uncommitted = [&POOL[..], &[("commitCommitLogThoroughInterval", "60000")]].concat();
    let error = kill_and_take(&uncommitted, |store| {
        Ok(fs::remove_dir_all(store.join("transientpool"))?)
    });
    assert!(error.contains("Lost"), "{error}");
}

/// Sends and kills, takes something from the store, and returns what the check says then.
fn kill_and_take(settings: &[(&str, &str)], take: impl Fn(&Path) -> anyhow::Result<()>) -> String {
    let run = || {
        let mut broker = Broker::new(&[settings, &LARGE_FILES].concat())?;
        let store = broker.store().to_owned();
        let mut rounds = Rounds::new("proof", &mut broker, rounds::seed());
        rounds.prepare()?;
        rounds.send_and_kill(0, 1_000)?;
        take(&store)?;
        rounds.restart()?;
        anyhow::Ok(rounds.read_and_check().map(drop))
    };
    let error = run().expect("the broker starts");
    error.expect_err("messages are gone").to_string()
}

/// Overwrites the second half of what was written to a file.
fn zero_second_half(path: &Path) -> anyhow::Result<()> {
    let bytes = fs::read(path)?;
    let written = bytes.iter().rposition(|byte| *byte != 0);
    let from = written.context("nothing was written")? / 2;
    let file = fs::File::options().write(true).open(path)?;
    file.write_all_at(&vec![0; bytes.len() - from], from as u64)?;
    Ok(())
}
