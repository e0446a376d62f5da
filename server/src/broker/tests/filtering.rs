// SPDX-License-Identifier: Apache-2.0
//! Filters by properties: with the pull, from heartbeats, while waiting, and by the bits of the extension.

use kerolox_protocol::body;
use kerolox_protocol::body::heartbeat::{
    CheckClientRequest, ConsumerData, HeartbeatData, SubscriptionData,
};
use kerolox_protocol::header::NoHeader;

use super::*;
use crate::store::MessageFilter;

fn sql_rig() -> Rig {
    Rig::with(|config| config.enable_property_filter = true)
}

fn colour(value: &str) -> String {
    format!("colour\u{1}{value}\u{2}")
}

/// A pull that carries its expression.
fn pull_by(topic: &str, kind: &str, expression: &str, hold_ms: i64) -> Command {
    let suspend = if hold_ms > 0 { pull_flag::SUSPEND } else { 0 };
    let header = PullMessageRequestHeader {
        consumer_group: "G",
        topic,
        max_msg_nums: 32,
        sys_flag: pull_flag::SUBSCRIPTION | suspend,
        suspend_timeout_millis: hold_ms,
        subscription: Some(expression),
        expression_type: Some(kind),
        ..Default::default()
    };
    Command::request(RequestCode::PULL_MESSAGE, &header)
}

/// A pull that relies on the group's heartbeat.
pub(super) fn pull_registered(topic: &str, version: i64) -> Command {
    let header = PullMessageRequestHeader {
        consumer_group: "G",
        topic,
        max_msg_nums: 32,
        sub_version: version,
        ..Default::default()
    };
    Command::request(RequestCode::PULL_MESSAGE, &header)
}

fn sql(topic: &str, expression: &str, version: i64) -> SubscriptionData {
    SubscriptionData {
        topic: topic.to_owned(),
        sub_string: expression.to_owned(),
        expression_type: "SQL92".to_owned(),
        sub_version: version,
        ..SubscriptionData::default()
    }
}

pub(super) fn beat(group: &str, subscriptions: Vec<SubscriptionData>) -> Command {
    let heartbeat = HeartbeatData {
        client_id: "c1".to_owned(),
        consumer_data_set: vec![ConsumerData {
            group_name: group.to_owned(),
            subscription_data_set: subscriptions,
            ..ConsumerData::default()
        }],
        ..HeartbeatData::default()
    };
    Command::request(RequestCode::HEART_BEAT, &NoHeader).with_body(body::encode(&heartbeat))
}

fn bodies(reply: &Command) -> Vec<String> {
    let messages = record::decode_all(reply.body.clone()).into_iter();
    messages
        .map(|found| String::from_utf8(found.message.body.to_vec()).unwrap())
        .collect()
}

#[track_caller]
fn refused(reply: &Command, code: ResponseCode, part: &str) {
    assert_eq!(reply.response_code(), code, "{reply:?}");
    let remark = reply.remark.as_deref().unwrap_or_default();
    assert!(remark.contains(part), "{remark}");
}

#[test]
fn an_expression_of_the_pull_selects_messages() {
    let mut rig = sql_rig();
    for (n, value) in ["red", "blue", "red", "green"].iter().enumerate() {
        rig.call(send("T", &colour(value), &n.to_string()));
    }
    let reply = rig.call(pull_by("T", "SQL92", "colour = 'red'", 0));
    assert_eq!(reply.response_code(), ResponseCode::SUCCESS);
    assert_eq!(bodies(&reply), ["0", "2"]);
    let header = reply.header::<PullMessageResponseHeader>().unwrap();
    assert_eq!((header.next_begin_offset, header.max_offset), (4, 4));

    let reply = rig.call(pull_by("T", "SQL92", "colour = 'black'", 0));
    refused(
        &reply,
        ResponseCode::PULL_RETRY_IMMEDIATELY,
        "NO_MATCHED_MESSAGE",
    );
    let header = reply.header::<PullMessageResponseHeader>().unwrap();
    assert_eq!(header.next_begin_offset, 4);
}

#[test]
fn expressions_that_can_not_be_used_are_refused_with_the_reason() {
    let mut rig = sql_rig();
    rig.call(send("T", "", "m"));
    let failed = ResponseCode::SUBSCRIPTION_PARSE_FAILED;
    for (kind, expression, part) in [
        ("SQL92", "colour ==", "wrong at byte"),
        ("SQL92", "", "the SQL92 expression is missing"),
        ("SQL93", "a = 1", "'SQL93', allowed: TAG, SQL92"),
        ("TAG", "||", "no tag"),
    ] {
        let reply = rig.call(pull_by("T", kind, expression, 0));
        refused(&reply, failed, part);
    }
    let check = |subscription_data| {
        let wanted = CheckClientRequest {
            client_id: "c1".to_owned(),
            group: "G".to_owned(),
            subscription_data,
        };
        Command::request(RequestCode::CHECK_CLIENT_CONFIG, &NoHeader)
            .with_body(body::encode(&wanted))
    };
    refused(
        &rig.call(check(sql("T", "a = ", 1))),
        failed,
        "Invalid MessageSelector",
    );
    let good = rig.call(check(sql("T", "a = 1", 1)));
    assert_eq!(good.response_code(), ResponseCode::SUCCESS);

    let mut off = async_rig();
    off.call(send("T", "", "m"));
    for command in [
        pull_by("T", "SQL92", "a = 1", 0),
        check(sql("T", "a = 1", 1)),
    ] {
        refused(
            &off.call(command),
            ResponseCode::SYSTEM_ERROR,
            "enablePropertyFilter is false",
        );
    }
    let tags = off.call(check(SubscriptionData::tags("T", "a", 1)));
    assert_eq!(tags.response_code(), ResponseCode::SUCCESS);
}

#[test]
fn filters_of_heartbeats_are_known_by_version() {
    let mut rig = sql_rig();
    rig.call(send("T", &colour("red"), "r"));
    rig.call(send("T", &colour("blue"), "b"));
    let missing = ResponseCode::SUBSCRIPTION_NOT_EXIST;
    refused(
        &rig.call(pull_registered("T", 5)),
        missing,
        "group info not exist",
    );
    rig.call(beat("G", vec![sql("U", "a = 1", 5)]));
    refused(
        &rig.call(pull_registered("T", 5)),
        missing,
        "subscription not exist",
    );
    rig.call(beat("G", vec![sql("T", "colour ==", 5)]));
    let reply = rig.call(pull_registered("T", 5));
    refused(&reply, ResponseCode::FILTER_DATA_NOT_EXIST, "'colour =='");
    rig.call(beat("G", vec![sql("T", "colour = 'red'", 6)]));
    let reply = rig.call(pull_registered("T", 7));
    refused(
        &reply,
        ResponseCode::SUBSCRIPTION_NOT_LATEST,
        "version 6, the pull 7",
    );
    let reply = rig.call(pull_registered("T", 6));
    assert_eq!(bodies(&reply), ["r"]);
    // What is registered by one group does not concern another.
    assert_eq!(bodies(&rig.call(pull("T", 0, "*", 0))), ["r", "b"]);
}

#[test]
fn a_filter_older_than_the_pull_is_said_to_be_so() {
    let mut rig = sql_rig();
    rig.call(send("T", "", "m"));
    rig.call(beat("G", vec![sql("T", "a = 1", 5)]));
    // A newer subscription that never got into the table of filters: a heartbeat in two halves.
    let newer = ConsumerData {
        group_name: "G".to_owned(),
        subscription_data_set: vec![sql("T", "a = 1", 6)],
        ..ConsumerData::default()
    };
    let member = crate::broker::clients::Member {
        session: Arc::clone(&rig.session),
        client_id: "c1".to_owned(),
        language: kerolox_protocol::LanguageCode::Java,
        version: 0,
        last_seen_ms: rig.clock.now_ms(),
    };
    let beat = crate::broker::clients::Beat::default();
    rig.broker.clients.register_consumer(member, &newer, beat);
    let reply = rig.call(pull_registered("T", 6));
    refused(
        &reply,
        ResponseCode::FILTER_DATA_NOT_LATEST,
        "version 5, the pull 6",
    );
}

#[test]
fn a_waiting_pull_wakes_only_for_what_matches() {
    let mut rig = sql_rig();
    rig.call(send("T", &colour("red"), "0"));
    let command = pull_by("T", "SQL92", "colour = 'blue'", 15_000);
    // Nothing matches yet: the client is told to go on at 1, and waits there.
    let reply = rig.call(command);
    assert_eq!(reply.response_code(), ResponseCode::PULL_RETRY_IMMEDIATELY);
    let header = PullMessageRequestHeader {
        consumer_group: "G",
        topic: "T",
        queue_offset: 1,
        max_msg_nums: 32,
        sys_flag: pull_flag::SUBSCRIPTION | pull_flag::SUSPEND,
        suspend_timeout_millis: 15_000,
        subscription: Some("colour = 'blue'"),
        expression_type: Some("SQL92"),
        ..Default::default()
    };
    assert!(
        rig.handle(vec![Command::request(RequestCode::PULL_MESSAGE, &header)])
            .is_empty()
    );
    rig.call(send("T", &colour("red"), "1"));
    rig.call(send("T", "", "2"));
    assert!(rig.later().is_empty() && rig.broker.long_poll.len() == 1);
    rig.call(send("T", &colour("blue"), "3"));
    let woken = rig.later();
    assert_eq!((woken.len(), bodies(&woken[0])), (1, vec!["3".to_owned()]));

    // Without a match its time ends with "go on behind what was looked at".
    let header = PullMessageRequestHeader {
        queue_offset: 4,
        ..header
    };
    rig.handle(vec![Command::request(RequestCode::PULL_MESSAGE, &header)]);
    rig.call(send("T", &colour("red"), "4"));
    rig.advance(15_000);
    let ended = rig.later();
    assert_eq!(
        ended[0].response_code(),
        ResponseCode::PULL_RETRY_IMMEDIATELY
    );
    let fields = ended[0].header::<PullMessageResponseHeader>().unwrap();
    assert_eq!(fields.next_begin_offset, 5);
}

#[test]
fn a_waiting_pull_follows_a_newer_expression_of_its_group() {
    let mut rig = sql_rig();
    rig.call(send("T", "", "0"));
    rig.call(beat("G", vec![sql("T", "colour = 'blue'", 5)]));
    let header = PullMessageRequestHeader {
        consumer_group: "G",
        topic: "T",
        queue_offset: 1,
        max_msg_nums: 32,
        sys_flag: pull_flag::SUSPEND,
        suspend_timeout_millis: 15_000,
        sub_version: 5,
        ..Default::default()
    };
    assert!(
        rig.handle(vec![Command::request(RequestCode::PULL_MESSAGE, &header)])
            .is_empty()
    );
    rig.call(beat("G", vec![sql("T", "colour = 'red'", 6)]));
    // The notice of the group's first member.
    rig.later();
    rig.call(send("T", &colour("blue"), "1"));
    assert!(rig.later().is_empty());
    rig.call(send("T", &colour("red"), "2"));
    assert_eq!(bodies(&rig.later()[0]), ["2"]);
}

#[test]
fn bits_of_the_extension_spare_the_reading_of_records() {
    let mut rig = Rig::with(|config| {
        config.enable_property_filter = true;
        config.enable_consume_queue_ext = true;
        config.enable_calc_filter_bit_map = true;
        config.mapped_file_size_consume_queue_ext = 4_096;
    });
    rig.call(send("T", &colour("blue"), "before"));
    rig.call(beat("G", vec![sql("T", "colour = 'red'", 5)]));
    rig.advance(2_000);
    for n in 0..400 {
        let value = if n % 100 == 7 { "red" } else { "blue" };
        rig.call(send("T", &colour(value), &n.to_string()));
    }
    let reply = rig.call(pull_registered("T", 5));
    assert_eq!(bodies(&reply), ["7", "107", "207", "307"]);

    let filter = rig.broker.filters.get("T", "G").unwrap();
    let queue = rig.broker.store.find_queue("T", 0).unwrap();
    let (mut asked, mut read) = (0, 0);
    let mut filter = MessageFilter::Record {
        bits: &mut |stored| {
            asked += 1;
            filter.may_pass(stored)
        },
        record: &mut |_| {
            read += 1;
            false
        },
    };
    rig.broker
        .store
        .get_filtered(&queue, 0, 32, 1 << 20, &mut filter);
    assert_eq!(
        (asked, read),
        (401, 5),
        "the message before the filter, and four matches"
    );
}

#[test]
fn retried_messages_are_filtered_by_their_own_topics_filter_if_that_is_wanted() {
    for is_supported in [false, true] {
        let mut rig = Rig::with(|config| {
            config.enable_property_filter = true;
            config.filter_support_retry = is_supported;
        });
        rig.call(beat("G", vec![sql("T", "colour = 'red'", 5)]));
        for value in ["red", "blue"] {
            let properties = format!("RETRY_TOPIC\u{1}T\u{2}{}", colour(value));
            rig.call(send("%RETRY%G", &properties, value));
        }
        let reply = rig.call(pull_by("%RETRY%G", "SQL92", "colour IS NOT NULL", 0));
        let expected: &[&str] = if is_supported {
            &["red"]
        } else {
            &["red", "blue"]
        };
        assert_eq!(bodies(&reply), expected);
    }
}

#[test]
fn filters_die_with_the_groups_last_member() {
    let mut rig = sql_rig();
    rig.call(beat("G", vec![sql("T", "a = 1", 5)]));
    rig.advance(10_000);
    let path = std::path::Path::new("/store/config/consumerFilter.json");
    let file = |rig: &Rig| String::from_utf8(rig.disk.read(path).unwrap().to_vec()).unwrap();
    assert!(file(&rig).contains("\"dead\":false"), "{}", file(&rig));
    let session = Arc::clone(&rig.session);
    Service::closed(rig.broker.as_ref(), &session);
    rig.advance(10_000);
    assert!(file(&rig).contains("\"dead\":true"), "{}", file(&rig));
}
