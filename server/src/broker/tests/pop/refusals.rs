// SPDX-License-Identifier: Apache-2.0
//! Bad input: each field missing, malformed, out of range.

use super::*;

/// The command with one field replaced, or without it.
fn with(command: &Command, field: &str, value: Option<&str>) -> Command {
    let mut changed = command.clone();
    changed.ext = kerolox_protocol::ExtFields::new();
    for (name, text) in command.ext.iter().filter(|(name, _)| *name != field) {
        changed.ext.set(name, text);
    }
    if let Some(value) = value {
        changed.ext.set(field, value);
    }
    changed
}

fn refused(rig: &mut Rig, command: Command, code: ResponseCode, named: &str) {
    let reply = rig.call(command.clone());
    assert_eq!(reply.response_code(), code, "{command:?} -> {reply:?}");
    let remark = reply.remark.unwrap_or_default();
    assert!(remark.contains(named), "{remark} does not name {named}");
}

fn taken(rig: &mut Rig) -> Popped {
    topic(rig, "T", 2);
    send_to(rig, "T", 0, "", "x");
    pop(rig).remove(0)
}

#[test]
fn pops_are_refused_with_the_references_codes() {
    let mut rig = rig();
    topic(&rig, "T", 2);
    let good = request(&header());
    for field in [
        "consumerGroup",
        "topic",
        "queueId",
        "maxMsgNums",
        "invisibleTime",
        "pollTime",
        "initMode",
    ] {
        refused(
            &mut rig,
            with(&good, field, None),
            ResponseCode::SYSTEM_ERROR,
            field,
        );
    }
    for field in [
        "queueId",
        "maxMsgNums",
        "invisibleTime",
        "pollTime",
        "bornTime",
        "initMode",
    ] {
        for bad in ["", "x", "1.5", "99999999999999999999"] {
            refused(
                &mut rig,
                with(&good, field, Some(bad)),
                ResponseCode::SYSTEM_ERROR,
                field,
            );
        }
    }
    for (field, value, code) in [
        ("topic", "unknown", ResponseCode::TOPIC_NOT_EXIST),
        ("topic", "", ResponseCode::TOPIC_NOT_EXIST),
        ("queueId", "2", ResponseCode::INVALID_PARAMETER),
        ("maxMsgNums", "33", ResponseCode::INVALID_PARAMETER),
        (
            "consumerGroup",
            "../g",
            ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST,
        ),
        (
            "invisibleTime",
            "9223372036854775807",
            ResponseCode::INVALID_PARAMETER,
        ),
    ] {
        refused(&mut rig, with(&good, field, Some(value)), code, value);
    }
    let sql = with(&with(&good, "expType", Some("SQL93")), "exp", Some("a > 1"));
    refused(
        &mut rig,
        sql,
        ResponseCode::SUBSCRIPTION_PARSE_FAILED,
        "SQL93",
    );
    let timeout = rig.call(with(&good, "bornTime", Some("1")));
    assert_eq!(timeout.response_code(), ResponseCode::POLLING_TIMEOUT);
    for (field, value) in [
        ("maxMsgNums", "0"),
        ("maxMsgNums", "-7"),
        ("queueId", "-2147483648"),
        ("invisibleTime", "-9223372036854775808"),
        ("pollTime", "-9223372036854775808"),
        ("bornTime", "0"),
        ("initMode", "77"),
    ] {
        let reply = rig.call(with(&good, field, Some(value)));
        assert_eq!(
            reply.response_code(),
            ResponseCode::POLLING_TIMEOUT,
            "{field} {value}"
        );
    }
    let no_read = kerolox_protocol::body::topic::TopicConfig {
        perm: 2,
        ..kerolox_protocol::body::topic::TopicConfig::new("W", 1, 2)
    };
    rig.broker.topics.update([no_read], START_MS);
    refused(
        &mut rig,
        with(&good, "topic", Some("W")),
        ResponseCode::NO_PERMISSION,
        "W",
    );
    let closed = kerolox_protocol::body::group::SubscriptionGroupConfig {
        group_name: "closed".to_owned(),
        consume_enable: false,
        ..Default::default()
    };
    rig.broker.groups.update([closed], START_MS);
    let by_closed = with(&good, "consumerGroup", Some("closed"));
    refused(&mut rig, by_closed, ResponseCode::NO_PERMISSION, "closed");
}

#[test]
fn looks_are_refused_with_the_references_codes() {
    let mut rig = rig();
    topic(&rig, "T", 2);
    let commands = [
        Command::request(
            RequestCode::PEEK_MESSAGE,
            &PeekMessageRequestHeader {
                topic: "T",
                queue_id: -1,
                max_msg_nums: 1,
                consumer_group: "G",
                broker_name: None,
            },
        ),
        Command::request(
            RequestCode::NOTIFICATION,
            &NotificationRequestHeader {
                topic: "T",
                queue_id: -1,
                consumer_group: "G",
                ..Default::default()
            },
        ),
        Command::request(
            RequestCode::POLLING_INFO,
            &PollingInfoRequestHeader {
                topic: "T",
                queue_id: -1,
                consumer_group: "G",
                broker_name: None,
            },
        ),
    ];
    for good in commands {
        for field in ["consumerGroup", "topic", "queueId"] {
            refused(
                &mut rig,
                with(&good, field, None),
                ResponseCode::SYSTEM_ERROR,
                field,
            );
        }
        for (field, value, code) in [
            ("queueId", "x", ResponseCode::SYSTEM_ERROR),
            ("topic", "unknown", ResponseCode::TOPIC_NOT_EXIST),
            ("queueId", "2", ResponseCode::INVALID_PARAMETER),
            (
                "consumerGroup",
                "../g",
                ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST,
            ),
        ] {
            refused(&mut rig, with(&good, field, Some(value)), code, value);
        }
    }
}

#[test]
fn acknowledgements_are_refused_with_the_references_codes() {
    let mut rig = rig();
    let taken = taken(&mut rig);
    let is_change =
        |command: &Command| command.request_code() == RequestCode::CHANGE_MESSAGE_INVISIBLETIME;
    for good in [ack(&taken), change(&taken, 1_000)] {
        for field in ["consumerGroup", "topic", "queueId", "extraInfo", "offset"] {
            refused(
                &mut rig,
                with(&good, field, None),
                ResponseCode::SYSTEM_ERROR,
                field,
            );
        }
        for (field, value, code, named) in [
            ("topic", "unknown", ResponseCode::TOPIC_NOT_EXIST, "unknown"),
            ("queueId", "2", ResponseCode::MESSAGE_ILLEGAL, "queueId[2]"),
            (
                "queueId",
                "-1",
                ResponseCode::MESSAGE_ILLEGAL,
                "queueId[-1]",
            ),
            ("queueId", "x", ResponseCode::SYSTEM_ERROR, "queueId"),
            ("offset", "x", ResponseCode::SYSTEM_ERROR, "offset"),
            ("offset", "-1", ResponseCode::NO_MESSAGE, "commit:-1"),
            ("offset", "2", ResponseCode::NO_MESSAGE, "store:0~1"),
            ("extraInfo", "", ResponseCode::SYSTEM_ERROR, "receipt"),
            (
                "extraInfo",
                "1 2 3",
                ResponseCode::SYSTEM_ERROR,
                "revive queue",
            ),
            (
                "extraInfo",
                "1 2 3 x 0 b 0 0",
                ResponseCode::SYSTEM_ERROR,
                "revive queue",
            ),
            (
                "extraInfo",
                "0 1 1 8 0 broker-a 0 0",
                ResponseCode::MESSAGE_ILLEGAL,
                "revive queue 8",
            ),
        ] {
            refused(&mut rig, with(&good, field, Some(value)), code, named);
        }
        // The end itself passes for an acknowledgement.
        let end = rig.call(with(&good, "offset", Some("1"))).response_code();
        let expected = if is_change(&good) {
            ResponseCode::NO_MESSAGE
        } else {
            ResponseCode::SUCCESS
        };
        assert_eq!(end, expected);
        if is_change(&good) {
            let far = with(&good, "invisibleTime", Some("9223372036854775807"));
            refused(
                &mut rig,
                far,
                ResponseCode::INVALID_PARAMETER,
                "invisibleTime",
            );
            refused(
                &mut rig,
                with(&good, "invisibleTime", None),
                ResponseCode::SYSTEM_ERROR,
                "invisibleTime",
            );
        }
    }
    let extremes = "-9223372036854775808 9223372036854775807 9223372036854775807 0 0 broker-a 0 0";
    rig.call(with(&ack(&taken), "extraInfo", Some(extremes)));
    wait(&rig, 20_000);
}

#[test]
fn batches_are_refused_with_the_references_codes() {
    let mut rig = rig();
    let taken = taken(&mut rig);
    let command = kerolox_protocol::command::request(RequestCode::BATCH_ACK_MESSAGE);
    let receipt = Receipt::parse(&taken.receipt).unwrap();
    let good = format!(
        r#"{{"acks":[{{"b":"AQ==","c":"G","it":{HIDDEN_MS},"pt":{},"q":0,"r":"0","rq":0,"so":0,"t":"T"}}],"brokerName":"broker-a"}}"#,
        receipt.pop_time
    );
    let full = "/".repeat(16);
    for (from, to, code) in [
        ("", "", ResponseCode::SUCCESS),
        ("\"q\":0", "\"q\":77", ResponseCode::SUCCESS),
        (
            "\"so\":0",
            "\"so\":9223372036854775807",
            ResponseCode::SUCCESS,
        ),
        ("AQ==", "", ResponseCode::SUCCESS),
        ("AQ==", "=?", ResponseCode::SYSTEM_ERROR),
        ("\"r\":\"0\"", "\"r\":\"7\"", ResponseCode::SYSTEM_ERROR),
        ("\"rq\":0", "\"rq\":77", ResponseCode::MESSAGE_ILLEGAL),
        ("\"pt\"", "\"pt\":\"x\",\"z\"", ResponseCode::SYSTEM_ERROR),
    ] {
        let reply = rig.call(command.clone().with_body(good.replace(from, to)));
        assert_eq!(reply.response_code(), code, "{from} -> {to}: {reply:?}");
    }
    for body in ["", "{}", "{\"acks\":[]}"] {
        let reply = rig.call(command.clone().with_body(body.to_owned()));
        assert_eq!(reply.response_code(), ResponseCode::NO_MESSAGE, "{body}");
    }
    for n in 0..60 {
        send_to(&mut rig, "T", 0, "", &format!("m{n}"));
    }
    let reply = rig.call(command.with_body(good.replace("AQ==", &full)));
    assert_eq!(reply.response_code(), ResponseCode::MESSAGE_ILLEGAL);
}
