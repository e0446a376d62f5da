// SPDX-License-Identifier: Apache-2.0
//! A queue whose last file is full, and the next one is there but holds no unit yet: what a kill leaves of ours, which makes
//! the next file when half of the last is full. The official broker counts whatever lies at the start of such a file, so
//! ours puts something there that it takes for the end (`NONE_YET` of the store).

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use kerolox_protocol::code::RequestCode;
use kerolox_protocol::command::Command;
use kerolox_protocol::header::offset::{OffsetResponseHeader, QueueRequestHeader};
use kerolox_tests::alternating::Alternating;
use kerolox_tests::cluster::Kind;
use kerolox_tests::tools::{self, say};
use kerolox_tests::wait_for;
use kerolox_tests::wire::{self, Connection};

use super::draft::{BATCHED, Draft, MANY, MANY_QUEUES};
use super::read::read_queue;
use super::{SETTINGS, send};

/// Units of a queue's file with these settings.
const UNITS: u64 = 200;

fn max_offset(connection: &mut Connection) -> anyhow::Result<i64> {
    let header = QueueRequestHeader {
        topic: MANY,
        queue_id: 0,
        committed: None,
        broker_name: None,
    };
    let request = Command::request(RequestCode::GET_MAX_OFFSET, &header);
    let response = connection.request_ok(request)?;
    Ok(response.header::<OffsetResponseHeader>()?.offset)
}

/// Sends to queue 0 of the topic.
fn fill(servers: &Alternating, first: u64, count: u64) -> anyhow::Result<()> {
    let batch: Vec<_> = (first..first + count).map(Draft::of).collect();
    send::send_batch(servers.broker_addr(), &batch, |_| {})
}

/// Fills the first file of a queue with ours, kills it when it has made the second, which `change` may alter, and says how
/// many units the official broker counts.
fn counted(change: impl FnOnce(&mut Vec<u8>)) -> anyhow::Result<(Alternating, i64)> {
    const DEADLINE: Duration = Duration::from_secs(30);
    let mut servers = Alternating::new(SETTINGS)?;
    servers.start(Kind::Ours)?;
    wire::create_topic_at(servers.broker_addr(), MANY, MANY_QUEUES)?;
    fill(&servers, BATCHED, UNITS)?;
    let queue = servers.store().join("consumequeue").join(MANY).join("0");
    let next: PathBuf = queue.join("00000000000000004000");
    let made = || next.exists().then_some(());
    wait_for("second file of the queue", DEADLINE, made)?;
    servers.kill();
    let mut content = fs::read(&next)?;
    ensure!(content.len() == 4_000, "it has {} bytes", content.len());
    change(&mut content);
    fs::write(next, content)?;
    servers.start(Kind::Official)?;
    let units = max_offset(&mut Connection::open(servers.broker_addr())?)?;
    Ok((servers, units))
}

fn goes_on() -> anyhow::Result<()> {
    let (mut servers, units) = counted(|_| {})?;
    ensure!(units == 200, "{units} units");
    fill(&servers, BATCHED + UNITS, 3)?;
    servers.kill();
    // The official broker enters messages into queues behind the appends, ours at the start.
    servers.start(Kind::Ours)?;
    let mut connection = Connection::open(servers.broker_addr())?;
    let mut next = BATCHED;
    read_queue(&mut connection, (MANY, 0), 0, "*", |message| {
        let number = Draft::of_message(&message)?.number;
        ensure!(number == next, "message {number} where {next} should be");
        next += 1;
        Ok(())
    })?;
    ensure!(next == BATCHED + UNITS + 3, "read up to {next}");
    Ok(())
}

#[test]
fn official_broker_goes_on_where_a_full_file_of_a_queue_ends() {
    let what = "a queue's empty last file and the official broker";
    if tools::missing(what, &["java", "mvn"]) {
        return;
    }
    if let Err(error) = goes_on() {
        panic!("{error:?}");
    }
    say(&format!("{what}: ok"));
}

/// The control: zeros are counted as a unit. If this fails the official broker has learnt it, and the mark is not needed.
#[test]
fn official_broker_counts_a_unit_that_is_not_there() {
    let what = "a queue's last file of zeros and the official broker";
    if tools::missing(what, &["java", "mvn"]) {
        return;
    }
    let (_, units) = counted(|content| content.fill(0)).expect("it starts");
    assert_eq!(units, 201);
    say(&format!("{what}: counts one too many"));
}
