// SPDX-License-Identifier: Apache-2.0
//! Who may pull what: the checks in their order, limits of a pull, short polling, notices, expiry.

use kerolox_protocol::body;
use kerolox_protocol::body::consumption::GroupForbidden;
use kerolox_protocol::body::group::SubscriptionGroupConfig;
use kerolox_protocol::body::heartbeat::{
    ConsumeType, ConsumerData, HeartbeatData, MessageModel, SubscriptionData,
};
use kerolox_protocol::header::NoHeader;
use kerolox_protocol::header::admin::CreateTopicRequestHeader;
use kerolox_protocol::header::heartbeat::UnregisterClientRequestHeader;
use kerolox_protocol::header::reset::UpdateGroupForbiddenRequestHeader;

use super::filtering::{beat, pull_registered};
use super::*;

fn tags(topic: &str) -> Vec<SubscriptionData> {
    vec![SubscriptionData::tags(topic, "*", 1)]
}

fn group(change: impl FnOnce(&mut SubscriptionGroupConfig)) -> Command {
    let mut config = SubscriptionGroupConfig {
        group_name: "G".to_owned(),
        ..SubscriptionGroupConfig::default()
    };
    change(&mut config);
    Command::request(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, &NoHeader)
        .with_body(body::encode(&config))
}

fn topic(name: &str, perm: i32) -> Command {
    let header = CreateTopicRequestHeader {
        topic: name,
        read_queue_nums: 2,
        write_queue_nums: 2,
        perm,
        ..Default::default()
    };
    Command::request(RequestCode::UPDATE_AND_CREATE_TOPIC, &header)
}

#[track_caller]
fn refused(reply: &Command, code: ResponseCode, forbidden_type: Option<i32>) {
    assert_eq!(reply.response_code(), code, "{reply:?}");
    let kind = reply
        .ext
        .get("forbiddenType")
        .map(|kind| kind.parse().unwrap());
    assert_eq!(kind, forbidden_type, "{reply:?}");
    assert!(
        reply
            .remark
            .as_ref()
            .is_some_and(|remark| !remark.is_empty())
    );
}

#[test]
fn pulls_are_refused_with_the_code_of_the_first_check_that_fails() {
    let no = ResponseCode::NO_PERMISSION;
    let mut rig = Rig::with(|config| config.broker_permission = 2);
    refused(&rig.call(pull("T", 0, "*", 0)), no, Some(1));

    let mut rig = Rig::with(|config| {
        config.lite_pull_message_enable = false;
        config.auto_create_subscription_group = false;
    });
    let mut lite = pull("T", 0, "*", 0);
    lite.code = RequestCode::LITE_PULL_MESSAGE.0;
    refused(&rig.call(lite), no, Some(1));
    let unknown = rig.call(pull("T", 0, "*", 0));
    refused(&unknown, ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, None);
    rig.call(group(|group| group.consume_enable = false));
    refused(&rig.call(pull("T", 0, "*", 0)), no, Some(2));
    rig.call(group(|_| {}));
    refused(
        &rig.call(pull("T", 0, "*", 0)),
        ResponseCode::TOPIC_NOT_EXIST,
        None,
    );
    rig.call(topic("T", 2));
    refused(&rig.call(pull("T", 0, "*", 0)), no, Some(3));
    rig.call(topic("T", 6));
    let header = PullMessageRequestHeader {
        consumer_group: "G",
        topic: "T",
        queue_id: 2,
        sys_flag: pull_flag::SUBSCRIPTION,
        ..Default::default()
    };
    let outside = rig.call(Command::request(RequestCode::PULL_MESSAGE, &header));
    refused(&outside, ResponseCode::INVALID_PARAMETER, None);
    let good = rig.call(pull("T", 0, "*", 0));
    assert_eq!(good.response_code(), ResponseCode::PULL_NOT_FOUND);
}

#[test]
fn broadcasting_can_be_taken_from_a_group() {
    let mut rig = async_rig();
    rig.call(send("T", "", "m"));
    let heartbeat = HeartbeatData {
        client_id: "c1".to_owned(),
        consumer_data_set: vec![ConsumerData {
            group_name: "G".to_owned(),
            message_model: MessageModel::Broadcasting,
            subscription_data_set: tags("T"),
            ..ConsumerData::default()
        }],
        ..HeartbeatData::default()
    };
    rig.call(
        Command::request(RequestCode::HEART_BEAT, &NoHeader).with_body(body::encode(&heartbeat)),
    );
    let good = rig.call(pull_registered("T", 1));
    assert_eq!(good.response_code(), ResponseCode::SUCCESS);
    rig.call(group(|group| group.consume_broadcast_enable = false));
    refused(
        &rig.call(pull_registered("T", 1)),
        ResponseCode::NO_PERMISSION,
        Some(4),
    );
    // A pull that carries its subscription is not asked.
    let own = rig.call(pull("T", 0, "*", 0));
    assert_eq!(own.response_code(), ResponseCode::SUCCESS);
}

#[test]
fn a_topic_can_be_forbidden_for_a_group() {
    let mut rig = async_rig();
    rig.call(send("T", "", "m"));
    rig.call(beat("G", tags("T")));
    let forbidden = |rig: &mut Rig, readable| {
        let header = UpdateGroupForbiddenRequestHeader {
            group: "G",
            topic: "T",
            readable,
        };
        let command = Command::request(RequestCode::UPDATE_AND_GET_GROUP_FORBIDDEN, &header);
        let answer: GroupForbidden = body::decode(&rig.call(command).body).unwrap();
        assert_eq!((answer.group.as_str(), answer.topic.as_str()), ("G", "T"));
        answer.readable
    };
    assert!(forbidden(&mut rig, None));
    assert!(!forbidden(&mut rig, Some(false)));
    refused(
        &rig.call(pull_registered("T", 1)),
        ResponseCode::NO_PERMISSION,
        Some(5),
    );
    let path = std::path::Path::new("/store/config/subscriptionGroup.json");
    let file = String::from_utf8(rig.disk.read(path).unwrap().to_vec()).unwrap();
    assert!(
        file.contains("\"forbiddenTable\":{\n\t\t\"G\":{\n\t\t\t\"T\":4"),
        "{file}"
    );
    assert!(forbidden(&mut rig, Some(true)));
    let good = rig.call(pull_registered("T", 1));
    assert_eq!(good.response_code(), ResponseCode::SUCCESS);
}

#[test]
fn pull_consumers_can_be_rejected() {
    let mut rig = Rig::with(|config| config.reject_pull_consumer_enable = true);
    rig.call(send("T", "", "m"));
    let missing = ResponseCode::SUBSCRIPTION_NOT_EXIST;
    refused(&rig.call(pull("T", 0, "*", 0)), missing, None);
    let heartbeat = HeartbeatData {
        client_id: "c1".to_owned(),
        consumer_data_set: vec![ConsumerData {
            group_name: "G".to_owned(),
            consume_type: ConsumeType::ConsumeActively,
            subscription_data_set: tags("T"),
            ..ConsumerData::default()
        }],
        ..HeartbeatData::default()
    };
    rig.call(
        Command::request(RequestCode::HEART_BEAT, &NoHeader).with_body(body::encode(&heartbeat)),
    );
    refused(&rig.call(pull("T", 0, "*", 0)), missing, None);
    rig.call(beat("G", tags("T")));
    let good = rig.call(pull("T", 0, "*", 0));
    assert_eq!(good.response_code(), ResponseCode::SUCCESS);
    let header = PullMessageRequestHeader {
        consumer_group: "TOOLS_CONSUMER",
        topic: "T",
        max_msg_nums: 1,
        sys_flag: pull_flag::SUBSCRIPTION,
        ..Default::default()
    };
    let tools = rig.call(Command::request(RequestCode::PULL_MESSAGE, &header));
    assert_eq!(tools.response_code(), ResponseCode::SUCCESS);
}

#[test]
fn a_pull_is_limited_in_messages_and_bytes() {
    let mut rig = Rig::with(|config| {
        config.max_transfer_count_on_message_in_memory = 10;
        config.max_transfer_bytes_on_message_in_memory = 3_000;
    });
    for _ in 0..20 {
        rig.call(send("T", "", "short"));
    }
    assert_eq!(rig.pull_all("T").len(), 10);
    for _ in 0..20 {
        rig.call(send("U", "", &"x".repeat(900)));
    }
    assert_eq!(rig.pull_all("U").len(), 2);
    let header = PullMessageRequestHeader {
        consumer_group: "G",
        topic: "U",
        max_msg_nums: 32,
        max_msg_bytes: Some(100),
        sys_flag: pull_flag::SUBSCRIPTION,
        ..Default::default()
    };
    let reply = rig.call(Command::request(RequestCode::PULL_MESSAGE, &header));
    assert_eq!(record::decode_all(reply.body).len(), 1, "at least one");
}

#[test]
fn short_polling_holds_for_its_own_time() {
    let mut rig = Rig::with(|config| {
        config.long_polling_enable = false;
        config.short_polling_time_mills = 1_000;
    });
    rig.call(send("T", "", "m"));
    assert!(rig.handle(vec![pull("T", 1, "*", 20_000)]).is_empty());
    rig.advance(999);
    assert!(rig.later().is_empty());
    rig.advance(1);
    let ended = rig.later();
    assert_eq!(ended[0].response_code(), ResponseCode::PULL_NOT_FOUND);
}

#[test]
fn subscriptions_seen_in_pulls_are_remembered_for_ten_minutes() {
    let mut rig = async_rig();
    rig.call(send("T", "TAGS\u{1}a\u{2}", "m"));
    rig.call(pull("T", 0, "a || b", 0));
    let seen = |rig: &Rig| rig.broker.clients.known_subscription("G", "T");
    let first = seen(&rig).unwrap();
    assert_eq!(
        (first.sub_string.as_str(), first.code_set.len()),
        ("a || b", 2)
    );
    rig.advance(400_000);
    rig.call(pull("T", 0, "a || b", 0));
    assert!(
        Arc::ptr_eq(&first, &seen(&rig).unwrap()),
        "not parsed again"
    );
    rig.advance(400_000);
    assert!(seen(&rig).is_some());
    rig.advance(300_000);
    assert!(seen(&rig).is_none());
}

/// A second member of the group, whose notices are counted.
fn second_member(rig: &Rig) -> Arc<Session> {
    let host = "127.0.0.1:10911".parse().unwrap();
    let peer = "127.0.0.1:50001".parse().unwrap();
    let session = Arc::new(Session::new(SessionId(2), peer, host));
    let mut commands = vec![beat("G", tags("T"))];
    let mut replies = Replies::new();
    rig.broker.handle(&session, &mut commands, &mut replies);
    assert_eq!(decode(replies.take()).len(), 1);
    session
}

fn notices(commands: &[Command]) -> usize {
    let is_notice = |command: &&Command| {
        !command.is_response() && command.request_code() == RequestCode::NOTIFY_CONSUMER_IDS_CHANGED
    };
    commands.iter().filter(is_notice).count()
}

#[test]
fn members_are_told_of_others_at_once_or_with_the_next_round() {
    let mut rig = async_rig();
    rig.call(beat("G", tags("T")));
    rig.later();
    let second = second_member(&rig);
    assert_eq!(
        (notices(&rig.later()), notices(&decode(second.drain()))),
        (1, 1)
    );
    rig.broker.closed(&second);
    assert_eq!(notices(&rig.later()), 1);

    let mut rig = Rig::with(|config| config.real_time_notify_consumer_change = false);
    rig.call(beat("G", tags("T")));
    rig.advance(15_000);
    rig.later();
    let second = second_member(&rig);
    rig.broker.closed(&second);
    rig.advance(14_900);
    assert_eq!(notices(&rig.later()), 0);
    rig.advance(100);
    assert_eq!(notices(&rig.later()), 1, "two changes, one notice");

    for group_wants in [false, true] {
        let mut rig = Rig::with(|config| config.notify_consumer_ids_changed_enable = !group_wants);
        rig.call(group(|group| {
            group.notify_consumer_ids_changed_enable = group_wants;
        }));
        rig.call(beat("G", tags("T")));
        second_member(&rig);
        assert_eq!(notices(&rig.later()), 0);
    }
}

#[test]
fn members_that_leave_are_told_of_and_silent_ones_are_not() {
    let mut rig = async_rig();
    rig.call(beat("G", tags("T")));
    second_member(&rig);
    rig.later();
    let header = UnregisterClientRequestHeader {
        client_id: "c1",
        producer_group: None,
        consumer_group: Some("G"),
    };
    let leaving = Command::request(RequestCode::UNREGISTER_CLIENT, &header);
    let second = second_member(&rig);
    rig.broker
        .handle(&second, &mut vec![leaving], &mut Replies::new());
    assert_eq!(notices(&rig.later()), 1);

    let second = second_member(&rig);
    rig.advance(60_000);
    rig.call(beat("G", tags("T")));
    rig.later();
    rig.advance(61_000);
    assert!(second.is_closed());
    assert_eq!(rig.broker.clients.consumer_sessions("G").len(), 1);
    rig.broker.closed(&second);
    assert_eq!(notices(&rig.later()), 0);
}

#[test]
fn another_broker_is_suggested_only_where_slaves_may_be_read() {
    let suggested = |rig: &mut Rig| {
        rig.call(send("T", "", "m"));
        rig.call(group(|group| {
            group.broker_id = 3;
            group.which_broker_when_consume_slowly = 4;
        }));
        let reply = rig.call(pull("T", 0, "*", 0));
        assert_eq!(reply.response_code(), ResponseCode::SUCCESS);
        let fields = reply.header::<PullMessageResponseHeader>().unwrap();
        fields.suggest_which_broker_id
    };
    assert_eq!(suggested(&mut async_rig()), 0);
    assert_eq!(
        suggested(&mut Rig::with(|config| config.slave_read_enable = true)),
        3
    );
    let behind = suggested(&mut Rig::with(|config| {
        config.slave_read_enable = true;
        config.access_message_in_memory_max_ratio = 0;
    }));
    assert_eq!(behind, 4);
}
