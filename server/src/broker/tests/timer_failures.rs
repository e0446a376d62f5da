// SPDX-License-Identifier: Apache-2.0
//! Timer messages across restarts, kills at every write, power failures and damaged files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::timer::{SMALL, START_MS, TICK_MS, config, deliver_at};
use super::*;
use crate::config::FlushDiskType;

/// A message that is not delivered later than this is in time.
const LATE_MS: i64 = 1_000;

/// What was acknowledged.
#[derive(Default)]
struct Promises {
    /// When each body is due.
    due: BTreeMap<String, i64>,
    recalled: BTreeSet<String>,
    /// Asked to be taken back, but perhaps never told so.
    asked: BTreeSet<String>,
}

struct World {
    rig: Rig,
    promises: Promises,
    /// Handles by body.
    handles: BTreeMap<String, String>,
    /// Last number.
    number: usize,
    is_sync: bool,
}

fn world_config(is_sync: bool) -> BrokerConfig {
    BrokerConfig {
        timer_roll_window_slot: 6,
        flush_disk_type: if is_sync {
            FlushDiskType::Sync
        } else {
            FlushDiskType::Async
        },
        ..config()
    }
}

impl World {
    fn new(disk: SimDisk, is_sync: bool) -> Self {
        Self {
            rig: Rig::timers(world_config(is_sync), disk, START_MS, SMALL),
            promises: Promises::default(),
            handles: BTreeMap::new(),
            number: 0,
            is_sync,
        }
    }

    fn ask(&mut self, command: Command) -> Option<Command> {
        let mut replies = self.rig.handle(vec![command]);
        if self.is_sync {
            if let Ok(report) = self.rig.broker.store().flush_pass() {
                self.rig.broker.flushed(&report);
            }
            replies.extend(self.rig.later());
        }
        replies.pop()
    }

    fn send(&mut self, delay_ms: i64) {
        let due = self.rig.now() + delay_ms;
        let body = self.number.to_string();
        self.number += 1;
        let Some(reply) = self.ask(send("T", &deliver_at(due), &body)) else {
            return;
        };
        if reply.response_code() == ResponseCode::SUCCESS {
            let header = reply.header::<SendMessageResponseHeader<'_>>().unwrap();
            if let Some(handle) = header.recall_handle {
                self.handles.insert(body.clone(), handle.to_owned());
            }
            self.promises.due.insert(body, due);
        }
    }

    fn recall(&mut self, number: usize) {
        let body = number.to_string();
        let Some(handle) = self.handles.get(&body).cloned() else {
            return;
        };
        let header = kerolox_protocol::header::recall::RecallMessageRequestHeader {
            topic: "T",
            recall_handle: &handle,
            ..Default::default()
        };
        self.promises.asked.insert(body.clone());
        let reply = self.ask(Command::request(RequestCode::RECALL_MESSAGE, &header));
        let code = reply.map(|reply| reply.response_code());
        if code == Some(ResponseCode::SUCCESS) {
            self.promises.recalled.insert(body);
        }
    }

    fn run(&self, ms: i64) {
        let end = self.rig.now() + ms;
        while self.rig.now() < end {
            self.rig.advance(TICK_MS);
            if self.is_sync
                && let Ok(report) = self.rig.broker.store().flush_pass()
            {
                self.rig.broker.flushed(&report);
            }
        }
    }

    /// Sends, waits, takes back, waits again: six seconds with messages due at all times, some of which roll.
    fn script(&mut self) {
        for round in 0..3 {
            for delay in [150, 1_450, 3_000, 7_777, 2_001, 16_300] {
                self.send(delay);
            }
            self.run(1_300);
            self.recall(round * 6 + 2);
            self.run(700);
        }
        self.recall(5);
    }

    /// Goes on with a disk that the next process finds.
    fn reopen(self, disk: SimDisk) -> Self {
        let now_ms = self.rig.now();
        let Self {
            rig,
            promises,
            handles,
            number,
            is_sync,
        } = self;
        drop(rig);
        Self {
            rig: Rig::timers(world_config(is_sync), disk, now_ms, SMALL),
            promises,
            handles,
            number,
            is_sync,
        }
    }

    /// Runs until everything is due, and compares.
    fn check(&self, most_times: usize, context: &str) {
        let reopened = self.rig.now();
        self.run(20_000);
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for message in self.rig.stored("T") {
            let body = String::from_utf8(message.message.body.to_vec()).unwrap();
            *times.entry(body.clone()).or_default() += 1;
            // A send that was not acknowledged may have been stored.
            if let Some(due) = self.promises.due.get(&body) {
                let stored = message.store_timestamp;
                assert!(
                    stored >= *due,
                    "{context}: {body} came {} ms early",
                    due - stored
                );
                let latest = (*due).max(reopened) + LATE_MS;
                assert!(
                    stored <= latest,
                    "{context}: {body} came {} ms late",
                    stored - due
                );
            }
        }
        for body in self.promises.due.keys() {
            let count = times.get(body).copied().unwrap_or(0);
            let is_recalled = self.promises.recalled.contains(body);
            if is_recalled {
                assert_eq!(count, 0, "{context}: {body} was taken back");
            } else if count > 0 || !self.promises.asked.contains(body) {
                assert!(
                    (1..=most_times).contains(&count),
                    "{context}: {body} came {count} times"
                );
            }
        }
    }
}

#[test]
fn restarts_in_good_order_neither_lose_nor_repeat() {
    let mut world = World::new(SimDisk::new(), false);
    world.script();
    for _ in 0..12 {
        world.run(300);
        world.rig = world.rig.restart();
        world.send(400);
    }
    world.check(1, "restarts");
}

#[test]
fn a_kill_at_every_write_loses_nothing() {
    let disk = SimDisk::new();
    let mut world = World::new(disk.clone(), false);
    let opened = disk.steps();
    world.script();
    let steps = disk.steps() - opened;
    assert!(steps > 150, "{steps}");
    for after in 0..steps {
        let disk = SimDisk::new();
        let mut world = World::new(disk.clone(), false);
        disk.inject(Fault {
            after,
            kind: FaultKind::Short { percent: 50 },
            is_lasting: true,
        });
        world.script();
        assert!(disk.has_struck());
        let world = world.reopen(disk.kill());
        world.check(4, &format!("killed at step {after}"));
    }
}

#[test]
fn a_power_failure_at_every_write_loses_nothing_that_was_flushed() {
    let disk = SimDisk::new();
    let mut world = World::new(disk.clone(), true);
    let opened = disk.steps();
    world.script();
    let steps = disk.steps() - opened;
    let mut random = fastrand::Rng::with_seed(7);
    for after in 0..steps {
        let disk = SimDisk::new();
        let mut world = World::new(disk.clone(), true);
        disk.inject(Fault {
            after,
            kind: FaultKind::Short { percent: 50 },
            is_lasting: true,
        });
        world.script();
        let world = world.reopen(disk.crash(|| random.u64(..)));
        world.check(4, &format!("power failed at step {after}"));
    }
}

#[test]
fn a_write_that_fails_once_only_delays() {
    let disk = SimDisk::new();
    let mut world = World::new(disk.clone(), false);
    let opened = disk.steps();
    world.script();
    let steps = disk.steps() - opened;
    for after in 0..steps {
        let disk = SimDisk::new();
        let mut world = World::new(disk.clone(), false);
        disk.inject(Fault {
            after,
            kind: FaultKind::NoSpace,
            is_lasting: false,
        });
        world.script();
        world.check(1, &format!("no space at step {after}"));
        assert_eq!(disk.bus_errors(), 0, "at step {after}");
    }
}

#[test]
fn damaged_files_are_made_again() {
    type Damage = (&'static str, usize, fn(&SimDisk));
    fn log_files(disk: &SimDisk) -> Vec<PathBuf> {
        let files = disk.files().into_iter();
        files
            .filter(|file| file.starts_with("/store/timerlog"))
            .collect()
    }
    fn overwrite(disk: &SimDisk, path: &Path, change: fn(&mut Vec<u8>)) {
        let mut bytes = disk.read(path).unwrap();
        change(&mut bytes);
        disk.put(path, &bytes);
    }
    const WHEEL: &str = "/store/timerwheel";
    const CHECK: &str = "/store/config/timercheck";
    let damages: &[Damage] = &[
        ("nothing", 1, |_| {}),
        ("no wheel", 1, |disk| {
            disk.remove_file(Path::new(WHEEL)).unwrap();
        }),
        ("an empty wheel", 1, |disk| {
            overwrite(disk, Path::new(WHEEL), |bytes| bytes.fill(0));
        }),
        ("noise for a wheel", 1, |disk| {
            overwrite(disk, Path::new(WHEEL), |bytes| bytes.fill(0x5A));
        }),
        ("a cut wheel", 1, |disk| {
            overwrite(disk, Path::new(WHEEL), |bytes| bytes.truncate(99));
        }),
        ("no log", 1, |disk| {
            for file in log_files(disk) {
                disk.remove_file(&file).unwrap();
            }
        }),
        ("a log without its newest file", 1, |disk| {
            disk.remove_file(log_files(disk).last().unwrap()).unwrap();
        }),
        ("a cut log", 1, |disk| {
            overwrite(disk, log_files(disk).last().unwrap(), |bytes| {
                bytes.truncate(100);
            });
        }),
        ("zeros in the log", 1, |disk| {
            overwrite(disk, log_files(disk).last().unwrap(), |bytes| bytes.fill(0));
        }),
        ("noise for a log", 1, |disk| {
            for file in log_files(disk) {
                overwrite(disk, &file, |bytes| bytes.fill(0xC3));
            }
        }),
        ("no wheel and no log", 1, |disk| {
            disk.remove_file(Path::new(WHEEL)).unwrap();
            for file in log_files(disk) {
                disk.remove_file(&file).unwrap();
            }
        }),
        ("no checkpoint", 2, |disk| {
            disk.remove_file(Path::new(CHECK)).unwrap();
        }),
        ("a checkpoint of zeros", 2, |disk| {
            overwrite(disk, Path::new(CHECK), |bytes| bytes.fill(0));
        }),
        ("a cut checkpoint", 2, |disk| {
            overwrite(disk, Path::new(CHECK), |bytes| bytes.truncate(20));
        }),
        ("noise for a checkpoint", 2, |disk| {
            overwrite(disk, Path::new(CHECK), |bytes| bytes.fill(0x7F));
        }),
        ("noise for metrics", 1, |disk| {
            disk.put(Path::new("/store/config/timermetrics"), b"{\"timing");
        }),
    ];
    for (what, most_times, damage) in damages {
        let mut world = World::new(SimDisk::new(), false);
        for round in 0..30 {
            world.send(150 + round * 411);
            world.run(100);
        }
        world.run(500);
        world.rig.broker.persist();
        world.rig.broker.store().shutdown().unwrap();
        let disk = world.rig.disk.kill();
        damage(&disk);
        let world = world.reopen(disk);
        world.check(*most_times, what);
    }
}

#[test]
fn a_damaged_unit_loses_no_message() {
    // In an old file, where no start looks; and while the broker runs.
    for restarts in [true, false] {
        let mut world = World::new(SimDisk::new(), false);
        for _ in 0..70 {
            world.send(4_500);
        }
        world.run(500);
        if restarts {
            world.rig.broker.persist();
            world.rig.broker.store().shutdown().unwrap();
            let disk = world.rig.disk.kill();
            world = world.reopen(disk);
        }
        let log = Path::new("/store/timerlog/00000000000000000000");
        assert!(world.rig.disk.flip_bit(log, 52 * 4 + 4, 7));
        world.check(1, "a flipped bit");
    }
}
