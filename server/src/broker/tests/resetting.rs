// SPDX-License-Identifier: Apache-2.0
//! Offsets of groups: reset, cloned, compared, and the times they stand for.

use kerolox_protocol::body;
use kerolox_protocol::body::consumption::{ConsumeTimeSpans, CorrectionOffsets};
use kerolox_protocol::body::heartbeat::SubscriptionData;
use kerolox_protocol::body::offset::QueueOffsets;
use kerolox_protocol::header::offset::{
    OffsetResponseHeader, QueryConsumerOffsetRequestHeader, UpdateConsumerOffsetRequestHeader,
};
use kerolox_protocol::header::reset::{
    CloneGroupOffsetRequestHeader, QueryConsumeTimeSpanRequestHeader, QueryCorrectionOffsetHeader,
    ResetOffsetRequestHeader,
};

use super::filtering::beat;
use super::*;

const START_MS: i64 = 1_700_000_000_000;

/// Ten messages of one queue, a second apart, the group at 8.
fn rig_with(change: impl FnOnce(&mut BrokerConfig)) -> Rig {
    let mut rig = Rig::with(|config| {
        config.default_topic_queue_nums = 1;
        change(config);
    });
    for n in 0..10 {
        rig.call(send("T", "", &n.to_string()));
        rig.advance(1_000);
    }
    rig.call(pull("T", 0, "*", 0));
    commit(&mut rig, "G", 8);
    rig
}

fn commit(rig: &mut Rig, group: &str, offset: i64) -> Command {
    let header = UpdateConsumerOffsetRequestHeader {
        consumer_group: group,
        topic: "T",
        queue_id: Some(0),
        commit_offset: Some(offset),
        broker_name: None,
    };
    let reply = rig.call(Command::request(
        RequestCode::UPDATE_CONSUMER_OFFSET,
        &header,
    ));
    assert_eq!(reply.response_code(), ResponseCode::SUCCESS, "{reply:?}");
    reply
}

fn committed(rig: &mut Rig, group: &str) -> Option<i64> {
    let header = QueryConsumerOffsetRequestHeader {
        consumer_group: group,
        topic: "T",
        queue_id: 0,
        set_zero_if_not_found: Some(false),
        broker_name: None,
    };
    let reply = rig.call(Command::request(
        RequestCode::QUERY_CONSUMER_OFFSET,
        &header,
    ));
    let found = reply.response_code() == ResponseCode::SUCCESS;
    found.then(|| reply.header::<OffsetResponseHeader>().unwrap().offset)
}

fn reset(header: &ResetOffsetRequestHeader<'_>) -> Command {
    Command::request(RequestCode::INVOKE_BROKER_TO_RESET_OFFSET, header)
}

fn by_time(timestamp: i64) -> ResetOffsetRequestHeader<'static> {
    ResetOffsetRequestHeader {
        topic: "T",
        group: "G",
        timestamp,
        is_force: Some(true),
        ..Default::default()
    }
}

/// The offsets that an answer tells, by queue.
fn told(reply: &Command) -> Vec<(i32, i64)> {
    assert_eq!(reply.response_code(), ResponseCode::SUCCESS, "{reply:?}");
    let body: QueueOffsets = body::decode(&reply.body).unwrap();
    let entries = body.offset_table.0.into_iter();
    entries
        .map(|(queue, offset)| (queue.queue_id, offset))
        .collect()
}

fn next_of(reply: &Command) -> (ResponseCode, i64) {
    let fields = reply.header::<PullMessageResponseHeader>().unwrap();
    (reply.response_code(), fields.next_begin_offset)
}

#[test]
fn a_reset_by_time_is_told_by_the_next_pull_once() {
    let mut rig = rig_with(|_| {});
    let reply = rig.call(reset(&by_time(START_MS + 3_000)));
    assert_eq!(told(&reply), [(0, 3)]);
    assert_eq!(committed(&mut rig, "G"), Some(3));
    // What the client still commits does not undo it.
    let ignored = commit(&mut rig, "G", 9);
    assert_eq!(
        ignored.remark.as_deref(),
        Some("Offset has been previously reset")
    );
    assert_eq!(committed(&mut rig, "G"), Some(3));
    let header = PullMessageRequestHeader {
        consumer_group: "G",
        topic: "T",
        queue_offset: 8,
        max_msg_nums: 32,
        sys_flag: pull_flag::SUBSCRIPTION | pull_flag::COMMIT_OFFSET,
        commit_offset: 8,
        ..Default::default()
    };
    let moved = rig.call(Command::request(RequestCode::PULL_MESSAGE, &header));
    assert_eq!(next_of(&moved), (ResponseCode::PULL_OFFSET_MOVED, 3));
    assert_eq!(moved.remark.as_deref(), Some("OFFSET_RESET"));
    assert_eq!(committed(&mut rig, "G"), Some(3));
    let again = rig.call(pull("T", 3, "*", 0));
    assert_eq!(next_of(&again), (ResponseCode::SUCCESS, 10));
    commit(&mut rig, "G", 10);
    assert_eq!(committed(&mut rig, "G"), Some(10));
}

#[test]
fn a_waiting_pull_learns_of_a_reset_at_once() {
    let mut rig = rig_with(|_| {});
    assert!(rig.handle(vec![pull("T", 10, "*", 15_000)]).is_empty());
    let mut other = by_time(START_MS);
    other.group = "TOOLS_CONSUMER";
    rig.call(reset(&other));
    assert!(rig.later().is_empty(), "another group's");
    rig.call(reset(&by_time(START_MS)));
    assert_eq!(
        next_of(&rig.later()[0]),
        (ResponseCode::PULL_OFFSET_MOVED, 0)
    );
}

#[test]
fn a_reset_goes_to_an_offset_a_time_or_the_end() {
    let mut rig = rig_with(|_| {});
    let one = |offset| ResetOffsetRequestHeader {
        queue_id: Some(0),
        offset,
        ..by_time(START_MS + 5_000)
    };
    assert_eq!(told(&rig.call(reset(&one(Some(4))))), [(0, 4)]);
    assert_eq!(
        told(&rig.call(reset(&one(Some(11))))),
        [(0, 11)],
        "one behind the end is let through"
    );
    assert_eq!(told(&rig.call(reset(&one(None)))), [(0, 5)]);
    assert_eq!(told(&rig.call(reset(&one(Some(-1))))), [(0, 5)]);
    assert_eq!(told(&rig.call(reset(&by_time(-1)))), [(0, 10)]);
    let late = told(&rig.call(reset(&by_time(START_MS + 1_000_000))));
    assert!(late == [(0, 10)] || late == [(0, 9)], "{late:?}");
    for beyond in [12, -2] {
        let reply = rig.call(reset(&one(Some(beyond))));
        assert_eq!(reply.response_code(), ResponseCode::SYSTEM_ERROR);
        assert!(reply.remark.unwrap().contains("range [0-10]"));
    }
    for (topic, group, queue_id, code) in [
        ("X", "G", -1, ResponseCode::TOPIC_NOT_EXIST),
        ("T", "X", -1, ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST),
        ("T", "G", 7, ResponseCode::INVALID_PARAMETER),
    ] {
        let header = ResetOffsetRequestHeader {
            topic,
            group,
            queue_id: Some(queue_id),
            ..by_time(0)
        };
        assert_eq!(rig.call(reset(&header)).response_code(), code);
    }
}

#[test]
fn without_the_servers_part_members_are_told_to_reset() {
    let mut rig = rig_with(|config| config.use_server_side_reset_offset = false);
    let reply = rig.call(reset(&by_time(START_MS)));
    assert_eq!(reply.response_code(), ResponseCode::CONSUMER_NOT_ONLINE);
    rig.call(beat("G", vec![SubscriptionData::tags("T", "*", 1)]));
    rig.later();
    assert_eq!(told(&rig.call(reset(&by_time(START_MS + 2_000)))), [(0, 2)]);
    let sent = rig.later();
    assert_eq!(
        sent[0].request_code(),
        RequestCode::RESET_CONSUMER_CLIENT_OFFSET
    );
    assert!(sent[0].is_oneway());
    let body: QueueOffsets = body::decode(&sent[0].body).unwrap();
    assert_eq!(body.offset_table.0.into_values().collect::<Vec<_>>(), [2]);
    assert_eq!(committed(&mut rig, "G"), Some(8), "the client decides");

    // Without force never forwards.
    let header = ResetOffsetRequestHeader {
        is_force: Some(false),
        ..by_time(START_MS + 9_000)
    };
    assert_eq!(told(&rig.call(reset(&header))), [(0, 8)]);
    let mut cpp = reset(&by_time(START_MS));
    cpp.language = kerolox_protocol::LanguageCode::Cpp;
    rig.later();
    rig.call(cpp);
    let list = String::from_utf8(rig.later()[0].body.to_vec()).unwrap();
    assert!(
        list.contains("[{\"brokerName\"") && list.contains("\"offset\":0"),
        "{list}"
    );
}

#[test]
fn offsets_are_cloned_and_compared() {
    let mut rig = rig_with(|_| {});
    let clone = |topic| {
        let header = CloneGroupOffsetRequestHeader {
            src_group: "G",
            dest_group: "H",
            topic,
            offline: Some(true),
        };
        Command::request(RequestCode::CLONE_GROUP_OFFSET, &header)
    };
    rig.call(clone(Some("X")));
    assert_eq!(committed(&mut rig, "H"), None);
    for topic in [Some("T"), Some(" "), None] {
        rig.broker.offsets.remove_group("H");
        assert_eq!(
            rig.call(clone(topic)).response_code(),
            ResponseCode::SUCCESS
        );
        assert_eq!(committed(&mut rig, "H"), Some(8), "{topic:?}");
    }

    let correct = |rig: &mut Rig, filter_groups, compare_group| {
        let header = QueryCorrectionOffsetHeader {
            filter_groups,
            compare_group,
            topic: "T",
        };
        let reply = rig.call(Command::request(
            RequestCode::QUERY_CORRECTION_OFFSET,
            &header,
        ));
        let body: CorrectionOffsets = body::decode(&reply.body).unwrap();
        body.correction_offsets.get(&0).copied()
    };
    let client = rig.session.peer();
    rig.broker.offsets.commit(client, "H", "T", 0, 4);
    assert_eq!(correct(&mut rig, None, "G"), Some(4));
    assert_eq!(correct(&mut rig, Some("H,x"), "G"), Some(8));
    assert_eq!(committed(&mut rig, "H"), Some(4), "nothing is deleted");
    rig.broker.offsets.commit(client, "H", "T", 0, 4);
    assert_eq!(correct(&mut rig, Some("H"), "H"), Some(i64::MAX));
}

#[test]
fn consume_time_span_tells_first_last_and_consumed() {
    let mut rig = rig_with(|_| {});
    let header = QueryConsumeTimeSpanRequestHeader {
        topic: "T",
        group: "G",
    };
    let command = || Command::request(RequestCode::QUERY_CONSUME_TIME_SPAN, &header);
    let reply = rig.call(command());
    let spans: ConsumeTimeSpans = body::decode(&reply.body).unwrap();
    let span = &spans.consume_time_span_set[0];
    assert_eq!(span.message_queue.queue_id, 0);
    assert_eq!(
        (span.min_time_stamp, span.max_time_stamp),
        (START_MS, START_MS + 9_000)
    );
    // Message 7 was consumed last, message 8 waits since two seconds.
    assert_eq!(
        (span.consume_time_stamp, span.delay_time),
        (START_MS + 7_000, 2_000)
    );
    commit(&mut rig, "G", 10);
    let reply = rig.call(command());
    let spans: ConsumeTimeSpans = body::decode(&reply.body).unwrap();
    assert_eq!(spans.consume_time_span_set[0].delay_time, 0);
    let header = QueryConsumeTimeSpanRequestHeader {
        topic: "X",
        group: "G",
    };
    let unknown = rig.call(Command::request(
        RequestCode::QUERY_CONSUME_TIME_SPAN,
        &header,
    ));
    assert_eq!(unknown.response_code(), ResponseCode::TOPIC_NOT_EXIST);
}

/// The command with one field changed, or without it.
fn changed(command: &Command, name: &str, value: Option<&str>) -> Command {
    let mut fields = kerolox_protocol::ext::ExtFields::new();
    for (field, old) in command.ext.iter() {
        match (field == name, value) {
            (true, Some(value)) => fields.set(field, value),
            (true, None) => {}
            (false, _) => fields.set(field, old),
        }
    }
    Command {
        ext: fields,
        ..command.clone()
    }
}

#[test]
fn fields_that_are_missing_or_make_no_sense_are_named_and_kill_nothing() {
    let mut rig = rig_with(|_| {});
    let clone = CloneGroupOffsetRequestHeader {
        src_group: "G",
        dest_group: "H",
        topic: Some("T"),
        offline: Some(false),
    };
    let correction = QueryCorrectionOffsetHeader {
        filter_groups: Some("x"),
        compare_group: "G",
        topic: "T",
    };
    let span = QueryConsumeTimeSpanRequestHeader {
        topic: "T",
        group: "G",
    };
    let forbidden = kerolox_protocol::header::reset::UpdateGroupForbiddenRequestHeader {
        group: "G",
        topic: "T",
        readable: Some(true),
    };
    let whole = ResetOffsetRequestHeader {
        queue_id: Some(0),
        offset: Some(1),
        ..by_time(START_MS)
    };
    let commands: [(Command, &[&str], &[&str]); 5] = [
        (
            reset(&whole),
            &["topic", "group", "timestamp"],
            &["queueId", "offset", "timestamp"],
        ),
        (
            Command::request(RequestCode::CLONE_GROUP_OFFSET, &clone),
            &["srcGroup", "destGroup"],
            &[],
        ),
        (
            Command::request(RequestCode::QUERY_CORRECTION_OFFSET, &correction),
            &["compareGroup", "topic"],
            &[],
        ),
        (
            Command::request(RequestCode::QUERY_CONSUME_TIME_SPAN, &span),
            &["topic", "group"],
            &[],
        ),
        (
            Command::request(RequestCode::UPDATE_AND_GET_GROUP_FORBIDDEN, &forbidden),
            &["group", "topic"],
            &[],
        ),
    ];
    let huge = "9".repeat(70_000);
    for (command, required, numbers) in &commands {
        assert_eq!(
            rig.call(command.clone()).response_code(),
            ResponseCode::SUCCESS
        );
        for name in *required {
            let reply = rig.call(changed(command, name, None));
            assert_eq!(reply.response_code(), ResponseCode::SYSTEM_ERROR);
            assert!(reply.remark.unwrap().contains(name));
        }
        for name in *numbers {
            let reply = rig.call(changed(command, name, Some("1x")));
            assert_eq!(reply.response_code(), ResponseCode::SYSTEM_ERROR);
            assert!(reply.remark.unwrap().contains("'1x'"));
        }
        let names: Vec<String> = command
            .ext
            .iter()
            .map(|(name, _)| name.to_owned())
            .collect();
        for name in &names {
            let odd = [
                "",
                "-1",
                "0",
                "true",
                "@",
                "9223372036854775807",
                "-9223372036854775808",
                &huge,
            ];
            for value in odd {
                let reply = rig.call(changed(command, name, Some(value)));
                let remark = reply.remark.unwrap_or_default();
                assert!(remark.len() < 200_000, "{name}");
            }
        }
    }
    assert_eq!(
        rig.call(pull("T", 0, "*", 0)).response_code(),
        ResponseCode::PULL_OFFSET_MOVED
    );
}
