// SPDX-License-Identifier: Apache-2.0
//! What is refused, and what becomes of a send besides a message in its queue.

use kerolox_protocol::body::topic::{TopicConfig, perm};
use kerolox_protocol::message::sys_flag;

use super::*;
use crate::config::FlushDiskType;

fn code(rig: &mut Rig, command: Command) -> (ResponseCode, String) {
    let reply = rig.call(command);
    assert_eq!(reply.ext.get("MSG_REGION"), Some("DefaultRegion"));
    assert_eq!(reply.ext.get("TRACE_ON"), Some("true"));
    (reply.response_code(), reply.remark.unwrap_or_default())
}

#[test]
fn sends_before_the_time_of_acceptance_are_refused() {
    let mut rig = Rig::configured(BrokerConfig {
        start_accept_send_request_time_stamp: 1_700_000_000_500,
        ..config()
    });
    let (refused, remark) = code(&mut rig, send("T", "", "early"));
    assert_eq!(refused, ResponseCode::SYSTEM_ERROR);
    assert!(
        remark.contains("startAcceptSendRequestTimeStamp"),
        "{remark}"
    );
    assert!(rig.broker.topics.get("T").is_none());
    rig.advance(500);
    assert_eq!(
        code(&mut rig, send("T", "", "now")).0,
        ResponseCode::SUCCESS
    );
}

#[test]
fn a_broker_without_write_permission_refuses_ordered_topics_only() {
    let mut rig = Rig::configured(BrokerConfig {
        broker_permission: perm::READ,
        ..config()
    });
    let ordered = TopicConfig {
        order: true,
        ..TopicConfig::new("ordered", 4, perm::READ | perm::WRITE)
    };
    let now_ms = rig.clock.now_ms();
    rig.broker.topics.update([ordered], now_ms);
    let (refused, remark) = code(&mut rig, send("ordered", "", "x"));
    assert_eq!(refused, ResponseCode::NO_PERMISSION);
    assert!(remark.contains("brokerPermission"), "{remark}");
    assert_eq!(code(&mut rig, send("T", "", "x")).0, ResponseCode::SUCCESS);
}

#[test]
fn a_topic_without_write_permission_stops_producers_by_its_route_only() {
    // As in the reference: clients see the permission in the route; the broker does not look.
    let mut rig = async_rig();
    let now_ms = rig.clock.now_ms();
    let readable = TopicConfig::new("readable", 4, perm::READ);
    rig.broker.topics.update([readable], now_ms);
    assert_eq!(
        code(&mut rig, send("readable", "", "x")).0,
        ResponseCode::SUCCESS
    );
}

#[test]
fn topics_of_the_system_are_protected() {
    let mut rig = async_rig();
    for topic in name::SEND_FORBIDDEN {
        let (refused, remark) = code(&mut rig, send(topic, "", "x"));
        assert_eq!(refused, ResponseCode::NO_PERMISSION, "{topic}");
        assert!(remark.contains(topic), "{remark}");
    }
}

#[test]
fn topics_of_a_unit_are_marked_when_they_are_made() {
    let mut rig = async_rig();
    for (topic, unit, flags) in [("T", "true", 1), ("%RETRY%G", "true", 2), ("U", "false", 0)] {
        let mut command = send(topic, "", "x");
        command.ext.set("k", unit);
        rig.call(command);
        assert_eq!(
            rig.broker.topics.get(topic).unwrap().topic_sys_flag,
            flags,
            "{topic}"
        );
    }
}

#[test]
fn unknown_topics_are_refused_where_none_are_made() {
    let mut rig = Rig::configured(BrokerConfig {
        auto_create_topic_enable: false,
        ..config()
    });
    let (refused, remark) = code(&mut rig, send("T", "", "x"));
    assert_eq!(refused, ResponseCode::TOPIC_NOT_EXIST);
    assert!(
        remark.contains('T') && remark.contains("TBW102"),
        "{remark}"
    );
    // A retry topic comes into being nevertheless, with one queue.
    assert_eq!(
        code(&mut rig, send("%RETRY%G", "", "x")).0,
        ResponseCode::SUCCESS
    );
    let retry = rig.broker.topics.get("%RETRY%G").unwrap();
    assert_eq!((retry.write_queue_nums, retry.perm), (1, 6));
}

#[test]
fn properties_and_bodies_are_limited() {
    let mut rig = Rig::configured(BrokerConfig {
        max_message_size: 1_000,
        ..config()
    });
    let property = |bytes: usize| format!("name\u{1}{}\u{2}", "v".repeat(bytes));
    assert_eq!(
        code(&mut rig, send("T", &property(30_000), "x")).0,
        ResponseCode::SUCCESS
    );
    let (refused, remark) = code(&mut rig, send("T", &property(32_768), "x"));
    assert_eq!(refused, ResponseCode::MESSAGE_ILLEGAL);
    assert!(remark.contains("32767"), "{remark}");
    assert_eq!(
        code(&mut rig, send("T", "", &"b".repeat(1_000))).0,
        ResponseCode::SUCCESS
    );
    let (refused, _) = code(&mut rig, send("T", "", &"b".repeat(1_001)));
    assert_eq!(refused, ResponseCode::MESSAGE_ILLEGAL);
    let mut body = Vec::new();
    for _ in 0..20 {
        batch::append(&mut body, 0, &[b'x'; 40], "").unwrap();
    }
    let mut command = send("T", "", "").with_body(body);
    command.code = RequestCode::SEND_BATCH_MESSAGE.0;
    let (refused, remark) = code(&mut rig, command);
    assert_eq!(refused, ResponseCode::MESSAGE_ILLEGAL);
    assert!(remark.contains("maxMessageSize"), "{remark}");
    assert_eq!(rig.pull_all("T").len(), 2);
}

#[test]
fn batches_may_not_go_to_retry_topics_nor_be_empty() {
    let mut rig = async_rig();
    rig.call(send("%RETRY%G", "", "x"));
    let mut body = Vec::new();
    batch::append(&mut body, 0, b"x", "").unwrap();
    for (topic, body) in [("%RETRY%G", body), ("T", Vec::new())] {
        let mut command = send(topic, "", "").with_body(body);
        command.code = RequestCode::SEND_BATCH_MESSAGE.0;
        let (refused, _) = code(&mut rig, command);
        assert_eq!(refused, ResponseCode::MESSAGE_ILLEGAL, "{topic}");
    }
}

#[test]
fn properties_of_a_batch_that_are_no_utf8_are_kept_as_they_came() {
    let mut rig = async_rig();
    let mut body = Vec::new();
    batch::append(&mut body, 0, b"x", "KEYS\u{1}k~\u{2}").unwrap();
    let wrong = body.iter().position(|byte| *byte == b'~').unwrap();
    body[wrong] = 0xFF;
    let mut command = send("T", "", "").with_body(body);
    command.code = RequestCode::SEND_BATCH_MESSAGE.0;
    assert_eq!(code(&mut rig, command).0, ResponseCode::SUCCESS);
    let message = rig.pull_all("T").remove(0);
    let key = message.message.properties.get("KEYS");
    assert_eq!(key, Some("k\u{FFFD}"));
}

#[test]
fn compressed_bodies_are_kept_as_they_came() {
    let mut rig = async_rig();
    let mut command = send("T", "", "these bytes are not looked at");
    let flags = sys_flag::COMPRESSED | (3 << 8);
    command.ext.set("f", &flags.to_string());
    rig.call(command);
    let message = rig.pull_all("T").remove(0);
    assert_eq!(message.sys_flag & flags, flags);
    assert_eq!(&message.message.body[..], b"these bytes are not looked at");
}

#[test]
fn settings_of_the_topic_show_in_its_messages() {
    let mut rig = async_rig();
    let mut tagged = TopicConfig::new("tagged", 1, perm::READ | perm::WRITE);
    tagged.topic_filter_type = "MULTI_TAG".to_owned();
    let mut compacted = TopicConfig::new("compacted", 1, perm::READ | perm::WRITE);
    compacted
        .attributes
        .insert("cleanup.policy".to_owned(), "COMPACTION".to_owned());
    let now_ms = rig.clock.now_ms();
    rig.broker.topics.update([tagged, compacted], now_ms);
    rig.call(send("tagged", "TAGS\u{1}A\u{2}", "x"));
    let message = rig.pull_all("tagged").remove(0);
    assert_eq!(
        message.sys_flag & sys_flag::MULTI_TAGS,
        sys_flag::MULTI_TAGS
    );

    for without in ["", "KEYS\u{1} \u{2}"] {
        let (refused, remark) = code(&mut rig, send("compacted", without, "x"));
        assert_eq!(refused, ResponseCode::MESSAGE_ILLEGAL);
        assert!(remark.contains("key"), "{remark}");
    }
    let keyed = send("compacted", "KEYS\u{1}k\u{2}", "x");
    assert_eq!(code(&mut rig, keyed).0, ResponseCode::SUCCESS);
}

#[test]
fn a_retry_that_came_too_often_is_a_dead_letter_without_delay() {
    let mut rig = async_rig();
    for (times, topic) in [(3, "%RETRY%G"), (4, "%DLQ%G")] {
        let mut command = send("%RETRY%G", "", "worn");
        command.ext.set("j", &times.to_string());
        command.ext.set("l", "3");
        rig.call(command);
        let message = rig.pull_all(topic).remove(0);
        assert_eq!(message.reconsume_times, times, "{topic}");
    }
    let dead = rig.pull_all("%DLQ%G").remove(0);
    assert_eq!(dead.message.properties.get(property::DELAY), Some("-1"));
    let topic = rig.broker.topics.get("%DLQ%G").unwrap();
    assert_eq!((topic.write_queue_nums, topic.perm), (1, 6));
}

#[test]
fn the_trace_topic_is_there_when_it_is_switched_on() {
    let rig = async_rig();
    assert!(rig.broker.topics.get(name::TRACE_TOPIC).is_none());
    let mut rig = Rig::configured(BrokerConfig {
        trace_topic_enable: true,
        msg_trace_topic_name: "my_traces".to_owned(),
        auto_create_topic_enable: false,
        ..config()
    });
    let topic = rig.broker.topics.get("my_traces").unwrap();
    assert_eq!((topic.write_queue_nums, topic.perm), (1, 6));
    assert!(rig.broker.topics.is_system("my_traces"));
    assert_eq!(
        code(&mut rig, send("my_traces", "", "t")).0,
        ResponseCode::SUCCESS
    );
}

#[test]
fn sends_are_refused_as_busy_only_while_too_much_waits_for_the_disk() {
    let mut rig = Rig::configured(BrokerConfig {
        flush_disk_type: FlushDiskType::Sync,
        send_bytes_in_flight_max: 10_000,
        ..config()
    });
    let large = "x".repeat(6_000);
    assert!(rig.handle(vec![send("T", "", &large)]).is_empty());
    assert!(rig.handle(vec![send("T", "", &large)]).is_empty());
    let (refused, remark) = code(&mut rig, send("T", "", "one more"));
    assert_eq!(refused, ResponseCode::SYSTEM_BUSY);
    assert!(remark.contains("sendBytesInFlightMax"), "{remark}");
    rig.flush();
    assert_eq!(rig.later().len(), 2);
    assert!(rig.handle(vec![send("T", "", "goes on")]).is_empty());
    // What is answered as late is in flight no longer.
    assert!(rig.handle(vec![send("T", "", &large)]).is_empty());
    assert!(rig.handle(vec![send("T", "", &large)]).is_empty());
    rig.advance(5_000);
    assert_eq!(rig.later().len(), 3);
    assert!(rig.handle(vec![send("T", "", "again")]).is_empty());
}

#[test]
fn a_full_disk_is_told_by_the_brokers_name_and_not_by_its_directory() {
    let mut rig = async_rig();
    rig.call(send("T", "", "fits"));
    rig.disk.inject(Fault {
        after: 0,
        kind: FaultKind::NoSpace,
        is_lasting: true,
    });
    let mut remark = String::new();
    for _ in 0..400 {
        let (refused, text) = code(&mut rig, send("T", "", &"x".repeat(100_000)));
        if refused == ResponseCode::SERVICE_NOT_AVAILABLE {
            remark = text;
            break;
        }
    }
    let name = rig.broker.config.broker_name.clone();
    assert!(
        remark.contains(&name) && remark.contains("fileReservedTime"),
        "{remark}"
    );
    assert!(!remark.contains("/store"), "{remark}");
}
