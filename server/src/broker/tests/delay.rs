// SPDX-License-Identifier: Apache-2.0
//! Delay levels: many at once, levels that change between two starts, clocks that are set back.

use super::timer::{SMALL, START_MS, TICK_MS, config};
use super::*;

fn delayed(level: i32) -> String {
    format!("DELAY\u{1}{level}\u{2}")
}

#[test]
fn all_messages_of_a_level_come_with_the_tick_after_they_are_due() {
    let mut rig = Rig::timers(config(), SimDisk::new(), START_MS, SMALL);
    for part in 0..5 {
        let commands = (0..1000)
            .map(|n| send("T", &delayed(1), &format!("{:04}", part * 1000 + n)))
            .collect();
        rig.handle(commands);
    }
    rig.run_until(START_MS + 999);
    assert_eq!(rig.stored("T").len(), 0);
    rig.run_until(START_MS + 1_000 + TICK_MS);
    let bodies = rig.bodies("T");
    assert_eq!(bodies.len(), 5000);
    assert!(bodies.is_sorted());
}

#[test]
fn levels_above_the_last_are_the_last_and_each_has_its_own_delay() {
    let config = BrokerConfig {
        message_delay_level: "1s 3s 1m".to_owned(),
        ..config()
    };
    let mut rig = Rig::timers(config, SimDisk::new(), START_MS, SMALL);
    for level in [3, 99, 2, 1] {
        rig.call(send("T", &delayed(level), &level.to_string()));
    }
    for (ms, bodies) in [
        (999, &[][..]),
        (1_000, &["1"][..]),
        (2_999, &["1"][..]),
        (3_000, &["1", "2"][..]),
        (59_999, &["1", "2"][..]),
        (60_000, &["1", "2", "3", "99"][..]),
    ] {
        rig.run_until(START_MS + ms);
        assert_eq!(rig.bodies("T"), bodies, "{ms}");
    }
    let message = rig.stored("T").pop().unwrap();
    let properties = &message.message.properties;
    assert_eq!(properties.get(property::DELAY), Some("99"));
    assert_eq!(properties.get(property::REAL_TOPIC), Some("T"));
}

#[test]
fn levels_that_change_between_two_starts_neither_lose_nor_hold_back() {
    let with = |levels: &str| BrokerConfig {
        message_delay_level: levels.to_owned(),
        ..config()
    };
    let mut rig = Rig::timers(with("1s 1h 10s"), SimDisk::new(), START_MS, SMALL);
    for level in 1..=3 {
        rig.call(send("T", &delayed(level), &level.to_string()));
    }
    rig.run_until(START_MS + 500);
    rig.broker.persist();
    rig.broker.store().shutdown().unwrap();
    // Level 2 is shorter now: what waits longer than a level can, is due. Level 3 is gone until it is back.
    let mut rig = Rig::timers(with("1s 5s"), rig.disk.kill(), START_MS + 500, SMALL);
    rig.run_until(START_MS + 20_000);
    assert_eq!(rig.bodies("T"), ["2", "1"]);
    rig.call(send("T", &delayed(3), "3 as 2"));
    rig.run_until(START_MS + 25_000);
    assert_eq!(rig.bodies("T"), ["2", "1", "3 as 2"]);
    rig.broker.persist();
    rig.broker.store().shutdown().unwrap();
    let rig = Rig::timers(with("1s 5s 10s"), rig.disk.kill(), START_MS + 25_000, SMALL);
    rig.run_until(START_MS + 25_200);
    assert_eq!(rig.bodies("T"), ["2", "1", "3 as 2", "3"]);
}

#[test]
fn a_clock_that_is_set_back_does_not_hold_messages_for_longer_than_their_level() {
    let mut rig = Rig::timers(config(), SimDisk::new(), START_MS, SMALL);
    rig.call(send("T", &delayed(2), "x"));
    rig.clock.set(START_MS - 3_600_000);
    rig.run_until(START_MS - 3_600_000 + TICK_MS);
    assert_eq!(rig.bodies("T"), ["x"]);
}

#[test]
fn a_message_that_is_sent_while_deliveries_run_is_not_early() {
    let mut rig = Rig::timers(config(), SimDisk::new(), START_MS, SMALL);
    rig.clock.set(START_MS + 5);
    rig.call(send("T", &delayed(1), "x"));
    // A pass that began before.
    rig.broker.tick(START_MS);
    assert_eq!(rig.bodies("T"), [""; 0]);
    rig.run_until(START_MS + 5 + 1_000 + TICK_MS);
    assert_eq!(rig.bodies("T"), ["x"]);
}
