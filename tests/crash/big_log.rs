// SPDX-License-Identifier: Apache-2.0
//! A long log after `kill -9`: the broker is ready within seconds, because recovery is bounded by the checkpoint.
//!
//! `KEROLOX_BIG_LOG_GIB=10` sets the log's length; that much space and some more is needed in the temporary directory, and
//! given back.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use kerolox_protocol::code::ResponseCode;
use kerolox_protocol::header::send::SendMessageResponseHeader;
use kerolox_protocol::message::{Message, record};
use kerolox_tests::broker::Broker;
use kerolox_tests::tools::{self, say};
use kerolox_tests::wait_for;
use kerolox_tests::wire::{self, Connection};

use crate::message;
use crate::reader;

const TOPIC: &str = "big-log";
/// Length of the log, unless the environment says otherwise.
const GIB: u64 = 2;
const QUEUES: i32 = 4;
const BODY: usize = 100_000;
const IN_FLIGHT: usize = 16;
/// A requirement, for a log of 10 GiB.
const READY: Duration = Duration::from_secs(5);
/// Space beyond the log: the next segment, queues, the index.
const SPARE_GIB: u64 = 4;
const FILLED: Duration = Duration::from_secs(1_800);

#[test]
fn long_log_is_ready_soon_after_kill_9() {
    let gib = match std::env::var("KEROLOX_BIG_LOG_GIB") {
        Ok(text) => text.parse().expect("KEROLOX_BIG_LOG_GIB is a number"),
        Err(_) => GIB,
    };
    if let Err(error) = run(gib) {
        panic!("{error:?}");
    }
}

fn run(gib: u64) -> anyhow::Result<()> {
    let dir = std::env::temp_dir();
    let space = rustix::fs::statvfs(&dir)?;
    let free = (space.f_bavail * space.f_frsize) >> 30;
    if free < gib + SPARE_GIB {
        let reason = format!(
            "a long log after kill -9: {} has {free} GiB free, {} are needed",
            dir.display(),
            gib + SPARE_GIB
        );
        ensure!(!tools::is_ci(), "{reason}");
        say(&format!("SKIPPED {reason}"));
        return Ok(());
    }
    let mut broker = Broker::new(&[])?;
    let filled = fill_kill_and_start(&mut broker, gib << 30);
    filled.with_context(|| broker.logs())
}

fn fill_kill_and_start(broker: &mut Broker, bytes: u64) -> anyhow::Result<()> {
    broker.start()?;
    let addr = broker.addr()?;
    wire::create_topic_at(addr, TOPIC, QUEUES)?;
    let start = Instant::now();
    let acknowledged: Vec<_> = (0..QUEUES).map(|_| AtomicU64::new(0)).collect();
    let sum = || {
        acknowledged
            .iter()
            .map(|count| count.load(Ordering::Acquire))
            .sum::<u64>()
    };
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..QUEUES)
            .zip(&acknowledged)
            .map(|(queue, count)| scope.spawn(move || send_until_broken(addr, queue, count)))
            .collect();
        let filled = wait_for("log of that length", FILLED, || {
            let is_ended = senders.iter().any(|sender| sender.is_finished());
            (is_ended || sum() * BODY as u64 >= bytes).then_some(is_ended)
        });
        broker.kill();
        for sender in senders {
            sender.join().ok().context("a sender panicked")??;
        }
        ensure!(!filled?, "a connection ended before the kill");
        Ok(())
    })?;
    say(&format!(
        "a log of {} MiB in {} s, killed in the middle of sends",
        (sum() * BODY as u64) >> 20,
        start.elapsed().as_secs()
    ));
    let ready = broker.start()?;
    say(&format!(
        "a log of {} GiB after kill -9: ready in {} ms",
        bytes >> 30,
        ready.as_millis()
    ));
    for (queue, count) in (0..QUEUES).zip(&acknowledged) {
        check(broker.addr()?, queue, count.load(Ordering::Acquire))
            .with_context(|| format!("queue {queue}"))?;
    }
    ensure!(
        ready < READY,
        "ready after {ready:?}, allowed are {READY:?}"
    );
    Ok(())
}

/// Body number `offset` of a queue: a piece of one noise for all.
fn body(noise: &Bytes, queue: i32, offset: u64) -> Bytes {
    let from = (offset * 31 + u64::from(queue.unsigned_abs())) % BODY as u64;
    let from = usize::try_from(from).unwrap_or_default();
    noise.slice(from..from + BODY)
}

fn noise() -> Bytes {
    let mut random = fastrand::Rng::with_seed(1);
    std::iter::repeat_with(|| random.u8(..))
        .take(2 * BODY)
        .collect()
}

/// Sends to one queue; `acknowledged` counts.
fn send_until_broken(
    broker: SocketAddr,
    queue: i32,
    acknowledged: &AtomicU64,
) -> anyhow::Result<()> {
    let noise = noise();
    let requests = (0..).map(|offset| {
        message::send(
            Message::new(TOPIC, body(&noise, queue, offset)),
            queue,
            false,
        )
    });
    let mut connection = Connection::open(broker)?;
    let mut refused = None;
    // An error of the connection is the end that is wanted.
    let _broken = connection.pipeline(IN_FLIGHT, requests, |number, response| {
        let header = response.header::<SendMessageResponseHeader<'_>>();
        let is_next = header.is_ok_and(|header| header.queue_offset == number as i64);
        if response.response_code() != ResponseCode::SUCCESS || !is_next {
            refused = Some(format!("{number}: {} {:?}", response.code, response.remark));
            anyhow::bail!("refused");
        }
        acknowledged.store(number as u64 + 1, Ordering::Release);
        Ok(())
    });
    refused.map_or(Ok(()), |refused| Err(anyhow::anyhow!(refused)))
}

/// Everything that was acknowledged is there: the ends of the queue and some in between are read.
fn check(broker: SocketAddr, queue: i32, count: u64) -> anyhow::Result<()> {
    ensure!(count > 0, "nothing was acknowledged");
    let noise = noise();
    let mut connection = Connection::open(broker)?;
    let mut random = fastrand::Rng::with_seed(count);
    let between = std::iter::repeat_with(|| random.u64(..count)).take(100);
    for offset in [0, count - 1].into_iter().chain(between) {
        let pull = reader::pull(TOPIC, queue, i64::try_from(offset)?, "*");
        let response = connection.request_ok(pull)?;
        let first = record::decode_all(response.body).into_iter().next();
        let first = first.with_context(|| format!("no message at {offset}"))?;
        ensure!(
            first.queue_offset == i64::try_from(offset)?
                && first.message.body == body(&noise, queue, offset),
            "another message at {offset}"
        );
    }
    Ok(())
}
