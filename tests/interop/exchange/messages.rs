// SPDX-License-Identifier: Apache-2.0
//! Compares what a broker serves with the ledger: all messages, tags, offset ids, and what has become due.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use kerolox_protocol::code::RequestCode;
use kerolox_protocol::command::Command;
use kerolox_protocol::header::offset::ViewMessageRequestHeader;
use kerolox_protocol::message::record;
use kerolox_tests::wait_for;
use kerolox_tests::wire::Connection;

use super::draft::{Draft, MANY, MANY_QUEUES, TAGS};
use super::ledger::{Ledger, Place, is_delayed_topic};
use super::read::read_queue;

/// How long to wait for deliveries: the longest delay, and some for a machine under load.
const DELIVERY: Duration = Duration::from_secs(100);
/// Messages that are looked at one by one.
const SAMPLE: usize = 50;

/// Topic and number of queues.
pub(super) type Topics = BTreeMap<String, i32>;

/// Reads everything and waits for what is due by then.
pub(super) fn check_all(
    connection: &mut Connection,
    ledger: &mut Ledger,
    topics: &Topics,
    due_by_ms: i64,
    random: &mut fastrand::Rng,
) -> anyhow::Result<()> {
    let mut ends = BTreeMap::new();
    for (topic, queues) in topics {
        for queue_id in 0..*queues {
            let end = read(connection, ledger, topic, queue_id, 0)?;
            let missing = ledger.missing(topic, queue_id, end);
            ensure!(
                missing.is_empty(),
                "queue {queue_id} of {topic} ends at {end}, acknowledged were {missing:?} and perhaps more"
            );
            if is_delayed_topic(topic) {
                ends.insert((topic.clone(), queue_id), end);
            }
        }
    }
    check_tags(connection, ledger)?;
    check_ids(connection, ledger, random)?;
    await_due(connection, ledger, &mut ends, due_by_ms)?;
    ensure!(
        ledger.missing_dead().is_empty(),
        "no dead letters of {:?}",
        ledger.missing_dead()
    );
    Ok(())
}

/// Reads a queue from `from` on, without a gap.
fn read(
    connection: &mut Connection,
    ledger: &mut Ledger,
    topic: &str,
    queue_id: i32,
    from: i64,
) -> anyhow::Result<i64> {
    let mut next = from;
    let end = read_queue(connection, (topic, queue_id), from, "*", |message| {
        let place = Place::new(topic, queue_id, next);
        next += 1;
        ledger.saw(place, &message)
    })?;
    ensure!(
        end == next,
        "queue {queue_id} of {topic} ends at {end}, {next} were read"
    );
    Ok(end)
}

/// Waits until everything has come that is due by then.
fn await_due(
    connection: &mut Connection,
    ledger: &mut Ledger,
    ends: &mut BTreeMap<(String, i32), i64>,
    due_by_ms: i64,
) -> anyhow::Result<()> {
    let mut failure = None;
    let waited = wait_for("delivery of what is due", DELIVERY, || {
        for ((topic, queue_id), end) in &mut *ends {
            match read(connection, ledger, topic, *queue_id, *end) {
                Ok(next) => *end = next,
                Err(error) => failure = Some(error),
            }
        }
        (failure.is_some() || ledger.overdue(due_by_ms).is_empty()).then_some(())
    });
    match failure {
        Some(error) => Err(error),
        None => waited.with_context(|| format!("overdue: {:?}", ledger.overdue(due_by_ms))),
    }
}

/// A pull that asks for a tag gets all messages with it and no others.
fn check_tags(connection: &mut Connection, ledger: &Ledger) -> anyhow::Result<()> {
    for tag in TAGS.into_iter().flatten() {
        for queue_id in 0..MANY_QUEUES {
            let mut found = Vec::new();
            read_queue(connection, (MANY, queue_id), 0, tag, |message| {
                found.push(message.queue_offset);
                Ok(())
            })?;
            let queue = Place::new(MANY, queue_id, 0)..=Place::new(MANY, queue_id, i64::MAX);
            let with_tag = ledger
                .placed
                .range(queue)
                .filter(|(_, stored)| Draft::of(stored.number).tag() == Some(tag));
            let expected: Vec<_> = with_tag.map(|(place, _)| place.offset).collect();
            ensure!(
                found == expected,
                "{} messages with tag {tag} in queue {queue_id}, expected {}",
                found.len(),
                expected.len()
            );
        }
    }
    Ok(())
}

/// VIEW_MESSAGE_BY_ID of some messages.
fn check_ids(
    connection: &mut Connection,
    ledger: &Ledger,
    random: &mut fastrand::Rng,
) -> anyhow::Result<()> {
    let sample: Vec<_> = random.choose_multiple(ledger.placed.iter(), SAMPLE);
    let ask = |place: &Place, offset| {
        let header = ViewMessageRequestHeader {
            topic: Some(&place.topic),
            offset,
        };
        Command::request(RequestCode::VIEW_MESSAGE_BY_ID, &header)
    };
    let requests = sample
        .iter()
        .map(|(place, stored)| ask(place, stored.physical_offset));
    let responses = connection.request_all(requests.collect())?;
    for ((place, stored), response) in sample.into_iter().zip(responses) {
        let messages = record::decode_all(response.body);
        let [message] = messages.as_slice() else {
            anyhow::bail!("{} messages for the id of {place:?}", messages.len());
        };
        let draft = Draft::of_message(message)?;
        ensure!(
            draft.number == stored.number && message.physical_offset == stored.physical_offset,
            "message {} for the id of {stored:?}",
            draft.number
        );
    }
    Ok(())
}
