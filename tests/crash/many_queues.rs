// SPDX-License-Identifier: Apache-2.0
//! A store of many queues: the broker starts on it, and serves all of them with few open files and mappings.
//!
//! `KEROLOX_MANY_TOPICS=10000` sets the number of topics. Times are printed, not judged.

use std::fs;
use std::time::Instant;

use anyhow::{Context, ensure};
use kerolox_protocol::body;
use kerolox_protocol::body::topic::{TopicConfig, TopicConfigTable};
use kerolox_protocol::code::ResponseCode;
use kerolox_protocol::command::Command;
use kerolox_protocol::message::{Message, record};
use kerolox_tests::broker::Broker;
use kerolox_tests::resources::Resources;
use kerolox_tests::tools::say;
use kerolox_tests::wire::Connection;

use crate::message;
use crate::reader;

/// Topics, unless the environment says otherwise.
const TOPICS: usize = 1_000;
const QUEUES: i32 = 4;
/// What the broker may have open, of everything. A descriptor per queue would need a multiple.
const OPEN_FILES: u32 = 1_024;
/// A mapping per queue would be more than this.
const MAPPINGS: usize = 3_000;
const PIPELINE: usize = 256;

#[test]
fn many_queues_need_few_files_and_mappings() {
    let topics = match std::env::var("KEROLOX_MANY_TOPICS") {
        Ok(text) => text.parse().expect("KEROLOX_MANY_TOPICS is a number"),
        Err(_) => TOPICS,
    };
    if let Err(error) = run(topics) {
        panic!("{error:?}");
    }
}

fn run(topics: usize) -> anyhow::Result<()> {
    let mut broker = Broker::new(&[])?;
    write_topics(&broker, topics)?;
    broker.limit_open_files(OPEN_FILES);
    let served = serve(&mut broker, topics);
    served.with_context(|| format!("{topics} topics with {QUEUES} queues\n{}", broker.logs()))
}

fn serve(broker: &mut Broker, topics: usize) -> anyhow::Result<()> {
    let (name, queues) = (format!("{topics} topics with {QUEUES} queues"), all(topics));
    let start = broker.start()?;
    say(&format!("{name}, empty: ready in {} ms", start.as_millis()));
    send(broker, &queues, 0)?;
    judge(broker, "first sends")?;

    broker.stop()?;
    let start = broker.start()?;
    say(&format!(
        "{name}, after a stop: ready in {} ms",
        start.as_millis()
    ));
    judge(broker, "start after a stop")?;
    send(broker, &queues, 1)?;
    judge(broker, "sends")?;
    pull(broker, &queues, 2)?;
    judge(broker, "pulls")?;

    broker.kill();
    let start = broker.start()?;
    say(&format!(
        "{name}, after a kill: ready in {} ms",
        start.as_millis()
    ));
    judge(broker, "start after a kill")?;
    pull(broker, &queues, 2)?;
    judge(broker, "pulls")?;
    broker.stop()
}

fn all(topics: usize) -> Vec<(String, i32)> {
    let names = (0..topics).map(|topic| format!("many-{topic:05}"));
    names
        .flat_map(|name| (0..QUEUES).map(move |queue| (name.clone(), queue)))
        .collect()
}

/// Writes `topics.json`: one by one the topics would cost a write of the growing file each.
fn write_topics(broker: &Broker, topics: usize) -> anyhow::Result<()> {
    let mut table = TopicConfigTable::default();
    for (topic_name, _) in all(topics) {
        let config = TopicConfig {
            read_queue_nums: QUEUES,
            write_queue_nums: QUEUES,
            topic_name: topic_name.clone(),
            ..TopicConfig::default()
        };
        table.topic_config_table.insert(topic_name, config);
    }
    let dir = broker.store().join("config");
    fs::create_dir_all(&dir)?;
    Ok(fs::write(
        dir.join("topics.json"),
        body::encode_pretty(&table),
    )?)
}

/// What a queue's message number `count` says.
fn text(topic: &str, queue: i32, count: usize) -> String {
    format!("{topic}/{queue}/{count}")
}

/// Sends one message to each queue; each is the queue's message number `count`.
fn send(broker: &Broker, queues: &[(String, i32)], count: usize) -> anyhow::Result<()> {
    let start = Instant::now();
    let requests = queues.iter().map(|(topic, queue)| {
        let message = Message::new(topic.as_str(), text(topic, *queue, count));
        message::send(message, *queue, false)
    });
    each(broker, queues, requests, |_, _, response| {
        ensure!(
            response.response_code() == ResponseCode::SUCCESS,
            "{}: {:?}",
            response.code,
            response.remark
        );
        Ok(())
    })?;
    report("sent to", queues, start);
    Ok(())
}

/// Reads all `count` messages of each queue.
fn pull(broker: &Broker, queues: &[(String, i32)], count: usize) -> anyhow::Result<()> {
    let start = Instant::now();
    let requests = queues
        .iter()
        .map(|(topic, queue)| reader::pull(topic, *queue, 0, "*"));
    each(broker, queues, requests, |topic, queue, response| {
        let (code, remark) = (response.code, response.remark);
        let messages = record::decode_all(response.body);
        let found = messages
            .iter()
            .map(|message| String::from_utf8_lossy(&message.message.body));
        let expected = (0..count).map(|count| text(topic, queue, count));
        ensure!(
            found.eq(expected),
            "{code} {remark:?} with {} messages, not {count}",
            messages.len()
        );
        Ok(())
    })?;
    report("pulled from", queues, start);
    Ok(())
}

/// Sends a request about each queue and hands over the answer.
fn each(
    broker: &Broker,
    queues: &[(String, i32)],
    requests: impl Iterator<Item = Command>,
    answered: impl Fn(&str, i32, Command) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut connection = Connection::open(broker.addr()?)?;
    connection.pipeline(PIPELINE, requests, |number, response| {
        let (topic, queue) = &queues[number];
        answered(topic, *queue, response).with_context(|| format!("{topic} queue {queue}"))
    })
}

fn report(what: &str, queues: &[(String, i32)], start: Instant) {
    say(&format!(
        "{what} {} queues in {} ms",
        queues.len(),
        start.elapsed().as_millis()
    ));
}

/// Says what the broker holds, and that it must not be more than allowed.
fn judge(broker: &Broker, when: &str) -> anyhow::Result<()> {
    let resources = Resources::of(broker.pid().context("the broker does not run")?)?;
    say(&format!("after {when}: {resources}"));
    ensure!(
        resources.mappings <= MAPPINGS,
        "after {when}: {} mappings, allowed are {MAPPINGS}",
        resources.mappings
    );
    // The limit that the broker runs with says the same, unless that was lifted.
    ensure!(
        resources.descriptors <= OPEN_FILES as usize,
        "after {when}: {} descriptors, allowed are {OPEN_FILES}",
        resources.descriptors
    );
    Ok(())
}
