// SPDX-License-Identifier: Apache-2.0
//! Requests that a client has to answer before the broker does.

use kerolox_protocol::LanguageCode;
use kerolox_protocol::body;
use kerolox_protocol::body::consumer_status::ConsumerStatus;
use kerolox_protocol::body::heartbeat::{ConsumerData, HeartbeatData, ProducerData};
use kerolox_protocol::body::queue::MessageQueue;
use kerolox_protocol::header::client_query::{
    ConsumeMessageDirectlyRequestHeader, GetConsumerRunningInfoRequestHeader,
    GetConsumerStatusRequestHeader,
};
use kerolox_protocol::header::reply::ReplyMessageRequestHeader;

use super::*;

/// Registers a client in consumer group `G` and producer group `P`.
fn beat(rig: &Rig, session: &Arc<Session>, client_id: &str) {
    let heartbeat = HeartbeatData {
        client_id: client_id.to_owned(),
        consumer_data_set: vec![ConsumerData {
            group_name: "G".to_owned(),
            ..ConsumerData::default()
        }],
        producer_data_set: vec![ProducerData {
            group_name: "P".to_owned(),
        }],
        ..HeartbeatData::default()
    };
    let mut command = kerolox_protocol::command::request(RequestCode::HEART_BEAT)
        .with_body(body::encode(&heartbeat));
    command.language = LanguageCode::Java;
    let replies = rig.handle_on(session, command);
    assert_eq!(replies[0].response_code(), ResponseCode::SUCCESS);
    session.drain();
}

fn running_info<'a>(group: &'a str, client_id: &'a str) -> Command {
    let header = GetConsumerRunningInfoRequestHeader {
        consumer_group: group,
        client_id,
        jstack_enable: Some(true),
    };
    Command::request(RequestCode::GET_CONSUMER_RUNNING_INFO, &header)
}

/// The one request that reached a client.
fn asked(session: &Session) -> Command {
    let mut commands = decode(session.drain());
    assert_eq!(commands.len(), 1, "{commands:?}");
    let command = commands.remove(0);
    assert!(!command.is_response() && !command.is_oneway());
    command
}

#[test]
fn a_question_goes_to_the_member_and_its_answer_to_who_asked() {
    let mut rig = async_rig();
    let consumer = rig.connect(2);
    beat(&rig, &consumer, "c@1");
    let mut question = running_info("G", "c@1");
    question.ext.set("unknown", "kept");
    assert!(rig.handle(vec![question]).is_empty());
    let question = asked(&consumer);
    assert_eq!(
        question.request_code(),
        RequestCode::GET_CONSUMER_RUNNING_INFO
    );
    assert_eq!(question.ext.get("jstackEnable"), Some("true"));
    assert_eq!(question.ext.get("unknown"), Some("kept"));
    let answer = Command::reply_to(&question, ResponseCode::SUCCESS).with_body("{\"x\":1}");
    assert!(rig.handle_on(&consumer, answer.clone()).is_empty());
    let replies = rig.later();
    assert_eq!(replies.len(), 1);
    assert_eq!(replies[0].opaque, rig.opaque);
    assert_eq!(replies[0].response_code(), ResponseCode::SUCCESS);
    assert_eq!(&replies[0].body[..], b"{\"x\":1}");
    // A second answer, and one to nothing, are of no consequence.
    assert!(rig.handle_on(&consumer, answer).is_empty());
    assert!(rig.later().is_empty() && rig.broker.calls.is_empty());
}

#[test]
fn refusals_of_a_member_and_its_silence_and_leaving_are_told() {
    let mut rig = async_rig();
    let consumer = rig.connect(2);
    beat(&rig, &consumer, "c@1");
    rig.handle(vec![running_info("G", "c@1")]);
    let refusal = Command::reply_to(&asked(&consumer), ResponseCode::SYSTEM_ERROR)
        .with_remark("no such group here");
    rig.handle_on(&consumer, refusal);
    let reply = rig.later().remove(0);
    assert_eq!(reply.response_code(), ResponseCode::SYSTEM_ERROR);
    assert_eq!(reply.remark.as_deref(), Some("no such group here"));

    rig.handle(vec![running_info("G", "c@1")]);
    rig.advance(9_900);
    assert!(rig.later().is_empty());
    rig.advance(100);
    let reply = rig.later().remove(0);
    assert_eq!(reply.response_code(), ResponseCode::CONSUME_MSG_TIMEOUT);
    assert!(reply.remark.unwrap().contains("c@1"));

    rig.handle(vec![running_info("G", "c@1")]);
    consumer.close();
    rig.broker.closed(&consumer);
    let reply = rig.later().remove(0);
    assert_eq!(reply.response_code(), ResponseCode::SYSTEM_ERROR);

    let absent = rig.call(running_info("G", "c@1"));
    assert_eq!(absent.response_code(), ResponseCode::SYSTEM_ERROR);
    assert!(absent.remark.unwrap().contains("not online"));
    let nameless = kerolox_protocol::command::request(RequestCode::GET_CONSUMER_RUNNING_INFO);
    let remark = rig.call(nameless).remark.unwrap();
    assert!(remark.contains("consumerGroup"), "{remark}");
}

#[test]
fn an_old_member_is_not_asked() {
    let mut rig = async_rig();
    let consumer = rig.connect(2);
    let heartbeat = HeartbeatData {
        client_id: "old".to_owned(),
        consumer_data_set: vec![ConsumerData {
            group_name: "G".to_owned(),
            ..ConsumerData::default()
        }],
        ..HeartbeatData::default()
    };
    let mut command = kerolox_protocol::command::request(RequestCode::HEART_BEAT)
        .with_body(body::encode(&heartbeat));
    command.version = 20;
    rig.handle_on(&consumer, command);
    consumer.drain();
    let reply = rig.call(running_info("G", "old"));
    assert!(reply.remark.unwrap().contains("upgrade"));
    assert!(consumer.drain().is_empty());
}

#[test]
fn a_message_is_consumed_directly_by_the_member_that_was_named() {
    let mut rig = async_rig();
    rig.call(send("T", "TAGS\u{1}A\u{2}", "again"));
    let message = rig.pull_all("T").remove(0);
    let msg_id = message.offset_message_id();
    let consumer = rig.connect(2);
    beat(&rig, &consumer, "c@1");
    let header = ConsumeMessageDirectlyRequestHeader {
        consumer_group: "G",
        client_id: Some("c@1"),
        msg_id: Some(&msg_id),
        topic: Some("T"),
        ..Default::default()
    };
    let question = Command::request(RequestCode::CONSUME_MESSAGE_DIRECTLY, &header);
    assert!(rig.handle(vec![question]).is_empty());
    let question = asked(&consumer);
    let shown = record::decode(&question.body).unwrap();
    assert_eq!(shown, message);
    let header = question
        .header::<ConsumeMessageDirectlyRequestHeader<'_>>()
        .unwrap();
    let name = rig.broker.config.broker_name.as_str();
    assert_eq!(header.broker_name, Some(name));
    assert_eq!(
        (header.topic_sys_flag, header.group_sys_flag),
        (Some(0), Some(0))
    );
    let answer = Command::reply_to(&question, ResponseCode::SUCCESS).with_body("{}");
    rig.handle_on(&consumer, answer);
    assert_eq!(rig.later()[0].response_code(), ResponseCode::SUCCESS);

    for bad in ["", "xyz", "7F00000100002A9F00000000000FFFFF"] {
        let header = ConsumeMessageDirectlyRequestHeader {
            consumer_group: "G",
            client_id: Some("c@1"),
            msg_id: Some(bad),
            ..Default::default()
        };
        let reply = rig.call(Command::request(
            RequestCode::CONSUME_MESSAGE_DIRECTLY,
            &header,
        ));
        assert_eq!(reply.response_code(), ResponseCode::SYSTEM_ERROR, "{bad}");
        assert!(reply.remark.unwrap().contains(bad));
    }
}

#[test]
fn offsets_of_all_members_are_collected_and_the_silent_one_is_missing() {
    let mut rig = async_rig();
    let members: Vec<_> = (2..5).map(|id| rig.connect(id)).collect();
    for (session, id) in members.iter().zip(["a", "b", "c"]) {
        beat(&rig, session, id);
    }
    for session in &members {
        session.drain();
    }
    let header = GetConsumerStatusRequestHeader {
        topic: "T",
        group: "G",
        client_addr: None,
    };
    let question = Command::request(RequestCode::INVOKE_BROKER_TO_GET_CONSUMER_STATUS, &header);
    assert!(rig.handle(vec![question.clone()]).is_empty());
    for (offset, session) in (1..).zip(&members[..2]) {
        let question = asked(session);
        assert_eq!(
            question.code,
            RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT.0
        );
        let body = format!(
            "{{\"consumerTable\":{{}},\"messageQueueTable\":{{{{\"brokerName\":\"b\",\"queueId\":0,\"topic\":\"T\"}}:{offset}}}}}"
        );
        let answer = Command::reply_to(&question, ResponseCode::SUCCESS).with_body(body);
        rig.handle_on(session, answer);
    }
    assert!(rig.later().is_empty(), "one has not answered");
    rig.advance(5_000);
    let reply = rig.later().remove(0);
    let status: ConsumerStatus = body::decode(&reply.body).unwrap();
    let queue = MessageQueue {
        topic: "T".to_owned(),
        broker_name: "b".to_owned(),
        queue_id: 0,
    };
    let offsets: Vec<_> = status
        .consumer_table
        .iter()
        .map(|(client, table)| (client.as_str(), table.0[&queue]))
        .collect();
    assert_eq!(offsets, [("a", 1), ("b", 2)]);

    // One that is named and not there: an empty answer at once.
    let mut named = question;
    named.ext.set("clientAddr", "nobody");
    rig.handle(vec![named]);
    let reply = rig.later().remove(0);
    assert_eq!(reply.response_code(), ResponseCode::SUCCESS);
    let header = GetConsumerStatusRequestHeader {
        topic: "T",
        group: "other",
        client_addr: None,
    };
    let code = RequestCode::INVOKE_BROKER_TO_GET_CONSUMER_STATUS;
    let reply = rig.call(Command::request(code, &header));
    assert_eq!(reply.response_code(), ResponseCode::SYSTEM_ERROR);
}

fn reply_message(to: &str) -> Command {
    let properties = format!("CORRELATION_ID\u{1}7\u{2}REPLY_TO_CLIENT\u{1}{to}\u{2}");
    let mut command = send("DefaultCluster_REPLY_TOPIC", &properties, "the answer");
    command.code = RequestCode::SEND_REPLY_MESSAGE_V2.0;
    command
}

#[test]
fn a_reply_is_pushed_to_who_asked_and_stored() {
    let mut rig = async_rig();
    let asker = rig.connect(2);
    beat(&rig, &asker, "asker");
    assert!(rig.handle(vec![reply_message("asker")]).is_empty());
    let push = asked(&asker);
    assert_eq!(
        push.request_code(),
        RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT
    );
    assert_eq!(&push.body[..], b"the answer");
    let header = push.header::<ReplyMessageRequestHeader<'_>>().unwrap();
    assert_eq!(header.topic, "DefaultCluster_REPLY_TOPIC");
    assert_eq!(
        (header.born_host, header.store_host),
        ("127.0.0.1:50000", "127.0.0.1:10911")
    );
    let properties = header.properties.unwrap();
    for expected in ["CORRELATION_ID\u{1}7", "PUSH_REPLY_TIME\u{1}1700000000000"] {
        assert!(properties.contains(expected), "{properties:?}");
    }
    assert!(
        rig.later().is_empty(),
        "not answered before the push was taken"
    );
    rig.handle_on(&asker, Command::reply_to(&push, ResponseCode::SUCCESS));
    let reply = rig.later().remove(0);
    assert_eq!(reply.response_code(), ResponseCode::SUCCESS);
    let header = reply.header::<SendMessageResponseHeader<'_>>().unwrap();
    let stored = rig.pull_all("DefaultCluster_REPLY_TOPIC").remove(0);
    assert_eq!(header.msg_id, stored.offset_message_id());
    assert_eq!(&stored.message.body[..], b"the answer");
    let properties = &stored.message.properties;
    assert_eq!(properties.get(property::CORRELATION_ID), Some("7"));
    assert_eq!(properties.get(property::PUSH_REPLY_TIME), None);
}

#[test]
fn a_reply_that_can_not_be_pushed_is_refused_but_stored() {
    let mut rig = async_rig();
    let asker = rig.connect(2);
    beat(&rig, &asker, "asker");
    rig.handle(vec![reply_message("nobody")]);
    let reply = rig.later().remove(0);
    assert_eq!(reply.response_code(), ResponseCode::SYSTEM_ERROR);
    assert!(reply.remark.unwrap().contains("nobody"));
    rig.handle(vec![reply_message("asker")]);
    let refusal = Command::reply_to(&asked(&asker), ResponseCode::SYSTEM_ERROR);
    rig.handle_on(&asker, refusal);
    assert_eq!(rig.later()[0].response_code(), ResponseCode::SYSTEM_ERROR);
    rig.handle(vec![reply_message("asker")]);
    rig.advance(10_000);
    assert_eq!(rig.later()[0].response_code(), ResponseCode::SYSTEM_ERROR);
    assert_eq!(rig.pull_all("DefaultCluster_REPLY_TOPIC").len(), 3);

    let mut without = send("DefaultCluster_REPLY_TOPIC", "", "x");
    without.code = RequestCode::SEND_REPLY_MESSAGE_V2.0;
    rig.handle(vec![without]);
    let remark = rig.later().remove(0).remark.unwrap();
    assert!(remark.contains("REPLY_TO_CLIENT"), "{remark}");
    let mut beyond = reply_message("asker");
    beyond.ext.set("e", "99");
    let reply = rig.call(beyond);
    assert_eq!(reply.response_code(), ResponseCode::INVALID_PARAMETER);
    assert_eq!(reply.ext.get("MSG_REGION"), Some("DefaultRegion"));
}

#[test]
fn replies_are_not_stored_if_that_is_switched_off() {
    let mut rig = Rig::configured(BrokerConfig {
        store_reply_message_enable: false,
        ..config()
    });
    let asker = rig.connect(2);
    beat(&rig, &asker, "asker");
    rig.handle(vec![reply_message("asker")]);
    rig.handle_on(
        &asker,
        Command::reply_to(&asked(&asker), ResponseCode::SUCCESS),
    );
    let reply = rig.later().remove(0);
    let header = reply.header::<SendMessageResponseHeader<'_>>().unwrap();
    assert_eq!((header.msg_id, header.queue_offset), ("0", 0));
    assert!(rig.pull_all("DefaultCluster_REPLY_TOPIC").is_empty());
}

#[test]
fn under_sync_flush_a_stored_reply_is_acknowledged_when_it_is_safe() {
    let mut rig = Rig::new(crate::config::FlushDiskType::Sync);
    let asker = rig.connect(2);
    beat(&rig, &asker, "asker");
    rig.handle(vec![reply_message("asker")]);
    rig.handle_on(
        &asker,
        Command::reply_to(&asked(&asker), ResponseCode::SUCCESS),
    );
    assert!(rig.later().is_empty());
    rig.flush();
    let reply = rig.later().remove(0);
    assert_eq!(reply.response_code(), ResponseCode::SUCCESS);
    assert_ne!(reply.ext.get("msgId"), Some("0"));
}
