// SPDX-License-Identifier: Apache-2.0
//! Light queues: messages that are found in further queues which they name.

use kerolox_protocol::header::offset::{
    QueryConsumerOffsetRequestHeader, UpdateConsumerOffsetRequestHeader,
};

use super::*;

fn config() -> BrokerConfig {
    BrokerConfig {
        enable_lmq: true,
        enable_multi_dispatch: true,
        ..super::config()
    }
}

fn to(queues: &str) -> String {
    format!(
        "TAGS\u{1}A\u{2}INNER_MULTI_DISPATCH\u{1}{queues}\u{2}INNER_MULTI_QUEUE_OFFSET\u{1}9\u{2}"
    )
}

fn places(message: &MessageExt) -> Vec<i64> {
    let text = message
        .message
        .properties
        .get(property::INNER_MULTI_QUEUE_OFFSET)
        .unwrap();
    text.split(',')
        .map(|place| place.parse().unwrap())
        .collect()
}

fn bodies(rig: &mut Rig, topic: &str) -> Vec<String> {
    let text = |message: MessageExt| String::from_utf8(message.message.body.to_vec()).unwrap();
    rig.pull_all(topic).into_iter().map(text).collect()
}

#[test]
fn a_message_is_found_in_each_queue_that_it_names() {
    let mut rig = Rig::configured(config());
    let sent = [
        ("one", to("%LMQ%a")),
        ("two", to("%LMQ%a,%LMQ%b")),
        ("plain", String::new()),
        ("three", to("%LMQ%b,%LMQ%a")),
    ];
    let commands = sent.iter().map(|(body, to)| send("T", to, body)).collect();
    for (n, reply) in (0..).zip(rig.handle(commands)) {
        assert_eq!(reply.response_code(), ResponseCode::SUCCESS, "{reply:?}");
        assert_eq!(reply.ext.get("queueOffset"), Some(n.to_string().as_str()));
    }
    assert_eq!(bodies(&mut rig, "T"), ["one", "two", "plain", "three"]);
    assert_eq!(bodies(&mut rig, "%LMQ%a"), ["one", "two", "three"]);
    assert_eq!(bodies(&mut rig, "%LMQ%b"), ["two", "three"]);
    let three = rig.pull_all("%LMQ%b").remove(1);
    assert_eq!(places(&three), [1, 2]);
    assert_eq!(three.message.topic, "T");
    // Held pulls are woken there, too.
    assert!(rig.handle(vec![pull("%LMQ%b", 2, "*", 15_000)]).is_empty());
    rig.call(send("T", &to("%LMQ%b"), "four"));
    let woken = rig.later().remove(0);
    let messages = record::decode_all(woken.body);
    assert_eq!(&messages[0].message.body[..], b"four");
}

#[test]
fn light_queues_survive_a_kill_and_are_made_again_when_they_are_lost() {
    for lose in [false, true] {
        let mut rig = Rig::configured(config());
        for n in 0..1_000 {
            let queues = match n % 3 {
                0 => "%LMQ%a",
                1 => "%LMQ%b,%LMQ%a",
                _ => "%LMQ%c",
            };
            rig.call(send("T", &to(queues), &n.to_string()));
        }
        let ends = |rig: &Rig| {
            ["T", "%LMQ%a", "%LMQ%b", "%LMQ%c"].map(|topic| rig.broker.store.max_offset(topic, 0))
        };
        let before = ends(&rig);
        assert_eq!(before, [1_000, 667, 333, 333]);
        let disk = rig.disk.kill();
        if lose {
            for path in disk.files() {
                if path.starts_with("/store/consumequeue/%LMQ%b") {
                    crate::store::disk::Disk::remove_file(&disk, &path).unwrap();
                }
            }
        }
        let mut rig = rig.restarted(disk);
        assert_eq!(ends(&rig), before, "lost {lose}");
        rig.call(send("T", &to("%LMQ%b"), "after"));
        let reply = rig.call(pull("%LMQ%b", 333, "*", 0));
        let message = record::decode_all(reply.body).remove(0);
        assert_eq!(&message.message.body[..], b"after");
        assert_eq!(places(&message), [333]);
    }
}

#[test]
fn a_power_failure_leaves_light_queues_that_fit_the_log() {
    for seed in 1..=20_u64 {
        let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut next = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        let mut rig = Rig::configured(config());
        for n in 0..300 {
            let queues = if next().is_multiple_of(2) {
                "%LMQ%a"
            } else {
                "%LMQ%a,%LMQ%b"
            };
            rig.call(send("T", &to(queues), &n.to_string()));
            if next().is_multiple_of(20) {
                rig.flush();
            }
        }
        let disk = rig.disk.crash(&mut next);
        let mut rig = rig.restarted(disk);
        let count = |rig: &Rig, topic| rig.broker.store.max_offset(topic, 0);
        assert_eq!(count(&rig, "T"), count(&rig, "%LMQ%a"), "seed {seed}");
        let mut offset = 0;
        while offset < count(&rig, "%LMQ%b") {
            let reply = rig.call(pull("%LMQ%b", offset, "*", 0));
            assert_eq!(reply.response_code(), ResponseCode::SUCCESS);
            for message in record::decode_all(reply.body) {
                assert_eq!(places(&message)[1], offset, "seed {seed}");
                offset += 1;
            }
        }
    }
}

#[test]
fn queues_that_can_not_be_are_refused_and_nothing_is_stored() {
    let mut rig = Rig::configured(BrokerConfig {
        max_lmq_consume_queue_num: 2,
        ..config()
    });
    for (queues, code) in [
        ("%LMQ%../x", ResponseCode::INVALID_PARAMETER),
        ("other", ResponseCode::INVALID_PARAMETER),
        ("%LMQ%a,%LMQ%a", ResponseCode::MESSAGE_ILLEGAL),
        ("%LMQ%a,%LMQ%b,%LMQ%c", ResponseCode::SYSTEM_ERROR),
    ] {
        let reply = rig.call(send("T", &to(queues), "x"));
        assert_eq!(reply.response_code(), code, "{queues}: {reply:?}");
        assert!(!reply.remark.unwrap().is_empty());
    }
    assert!(rig.pull_all("T").is_empty());
    rig.call(send("T", &to("%LMQ%a"), "fits"));
    assert_eq!(bodies(&mut rig, "%LMQ%a"), ["fits"]);
}

#[test]
fn without_the_switches_the_properties_mean_nothing() {
    for (enable_lmq, enable_multi_dispatch) in [(false, false), (true, false), (false, true)] {
        let mut rig = Rig::configured(BrokerConfig {
            enable_lmq,
            enable_multi_dispatch,
            ..super::config()
        });
        rig.call(send("T", &to("%LMQ%a"), "x"));
        assert_eq!(places(&rig.pull_all("T")[0]), [9], "as it came");
        assert!(rig.broker.store.find_queue("%LMQ%a", 0).is_none());
    }
}

#[test]
fn retries_dead_letters_and_open_transactions_are_in_no_light_queue() {
    let mut rig = Rig::configured(config());
    rig.call(send("T", &to("%LMQ%a"), "x"));
    let message = rig.pull_all("T").remove(0);
    for delay_level in [1, -1] {
        let header = ConsumerSendMsgBackRequestHeader {
            offset: message.physical_offset,
            group: "G",
            delay_level,
            ..Default::default()
        };
        let back = Command::request(RequestCode::CONSUMER_SEND_MSG_BACK, &header);
        assert_eq!(rig.call(back).response_code(), ResponseCode::SUCCESS);
    }
    rig.advance(1_500);
    assert_eq!(rig.pull_all("%RETRY%G").len(), 1);
    let half = format!("{}TRAN_MSG\u{1}true\u{2}PGROUP\u{1}P\u{2}", to("%LMQ%a"));
    rig.call(send("T", &half, "half"));
    assert_eq!(rig.broker.store.max_offset("%LMQ%a", 0), 1);
}

#[test]
fn groups_and_offsets_of_light_queues_need_not_be_made() {
    let mut rig = Rig::configured(BrokerConfig {
        auto_create_subscription_group: false,
        ..config()
    });
    rig.call(send("T", &to("%LMQ%a"), "x"));
    let commit = UpdateConsumerOffsetRequestHeader {
        consumer_group: "%LMQ%g",
        topic: "%LMQ%a",
        queue_id: Some(0),
        commit_offset: Some(1),
        ..Default::default()
    };
    let reply = rig.call(Command::request(
        RequestCode::UPDATE_CONSUMER_OFFSET,
        &commit,
    ));
    assert_eq!(reply.response_code(), ResponseCode::SUCCESS, "{reply:?}");
    rig.broker.persist();
    let disk = rig.disk.kill();
    let mut rig = rig.restarted(disk);
    let query = QueryConsumerOffsetRequestHeader {
        consumer_group: "%LMQ%g",
        topic: "%LMQ%a",
        queue_id: 0,
        ..Default::default()
    };
    let reply = rig.call(Command::request(RequestCode::QUERY_CONSUMER_OFFSET, &query));
    assert_eq!(reply.ext.get("offset"), Some("1"));
    let topics = rig.broker.topics.snapshot().topic_config_table;
    assert!(!topics.contains_key("%LMQ%a"));
}
