// SPDX-License-Identifier: Apache-2.0
//! Kills at any time: what was popped and not acknowledged comes again, what was acknowledged only around a kill.

use super::*;
use crate::config::FlushDiskType;

/// What the consumer saw.
#[derive(Default)]
struct Ledger {
    /// With the time.
    sent: BTreeMap<String, i64>,
    /// With the time of the first answer to an acknowledgement.
    acknowledged: BTreeMap<String, i64>,
    /// Times of the kills.
    kills: Vec<i64>,
    deliveries: usize,
}

impl Ledger {
    fn delivered(&mut self, text: &str, now_ms: i64) {
        self.deliveries += 1;
        let sent_ms = self.sent.get(text).copied();
        let sent_ms = sent_ms.unwrap_or_else(|| panic!("{text} was never sent"));
        let Some(done_ms) = self.acknowledged.get(text) else {
            return;
        };
        // A kill makes copies of what was not acknowledged, or only lately: offsets of the last seconds are forgotten, and
        // what was read of the revive topic is read again.
        let was_open =
            |kill: &&i64| (sent_ms..=now_ms).contains(*kill) && *done_ms >= **kill - 60_000;
        let killed = self.kills.iter().find(was_open);
        assert!(
            killed.is_some(),
            "{text} came again although it was acknowledged"
        );
    }
}

fn step(rig: &mut Rig, ledger: &mut Ledger, random: &mut fastrand::Rng, number: &mut u32) {
    let now_ms = rig.clock.now_ms();
    match random.u8(..8) {
        0..=2 => {
            let text = format!("m{number}");
            *number += 1;
            let replies = rig.handle(vec![send("T", "", &text)]);
            flush(rig);
            let replies = [replies, rig.later()].concat();
            assert_eq!(replies[0].response_code(), ResponseCode::SUCCESS);
            ledger.sent.insert(text, now_ms);
        }
        3..=5 => {
            let header = PopMessageRequestHeader {
                max_msg_nums: random.i32(1..8),
                ..header()
            };
            let reply = rig.call(request(&header));
            if reply.response_code() != ResponseCode::SUCCESS {
                return;
            }
            for taken in popped(reply) {
                ledger.delivered(taken.text(), now_ms);
                match random.u8(..4) {
                    0 => {}
                    1 => drop(rig.call(change(&taken, random.i64(0..20_000)))),
                    _ => {
                        let replies = rig.handle(vec![ack(&taken)]);
                        flush(rig);
                        let replies = [replies, rig.later()].concat();
                        assert_eq!(replies[0].response_code(), ResponseCode::SUCCESS);
                        ledger
                            .acknowledged
                            .entry(taken.text().to_owned())
                            .or_insert(now_ms);
                    }
                }
            }
        }
        _ => wait(rig, random.i64(1..40) * 100),
    }
}

fn flush(rig: &Rig) {
    let report = rig.broker.store.flush_pass().unwrap();
    rig.broker.flushed(&report);
}

/// Pops and acknowledges until nothing has come for a long time.
fn drain(rig: &mut Rig, ledger: &mut Ledger) {
    let mut quiet = 0;
    while quiet < 45 {
        rig.advance(500);
        rig.advance(500);
        flush(rig);
        rig.later();
        let taken = pop(rig);
        quiet = if taken.is_empty() { quiet + 1 } else { 0 };
        for taken in taken {
            let now_ms = rig.clock.now_ms();
            ledger.delivered(taken.text(), now_ms);
            rig.handle(vec![ack(&taken)]);
            flush(rig);
            rig.later();
            ledger
                .acknowledged
                .entry(taken.text().to_owned())
                .or_insert(now_ms);
        }
    }
}

fn run(seed: u64, flush_disk_type: FlushDiskType, power_fails: bool) {
    let mut random = fastrand::Rng::with_seed(seed);
    fastrand::seed(seed);
    let config = || BrokerConfig {
        flush_disk_type,
        pop_from_retry_probability: 50,
        ..config()
    };
    let mut rig = open(config(), SimDisk::new(), START_MS);
    topic(&rig, "T", 2);
    let mut ledger = Ledger::default();
    let mut number = 0;
    for _ in 0..4 {
        for _ in 0..random.u32(20..80) {
            step(&mut rig, &mut ledger, &mut random, &mut number);
        }
        let now_ms = rig.clock.now_ms();
        ledger.kills.push(now_ms);
        let disk = if power_fails {
            rig.disk.crash(|| random.u64(..))
        } else {
            rig.disk.kill()
        };
        rig = open(config(), disk, now_ms + random.i64(0..30_000));
    }
    drain(&mut rig, &mut ledger);
    let is_open = |text: &&String| !ledger.acknowledged.contains_key(*text);
    let lost: Vec<_> = ledger.sent.keys().filter(is_open).collect();
    assert!(lost.is_empty(), "seed {seed}: {lost:?} never came again");
    assert!(
        ledger.deliveries > ledger.sent.len(),
        "seed {seed} tested nothing"
    );
}

#[test]
fn no_popped_message_is_lost_when_the_broker_is_killed() {
    for seed in 0..20 {
        run(seed, FlushDiskType::Async, false);
    }
}

#[test]
fn no_popped_message_is_lost_when_the_power_fails_under_sync_flush() {
    for seed in 100..115 {
        run(seed, FlushDiskType::Sync, true);
    }
}
