// SPDX-License-Identifier: Apache-2.0
//! The disk gets full: sends are refused, everything else goes on, nothing is lost, and sends go on once there is space.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use kerolox_protocol::code::{RequestCode, ResponseCode};
use kerolox_protocol::command::Command;
use kerolox_protocol::header::offset::{
    OffsetResponseHeader, QueryConsumerOffsetRequestHeader, UpdateConsumerOffsetRequestHeader,
};
use kerolox_protocol::header::send::SendMessageResponseHeader;
use kerolox_tests::broker::Broker;
use kerolox_tests::tools::say;
use kerolox_tests::wait_for;
use kerolox_tests::wire::{self, Connection};

use crate::ledger::{self, Ledger};
use crate::message::{self, QUEUES, SCHEDULE, TOPICS};
use crate::reader;
use crate::small_disk::{FileSystem, SmallDisk};

const MIB: u32 = 48;
/// Part of the disk that is given back.
const BALLAST_MIB: u32 = 16;
/// Requests that are on the way together.
const PIPELINE: u64 = 32;
/// The disk counts as full after that many refusals in a row.
const IN_A_ROW: u64 = 10 * PIPELINE;
/// Many times what fits on the disk.
const MANY: u64 = 1_000_000;
/// A requirement: sends go on this soon after there is space again.
const RESUME: Duration = Duration::from_secs(5);
const PERSISTED: Duration = Duration::from_secs(30);
const GROUP: &str = "full_disk_group";

#[test]
fn disk_that_messages_filled_refuses_sends_until_there_is_space() {
    on_small_disk(
        "full of messages",
        FileSystem::Ext4,
        "ASYNC_FLUSH",
        |test| {
            test.foreign = Some(test.disk.fill(Some(BALLAST_MIB))?);
            test.send_until_refused()?;
            test.live_on()?;
            test.start_anew()?;
            test.make_space_and_resume()
        },
    );
}

#[test]
fn disk_that_somebody_else_filled_refuses_sends_until_there_is_space() {
    for flush in ["ASYNC_FLUSH", "SYNC_FLUSH"] {
        on_small_disk("full of foreign files", FileSystem::Ext4, flush, |test| {
            test.fill_after(1_100)?;
            test.start_anew()?;
            test.make_space_and_resume()
        });
    }
}

#[test]
fn full_tmpfs_refuses_sends_until_there_is_space() {
    on_small_disk(
        "full of foreign files",
        FileSystem::Tmpfs,
        "ASYNC_FLUSH",
        |test| {
            test.fill_after(500)?;
            test.make_space_and_resume()
        },
    );
}

#[test]
fn broker_starts_on_a_full_tmpfs() {
    on_small_disk(
        "full of foreign files",
        FileSystem::Tmpfs,
        "ASYNC_FLUSH",
        |test| {
            test.fill_after(500)?;
            test.start_anew()?;
            test.make_space_and_resume()
        },
    );
}

fn on_small_disk(
    name: &str,
    kind: FileSystem,
    flush: &str,
    run: impl FnOnce(&mut FullDisk) -> anyhow::Result<()>,
) {
    let run = || {
        let Some(disk) = SmallDisk::mount(name, kind, MIB)? else {
            return Ok(());
        };
        let mut test = FullDisk::start(disk, flush)?;
        let result = run(&mut test).and_then(|()| test.end());
        result.with_context(|| format!("{name}, {kind:?}, {flush}\n{}", test.broker.logs()))
    };
    if let Err(error) = run() {
        panic!("{error:?}");
    }
}

struct FullDisk {
    // Before `disk`: the process ends before its files go.
    broker: Broker,
    disk: SmallDisk,
    ledger: Ledger,
    next: u64,
    /// The file that fills the disk.
    foreign: Option<PathBuf>,
    last_commit: i64,
}

impl FullDisk {
    fn start(disk: SmallDisk, flush: &str) -> anyhow::Result<Self> {
        let settings = [
            ("flushDiskType", flush),
            ("mappedFileSizeCommitLog", "16777216"),
            ("mappedFileSizeConsumeQueue", "6000"),
            // An index file of the default size would take the disk alone.
            ("maxHashSlotNum", "1000"),
            ("maxIndexNum", "20000"),
        ];
        let logs = tempfile::Builder::new().prefix("kerolox-").tempdir()?;
        let store = disk.path().join("store");
        let mut test = Self {
            broker: Broker::with_store(&settings, logs, store)?,
            disk,
            ledger: Ledger::default(),
            next: 0,
            foreign: None,
            last_commit: 0,
        };
        test.broker.start()?;
        for topic in &TOPICS[..SCHEDULE] {
            wire::create_topic_at(test.broker.addr()?, topic, QUEUES)?;
        }
        wire::create_group_at(test.broker.addr()?, GROUP)?;
        // An offset that is on disk before the disk is full.
        test.commit(1)?;
        let file = test.broker.store().join("config/consumerOffset.json");
        wait_for("consumerOffset.json", PERSISTED, || {
            let text = fs::read_to_string(&file).ok()?;
            text.contains(GROUP).then_some(())
        })?;
        Ok(test)
    }

    /// Sends requests until `is_enough` says so of the number of successes and of refusals in a row.
    fn send_while(&mut self, is_enough: impl Fn(u64, u64) -> bool) -> anyhow::Result<String> {
        let mut connection = Connection::open(self.broker.addr()?)?;
        let (mut sent, mut refused, mut remark) = (0, 0, String::new());
        let end = self.next + MANY;
        while !is_enough(sent, refused) {
            ensure!(self.next < end, "{sent} sends and the disk is not full");
            let first = self.next;
            self.next += PIPELINE;
            let requests = (first..self.next).map(message::request);
            let requests = requests.collect::<anyhow::Result<Vec<_>>>()?;
            (first..self.next).for_each(|request| self.ledger.send(request));
            connection.pipeline(requests.len(), requests, |number, response| {
                if response.response_code() == ResponseCode::SUCCESS {
                    let header: SendMessageResponseHeader<'_> = response.header()?;
                    (sent, refused) = (sent + 1, 0);
                    return self
                        .ledger
                        .acknowledge(first + number as u64, header.queue_offset);
                }
                refused += 1;
                remark = response.remark.unwrap_or_default();
                ensure!(
                    response.code == ResponseCode::SERVICE_NOT_AVAILABLE.0,
                    "refused with {}: {remark}",
                    response.code
                );
                Ok(())
            })?;
        }
        Ok(remark)
    }

    /// Sends that many requests, none of which may be refused.
    fn send(&mut self, count: u64) -> anyhow::Result<()> {
        let remark = self.send_while(|sent, refused| sent >= count || refused > 0)?;
        ensure!(remark.is_empty(), "refused: {remark}");
        Ok(())
    }

    fn send_until_refused(&mut self) -> anyhow::Result<()> {
        let remark = self.send_while(|_, refused| refused >= IN_A_ROW)?;
        for part in ["disk", "broker-a", "free space"] {
            ensure!(remark.contains(part), "{part:?} is not in {remark:?}");
        }
        let store = self.disk.path().display().to_string();
        ensure!(
            !remark.contains(&store),
            "{store} is told to clients: {remark:?}"
        );
        say(&format!(
            "full disk: {} messages, then refused: {remark}",
            self.ledger.len()
        ));
        Ok(())
    }

    /// Sends that many requests, then somebody takes the rest of the disk.
    fn fill_after(&mut self, count: u64) -> anyhow::Result<()> {
        self.send(count)?;
        self.foreign = Some(self.disk.fill(None)?);
        self.send_until_refused()?;
        self.live_on()
    }

    fn make_space_and_resume(&mut self) -> anyhow::Result<()> {
        fs::remove_file(self.foreign.take().context("nobody filled the disk")?)?;
        self.resume()
    }

    /// Everything but sends goes on while the disk is full.
    fn live_on(&mut self) -> anyhow::Result<()> {
        self.check()?;
        self.commit(2)
    }

    /// So it does in a broker that is killed, or stopped, and started while the disk is full.
    fn start_anew(&mut self) -> anyhow::Result<()> {
        self.broker.kill();
        self.broker
            .start()
            .context("start on a full disk after a kill")?;
        self.check()?;
        // What was committed while nothing could be written may be gone, what was written before may not.
        let committed = self.committed()?;
        ensure!((1..=2).contains(&committed), "committed is {committed}");
        self.send_while(|_, refused| refused >= IN_A_ROW)?;
        self.broker.stop().context("stop on a full disk")?;
        self.broker
            .start()
            .context("start on a full disk after a stop")?;
        self.check()?;
        self.commit(3)?;
        self.send_while(|_, refused| refused >= IN_A_ROW)?;
        self.check()
    }

    /// Sends go on soon after there is space.
    fn resume(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        let mut last = String::new();
        while start.elapsed() < RESUME {
            last = self.send_while(|sent, refused| sent + refused > 0)?;
            if last.is_empty() {
                say(&format!(
                    "full disk: sends go on {} ms after there is space",
                    start.elapsed().as_millis()
                ));
                return self.send(1_000);
            }
        }
        anyhow::bail!("sends are still refused {RESUME:?} after there is space: {last}")
    }

    fn end(&mut self) -> anyhow::Result<()> {
        self.check()?;
        ensure!(self.broker.is_running(), "the broker ended");
        self.broker.stop()?;
        self.broker.start()?;
        self.check()?;
        let committed = self.committed()?;
        ensure!(committed == self.last_commit, "committed is {committed}");
        self.broker.stop()
    }

    /// Everything that was acknowledged is there.
    fn check(&mut self) -> anyhow::Result<()> {
        let found = reader::read_all(self.broker.addr()?)?;
        ledger::check(&self.ledger, &found).into_result().map(drop)
    }

    fn commit(&mut self, offset: i64) -> anyhow::Result<()> {
        let header = UpdateConsumerOffsetRequestHeader {
            consumer_group: GROUP,
            topic: TOPICS[0],
            queue_id: Some(0),
            commit_offset: Some(offset),
            broker_name: None,
        };
        let request = Command::request(RequestCode::UPDATE_CONSUMER_OFFSET, &header);
        let mut connection = Connection::open(self.broker.addr()?)?;
        connection.request_ok(request)?;
        let committed = self.committed()?;
        ensure!(committed == offset, "committed {offset}, but {committed}");
        self.last_commit = offset;
        Ok(())
    }

    fn committed(&self) -> anyhow::Result<i64> {
        let header = QueryConsumerOffsetRequestHeader {
            consumer_group: GROUP,
            topic: TOPICS[0],
            queue_id: 0,
            set_zero_if_not_found: Some(false),
            broker_name: None,
        };
        let request = Command::request(RequestCode::QUERY_CONSUMER_OFFSET, &header);
        let mut connection = Connection::open(self.broker.addr()?)?;
        let answer = connection.request_ok(request)?;
        let header: OffsetResponseHeader = answer.header()?;
        Ok(header.offset)
    }
}
