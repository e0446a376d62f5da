// SPDX-License-Identifier: Apache-2.0
//! Timer messages: when they are delivered, what they look like, and what is refused.

use std::collections::BTreeMap;

use kerolox_protocol::header::recall::{RecallMessageRequestHeader, RecallMessageResponseHeader};
use kerolox_protocol::message::recall_handle::RecallHandle;

use super::*;
use crate::config::FlushDiskType;

pub(super) const START_MS: i64 = 1_700_000_000_000;
/// Half of a small wheel: ten minutes of seconds.
pub(super) const SMALL: i64 = 600;
pub(super) const TICK_MS: i64 = 100;

pub(super) fn config() -> BrokerConfig {
    BrokerConfig {
        store_path_root_dir: "/store".into(),
        mapped_file_size_commit_log: 1 << 20,
        mapped_file_size_consume_queue: 20 * 300,
        mapped_file_size_timer_log: 52 * 20 + 16,
        recall_message_enable: true,
        broker_name: "broker-a".to_owned(),
        message_index_enable: false,
        ..BrokerConfig::default()
    }
}

impl Rig {
    /// A broker with a small wheel on a disk that may have been used before.
    pub(super) fn timers(config: BrokerConfig, disk: SimDisk, now_ms: i64, slots: i64) -> Self {
        let clock = Arc::new(ManualClock::new(now_ms));
        let host = "127.0.0.1:10911".parse().unwrap();
        let disk = Arc::new(disk);
        let (broker, _) = Broker::open_with_wheel(
            config,
            host,
            Arc::clone(&disk) as _,
            Arc::clone(&clock) as _,
            slots,
        )
        .unwrap();
        let session = Arc::new(Session::new(
            SessionId(1),
            "127.0.0.1:50000".parse().unwrap(),
            host,
        ));
        Self {
            broker,
            clock,
            disk,
            session,
            opaque: 0,
        }
    }

    fn small() -> Self {
        Self::timers(config(), SimDisk::new(), START_MS, SMALL)
    }

    pub(super) fn now(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Ticks until `end_ms`.
    pub(super) fn run_until(&self, end_ms: i64) {
        while self.now() < end_ms {
            self.advance(TICK_MS.min(end_ms - self.now()));
        }
    }

    /// Stops in good order and opens again at the same time.
    pub(super) fn restart(self) -> Self {
        self.broker.persist();
        self.broker.store().shutdown().unwrap();
        let (config, now_ms) = (self.broker.config().clone(), self.now());
        let disk = self.disk.kill();
        drop(self);
        Self::timers(config, disk, now_ms, SMALL)
    }

    /// Everything in a topic, in the order of the commit log.
    pub(super) fn stored(&self, topic: &str) -> Vec<MessageExt> {
        let mut found = Vec::new();
        for queue_id in 0..8 {
            let Some(queue) = self.broker.store.find_queue(topic, queue_id) else {
                continue;
            };
            let mut offset = queue.min_offset();
            while offset < queue.max_offset() {
                let read = self
                    .broker
                    .store
                    .get_from(&queue, offset, 32, 1 << 20, &mut |_| true);
                for slice in &read.slices {
                    found.extend(record::decode_all(slice.clone()));
                }
                offset = read.next_offset.max(offset + 1);
            }
        }
        found.sort_by_key(|message| message.physical_offset);
        found
    }

    pub(super) fn bodies(&self, topic: &str) -> Vec<String> {
        let messages = self.stored(topic).into_iter();
        messages
            .map(|message| String::from_utf8(message.message.body.to_vec()).unwrap())
            .collect()
    }

    /// Sends and returns the handle to recall.
    fn send_timer(&mut self, properties: &str, body: &str) -> String {
        let reply = self.call(send("T", properties, body));
        assert_eq!(reply.response_code(), ResponseCode::SUCCESS, "{reply:?}");
        let header = reply.header::<SendMessageResponseHeader<'_>>().unwrap();
        header.recall_handle.unwrap_or_default().to_owned()
    }

    fn recall(&mut self, topic: &str, handle: &str) -> Command {
        self.call(Command::request(
            RequestCode::RECALL_MESSAGE,
            &RecallMessageRequestHeader {
                producer_group: Some("P"),
                topic,
                recall_handle: handle,
                ..Default::default()
            },
        ))
    }

    fn waiting(&mut self, topic: &str) -> i64 {
        let reply = self.call(kerolox_protocol::command::request(
            RequestCode::GET_TIMER_METRICS,
        ));
        let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        body["timingCount"][topic]["count"].as_i64().unwrap_or(0)
    }
}

pub(super) fn deliver_at(ms: i64) -> String {
    format!("TIMER_DELIVER_MS\u{1}{ms}\u{2}")
}

#[test]
fn each_message_is_delivered_at_its_instant_and_not_before() {
    let mut rig = Rig::small();
    let mut wanted = BTreeMap::new();
    for n in 0..60 {
        // From all places within a second, in all three ways, and not in order.
        let delay = 500 + (n * 7_919) % 20_000;
        let property = match n % 3 {
            0 => deliver_at(START_MS + delay),
            1 => format!("TIMER_DELAY_MS\u{1}{delay}\u{2}"),
            _ => format!("TIMER_DELAY_SEC\u{1}{}\u{2}", delay / 1000 + 1),
        };
        let delay = if n % 3 == 2 {
            (delay / 1000 + 1) * 1000
        } else {
            delay
        };
        wanted.insert(n.to_string(), START_MS + delay);
        rig.send_timer(&property, &n.to_string());
    }
    assert_eq!(rig.bodies("T"), Vec::<String>::new());
    assert_eq!(rig.stored(name::TIMER_TOPIC).len(), 60);
    rig.run_until(START_MS + 25_000);
    let messages = rig.stored("T");
    assert_eq!(messages.len(), 60);
    for message in messages {
        let body = String::from_utf8(message.message.body.to_vec()).unwrap();
        let late = message.store_timestamp - wanted[&body];
        assert!((0..=TICK_MS).contains(&late), "{body} is {late} ms late");
    }
    assert_eq!(rig.waiting("T"), 0);
}

#[test]
fn a_message_looks_on_the_way_and_at_its_end_as_the_references_does() {
    let mut rig = Rig::small();
    let aligned = START_MS + 5_000;
    rig.call(send("T", &deliver_at(aligned), "aligned"));
    let mut between = send(
        "T",
        &format!("{}TAGS\u{1}A\u{2}", deliver_at(aligned + 1)),
        "between",
    );
    between.ext.set("e", "2");
    let reply = rig.call(between);
    let header = reply.header::<SendMessageResponseHeader<'_>>().unwrap();
    assert_eq!((header.queue_id, header.queue_offset), (2, 1));
    let unique = header.transaction_id.unwrap().to_owned();
    let handle = RecallHandle::decode(header.recall_handle.unwrap()).unwrap();
    assert_eq!(
        handle.parts(),
        RecallHandle {
            topic: "T",
            broker_name: "broker-a",
            deliver_ms: aligned + 1,
            unique_id: &unique,
        }
    );
    let parked = rig.stored(name::TIMER_TOPIC);
    let outs: Vec<_> = parked
        .iter()
        .map(|message| {
            message
                .message
                .properties
                .get(property::TIMER_OUT_MS)
                .unwrap()
        })
        .collect();
    assert_eq!(outs, [(aligned - 1000).to_string(), aligned.to_string()]);
    rig.run_until(aligned + 1_000);
    let delivered = rig.stored("T");
    assert_eq!(rig.bodies("T"), ["aligned", "between"]);
    let message = &delivered[1];
    assert_eq!((message.queue_id, message.message.tag()), (2, Some("A")));
    let properties = &message.message.properties;
    for (name, value) in [
        (property::REAL_TOPIC, "T".to_owned()),
        (property::REAL_QID, "2".to_owned()),
        (property::TIMER_OUT_MS, aligned.to_string()),
        (property::TIMER_DELIVER_MS, (aligned + 1).to_string()),
        (property::TIMER_ENQUEUE_MS, START_MS.to_string()),
        (property::UNIQ_KEY, unique),
    ] {
        assert_eq!(properties.get(name), Some(value.as_str()), "{name}");
    }
    assert!(properties.get(property::TIMER_DEQUEUE_MS).is_some());
    assert!(properties.get(property::TIMER_ROLL_TIMES).is_none());
}

#[test]
fn what_can_not_be_waited_for_is_refused_and_what_is_over_is_delivered_at_once() {
    let mut rig = Rig::small();
    for (properties, what) in [
        ("TIMER_DELAY_SEC\u{1}soon\u{2}", "TIMER_DELAY_SEC=soon"),
        ("TIMER_DELAY_MS\u{1}1.5\u{2}", "TIMER_DELAY_MS=1.5"),
        ("TIMER_DELAY_SEC\u{1}259201\u{2}", "timerMaxDelaySec"),
        ("TIMER_DELIVER_MS\u{1}9223372036854775807\u{2}", "259200 s"),
        ("TIMER_DELAY_SEC\u{1}9223372036854775807\u{2}", "259200 s"),
        (
            "TIMER_DELAY_SEC\u{1}-1\u{2}TIMER_DEL_UNIQKEY\u{1}k\u{2}",
            "nothing to take back",
        ),
    ] {
        let reply = rig.call(send("T", properties, "x"));
        assert_eq!(
            reply.response_code(),
            ResponseCode::MESSAGE_ILLEGAL,
            "{what}"
        );
        assert!(reply.remark.unwrap().contains(what), "{what}");
    }
    for properties in [
        "TIMER_DELAY_SEC\u{1}0\u{2}".to_owned(),
        "TIMER_DELAY_MS\u{1}-9223372036854775808\u{2}".to_owned(),
        deliver_at(START_MS),
        "TIMER_DELIVER_MS\u{1}-1\u{2}".to_owned(),
    ] {
        assert_eq!(rig.send_timer(&properties, "now"), "", "no handle");
    }
    assert_eq!(rig.bodies("T"), ["now"; 4]);
    // The seconds count before the milliseconds, these before the instant, and a level before all.
    rig.send_timer(
        &format!(
            "TIMER_DELAY_MS\u{1}9000\u{2}TIMER_DELAY_SEC\u{1}2\u{2}{}",
            deliver_at(1)
        ),
        "seconds",
    );
    let level = format!("DELAY\u{1}1\u{2}{}", deliver_at(START_MS + 60_000));
    assert_eq!(rig.send_timer(&level, "level"), "");
    rig.run_until(START_MS + 1_100);
    assert_eq!(rig.bodies("T").last().unwrap(), "level");
    let level = rig.stored("T").pop().unwrap();
    assert!(
        level
            .message
            .properties
            .get(property::TIMER_DELIVER_MS)
            .is_none()
    );
    rig.run_until(START_MS + 2_100);
    assert_eq!(rig.bodies("T").last().unwrap(), "seconds");
}

#[test]
fn a_broker_without_the_wheel_refuses_timers_and_leaves_their_files_alone() {
    let config = BrokerConfig {
        timer_wheel_enable: false,
        ..config()
    };
    let mut rig = Rig::timers(config, SimDisk::new(), START_MS, SMALL);
    let reply = rig.call(send("T", "TIMER_DELAY_SEC\u{1}1\u{2}", "x"));
    assert_eq!(reply.response_code(), ResponseCode::SYSTEM_ERROR);
    assert!(reply.remark.unwrap().contains("timerWheelEnable"));
    let reply = rig.call(kerolox_protocol::command::request(
        RequestCode::GET_TIMER_CHECK_POINT,
    ));
    assert_eq!(reply.response_code(), ResponseCode::SYSTEM_ERROR);
    rig.run_until(START_MS + 200);
    assert!(
        rig.disk
            .files()
            .iter()
            .all(|file| !file.ends_with("timerwheel"))
    );
}

#[test]
fn a_slot_that_is_full_refuses_more() {
    let config = BrokerConfig {
        timer_congest_num_each_slot: 3,
        ..config()
    };
    let mut rig = Rig::timers(config, SimDisk::new(), START_MS, SMALL);
    let at = deliver_at(START_MS + 5_500);
    for n in 0..6 {
        rig.send_timer(&at, &n.to_string());
    }
    rig.advance(TICK_MS);
    let reply = rig.call(send("T", &at, "too much"));
    assert_eq!(reply.response_code(), ResponseCode::SYSTEM_ERROR);
    assert!(reply.remark.unwrap().contains("timerCongestNumEachSlot"));
    rig.send_timer(&deliver_at(START_MS + 6_500), "another slot");
    rig.run_until(START_MS + 7_000);
    assert_eq!(rig.stored("T").len(), 7);
}

#[test]
fn ten_thousand_messages_of_one_slot_are_in_time_and_in_order() {
    let mut rig = Rig::small();
    let at = START_MS + 3_250;
    for part in 0..10 {
        let commands = (0..1000)
            .map(|n| send("T", &deliver_at(at), &format!("{:05}", part * 1000 + n)))
            .collect();
        rig.handle(commands);
    }
    rig.run_until(at - 1);
    assert_eq!(rig.stored("T").len(), 0);
    assert_eq!(rig.waiting("T"), 10_000);
    rig.run_until(at + TICK_MS);
    let bodies = rig.bodies("T");
    assert_eq!(bodies.len(), 10_000);
    assert!(bodies.is_sorted());
}

#[test]
fn messages_beyond_the_window_roll_until_they_are_due() {
    let config = BrokerConfig {
        timer_roll_window_slot: 20,
        ..config()
    };
    let mut rig = Rig::timers(config, SimDisk::new(), START_MS, SMALL);
    let at = START_MS + 95_300;
    let handle = rig.send_timer(&deliver_at(at), "taken back");
    rig.send_timer(&deliver_at(at), "far");
    rig.run_until(START_MS + 30_000);
    let reply = rig.recall("T", &handle);
    assert_eq!(reply.response_code(), ResponseCode::SUCCESS, "{reply:?}");
    rig = rig.restart();
    rig.run_until(at - 1);
    assert_eq!(rig.bodies("T"), Vec::<String>::new());
    rig.run_until(at + TICK_MS);
    assert_eq!(rig.bodies("T"), ["far"]);
    let message = rig.stored("T").pop().unwrap();
    let rolls: i32 = message
        .message
        .properties
        .get(property::TIMER_ROLL_TIMES)
        .unwrap()
        .parse()
        .unwrap();
    assert!((4..=6).contains(&rolls), "{rolls}");
    assert_eq!(rig.waiting("T"), 0);
}

#[test]
fn a_message_of_three_days_rolls_once_on_a_wheel_of_full_size() {
    let slots = crate::store::timer::SECONDS_A_WEEK;
    let mut rig = Rig::timers(config(), SimDisk::new(), START_MS, slots);
    let delay = 259_200_000;
    rig.send_timer(&format!("TIMER_DELAY_SEC\u{1}{}\u{2}", delay / 1000), "far");
    rig.advance(TICK_MS);
    let steps = [86_400_000, 172_700_000, 172_800_000, 172_801_000, delay - 1];
    for step in steps {
        rig.clock.set(START_MS + step);
        rig.advance(0);
        rig.advance(0);
        assert_eq!(rig.bodies("T"), Vec::<String>::new(), "{step}");
    }
    rig.clock.set(START_MS + delay);
    rig.advance(0);
    let message = rig.stored("T").pop().unwrap();
    let rolls = message.message.properties.get(property::TIMER_ROLL_TIMES);
    assert_eq!(rolls, Some("1"));
    let wheel = rig
        .disk
        .read(std::path::Path::new("/store/timerwheel"))
        .unwrap();
    assert_eq!(wheel.len(), 38_707_200);
}

#[test]
fn recalled_messages_are_not_delivered_and_others_are() {
    for topic_in_key in [false, true] {
        let config = BrokerConfig {
            append_topic_for_timer_delete_key: topic_in_key,
            ..config()
        };
        let mut rig = Rig::timers(config, SimDisk::new(), START_MS, SMALL);
        let at = deliver_at(START_MS + 4_700);
        let handles: Vec<_> = (0..4)
            .map(|n| rig.send_timer(&at, &n.to_string()))
            .collect();
        rig.advance(TICK_MS);
        assert_eq!(rig.waiting("T"), 4);
        let reply = rig.recall("T", &handles[1]);
        let header = reply.header::<RecallMessageResponseHeader<'_>>().unwrap();
        let parts = RecallHandle::decode(&handles[1]).unwrap();
        assert_eq!(header.msg_id, parts.parts().unique_id);
        rig.run_until(START_MS + 3_900);
        // The last moment: its slot is about to begin.
        assert_eq!(
            rig.recall("T", &handles[3]).response_code(),
            ResponseCode::SUCCESS
        );
        // One that never was.
        let stranger = RecallHandle {
            unique_id: "nobody",
            ..parts.parts()
        };
        assert_eq!(
            rig.recall("T", &stranger.encode()).response_code(),
            ResponseCode::SUCCESS
        );
        rig = rig.restart();
        rig.run_until(START_MS + 6_000);
        assert_eq!(rig.bodies("T"), ["0", "2"]);
        assert_eq!(rig.waiting("T"), 0);
    }
}

#[test]
fn recalls_that_can_not_be_are_refused() {
    let mut rig = Rig::small();
    let handle = rig.send_timer(&deliver_at(START_MS + 4_700), "x");
    rig.call(send("Other", "", "x"));
    let text = RecallHandle::decode(&handle).unwrap();
    let parts = text.parts();
    let illegal = ResponseCode::ILLEGAL_OPERATION;
    let encode = |parts: RecallHandle<'_>| parts.encode();
    for (topic, handle, code, what) in [
        (
            "Nowhere",
            handle.clone(),
            ResponseCode::TOPIC_NOT_EXIST,
            "topic[Nowhere]",
        ),
        ("Other", handle.clone(), illegal, "not of topic[Other]"),
        ("T", "!".to_owned(), illegal, "base64"),
        ("T", String::new(), illegal, "empty"),
        (
            "T",
            encode(RecallHandle {
                broker_name: "broker-b",
                ..parts
            }),
            illegal,
            "broker[broker-b]",
        ),
        (
            "T",
            encode(RecallHandle {
                deliver_ms: START_MS,
                ..parts
            }),
            illegal,
            "due 0 ms ago",
        ),
        (
            "T",
            encode(RecallHandle {
                deliver_ms: START_MS + 259_200_000,
                ..parts
            }),
            illegal,
            "259200 s",
        ),
        (
            "T",
            encode(RecallHandle {
                deliver_ms: i64::MAX,
                ..parts
            }),
            illegal,
            "259200 s",
        ),
    ] {
        let reply = rig.recall(topic, &handle);
        assert_eq!(reply.response_code(), code, "{what}: {reply:?}");
        assert!(
            reply.remark.as_ref().unwrap().contains(what),
            "{what}: {reply:?}"
        );
    }
    rig.run_until(START_MS + 4_800);
    assert_eq!(rig.bodies("T"), ["x"]);
    assert_eq!(rig.recall("T", &handle).response_code(), illegal);

    let config = BrokerConfig {
        recall_message_enable: false,
        ..config()
    };
    let mut rig = Rig::timers(config, SimDisk::new(), START_MS, SMALL);
    rig.call(send("T", "", "x"));
    let reply = rig.recall("T", &handle);
    assert_eq!(reply.response_code(), ResponseCode::NO_PERMISSION);
}

#[test]
fn under_sync_flush_sends_and_recalls_wait_for_the_disk() {
    let config = BrokerConfig {
        flush_disk_type: FlushDiskType::Sync,
        ..config()
    };
    let mut rig = Rig::timers(config, SimDisk::new(), START_MS, SMALL);
    let flush = |rig: &Rig| {
        let report = rig.broker.store().flush_pass().unwrap();
        rig.broker.flushed(&report);
        rig.later()
    };
    assert!(
        rig.handle(vec![send("T", &deliver_at(START_MS + 3_000), "x")])
            .is_empty()
    );
    let replies = flush(&rig);
    let header = replies[0]
        .header::<SendMessageResponseHeader<'_>>()
        .unwrap();
    let handle = header.recall_handle.unwrap().to_owned();
    let request = Command::request(
        RequestCode::RECALL_MESSAGE,
        &RecallMessageRequestHeader {
            topic: "T",
            recall_handle: &handle,
            ..Default::default()
        },
    );
    assert!(rig.handle(vec![request]).is_empty());
    let replies = flush(&rig);
    assert_eq!(replies[0].response_code(), ResponseCode::SUCCESS);
    assert!(
        replies[0]
            .header::<RecallMessageResponseHeader<'_>>()
            .is_ok()
    );
    rig.run_until(START_MS + 5_000);
    flush(&rig);
    assert_eq!(rig.bodies("T"), Vec::<String>::new());
}

#[test]
fn a_clock_that_is_set_back_makes_nothing_early_and_loses_nothing() {
    let mut rig = Rig::small();
    rig.send_timer(&deliver_at(START_MS + 2_000), "before");
    rig.run_until(START_MS + 20_000);
    rig.clock.set(START_MS + 5_000);
    rig.send_timer(&deliver_at(START_MS + 8_200), "after a big step");
    rig.run_until(START_MS + 8_100);
    assert!(!rig.bodies("T").contains(&"after a big step".to_owned()));
    rig.run_until(START_MS + 10_000);
    assert_eq!(rig.bodies("T"), ["before", "after a big step"]);
    rig.clock.set(START_MS + 7_000);
    rig.send_timer(&deliver_at(START_MS + 8_000), "after a small step");
    rig.run_until(START_MS + 7_900);
    assert_eq!(rig.bodies("T").len(), 2);
    rig.run_until(START_MS + 11_100);
    assert_eq!(rig.bodies("T").len(), 3);
}

#[test]
fn files_of_the_timer_log_go_with_their_messages() {
    let mut rig = Rig::small();
    for n in 0..100 {
        rig.send_timer(&deliver_at(START_MS + 1_000 + n * 10), &n.to_string());
    }
    rig.run_until(START_MS + 3_000);
    let files = |rig: &Rig| {
        let files = rig.disk.files();
        files
            .iter()
            .filter(|file| file.starts_with("/store/timerlog"))
            .count()
    };
    assert_eq!(rig.stored("T").len(), 100);
    // 20 units in a file.
    assert_eq!(files(&rig), 5);
    rig.run_until(START_MS + 70_000);
    assert_eq!(files(&rig), 5, "their messages are still there");
}
