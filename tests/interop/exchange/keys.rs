// SPDX-License-Identifier: Apache-2.0
//! Queries by key: everything that was sent is found by its unique id, by its own key and by the one that it shares.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, ensure};
use kerolox_protocol::code::{RequestCode, ResponseCode};
use kerolox_protocol::command::Command;
use kerolox_protocol::header::query::{
    QueryMessageRequestHeader, QueryMessageResponseHeader, index_type,
};
use kerolox_protocol::message::{name, property, record};
use kerolox_tests::wait_for;
use kerolox_tests::wire::Connection;

use super::draft::{Draft, MANY, PHASE, TAGS};
use super::ledger::{Ledger, is_delayed_topic};

/// How long a broker may take to index what lies in its log.
const INDEXED: Duration = Duration::from_secs(20);
/// Milliseconds beyond which the index, which counts seconds, tells times apart.
const MARGIN_MS: i64 = 3_000;

/// Which messages are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of the last two phases, one in some of the others.
    Recent,
    All,
}

/// Topic, kind and key.
type Query = (String, &'static str, String);
/// Commit-log offsets of the records that have it.
type Expected = BTreeMap<Query, BTreeSet<i64>>;

fn expected(ledger: &Ledger, extent: Extent, random: &mut fastrand::Rng) -> Expected {
    // This phase has sent nothing yet.
    let phase = u64::try_from(ledger.phases.len()).unwrap_or(0);
    let first = phase.saturating_sub(3) * PHASE;
    let chosen = random.u64(0..32) * 8;
    let is_wanted = |topic: &str, number: u64| {
        extent == Extent::All || number >= first || topic.starts_with('%') || number % 256 == chosen
    };
    let mut queries = Expected::new();
    let mut add = |topic: &str, number: u64, physical_offset: i64| {
        let draft = Draft::of(number);
        let [own, shared] = draft.keys();
        let keys = [
            (index_type::UNIQUE, draft.unique_key(), number),
            (index_type::KEY, own, number),
            // The first of those that share a key speaks for all.
            (index_type::KEY, shared, number / 8 * 8),
        ];
        for (kind, key, chosen_by) in keys {
            if is_wanted(topic, chosen_by) {
                let query = (topic.to_owned(), kind, key);
                queries.entry(query).or_default().insert(physical_offset);
            }
        }
    };
    for (place, stored) in &ledger.placed {
        add(&place.topic, stored.number, stored.physical_offset);
    }
    for (number, physical_offset) in ledger.scheduled() {
        add(name::SCHEDULE_TOPIC, number, physical_offset);
    }
    queries
}

/// Asks for all of them until each answer is right; returns how many were asked.
pub(super) fn check_keys(
    connection: &mut Connection,
    ledger: &Ledger,
    extent: Extent,
    random: &mut fastrand::Rng,
) -> anyhow::Result<usize> {
    let mut open = expected(ledger, extent, random);
    let count = open.len();
    let mut failure = None;
    let waited = wait_for("right answers to all queries", INDEXED, || {
        if let Err(error) = ask(connection, &mut open) {
            failure = Some(error);
        }
        (failure.is_some() || open.is_empty()).then_some(())
    });
    if let Some(error) = failure {
        return Err(error);
    }
    waited.with_context(|| {
        let some: Vec<_> = open.iter().take(5).collect();
        format!(
            "{} of {count} queries have wrong answers: {some:?}",
            open.len()
        )
    })?;
    check_times(connection, ledger, random)?;
    check_tags(connection)?;
    Ok(count)
}

fn request(topic: &str, kind: &str, key: &str, from_ms: i64, to_ms: i64) -> Command {
    let header = QueryMessageRequestHeader {
        topic,
        key,
        max_num: 64,
        begin_timestamp: from_ms,
        end_timestamp: to_ms,
        index_type: Some(kind),
        last_key: None,
        is_unique_key: Some(kind == index_type::UNIQUE),
    };
    Command::request(RequestCode::QUERY_MESSAGE, &header)
}

/// Removes those whose answer is right.
fn ask(connection: &mut Connection, open: &mut Expected) -> anyhow::Result<()> {
    let requests = open
        .keys()
        .map(|(topic, kind, key)| request(topic, kind, key, 0, i64::MAX));
    let responses = connection.request_all(requests.collect())?;
    let mut answers = responses.into_iter();
    let mut failure = Ok(());
    open.retain(|query, expected| {
        let answer = answers.next().context("too few answers");
        match answer.and_then(|response| matches(&query.0, query.1, &query.2, response)) {
            // There may be more: what came meanwhile, what waits without having been acknowledged.
            Ok(found) if is_delayed_topic(&query.0) || query.0 == name::SCHEDULE_TOPIC => {
                !found.is_superset(expected)
            }
            Ok(found) => found != *expected,
            Err(error) => {
                failure = Err(error.context(format!("query {query:?}")));
                true
            }
        }
    });
    failure
}

/// Commit-log offsets of the records in an answer that really have the key.
fn matches(topic: &str, kind: &str, key: &str, response: Command) -> anyhow::Result<BTreeSet<i64>> {
    let code = response.response_code();
    if code == ResponseCode::QUERY_NOT_FOUND {
        return Ok(BTreeSet::new());
    }
    ensure!(
        code == ResponseCode::SUCCESS,
        "{code:?} {:?}",
        response.remark
    );
    let header: QueryMessageResponseHeader = response.header()?;
    let messages = record::decode_all(response.body);
    let last = messages.iter().map(|message| message.physical_offset).max();
    ensure!(
        last.is_some_and(|last| last <= header.index_last_update_phyoffset),
        "the index ends at {header:?}, the last message lies at {last:?}"
    );
    let mut found = BTreeSet::new();
    for message in messages {
        let properties = &message.message.properties;
        let is_match = match kind {
            index_type::UNIQUE => properties.get(property::UNIQ_KEY) == Some(key),
            index_type::TAG => properties.get(property::TAGS) == Some(key),
            _ => message.message.keys().any(|word| word == key),
        };
        if is_match && message.message.topic == topic {
            Draft::of_message(&message)?;
            found.insert(message.physical_offset);
        }
    }
    Ok(found)
}

/// A message is found in a range of times around its own, and in none beside it.
fn check_times(
    connection: &mut Connection,
    ledger: &Ledger,
    random: &mut fastrand::Rng,
) -> anyhow::Result<()> {
    let placed = ledger.placed.iter();
    let sample = random.choose_multiple(placed.filter(|(place, _)| place.topic == MANY), 20);
    for (place, stored) in sample {
        let stored_ms = stored.store_ms.context("a message that was not read")?;
        let key = Draft::of(stored.number).unique_key();
        let mut ask = |from_ms, to_ms| {
            let request = request(&place.topic, index_type::KEY, &key, from_ms, to_ms);
            matches(
                &place.topic,
                index_type::UNIQUE,
                &key,
                connection.request(request)?,
            )
        };
        let around = ask(stored_ms - MARGIN_MS, stored_ms + MARGIN_MS)?;
        let before = ask(0, stored_ms - MARGIN_MS)?;
        let after = ask(stored_ms + MARGIN_MS, i64::MAX)?;
        ensure!(
            around.contains(&stored.physical_offset) && before.is_empty() && after.is_empty(),
            "{stored:?} by time: {around:?}, before {before:?}, after {after:?}"
        );
    }
    Ok(())
}

/// Tags are indexed, too; there are more messages than an answer holds.
fn check_tags(connection: &mut Connection) -> anyhow::Result<()> {
    for tag in TAGS.into_iter().flatten() {
        let request = request(MANY, index_type::TAG, tag, 0, i64::MAX);
        let response = connection.request(request)?;
        let found = matches(MANY, index_type::TAG, tag, response)?;
        ensure!(found.len() > 16, "{} messages by tag {tag}", found.len());
    }
    Ok(())
}
