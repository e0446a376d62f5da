// SPDX-License-Identifier: Apache-2.0
//! Transactions over a change of brokers: what one kind was told is known to the other, which asks about the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use kerolox_protocol::body;
use kerolox_protocol::body::heartbeat::{HeartbeatData, ProducerData};
use kerolox_protocol::code::{RequestCode, ResponseCode};
use kerolox_protocol::command::{Command, request};
use kerolox_protocol::header::send::{SendMessageRequestHeaderV2, SendMessageResponseHeader};
use kerolox_protocol::header::transaction::{
    CheckTransactionStateRequestHeader, EndTransactionRequestHeader,
};
use kerolox_protocol::message::{id, name, record, sys_flag};
use kerolox_tests::alternating::Alternating;
use kerolox_tests::cluster::Kind;
use kerolox_tests::tools::{self, say};
use kerolox_tests::wire::{self, Connection};

use super::read::read_queue;
use super::send::now_ms;

const TOPIC: &str = "exchange_transactions";
const GROUP: &str = "exchange_transaction_producers";
const SETTINGS: &[(&str, &str)] = &[
    ("mappedFileSizeCommitLog", "1048576"),
    ("transactionTimeOut", "1000"),
    ("transactionCheckInterval", "1000"),
    ("transactionOpBatchInterval", "200"),
    ("flushConsumerOffsetInterval", "200"),
];
/// Far more than a round of checks and its answers take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A producer on a connection of its own, which notes what it is asked.
struct Producer {
    connection: Connection,
    /// Offsets in the half queue and the commit log of what was asked about, by message.
    asked: BTreeMap<String, Vec<(i64, i64)>>,
}

impl Producer {
    fn connect(broker: SocketAddr) -> anyhow::Result<Self> {
        let mut producer = Self {
            connection: Connection::open(broker)?,
            asked: BTreeMap::new(),
        };
        producer.beat()?;
        Ok(producer)
    }

    fn beat(&mut self) -> anyhow::Result<()> {
        let heartbeat = HeartbeatData {
            client_id: "exchange@1".to_owned(),
            producer_data_set: vec![ProducerData {
                group_name: GROUP.to_owned(),
            }],
            ..HeartbeatData::default()
        };
        let beat = request(RequestCode::HEART_BEAT).with_body(body::encode(&heartbeat));
        self.call(beat).map(drop)
    }

    /// Sends a request and waits for its response; what the broker asks in between is noted.
    fn call(&mut self, request: Command) -> anyhow::Result<Command> {
        let opaque = self.connection.send(request)?;
        loop {
            let got = self.connection.receive()?;
            if got.is_response() && got.opaque == opaque {
                let code = got.response_code();
                let remark = &got.remark;
                ensure!(code == ResponseCode::SUCCESS, "{code:?} {remark:?}");
                return Ok(got);
            }
            if got.request_code() == RequestCode::CHECK_TRANSACTION_STATE {
                let header: CheckTransactionStateRequestHeader<'_> = got.header()?;
                let message = record::decode(&got.body)?;
                ensure!(message.message.topic == TOPIC, "asked about {message:?}");
                let text = String::from_utf8(message.message.body.to_vec())?;
                let place = (header.tran_state_table_offset, header.commit_log_offset);
                self.asked.entry(text).or_default().push(place);
            }
        }
    }

    /// Begins a transaction; returns its places in the half queue and the commit log.
    fn begin(&mut self, text: &str) -> anyhow::Result<(i64, i64)> {
        let properties =
            format!("TRAN_MSG\u{1}true\u{2}PGROUP\u{1}{GROUP}\u{2}UNIQ_KEY\u{1}unique_{text}\u{2}");
        let header = SendMessageRequestHeaderV2 {
            producer_group: GROUP,
            topic: TOPIC,
            default_topic: "TBW102",
            default_topic_queue_nums: 4,
            sys_flag: sys_flag::TRANSACTION_PREPARED,
            born_timestamp: now_ms(),
            flag: 5,
            properties: Some(&properties),
            ..Default::default()
        };
        let send = Command::request(RequestCode::SEND_MESSAGE_V2, &header);
        let answer = self.call(send.with_body(text.to_owned()))?;
        let header: SendMessageResponseHeader<'_> = answer.header()?;
        let (_, offset) = id::parse_offset_id(header.msg_id).context("no offset message id")?;
        Ok((header.queue_offset, offset))
    }

    fn end(&mut self, place: (i64, i64), how: i32, is_asked: bool) -> anyhow::Result<()> {
        let header = EndTransactionRequestHeader {
            topic: Some(TOPIC),
            producer_group: GROUP,
            tran_state_table_offset: place.0,
            commit_log_offset: place.1,
            commit_or_rollback: how,
            from_transaction_check: Some(is_asked),
            msg_id: "unique",
            transaction_id: None,
        };
        let end = Command::request(RequestCode::END_TRANSACTION, &header);
        self.call(end).map(drop)
    }

    /// Waits until `done`, looking for questions all the time.
    fn wait(
        &mut self,
        what: &str,
        mut done: impl FnMut(&mut Self) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        while !done(self)? {
            ensure!(Instant::now() < end, "no {what} within {PATIENCE:?}");
            self.beat()?;
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

/// Bodies of all messages of a queue.
fn read(broker: SocketAddr, topic: &str) -> anyhow::Result<Vec<String>> {
    let mut bodies = Vec::new();
    let mut connection = Connection::open(broker)?;
    read_queue(&mut connection, (topic, 0), 0, "*", |message| {
        bodies.push(String::from_utf8(message.message.body.to_vec())?);
        Ok(())
    })?;
    Ok(bodies)
}

/// Half messages of the first broker's that notes name.
fn noted(broker: SocketAddr) -> anyhow::Result<BTreeSet<i64>> {
    let notes = read(broker, name::OP_HALF_TOPIC)?;
    let offsets = notes.iter().flat_map(|note| note.split(','));
    let offsets = offsets.filter(|offset| !offset.is_empty());
    offsets.map(|offset| Ok(offset.parse()?)).collect()
}

fn run(first: Kind, second: Kind, is_killed: bool) -> anyhow::Result<()> {
    let mut store = Alternating::new(SETTINGS)?;
    store.start(first)?;
    let broker = store.broker_addr();
    wire::create_topic(store.namesrv_addr(), broker, TOPIC, 1)?;
    let mut producer = Producer::connect(broker)?;
    let (mut wanted, mut open, mut ended) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for number in 0..60 {
        let text = number.to_string();
        let place = producer.begin(&text)?;
        match number % 3 {
            0 => {
                producer.end(place, sys_flag::TRANSACTION_COMMIT, false)?;
                ended.insert(place.0);
                wanted.push(text);
            }
            1 => {
                producer.end(place, sys_flag::TRANSACTION_ROLLBACK, false)?;
                ended.insert(place.0);
            }
            _ => {
                open.insert(text);
            }
        }
    }
    producer.wait("notes of what ended", |_| {
        Ok(noted(broker)?.is_superset(&ended))
    })?;
    if is_killed {
        store.kill();
    } else {
        store.stop()?;
    }

    store.start(second)?;
    let mut producer = Producer::connect(broker)?;
    producer.wait("questions", |producer| {
        Ok(producer.asked.keys().cloned().collect::<BTreeSet<_>>() == open)
    })?;
    for places in std::mem::take(&mut producer.asked).into_values() {
        let last = places.last().context("no place")?;
        producer.end(*last, sys_flag::TRANSACTION_COMMIT, true)?;
    }
    wanted.extend(open);
    let wanted: BTreeSet<String> = wanted.into_iter().collect();
    producer.wait("commits", |_| {
        Ok(read(broker, TOPIC)?.into_iter().collect::<BTreeSet<_>>() == wanted)
    })?;
    store.stop()?;

    // What ended there is known here.
    store.start(first)?;
    let mut producer = Producer::connect(broker)?;
    let quiet = Instant::now() + Duration::from_secs(5);
    producer.wait("quiet", |_| Ok(Instant::now() >= quiet))?;
    let still_asked: Vec<_> = producer.asked.keys().collect();
    let found = read(broker, TOPIC)?;
    let seen: BTreeSet<String> = found.iter().cloned().collect();
    ensure!(seen == wanted, "{seen:?} instead of {wanted:?}");
    if !is_killed {
        // A kill may have made the first broker forget that it asked, so that there are two copies of what was open.
        ensure!(still_asked.is_empty(), "asked again: {still_asked:?}");
        ensure!(found.len() == wanted.len(), "twice: {found:?}");
    }
    store.stop()?;
    store.finish()
}

#[test]
fn transactions_go_on_with_the_other_kind_of_broker() {
    if tools::missing("transactions over a change of brokers", &["java", "mvn"]) {
        return;
    }
    for (first, second) in [(Kind::Ours, Kind::Official), (Kind::Official, Kind::Ours)] {
        for is_killed in [false, true] {
            let how = if is_killed { "killed" } else { "stopped" };
            let what = format!("{}, {how}, then {}", first.name(), second.name());
            run(first, second, is_killed).unwrap_or_else(|error| panic!("{what}: {error:?}"));
            say(&format!("transactions: {what}: 60 ok"));
        }
    }
}
