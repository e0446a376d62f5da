// SPDX-License-Identifier: Apache-2.0
//! Light queues over changes of brokers: each kind finds what the other put into them and goes on behind it.

use std::net::SocketAddr;

use anyhow::ensure;
use kerolox_protocol::code::{RequestCode, ResponseCode};
use kerolox_protocol::command::Command;
use kerolox_protocol::header::send::SendMessageRequestHeaderV2;
use kerolox_protocol::message::property;
use kerolox_tests::alternating::Alternating;
use kerolox_tests::cluster::Kind;
use kerolox_tests::tools::{self, say};
use kerolox_tests::wire::{self, Connection};
use kerolox_tests::{ours, wait_for};

use super::read::read_queue;
use super::send::now_ms;

const TOPIC: &str = "exchange_light";
/// Each message is in the first, every third in the second, too.
const LIGHT: [&str; 2] = ["%LMQ%exchange_all", "%LMQ%exchange_third"];
const SETTINGS: &[(&str, &str)] = &[
    ("mappedFileSizeCommitLog", "1048576"),
    ("mappedFileSizeConsumeQueue", "400"),
    ("enableLmq", "true"),
    ("enableMultiDispatch", "true"),
];
/// Messages that each broker adds.
const ADDED: u64 = 60;

fn send(broker: SocketAddr, from: u64) -> anyhow::Result<()> {
    let mut connection = Connection::open(broker)?;
    for number in from..from + ADDED {
        let lights = if number.is_multiple_of(3) {
            LIGHT.join(",")
        } else {
            LIGHT[0].to_owned()
        };
        let properties = format!(
            "TAGS\u{1}A\u{2}{}\u{1}{lights}\u{2}",
            property::INNER_MULTI_DISPATCH
        );
        let header = SendMessageRequestHeaderV2 {
            producer_group: "exchange_light_producers",
            topic: TOPIC,
            default_topic: "TBW102",
            default_topic_queue_nums: 4,
            queue_id: i32::from(number.is_multiple_of(2)),
            born_timestamp: now_ms(),
            properties: Some(&properties),
            ..Default::default()
        };
        let send = Command::request(RequestCode::SEND_MESSAGE_V2, &header);
        let answer = connection.request(send.with_body(number.to_string()))?;
        let remark = &answer.remark;
        ensure!(
            answer.response_code() == ResponseCode::SUCCESS,
            "{remark:?}"
        );
    }
    Ok(())
}

/// Checks both light queues, which hold the numbers below `end`; each record says its place.
fn check(broker: SocketAddr, end: u64) -> anyhow::Result<()> {
    let mut connection = Connection::open(broker)?;
    for (light, step) in LIGHT.into_iter().zip([1, 3]) {
        let wanted: Vec<u64> = (0..end).filter(|number| number % step == 0).collect();
        let found = wait_for(
            "messages in a light queue",
            std::time::Duration::from_secs(30),
            || {
                let mut found = Vec::new();
                let read = read_queue(&mut connection, (light, 0), 0, "*", |message| {
                    let properties = &message.message.properties;
                    let list = |name| properties.get(name).unwrap_or_default().split(',');
                    let names = list(property::INNER_MULTI_DISPATCH);
                    let places = list(property::INNER_MULTI_QUEUE_OFFSET);
                    let place = names.zip(places).find(|(name, _)| *name == light);
                    let place: usize = place.map(|(_, place)| place).unwrap_or_default().parse()?;
                    ensure!(place == found.len(), "{light} at {}: {place}", found.len());
                    found.push(std::str::from_utf8(&message.message.body)?.parse::<u64>()?);
                    Ok(())
                });
                match read {
                    Ok(_) if found.len() < wanted.len() => None,
                    Ok(_) => Some(Ok(found)),
                    Err(error) => Some(Err(error)),
                }
            },
        )??;
        ensure!(found == wanted, "{light}: {found:?}");
    }
    Ok(())
}

fn run(kinds: [Kind; 2], is_killed: bool) -> anyhow::Result<()> {
    let mut store = Alternating::new(SETTINGS)?;
    let broker = store.broker_addr();
    for round in 0..4 {
        let kind = kinds[usize::from(round % 2 == 1)];
        store.start(kind)?;
        if round == 0 {
            wire::create_topic(store.namesrv_addr(), broker, TOPIC, 2)?;
        }
        check(broker, round * ADDED)?;
        send(broker, round * ADDED)?;
        check(broker, (round + 1) * ADDED)?;
        if is_killed {
            store.kill();
        } else {
            store.stop()?;
            store.finish()?;
            let mut verify = std::process::Command::new(ours::program("kerolox")?);
            let status = verify
                .args(["store", "verify"])
                .arg(store.store())
                .output()?;
            ensure!(status.status.success(), "verify: {status:?}");
        }
    }
    Ok(())
}

#[test]
fn light_queues_go_on_with_the_other_kind_of_broker() {
    if tools::missing("light queues over a change of brokers", &["java", "mvn"]) {
        return;
    }
    for is_killed in [false, true] {
        let how = if is_killed { "killed" } else { "stopped" };
        run([Kind::Ours, Kind::Official], is_killed)
            .unwrap_or_else(|error| panic!("{how}: {error:?}"));
        say(&format!("light queues: four brokers in turn, {how}: ok"));
    }
}
