// SPDX-License-Identifier: Apache-2.0
//! A store of many queues: the broker starts on it, and serves all of them with few open files and mappings.
//!
//! `KEROLOX_MANY_TOPICS=10000` sets the number of topics. Times are printed, not judged.

use std::ops::Range;
use std::time::Instant;

use anyhow::{Context, ensure};
use kerolox_protocol::code::ResponseCode;
use kerolox_protocol::command::Command;
use kerolox_protocol::message::{Message, record};
use kerolox_tests::broker::Broker;
use kerolox_tests::resources::Resources;
use kerolox_tests::tools::say;
use kerolox_tests::wire::Connection;

use crate::message;
use crate::reader;
use crate::store_of_many;

/// Topics, unless the environment says otherwise.
const TOPICS: usize = 500;
pub(crate) const QUEUES: i32 = 4;
/// Topics whose queues have no files before their first message.
const NEW_TOPICS: usize = 50;
/// What the broker may have open, of everything. A descriptor per queue would need a multiple.
const OPEN_FILES: u32 = 1_024;
/// A mapping per queue would be more than this.
const MAPPINGS: usize = 1_000;
const PIPELINE: usize = 32;

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
    let queues = all(0..topics);
    let new = all(topics..topics + NEW_TOPICS);
    let start = Instant::now();
    store_of_many::write(broker.store(), &queues, &new)?;
    report("wrote files of", &queues, start);
    broker.limit_open_files(OPEN_FILES);
    let served = serve(&mut broker, &queues, &new);
    served.with_context(|| format!("{} queues\n{}", queues.len(), broker.logs()))
}

pub(crate) type Queue = (String, i32);

fn all(topics: Range<usize>) -> Vec<Queue> {
    let names = topics.map(|topic| format!("many-{topic:05}"));
    names
        .flat_map(|name| (0..QUEUES).map(move |queue| (name.clone(), queue)))
        .collect()
}

fn serve(broker: &mut Broker, queues: &[Queue], new: &[Queue]) -> anyhow::Result<()> {
    start(broker, queues, "files of another broker")?;
    send(broker, queues, 1)?;
    judge(broker, "sends")?;
    send(broker, new, 0)?;
    judge(broker, "sends to new queues")?;

    broker.stop()?;
    start(broker, queues, "a stop")?;
    pull(broker, queues, 2)?;
    pull(broker, new, 1)?;
    judge(broker, "pulls")?;
    send(broker, queues, 2)?;
    judge(broker, "sends")?;

    broker.kill();
    start(broker, queues, "a kill")?;
    pull(broker, queues, 3)?;
    judge(broker, "pulls")?;
    broker.stop()
}

fn start(broker: &mut Broker, queues: &[Queue], after: &str) -> anyhow::Result<()> {
    let ready = broker.start()?.as_millis();
    let count = queues.len();
    say(&format!(
        "{count} queues after {after}: ready in {ready} ms"
    ));
    judge(broker, "the start")
}

/// What a queue's message number `count` says.
pub(crate) fn text(topic: &str, queue: i32, count: usize) -> String {
    format!("{topic}/{queue}/{count}")
}

/// Sends one message to each queue; each is the queue's message number `count`.
fn send(broker: &Broker, queues: &[Queue], count: usize) -> anyhow::Result<()> {
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
fn pull(broker: &Broker, queues: &[Queue], count: usize) -> anyhow::Result<()> {
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
    queues: &[Queue],
    requests: impl Iterator<Item = Command>,
    answered: impl Fn(&str, i32, Command) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut connection = Connection::open(broker.addr()?)?;
    connection.pipeline(PIPELINE, requests, |number, response| {
        let (topic, queue) = &queues[number];
        answered(topic, *queue, response).with_context(|| format!("{topic} queue {queue}"))
    })
}

fn report(what: &str, queues: &[Queue], start: Instant) {
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
