// SPDX-License-Identifier: Apache-2.0
//! Disk exchange with timer messages waiting: ours and the official broker open one store directory in turn and deliver
//! what the other one left in the wheel, not before its time, except what was taken back.
//!
//! The brokers change after an orderly stop and after `kill -9`. After a kill both go back to their last checkpoint, so a
//! message may come twice then; after orderly stops it may not. One thing the official broker does not promise: when it finds
//! a message overdue, it may deliver it past the wheel, and when that or its marker rolls, the two may miss each other, so
//! that it comes although it was taken back. What went past the wheel may come again from whoever opens the directory next.
//!
//! `KEROLOX_EXCHANGE_ROUNDS` sets the number of rounds (3).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use kerolox_protocol::code::{RequestCode, ResponseCode};
use kerolox_protocol::command::Command;
use kerolox_protocol::header::recall::RecallMessageRequestHeader;
use kerolox_protocol::header::send::{SendMessageRequestHeaderV2, SendMessageResponseHeader};
use kerolox_protocol::message::{Properties, property};
use kerolox_tests::alternating::Alternating;
use kerolox_tests::cluster::Kind;
use kerolox_tests::tools::{self, say};
use kerolox_tests::wire::{self, Connection};

use crate::exchange::read::read_queue;

const TOPIC: &str = "timer_exchange";
const QUEUES: i32 = 2;
const ROUNDS: u64 = 3;
/// Messages of a phase.
const MESSAGES: u64 = 60;
/// They are due within this time, so that some wait over the next two changes.
const SPREAD_MS: i64 = 25_000;
/// Start and load of the machine.
const LATE: Duration = Duration::from_secs(60);

const SETTINGS: &[(&str, &str)] = &[
    ("mappedFileSizeCommitLog", "1048576"),
    ("mappedFileSizeConsumeQueue", "4000"),
    // Twenty units in a file.
    ("mappedFileSizeTimerLog", "4096"),
    // Some roll on the way.
    ("timerRollWindowSlot", "20"),
    ("maxHashSlotNum", "1000"),
    ("maxIndexNum", "4000"),
    ("recallMessageEnable", "true"),
    ("reviveQueueNum", "1"),
    ("waitTimeMillsInSendQueue", "60000"),
    ("osPageCacheBusyTimeOutMills", "60000"),
];

#[derive(Debug)]
struct Sent {
    due_ms: i64,
    handle: String,
}

struct Exchange {
    servers: Alternating,
    sent: BTreeMap<String, Sent>,
    taken_back: BTreeSet<String>,
    kills: usize,
    /// From when on which broker ran.
    phases: Vec<(i64, Kind)>,
}

/// How a message came.
#[derive(Debug)]
struct Arrival {
    stored_ms: i64,
    /// Past the wheel.
    is_direct: bool,
    rolled: bool,
}

#[test]
fn timer_messages_wait_in_a_directory_that_goes_back_and_forth() {
    if tools::missing("timer exchange with the official broker", &["java", "mvn"]) {
        return;
    }
    let rounds = std::env::var("KEROLOX_EXCHANGE_ROUNDS").ok();
    let rounds = rounds.map_or(ROUNDS, |rounds| rounds.parse().expect("a number"));
    let mut exchange = Exchange {
        servers: Alternating::new(SETTINGS).expect("the name server starts"),
        sent: BTreeMap::new(),
        taken_back: BTreeSet::new(),
        kills: 0,
        phases: Vec::new(),
    };
    if let Err(error) = exchange.run(rounds) {
        panic!("{error:?}\n{}", exchange.servers.logs());
    }
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}

impl Exchange {
    fn run(&mut self, rounds: u64) -> anyhow::Result<()> {
        // The first round without a kill: until its end nothing may come twice.
        for round in 0..rounds {
            for (kind, is_killed) in [
                (Kind::Ours, round % 3 == 2),
                (Kind::Official, round % 3 == 1),
            ] {
                self.phase(kind, is_killed)
                    .with_context(|| format!("round {round}, {}", kind.name()))?;
            }
        }
        for kind in [Kind::Ours, Kind::Official] {
            self.start(kind)?;
            let mut connection = Connection::open(self.servers.broker_addr())?;
            self.check_delivered(&mut connection, i64::MAX)?;
            self.servers.stop()?;
        }
        self.servers.finish()
    }

    fn start(&mut self, kind: Kind) -> anyhow::Result<()> {
        self.phases.push((now_ms(), kind));
        self.servers.start(kind)
    }

    fn phase(&mut self, kind: Kind, is_killed: bool) -> anyhow::Result<()> {
        self.start(kind)?;
        let broker = self.servers.broker_addr();
        if self.sent.is_empty() {
            wire::create_topic_at(broker, TOPIC, QUEUES)?;
        }
        let mut connection = Connection::open(broker)?;
        let began_ms = now_ms();
        for _ in 0..MESSAGES {
            self.send(&mut connection)?;
        }
        self.take_back(&mut connection)?;
        // What was due when this broker came, and a little of what became due under it.
        self.check_delivered(&mut connection, began_ms + 1_500)?;
        let delivered = self.read(&mut connection)?.len();
        if is_killed {
            self.servers.kill();
            self.kills += 1;
        } else {
            self.servers.stop()?;
        }
        say(&format!(
            "timer exchange, {:14} {}: {} sent, {} taken back, {delivered} delivered",
            kind.name(),
            if is_killed { "killed " } else { "stopped" },
            self.sent.len(),
            self.taken_back.len(),
        ));
        Ok(())
    }

    fn send(&mut self, connection: &mut Connection) -> anyhow::Result<()> {
        let number = self.sent.len();
        let body = format!("timer message {number}");
        let due_ms = now_ms() + 1_000 + fastrand::i64(0..SPREAD_MS);
        let mut properties = Properties::new();
        properties.set(property::UNIQ_KEY, format!("{number:032X}"));
        properties.set(property::TIMER_DELIVER_MS, due_ms.to_string());
        let text = properties.to_text();
        let header = SendMessageRequestHeaderV2 {
            producer_group: "timer_producers",
            topic: TOPIC,
            default_topic: "TBW102",
            default_topic_queue_nums: QUEUES,
            queue_id: i32::try_from(number)? % QUEUES,
            born_timestamp: now_ms(),
            properties: Some(&text),
            ..Default::default()
        };
        let request = Command::request(RequestCode::SEND_MESSAGE_V2, &header);
        let response = connection.request(request.with_body(body.clone()))?;
        ensure!(
            response.response_code() == ResponseCode::SUCCESS,
            "{response:?}"
        );
        let header: SendMessageResponseHeader<'_> = response.header()?;
        let handle = header.recall_handle.context("no recall handle")?.to_owned();
        self.sent.insert(body, Sent { due_ms, handle });
        Ok(())
    }

    /// Some that this broker or the other was sent and that have time yet.
    fn take_back(&mut self, connection: &mut Connection) -> anyhow::Result<()> {
        let from = now_ms() + 5_000;
        let candidates = self
            .sent
            .iter()
            .filter(|(body, sent)| sent.due_ms > from && !self.taken_back.contains(*body));
        let chosen = fastrand::Rng::new().choose_multiple(candidates, 6);
        for (body, sent) in chosen {
            let header = RecallMessageRequestHeader {
                producer_group: Some("timer_producers"),
                topic: TOPIC,
                recall_handle: &sent.handle,
                ..Default::default()
            };
            let request = Command::request(RequestCode::RECALL_MESSAGE, &header);
            let response = connection.request(request)?;
            ensure!(
                response.response_code() == ResponseCode::SUCCESS,
                "{response:?}"
            );
            self.taken_back.insert(body.clone());
        }
        Ok(())
    }

    /// Body to how it came into its topic.
    fn read(&self, connection: &mut Connection) -> anyhow::Result<BTreeMap<String, Vec<Arrival>>> {
        let mut found: BTreeMap<String, Vec<Arrival>> = BTreeMap::new();
        for queue_id in 0..QUEUES {
            read_queue(connection, (TOPIC, queue_id), 0, "*", |message| {
                let body = String::from_utf8(message.message.body.to_vec())?;
                let noted = message.message.properties.get(property::TIMER_ENQUEUE_MS);
                found.entry(body).or_default().push(Arrival {
                    stored_ms: message.store_timestamp,
                    is_direct: noted.is_some_and(|noted| noted == i64::MAX.to_string()),
                    rolled: message
                        .message
                        .properties
                        .get(property::TIMER_ROLL_TIMES)
                        .is_some(),
                });
                Ok(())
            })?;
        }
        Ok(found)
    }

    /// Whether it may not come if it was taken back.
    fn is_promised(&self, arrival: &Arrival) -> bool {
        let mut before = self.phases.iter().rev();
        let by = before.find(|(began_ms, _)| *began_ms <= arrival.stored_ms);
        let went_straight = !arrival.is_direct && !arrival.rolled;
        went_straight || by.is_some_and(|(_, kind)| *kind == Kind::Ours)
    }

    /// Waits until everything has come that is due by then, and looks at it.
    fn check_delivered(&self, connection: &mut Connection, due_by_ms: i64) -> anyhow::Result<()> {
        let mut found = BTreeMap::new();
        let mut failure = None;
        let missing = |found: &BTreeMap<String, Vec<Arrival>>| {
            let due = self.sent.iter().filter(|(body, sent)| {
                sent.due_ms <= due_by_ms
                    && !self.taken_back.contains(*body)
                    && !found.contains_key(*body)
            });
            due.map(|(body, sent)| format!("{body}, due {}", sent.due_ms))
                .collect::<Vec<_>>()
        };
        let waited = kerolox_tests::wait_for("timer messages", LATE, || {
            match self.read(connection) {
                Ok(read) => found = read,
                Err(error) => failure = Some(error),
            }
            (failure.is_some() || missing(&found).is_empty()).then_some(())
        });
        if let Some(error) = failure {
            return Err(error);
        }
        waited.with_context(|| format!("missing: {:#?}", missing(&found)))?;
        for (body, times) in &found {
            let sent = self.sent.get(body).context("a foreign message")?;
            let early: Vec<_> = times
                .iter()
                .filter(|arrival| arrival.stored_ms < sent.due_ms)
                .collect();
            ensure!(
                early.is_empty(),
                "{body} is due {}, came {early:?}",
                sent.due_ms
            );
            ensure!(
                self.kills > 0 || times.iter().filter(|arrival| !arrival.is_direct).count() <= 1,
                "{body} came at {times:?} although no broker was killed"
            );
            let breaks = times.iter().any(|arrival| self.is_promised(arrival));
            ensure!(
                !(breaks && self.taken_back.contains(body)),
                "{body} was taken back, came {times:?}"
            );
        }
        Ok(())
    }
}
