// SPDX-License-Identifier: Apache-2.0
//! Disk exchange: ours and the official broker open one store directory in turn, after an orderly stop and after
//! `kill -9`; each finds everything that was acknowledged before by either, and adds more.
//!
//! A round is a phase of ours and one of the official broker. A phase begins with checking everything: topics, groups,
//! consumer offsets, all messages (content, tags, ids), queries by key, and that delayed messages, retries and dead letters came,
//! not before their time. An orderly stop is followed by `kerolox store verify`. Both sides have the same `broker.conf`
//! with files so small that they roll all the time.
//!
//! `KEROLOX_EXCHANGE_ROUNDS` sets the number of rounds (20), `KEROLOX_SEED` repeats a run's choices.
//!
//! What is not asked for: offsets that the official broker had not yet written when it was killed (it writes them for the
//! first time ten seconds after its start), and that a delayed message comes once only after a kill, because both write
//! every now and then how far they delivered.

mod boundary;
mod draft;
mod keys;
mod ledger;
mod light;
mod messages;
pub(crate) mod read;
mod send;
mod tables;
mod transactions;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use kerolox_tests::alternating::Alternating;
use kerolox_tests::cluster::Kind;
use kerolox_tests::tools::{self, say};
use kerolox_tests::wire::{self, Connection};
use kerolox_tests::{ours, wait_for};

use self::draft::{
    BATCHED, DELAY_LEVELS, DELAYED, DELAYED_QUEUES, Draft, MANY, MANY_QUEUES, PHASE,
};
use self::keys::Extent;
use self::ledger::{Ledger, Phase};
use self::send::{Event, now_ms};
use self::tables::Tables;

const ROUNDS: u64 = 20;
const BATCH: u64 = 8;
const HASH_SLOTS: &str = "1000";
const INDEXES: &str = "4000";

const SETTINGS: &[(&str, &str)] = &[
    ("mappedFileSizeCommitLog", "1048576"),
    ("mappedFileSizeConsumeQueue", "4000"),
    ("maxMessageSize", "262144"),
    ("maxHashSlotNum", HASH_SLOTS),
    ("maxIndexNum", INDEXES),
    ("messageDelayLevel", DELAY_LEVELS),
    ("flushConsumerOffsetInterval", "200"),
    ("flushDelayOffsetInterval", "1000"),
    // When it stops, the official broker waits up to four seconds for the threads that revive popped messages; they only
    // run with the timer.
    ("timerWheelEnable", "false"),
    ("reviveQueueNum", "1"),
    // As in the other tests: no "broker busy" on a machine under load.
    ("waitTimeMillsInSendQueue", "60000"),
    ("osPageCacheBusyTimeOutMills", "60000"),
];

#[test]
fn store_directory_goes_back_and_forth() {
    if tools::missing("disk exchange with the official broker", &["java", "mvn"]) {
        return;
    }
    let number_of = |name| {
        let value = std::env::var(name).ok()?;
        Some(
            value
                .parse()
                .unwrap_or_else(|_| panic!("{name} is {value}, no number")),
        )
    };
    let rounds = number_of("KEROLOX_EXCHANGE_ROUNDS").unwrap_or(ROUNDS);
    let seed = number_of("KEROLOX_SEED").unwrap_or_else(|| fastrand::u64(..));
    say(&format!(
        "disk exchange, {rounds} rounds, KEROLOX_SEED={seed}"
    ));
    let mut exchange = Exchange::new(seed).expect("the name server starts");
    if let Err(error) = exchange.run(rounds) {
        let phase = exchange.ledger().phases.len();
        panic!(
            "phase {phase}, KEROLOX_SEED={seed}: {error:?}\n{}",
            exchange.servers.logs()
        );
    }
}

struct Exchange {
    servers: Alternating,
    ledger: Mutex<Ledger>,
    tables: Tables,
    random: fastrand::Rng,
}

impl Exchange {
    fn new(seed: u64) -> anyhow::Result<Self> {
        Ok(Self {
            servers: Alternating::new(SETTINGS)?,
            ledger: Mutex::default(),
            tables: Tables::default(),
            random: fastrand::Rng::with_seed(seed),
        })
    }

    fn ledger(&mut self) -> &mut Ledger {
        self.ledger
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&mut self, rounds: u64) -> anyhow::Result<()> {
        // Every four rounds the four ways in which the two of a round can end come up.
        let (ours_first, official_first) = (self.random.u64(0..2), self.random.u64(0..2));
        for round in 0..rounds {
            let is_last = round + 1 == rounds;
            for (kind, number) in [
                (Kind::Ours, round + ours_first),
                (Kind::Official, round.div_ceil(2) + official_first),
            ] {
                let is_all = is_last && kind == Kind::Official;
                let extent = if is_all { Extent::All } else { Extent::Recent };
                self.phase(kind, number % 2 == 0, extent)?;
            }
        }
        let mut connection = self.open(Kind::Ours, false)?;
        self.check(&mut connection, Extent::All, i64::MAX)?;
        say(&format!(
            "all delays over, {} deliveries repeated after a kill",
            self.ledger().repeated()
        ));
        self.servers.stop()?;
        self.servers.finish()?;
        if rounds >= ROUNDS {
            files_rolled(&self.servers.store())?;
        }
        Ok(())
    }

    fn open(&mut self, kind: Kind, is_killed: bool) -> anyhow::Result<Connection> {
        let phase = Phase {
            kind,
            began_ms: now_ms(),
            was_killed: is_killed,
        };
        self.ledger().phases.push(phase);
        self.servers.start(kind)?;
        Connection::open(self.servers.broker_addr())
    }

    /// Compares everything; what is due by then has to come. Returns how many queries by key were asked.
    fn check(
        &mut self,
        connection: &mut Connection,
        extent: Extent,
        due_by_ms: i64,
    ) -> anyhow::Result<usize> {
        let Self {
            ledger,
            tables,
            random,
            ..
        } = self;
        let ledger = ledger.get_mut().unwrap_or_else(PoisonError::into_inner);
        if ledger.placed.is_empty() {
            return Ok(0);
        }
        tables.check(connection)?;
        messages::check_all(connection, ledger, &tables.queues(), due_by_ms, random)?;
        keys::check_keys(connection, ledger, extent, random)
    }

    fn phase(&mut self, kind: Kind, is_killed: bool, extent: Extent) -> anyhow::Result<()> {
        let number = u64::try_from(self.ledger().phases.len())?;
        let begin = Instant::now();
        let mut connection = self.open(kind, is_killed)?;
        let ready = begin.elapsed();
        let queries = self.check(&mut connection, extent, now_ms())?;
        let checked = begin.elapsed();
        self.administrate(&mut connection, number)?;
        self.send_some(number)?;
        self.commit(&mut connection, number)?;
        self.send_back(&mut connection)?;
        self.tables.note(&mut connection)?;
        let store = self.servers.store();
        if is_killed {
            if kind == Kind::Ours {
                self.tables.await_written(&store)?;
            }
            self.send_and_kill(number)?;
        } else {
            self.servers.stop()?;
            self.tables.stopped(&store)?;
            // A kill may come between a record and its unit of the queue; the next start sets that right.
            verify(&store)?;
        }
        let ledger = self.ledger();
        say(&format!(
            "phase {number:2}, {:14} {}: {} messages, {queries} queries, {} pending; ready {} ms, checked {} ms, all {} ms",
            kind.name(),
            if is_killed { "killed " } else { "stopped" },
            ledger.placed.len(),
            ledger.pending(),
            ready.as_millis(),
            (checked - ready).as_millis(),
            begin.elapsed().as_millis(),
        ));
        ensure!(ledger.pending() > 0, "nothing is pending at the change");
        Ok(())
    }

    /// Topics and groups of a phase.
    fn administrate(&mut self, connection: &mut Connection, phase: u64) -> anyhow::Result<()> {
        let broker = self.servers.broker_addr();
        if phase == 0 {
            wire::create_topic_at(broker, MANY, MANY_QUEUES)?;
            wire::create_topic_at(broker, DELAYED, DELAYED_QUEUES)?;
        }
        let small = i32::try_from(phase % 3)?;
        wire::create_topic_at(broker, &draft::topic_of_phase(phase), 1 + small)?;
        for group in tables::groups_of_phase(phase) {
            tables::create_group(connection, &group, 10 + small)?;
        }
        Ok(())
    }

    /// The groups of a phase have consumed some of what is there.
    fn commit(&mut self, connection: &mut Connection, phase: u64) -> anyhow::Result<()> {
        let Self {
            ledger,
            tables,
            random,
            ..
        } = self;
        let ledger = ledger.get_mut().unwrap_or_else(PoisonError::into_inner);
        for group in tables::groups_of_phase(phase) {
            for queue_id in 0..MANY_QUEUES {
                let offset = random.i64(0..=ledger.end(MANY, queue_id));
                tables.commit(connection, &group, queue_id, offset)?;
            }
        }
        Ok(())
    }

    /// Single messages and a batch, all acknowledged.
    fn send_some(&mut self, phase: u64) -> anyhow::Result<()> {
        let broker = self.servers.broker_addr();
        let first = phase * PHASE;
        let count = self.random.u64(100..250);
        let ledger = self.ledger();
        let drafts = (first..first + count).map(Draft::of);
        let is_broken = send::send(broker, drafts, |event| ledger.note(&event))?;
        ensure!(!is_broken, "the connection broke");
        let batch: Vec<_> = (first + BATCHED..)
            .take(BATCH as usize)
            .map(Draft::of)
            .collect();
        send::send_batch(broker, &batch, |event| ledger.note(&event))
    }

    /// Some messages are sent back, for another try and for good.
    fn send_back(&mut self, connection: &mut Connection) -> anyhow::Result<()> {
        let ledger = self
            .ledger
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let candidates = ledger.placed.iter().filter(|(place, stored)| {
            // Each number once: that tells its copies apart.
            place.topic == MANY && !ledger.was_retried(stored.number)
        });
        let sample = self.random.choose_multiple(candidates, 3);
        let sample: Vec<_> = sample.into_iter().map(|(_, stored)| *stored).collect();
        for (stored, level) in sample.into_iter().zip([1, 3, -1]) {
            match usize::try_from(level) {
                Ok(level) => ledger.note_retry(stored.number, now_ms(), level),
                Err(_) => ledger.note_dead(stored.number),
            }
            send::send_back(connection, MANY, stored.physical_offset, level)?;
        }
        Ok(())
    }

    /// Goes on sending from where [`Exchange::send_some`] ended and kills the broker under it.
    fn send_and_kill(&mut self, phase: u64) -> anyhow::Result<()> {
        let broker = self.servers.broker_addr();
        let first = phase * PHASE + 1_000;
        let least = self.random.usize(30..150);
        let acknowledged = Mutex::new(0);
        let Self {
            servers, ledger, ..
        } = self;
        let (ledger, acknowledged) = (&*ledger, &acknowledged);
        let on_event = move |event: Event<'_>| {
            ledger
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .note(&event);
            if matches!(event, Event::Acknowledged { .. }) {
                *acknowledged.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            }
        };
        let count = || *acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        std::thread::scope(|scope| {
            let drafts = (first..phase * PHASE + BATCHED).map(Draft::of);
            let sender = scope.spawn(move || send::send(broker, drafts, on_event));
            let enough = wait_for("acknowledgements", Duration::from_secs(20), || {
                (sender.is_finished() || count() >= least).then_some(())
            });
            servers.kill();
            let is_broken = sender.join().ok().context("the sender panicked")??;
            ensure!(
                is_broken && count() >= least,
                "the sender ended before the kill"
            );
            enough
        })
    }
}

/// `kerolox store verify` has nothing to say about what the broker left.
fn verify(store: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(ours::program("kerolox")?);
    command.args(["store", "verify"]).arg(store);
    command.args(["--message-delay-level", DELAY_LEVELS]);
    command.args([
        "--max-hash-slot-num",
        HASH_SLOTS,
        "--max-index-num",
        INDEXES,
    ]);
    let output = command.output()?;
    ensure!(
        output.status.success(),
        "store verify ended with {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// The settings did what they are for: there are several files of each kind.
fn files_rolled(store: &Path) -> anyhow::Result<()> {
    let mut counts = BTreeMap::new();
    for dir in ["commitlog", "index", "consumequeue/exchange_many/0"] {
        let files = fs::read_dir(store.join(dir)).with_context(|| dir.to_owned())?;
        counts.insert(dir, files.count());
    }
    say(&format!("files at the end: {counts:?}"));
    ensure!(
        counts.values().all(|count| *count > 2),
        "too few files: {counts:?}"
    );
    Ok(())
}
