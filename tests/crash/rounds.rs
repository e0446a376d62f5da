// SPDX-License-Identifier: Apache-2.0
//! Rounds of sending, `kill -9`, starting again and reading everything back, on one store.

use std::time::Duration;

use anyhow::{Context, ensure};
use kerolox_tests::tools::say;
use kerolox_tests::wait_for;
use kerolox_tests::wire::Connection;

use crate::keys;
use crate::ledger::{self, Copy, Found, Report};
use crate::message::{QUEUES, SCHEDULE, TAGS, TOPICS, tag};
use crate::reader;
use crate::sender::{self, Shared, with};
use crate::victim::Victim;

const SENDERS: u64 = 3;
/// Requests of a round; far more than are sent in one.
const REQUESTS: u64 = 1 << 24;
/// Within this time delayed messages have to be delivered that are due.
const DELIVERY: Duration = Duration::from_secs(60);

/// The rounds on one store.
pub(crate) struct Rounds<'a> {
    name: &'a str,
    victim: &'a mut dyn Victim,
    random: fastrand::Rng,
    ledger: Shared,
    /// How long each start took.
    ready: Vec<Duration>,
    /// How many acknowledged messages are looked for by key in each round.
    by_key: usize,
}

impl<'a> Rounds<'a> {
    /// Runs that many, and looks for `by_key` messages by key in each; `KEROLOX_SEED` sets the seed of the random choices.
    ///
    /// # Errors
    /// What went wrong, with round, seed and the broker's logs.
    pub(crate) fn run(
        name: &'a str,
        victim: &'a mut dyn Victim,
        rounds: u64,
        by_key: usize,
    ) -> anyhow::Result<()> {
        let seed = seed();
        say(&format!(
            "kill -9, {name}: {rounds} rounds, KEROLOX_SEED={seed}"
        ));
        let mut run = Self::new(name, victim, seed);
        run.by_key = by_key;
        for round in 0..=rounds + 1 {
            let result = match round {
                0 => run.prepare(),
                _ if round <= rounds => run.round(round),
                _ => run.end(),
            };
            result.with_context(|| {
                format!("{name}, round {round}, seed {seed}\n{}", run.victim.logs())
            })?;
        }
        Ok(())
    }

    pub(crate) fn new(name: &'a str, victim: &'a mut dyn Victim, seed: u64) -> Self {
        Self {
            name,
            victim,
            random: fastrand::Rng::with_seed(seed),
            ledger: Shared::default(),
            ready: Vec::new(),
            by_key: 0,
        }
    }

    /// Starts the broker for the first time and makes the topics.
    pub(crate) fn prepare(&mut self) -> anyhow::Result<()> {
        self.victim.start()?;
        for topic in &TOPICS[..SCHEDULE] {
            self.victim.create_topic(topic, QUEUES)?;
        }
        Ok(())
    }

    fn round(&mut self, round: u64) -> anyhow::Result<()> {
        let before = with(&self.ledger, |ledger| ledger.len());
        // From the first sends to deep in flight.
        let least = match self.random.u8(..4) {
            0 => self.random.usize(..20),
            1 => self.random.usize(20..300),
            _ => self.random.usize(300..2_000),
        };
        self.send_and_kill(round * REQUESTS, before + least)?;
        let killed = self.kill_recoveries()?;
        let ready = self.restart()?;
        let (found, report) = self.read_and_check()?;
        self.check_tag(&found)?;
        self.check_keys()?;
        let all = with(&self.ledger, |ledger| ledger.len());
        say(&format!(
            "{} round {round:3}: acknowledged {} (all rounds {all}), found {}, without an answer {}, \
             delays waiting {}, repeated {}, recoveries killed {killed}, ready in {} ms",
            self.name,
            all - before,
            report.found,
            report.unanswered,
            report.waiting,
            report.repeated,
            ready.as_millis()
        ));
        Ok(())
    }

    /// Sends from several connections and kills the broker under them once that many messages are acknowledged.
    pub(crate) fn send_and_kill(&mut self, first: u64, least: usize) -> anyhow::Result<()> {
        let ledger = &self.ledger;
        let victim = &mut self.victim;
        let mut connections = Vec::new();
        for _ in 0..SENDERS {
            connections.push(Connection::open(victim.addr()?)?);
        }
        std::thread::scope(|scope| {
            let senders: Vec<_> = (first..)
                .zip(connections)
                .map(|(first, connection)| {
                    let requests = (first..).step_by(SENDERS as usize);
                    scope.spawn(move || sender::send_until_broken(connection, requests, ledger))
                })
                .collect();
            let enough = wait_for("acknowledgements", Duration::from_secs(60), || {
                if senders.iter().any(|sender| sender.is_finished()) {
                    return Some(false);
                }
                (with(ledger, |ledger| ledger.len()) >= least).then_some(true)
            });
            victim.kill();
            for sender in senders {
                sender.join().ok().context("a sender panicked")??;
            }
            ensure!(enough?, "a connection ended before the kill");
            Ok(())
        })
    }

    /// Starts the broker on what it left and returns how long that took.
    pub(crate) fn restart(&mut self) -> anyhow::Result<Duration> {
        let ready = self.victim.start()?;
        self.ready.push(ready);
        Ok(ready)
    }

    /// In some rounds the broker is also killed while it starts, up to three times; how often it was.
    fn kill_recoveries(&mut self) -> anyhow::Result<u32> {
        let Some(&last) = self.ready.last() else {
            return Ok(0);
        };
        let times = self.random.u32(..6).saturating_sub(2);
        for _ in 0..times {
            let delay = last.mul_f64(self.random.f64() * 1.2);
            self.victim.start_and_kill_after(delay)?;
        }
        Ok(times)
    }

    /// Reads everything back; an error if something is not as it was acknowledged.
    pub(crate) fn read_and_check(&self) -> anyhow::Result<(Found, Report)> {
        let found = reader::read_all(self.victim.addr()?)?;
        let report = with(&self.ledger, |ledger| ledger::check(ledger, &found)).into_result()?;
        Ok((found, report))
    }

    /// The tags in a queue's units still are those of its messages.
    fn check_tag(&mut self, found: &Found) -> anyhow::Result<()> {
        let wanted = TAGS[self.random.usize(..TAGS.len())];
        let queue = (self.random.usize(..SCHEDULE), self.random.i32(0..QUEUES));
        let mut connection = Connection::open(self.victim.addr()?)?;
        let got = reader::read(&mut connection, queue, wanted)?;
        let has_tag = |copy: &&Copy| copy.number.is_some_and(|number| tag(number) == wanted);
        // Delayed messages may have been delivered since the first look.
        let known = found.get(&queue).map_or(0, Vec::len);
        let expected = found.get(&queue).into_iter().flatten().filter(has_tag);
        let got = got.iter().filter(|copy| copy.offset < known as i64);
        ensure!(
            got.eq(expected),
            "other messages with the tag {wanted} in {} queue {}",
            TOPICS[queue.0],
            queue.1
        );
        Ok(())
    }

    /// A sample of all acknowledged messages is found by key.
    fn check_keys(&mut self) -> anyhow::Result<()> {
        let sample = with(&self.ledger, |ledger| {
            self.random.choose_multiple(ledger.undelayed(), self.by_key)
        });
        keys::check(self.victim.addr()?, &sample)
    }

    /// All delayed messages arrive; then the broker is stopped in order, and everything is there after that, too.
    fn end(&mut self) -> anyhow::Result<()> {
        wait_for(
            "delivery of all delayed messages",
            DELIVERY,
            || match self.read_and_check() {
                Ok((_, report)) if report.waiting > 0 => None,
                other => Some(other),
            },
        )??;
        self.victim.stop()?;
        self.restart()?;
        let (_, report) = self.read_and_check()?;
        ensure!(report.waiting == 0, "delayed messages wait again");
        self.victim.stop()?;
        self.ready.sort_unstable();
        let ms = |at: usize| self.ready.get(at).map_or(0, Duration::as_millis);
        say(&format!(
            "kill -9, {}: acknowledged {}, lost 0, damaged 0, delays repeated {}; ready in {} to {} ms, median {}",
            self.name,
            with(&self.ledger, |ledger| ledger.len()),
            report.repeated,
            ms(0),
            ms(self.ready.len() - 1),
            ms(self.ready.len() / 2)
        ));
        Ok(())
    }
}

/// The seed of a run.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("KEROLOX_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| fastrand::u64(..))
}
