// SPDX-License-Identifier: Apache-2.0
//! Popped messages when the broker is exchanged under them: check points and acknowledgements of either broker are
//! carried on by the other, after an orderly stop and after `kill -9`.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, ensure};
use kerolox_protocol::code::{RequestCode, ResponseCode};
use kerolox_protocol::command::Command;
use kerolox_protocol::header::pop::{
    AckMessageRequestHeader, PopMessageRequestHeader, PopMessageResponseHeader,
};
use kerolox_protocol::header::send::SendMessageRequestHeaderV2;
use kerolox_protocol::message::receipt::{Receipt, RetryMark};
use kerolox_protocol::message::{MessageExt, property, record};
use kerolox_tests::alternating::Alternating;
use kerolox_tests::cluster::Kind;
use kerolox_tests::tools::{self, say};
use kerolox_tests::wire::{self, Connection};

const TOPIC: &str = "pop_exchange";
const GROUP: &str = "pop_exchange_group";
/// Long enough for the other broker to start.
const HIDDEN_MS: i64 = 12_000;
/// How long what is open may take to come: it is hidden, then read, and the machine may be under load.
const PATIENCE: Duration = Duration::from_secs(90);

const SETTINGS: &[(&str, &str)] = &[
    ("mappedFileSizeCommitLog", "1048576"),
    ("mappedFileSizeConsumeQueue", "4000"),
    ("maxHashSlotNum", "1000"),
    ("maxIndexNum", "4000"),
    ("flushConsumerOffsetInterval", "200"),
    ("reviveQueueNum", "2"),
    ("waitTimeMillsInSendQueue", "60000"),
    ("osPageCacheBusyTimeOutMills", "60000"),
];

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}

fn send(connection: &mut Connection, text: &str) -> anyhow::Result<()> {
    let header = SendMessageRequestHeaderV2 {
        producer_group: "pop_exchange_producers",
        topic: TOPIC,
        default_topic: "TBW102",
        default_topic_queue_nums: 1,
        born_timestamp: now_ms(),
        properties: Some("TAGS\u{1}A\u{2}"),
        reconsume_times: Some(0),
        unit_mode: Some(false),
        batch: Some(false),
        ..Default::default()
    };
    let command = Command::request(RequestCode::SEND_MESSAGE_V2, &header);
    connection
        .request_ok(command.with_body(text.to_owned()))
        .map(drop)
}

/// Messages with their receipts; none if there is nothing to pop.
fn pop(connection: &mut Connection) -> anyhow::Result<Vec<(MessageExt, String)>> {
    let header = PopMessageRequestHeader {
        consumer_group: GROUP,
        topic: TOPIC,
        queue_id: -1,
        max_msg_nums: 32,
        invisible_time: HIDDEN_MS,
        poll_time: 500,
        born_time: Some(now_ms()),
        exp_type: Some("TAG"),
        exp: Some("*"),
        order: Some(false),
        ..Default::default()
    };
    let reply = connection.request(Command::request(RequestCode::POP_MESSAGE, &header))?;
    if reply.response_code() == ResponseCode::POLLING_TIMEOUT {
        return Ok(Vec::new());
    }
    ensure!(
        reply.response_code() == ResponseCode::SUCCESS,
        "pop answered with {}: {:?}",
        reply.code,
        reply.remark
    );
    let header: PopMessageResponseHeader<'_> = reply.header()?;
    let messages = record::decode_all(reply.body.clone());
    let receipt = |message: &MessageExt| -> anyhow::Result<String> {
        if let Some(receipt) = message.message.properties.get(property::POP_CK) {
            return Ok(receipt.to_owned());
        }
        let starts = header.start_offset_info.context("start offsets")?;
        let own = format!("0 {} ", message.queue_id);
        let start = starts.split(';').find_map(|item| item.strip_prefix(&own));
        let receipt = Receipt {
            start_offset: start.context("own start offset")?.parse()?,
            pop_time: header.pop_time,
            invisible_time: header.invisible_time,
            revive_queue_id: header.revive_queue_id,
            retry: RetryMark::Normal,
            broker_name: "broker-a",
            queue_id: Some(message.queue_id),
            queue_offset: Some(message.queue_offset),
        };
        Ok(receipt.to_string())
    };
    messages
        .into_iter()
        .map(|message| {
            let receipt = receipt(&message)?;
            Ok((message, receipt))
        })
        .collect()
}

fn acknowledge(
    connection: &mut Connection,
    message: &MessageExt,
    receipt: &str,
) -> anyhow::Result<()> {
    let topic = Receipt::parse(receipt)?.retry.real_topic(TOPIC, GROUP);
    let header = AckMessageRequestHeader {
        consumer_group: GROUP,
        topic: &topic,
        queue_id: message.queue_id,
        extra_info: receipt,
        offset: message.queue_offset,
        broker_name: None,
    };
    let command = Command::request(RequestCode::ACK_MESSAGE, &header);
    connection.request_ok(command).map(drop)
}

fn text(message: &MessageExt) -> String {
    String::from_utf8_lossy(&message.message.body).into_owned()
}

/// Pops with one broker, acknowledges a part, and expects the rest from the other.
fn exchange(first: Kind, second: Kind, is_killed: bool) -> anyhow::Result<()> {
    let mut servers = Alternating::new(SETTINGS)?;
    let result = run(&mut servers, first, second, is_killed);
    result.with_context(|| servers.logs())
}

fn run(
    servers: &mut Alternating,
    first: Kind,
    second: Kind,
    is_killed: bool,
) -> anyhow::Result<()> {
    servers.start(first)?;
    let mut connection = Connection::open(servers.broker_addr())?;
    wire::create_topic_at(servers.broker_addr(), TOPIC, 1)?;
    for number in 0..6 {
        send(&mut connection, &format!("m{number}"))?;
    }
    let mut open = BTreeSet::new();
    let mut done = BTreeSet::new();
    let end = Instant::now() + PATIENCE;
    while open.len() + done.len() < 6 {
        ensure!(Instant::now() < end, "only {open:?} and {done:?} came");
        for (message, receipt) in pop(&mut connection)? {
            if message.queue_offset % 3 == 1 {
                open.insert(text(&message));
            } else {
                acknowledge(&mut connection, &message, &receipt)?;
                done.insert(text(&message));
            }
        }
    }
    let popped = Instant::now();
    if is_killed {
        // The group's offset may be forgotten, and all messages are popped again.
        servers.kill();
    } else {
        servers.stop()?;
    }
    servers.start(second)?;
    let mut connection = Connection::open(servers.broker_addr())?;
    let mut again = BTreeSet::new();
    let mut repeated = BTreeSet::new();
    let mut quiet_since = None;
    // Also after all came: what was acknowledged must not follow.
    while quiet_since.is_none_or(|since: Instant| since.elapsed() < Duration::from_secs(6)) {
        ensure!(
            popped.elapsed() < PATIENCE,
            "of {open:?} only {again:?} came again"
        );
        for (message, receipt) in pop(&mut connection)? {
            acknowledge(&mut connection, &message, &receipt)?;
            let text = text(&message);
            if open.contains(&text) {
                again.insert(text);
            } else {
                repeated.insert(text);
            }
        }
        if again == open {
            quiet_since.get_or_insert_with(Instant::now);
        }
    }
    ensure!(
        is_killed || repeated.is_empty(),
        "{repeated:?} were acknowledged and came again after an orderly stop"
    );
    say(&format!(
        "pops of {} went on with {} (killed: {is_killed}): {again:?} came again after {} s, {} repeated",
        first.name(),
        second.name(),
        popped.elapsed().as_secs(),
        repeated.len()
    ));
    servers.stop()
}

#[test]
fn popped_messages_survive_an_exchange_of_the_broker() {
    if tools::missing("pops in the disk exchange", &["java", "mvn"]) {
        return;
    }
    for (first, second, is_killed) in [
        (Kind::Ours, Kind::Official, false),
        (Kind::Official, Kind::Ours, false),
        (Kind::Ours, Kind::Official, true),
        (Kind::Official, Kind::Ours, true),
    ] {
        exchange(first, second, is_killed).unwrap_or_else(|error| {
            panic!("{} to {}: {error:?}", first.name(), second.name());
        });
    }
}
