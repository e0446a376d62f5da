// SPDX-License-Identifier: Apache-2.0
//! `kill -9` of `kerolox serve` in the middle of sending, again and again on one data directory.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use kerolox_tests::cluster::{Cluster, Kind};
use kerolox_tests::tools::{self, say};
use kerolox_tests::wait_for;

use crate::ledger::{self, Place};

const ROUNDS: u64 = 20;
const SENDERS: u64 = 2;
const QUEUES: i32 = 4;
const TOPIC: &str = "crash";

type Ledger = Mutex<BTreeMap<Place, u64>>;

/// Sends from two connections until at least `least` messages are acknowledged, then kills the server under them.
fn send_and_kill(
    cluster: &mut Cluster,
    first: u64,
    least: usize,
    ledger: &Ledger,
) -> anyhow::Result<()> {
    let broker = cluster.broker_addr();
    let count = || ledger.lock().unwrap_or_else(PoisonError::into_inner).len();
    let before = count();
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| scope.spawn(move || send(broker, first + sender, ledger)))
            .collect();
        let enough = wait_for("acknowledgements", Duration::from_secs(20), || {
            let ended = senders.iter().any(|sender| sender.is_finished());
            (ended || count() - before >= least).then_some(())
        });
        cluster.kill();
        for sender in senders {
            sender.join().ok().context("a sender panicked")??;
        }
        enough
    })?;
    ensure!(
        count() - before >= least,
        "the senders ended before the server was killed"
    );
    Ok(())
}

fn send(broker: SocketAddr, from: u64, ledger: &Ledger) -> anyhow::Result<()> {
    ledger::send_until_broken(broker, TOPIC, QUEUES, from, SENDERS, |number, place| {
        let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.insert(place, number);
    })
}

#[test]
fn no_acknowledged_message_is_lost_by_kill_9() {
    if let Err(error) = rounds(Kind::Ours, ROUNDS) {
        panic!("{error:?}");
    }
}

/// The control: what the test asks of ours, the official broker gives.
#[test]
fn nor_is_one_of_the_official_broker() {
    if tools::missing("kill -9 of the official broker", &["java", "mvn"]) {
        return;
    }
    if let Err(error) = rounds(Kind::Official, 1) {
        panic!("{error:?}");
    }
}

fn rounds(kind: Kind, rounds: u64) -> anyhow::Result<()> {
    let seed = std::env::var("KEROLOX_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    let mut random = fastrand::Rng::with_seed(seed);
    say(&format!(
        "kill -9 of {}, {rounds} rounds, KEROLOX_SEED={seed}",
        kind.name()
    ));
    let mut cluster = kind.start()?;
    cluster.create_topic(TOPIC, QUEUES)?;
    let ledger = Ledger::default();
    let mut first = 0;
    for round in 1..=rounds {
        let least = random.usize(100..2_000);
        let before = ledger.lock().unwrap_or_else(PoisonError::into_inner).len();
        send_and_kill(&mut cluster, first, least, &ledger)
            .and_then(|()| restart_and_check(&mut cluster, round, before, &ledger))
            .with_context(|| format!("round {round}, seed {seed}\n{}", cluster.logs()))?;
        // Numbers are never used again: what was sent without an answer may be there or not.
        first += 1_000_000;
    }
    cluster.stop()
}

fn restart_and_check(
    cluster: &mut Cluster,
    round: u64,
    before: usize,
    ledger: &Ledger,
) -> anyhow::Result<()> {
    let start = Instant::now();
    cluster.start_again()?;
    let ready = start.elapsed();
    let found = ledger::read_back(cluster.broker_addr(), TOPIC, QUEUES)?;
    let ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
    for (place, number) in ledger.iter() {
        ensure!(
            found.get(place) == Some(number),
            "message {number} was acknowledged at {place:?}; there is {:?}",
            found.get(place)
        );
    }
    say(&format!(
        "round {round:2}: acknowledged {} (all rounds {}), found {}, of them without an answer {}, lost 0, damaged 0, ready in {} ms",
        ledger.len() - before,
        ledger.len(),
        found.len(),
        found.len() - ledger.len(),
        ready.as_millis()
    ));
    Ok(())
}
