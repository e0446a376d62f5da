// SPDX-License-Identifier: Apache-2.0
//! Administration and statistics.

use kerolox_protocol::body;
use kerolox_protocol::body::connection::ProducerTable;
use kerolox_protocol::body::consumption::{ConsumeTimeSpans, CorrectionOffsets, GroupForbidden};
use kerolox_protocol::body::group::{
    SubscriptionGroupConfig, SubscriptionGroupList, SubscriptionGroupTable,
};
use kerolox_protocol::body::ha::HaRuntimeInfo;
use kerolox_protocol::body::heartbeat::{
    ConsumerData, HeartbeatData, ProducerData, SubscriptionData,
};
use kerolox_protocol::body::queue::MessageQueue;
use kerolox_protocol::body::register::KvTable;
use kerolox_protocol::body::stats::{
    BrokerStatsData, ConsumeStats, ConsumeStatsList, QueryConsumeQueueResponse,
    QuerySubscriptionResponse,
};
use kerolox_protocol::body::topic::TopicList;
use kerolox_protocol::command::request;
use kerolox_protocol::header::admin::GroupRequestHeader;
use kerolox_protocol::header::reset::{
    QueryConsumeTimeSpanRequestHeader, QueryCorrectionOffsetHeader,
    UpdateGroupForbiddenRequestHeader,
};
use kerolox_protocol::header::stats::{
    GetBrokerConsumeStatsRequestHeader, GetConsumeStatsRequestHeader,
    QueryConsumeQueueRequestHeader, QuerySubscriptionByConsumerRequestHeader,
    SetCommitLogReadModeRequestHeader, ViewBrokerStatsDataRequestHeader,
};

use super::*;
use crate::net::ConnectionEvent;

fn send_to(topic: &str, queue_id: i32, body: &str) -> Command {
    let mut command = send(topic, "TAGS\u{1}A\u{2}", body);
    command.ext.set("e", &queue_id.to_string());
    command
}

/// Three messages in queue 0 of T, of which G pulled all and committed one.
fn rig_with_a_group() -> Rig {
    let mut rig = async_rig();
    for number in 0..3 {
        rig.call(send_to("T", 0, &number.to_string()));
        rig.clock.advance(1_000);
    }
    assert_eq!(rig.pull_all("T").len(), 3);
    let peer = rig.session.peer();
    rig.broker.offsets.commit(peer, "G", "T", 0, 1);
    rig
}

fn ok<T: serde::de::DeserializeOwned>(reply: &Command) -> T {
    assert_eq!(reply.response_code(), ResponseCode::SUCCESS, "{reply:?}");
    body::decode(&reply.body).unwrap()
}

fn item(rig: &mut Rig, name: &str, key: &str) -> Option<BrokerStatsData> {
    let header = ViewBrokerStatsDataRequestHeader {
        stats_name: name,
        stats_key: key,
    };
    let reply = rig.call(Command::request(
        RequestCode::VIEW_BROKER_STATS_DATA,
        &header,
    ));
    if reply.response_code() == ResponseCode::SYSTEM_ERROR {
        assert!(
            reply
                .remark
                .as_deref()
                .is_some_and(|remark| remark.contains(key))
        );
        return None;
    }
    Some(ok(&reply))
}

#[test]
fn consume_stats_tell_ends_commits_and_pulls() {
    let mut rig = rig_with_a_group();
    let ask = |rig: &mut Rig, group: &str, topic: Option<&str>, list: Option<&str>| {
        let header = GetConsumeStatsRequestHeader {
            consumer_group: group,
            topic,
            topic_list: list,
        };
        let reply = rig.call(Command::request(RequestCode::GET_CONSUME_STATS, &header));
        ok::<ConsumeStats>(&reply)
    };
    for (topic, list) in [(None, None), (Some("T"), None), (None, Some("T;gone;"))] {
        let stats = ask(&mut rig, "G", topic, list);
        assert_eq!(stats.offset_table.0.len(), 4, "{topic:?} {list:?}");
        let queue = MessageQueue {
            topic: "T".into(),
            broker_name: rig.broker.config.broker_name.clone(),
            queue_id: 0,
        };
        let offset = stats.offset_table.0[&queue];
        assert_eq!(
            (
                offset.broker_offset,
                offset.consumer_offset,
                offset.pull_offset
            ),
            (3, 1, 3)
        );
        assert_eq!(offset.last_timestamp, 1_700_000_000_000);
        assert_eq!((stats.total_diff(), stats.inflight_diff()), (2, 2));
    }
    assert!(
        ask(&mut rig, "nobody", None, None)
            .offset_table
            .0
            .is_empty()
    );

    let header = GetBrokerConsumeStatsRequestHeader { is_order: false };
    let reply = rig.call(Command::request(
        RequestCode::GET_BROKER_CONSUME_STATS,
        &header,
    ));
    let all: ConsumeStatsList = ok(&reply);
    assert_eq!((all.total_diff, all.total_inflight_diff), (2, 2));
    assert_eq!(all.broker_addr, "127.0.0.1:10911");
    let of_group = all.consume_stats_list.iter().find_map(|map| map.get("G"));
    assert_eq!(of_group.unwrap().len(), 1);
    let header = GetBrokerConsumeStatsRequestHeader { is_order: true };
    let reply = rig.call(Command::request(
        RequestCode::GET_BROKER_CONSUME_STATS,
        &header,
    ));
    assert_eq!(ok::<ConsumeStatsList>(&reply).total_diff, 0);
}

#[test]
fn a_connected_group_counts_only_for_what_it_subscribes_to() {
    let mut rig = rig_with_a_group();
    rig.call(send_to("U", 0, "x"));
    let peer = rig.session.peer();
    rig.broker.offsets.commit(peer, "G", "U", 0, 1);
    let beat = HeartbeatData {
        client_id: "c".into(),
        consumer_data_set: vec![ConsumerData {
            group_name: "G".into(),
            subscription_data_set: vec![SubscriptionData::tags("other", "A || B", 1)],
            ..ConsumerData::default()
        }],
        producer_data_set: vec![ProducerData {
            group_name: "P".into(),
        }],
        ..HeartbeatData::default()
    };
    rig.call(request(RequestCode::HEART_BEAT).with_body(body::encode(&beat)));
    let header = GetConsumeStatsRequestHeader {
        consumer_group: "G",
        ..Default::default()
    };
    let reply = rig.call(Command::request(RequestCode::GET_CONSUME_STATS, &header));
    let topics: Vec<String> = ok::<ConsumeStats>(&reply)
        .offset_table
        .0
        .into_keys()
        .map(|queue| queue.topic)
        .collect();
    // It pulled T with a subscription of its own, and committed an offset of U without one.
    assert!(!topics.is_empty() && topics.iter().all(|topic| topic == "T"));

    let mut subscription = |topic| {
        let header = QuerySubscriptionByConsumerRequestHeader {
            group: "G",
            topic: Some(topic),
        };
        let code = RequestCode::QUERY_SUBSCRIPTION_BY_CONSUMER;
        let reply = rig.call(Command::request(code, &header));
        ok::<QuerySubscriptionResponse>(&reply).subscription_data
    };
    assert_eq!(subscription("other").unwrap().sub_string, "A || B");
    assert_eq!(subscription("T").unwrap().sub_string, "*");
    assert!(subscription("U").is_none());

    let header = GroupRequestHeader { group: "G" };
    let reply = rig.call(Command::request(
        RequestCode::QUERY_TOPICS_BY_CONSUMER,
        &header,
    ));
    assert_eq!(ok::<TopicList>(&reply).topic_list, ["T", "U"]);

    let reply = rig.call(request(RequestCode::GET_ALL_PRODUCER_INFO));
    let producers = ok::<ProducerTable>(&reply).data;
    assert_eq!(producers.len(), 1);
    let producer = &producers["P"][0];
    assert_eq!(
        (producer.client_id.as_str(), producer.remote_ip.as_str()),
        ("c", "/127.0.0.1:50000")
    );
    let cluster = "DefaultCluster";
    assert!(item(&mut rig, "CONSUMER_REGISTER_TIME", cluster).is_some());
    assert!(item(&mut rig, "PRODUCER_REGISTER_TIME", cluster).is_some());
}

#[test]
fn statistics_are_there_at_once_and_have_figures_after_the_first_sample() {
    let mut rig = rig_with_a_group();
    let items = [
        ("TOPIC_PUT_NUMS", "T"),
        ("TOPIC_PUT_SIZE", "T"),
        ("GROUP_GET_NUMS", "T@G"),
        ("GROUP_GET_SIZE", "T@G"),
        ("GROUP_GET_LATENCY", "0@T@G"),
        ("BROKER_PUT_NUMS", "DefaultCluster"),
        ("BROKER_GET_NUMS", "DefaultCluster"),
        ("BROKER_PUT_NUMS_WITHOUT_SYSTEM_TOPIC", "DefaultCluster"),
        ("BROKER_GET_NUMS_WITHOUT_SYSTEM_TOPIC", "DefaultCluster"),
    ];
    for (name, key) in items {
        let data = item(&mut rig, name, key).unwrap();
        assert_eq!(data, BrokerStatsData::default(), "{name}");
    }
    rig.advance(10_000);
    for (name, key) in items {
        let minute = item(&mut rig, name, key).unwrap().stats_minute;
        let sum = minute.sum;
        match name {
            "GROUP_GET_LATENCY" => assert_eq!(sum, 0),
            _ if name.ends_with("SIZE") => assert!(sum > 3 * 91, "{sum}"),
            _ => assert_eq!(sum, 3, "{name}"),
        }
        let average = match name {
            "TOPIC_PUT_NUMS" => 1.0,
            "GROUP_GET_NUMS" => 3.0,
            _ => minute.avgpt,
        };
        assert!((minute.avgpt - average).abs() < 1e-9, "{name}: {minute:?}");
        assert_eq!(minute.tps > 0.0, sum > 0, "{name}");
    }
    for (name, key) in [
        ("TOPIC_PUT_NUMS", "U"),
        ("GROUP_GET_NUMS", "T@H"),
        ("GROUP_GET_LATENCY", "1@T@G"),
        ("GROUP_GET_LATENCY", "T@G"),
        ("QUEUE_PUT_NUMS", "T@0"),
        ("BROKER_PUT_NUMS", "other"),
        ("SNDBCK_PUT_NUMS", "T@G"),
        ("NOTHING", "T"),
    ] {
        assert!(item(&mut rig, name, key).is_none(), "{name} {key}");
    }
    rig.advance(80_000);
    for _ in 0..7 {
        rig.advance(10_000);
    }
    let data = item(&mut rig, "TOPIC_PUT_NUMS", "T").unwrap();
    assert_eq!(data.stats_minute.sum, 0, "nothing in the last minute");
}

#[test]
fn connections_are_counted_under_the_reference_s_keys() {
    let mut rig = async_rig();
    for event in [
        ConnectionEvent::Opened,
        ConnectionEvent::Opened,
        ConnectionEvent::Failed,
        ConnectionEvent::Closed,
    ] {
        rig.broker.connection(event);
    }
    rig.advance(10_000);
    for (key, sum) in [("CONNECT", 2), ("EXCEPTION", 1), ("CLOSE", 1)] {
        let data = item(&mut rig, "CHANNEL_ACTIVITY", key).unwrap();
        assert_eq!(data.stats_minute.sum, sum, "{key}");
    }
    assert!(item(&mut rig, "CHANNEL_ACTIVITY", "IDLE").is_none());
}

#[test]
fn delays_and_returns_are_counted_under_the_reference_s_keys() {
    let mut rig = rig_with_a_group();
    rig.call(send("T", "DELAY\u{1}1\u{2}", "late"));
    rig.advance(1_100);
    let message = rig.pull_all("T").remove(0);
    let header = ConsumerSendMsgBackRequestHeader {
        offset: message.physical_offset,
        group: "G",
        delay_level: 1,
        ..Default::default()
    };
    let code = RequestCode::CONSUMER_SEND_MSG_BACK;
    rig.call(Command::request(code, &header));
    let dead = ConsumerSendMsgBackRequestHeader {
        delay_level: -1,
        origin_topic: Some("T"),
        ..header
    };
    rig.call(Command::request(code, &dead));
    rig.advance(10_000);
    for (name, key, sum) in [
        ("SNDBCK_PUT_NUMS", "T@G", 2),
        ("SNDBCK2DLQ_TIMES", "null@T@G@SEND_BACK_TO_DLQ", 1),
        ("QUEUE_PUT_NUMS", "SCHEDULE_TOPIC_XXXX@0", 2),
        (
            "QUEUE_GET_NUMS",
            "SCHEDULE_TOPIC_XXXX@0@SCHEDULE_CONSUMER",
            2,
        ),
        ("GROUP_GET_NUMS", "SCHEDULE_TOPIC_XXXX@SCHEDULE_CONSUMER", 2),
        ("TOPIC_PUT_NUMS", "SCHEDULE_TOPIC_XXXX", 2),
        ("TOPIC_PUT_NUMS", "T", 4),
        ("TOPIC_PUT_NUMS", "%RETRY%G", 1),
    ] {
        let data = item(&mut rig, name, key).unwrap();
        assert_eq!(data.stats_minute.sum, sum, "{name} {key}");
    }
}

#[test]
fn runtime_info_has_the_reference_s_names() {
    let mut rig = rig_with_a_group();
    rig.advance(10_000);
    let reply = rig.call(request(RequestCode::GET_BROKER_RUNTIME_INFO));
    let figures = ok::<KvTable>(&reply).table;
    for name in "bootTimestamp runtime putMessageEntireTimeMax putMessageTimesTotal putMessageFailedTimes \
        putMessageSizeTotal putMessageDistributeTime putMessageAverageSize dispatchMaxBuffer \
        getMessageEntireTimeMax putTps getFoundTps getMissTps getTotalTps getTransferredTps putLatency99 \
        putLatency999 commitLogDiskRatio consumeQueueDiskRatio commitLogMinOffset commitLogMaxOffset \
        brokerActive brokerVersionDesc msgPutTotalYesterdayMorning msgPutTotalTodayMorning msgPutTotalTodayNow \
        msgGetTotalYesterdayMorning msgGetTotalTodayMorning msgGetTotalTodayNow dispatchBehindBytes \
        pageCacheLockTimeMills earliestMessageTimeStamp startAcceptSendRequestTimeStamp timerReadBehind \
        timerOffsetBehind timerCongestNum timerEnqueueTps timerDequeueTps remainTransientStoreBufferNumbs \
        remainHowManyDataToFlush commitLogDirCapacity sendThreadPoolQueueSize sendThreadPoolQueueCapacity \
        ackThreadPoolQueueHeadWaitTimeMills EndTransactionQueueSize EndTransactionThreadPoolQueueCapacity"
        .split_whitespace()
    {
        assert!(figures.contains_key(name), "{name}");
    }
    for (name, value) in [
        ("putMessageTimesTotal", "3"),
        ("msgPutTotalTodayNow", "3"),
        ("msgGetTotalTodayNow", "3"),
        ("putMessageFailedTimes", "0"),
        ("earliestMessageTimeStamp", "1700000000000"),
        ("bootTimestamp", "1700000000000"),
        ("commitLogDirCapacity", "Total : 1.0 GiB, Free : 1.0 GiB."),
    ] {
        assert_eq!(figures[name], value, "{name}");
    }
    assert_ne!(figures["putTps"], "0.00 0.00 0.00");
    assert_ne!(figures["remainHowManyDataToFlush"], "0 B");
}

#[test]
fn groups_are_made_as_a_list_or_not_at_all() {
    let mut rig = async_rig();
    let config = |name: &str, queues: i32| SubscriptionGroupConfig {
        group_name: name.into(),
        retry_queue_nums: queues,
        ..SubscriptionGroupConfig::default()
    };
    let mut make = |configs: Vec<SubscriptionGroupConfig>| {
        let list = SubscriptionGroupList {
            group_config_list: configs,
        };
        let code = RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST;
        let reply = rig.call(request(code).with_body(body::encode(&list)));
        let all = rig.call(request(RequestCode::GET_ALL_SUBSCRIPTIONGROUP_CONFIG));
        let table = ok::<SubscriptionGroupTable>(&all).subscription_group_table;
        (reply.response_code(), table.contains_key("one"))
    };
    let bad = [config("one", 1), config("../two", 1)];
    assert_eq!(make(bad.into()), (ResponseCode::INVALID_PARAMETER, false));
    let bad = [config("one", 1), config("two", -1)];
    assert_eq!(make(bad.into()), (ResponseCode::INVALID_PARAMETER, false));
    let mut odd = config("one", 1);
    odd.attributes.insert("+a".into(), "b".into());
    assert_eq!(make(vec![odd]), (ResponseCode::SYSTEM_ERROR, false));
    let good = [config("one", 1), config("two", 2)];
    assert_eq!(make(good.into()), (ResponseCode::SUCCESS, true));
}

#[test]
fn a_group_that_is_forbidden_a_topic_can_not_pull_it() {
    let mut rig = rig_with_a_group();
    let beat = HeartbeatData {
        client_id: "c".into(),
        consumer_data_set: vec![ConsumerData {
            group_name: "G".into(),
            subscription_data_set: vec![SubscriptionData::tags("T", "*", 1)],
            ..ConsumerData::default()
        }],
        ..HeartbeatData::default()
    };
    rig.call(request(RequestCode::HEART_BEAT).with_body(body::encode(&beat)));
    let ask = |rig: &mut Rig, readable| {
        let header = UpdateGroupForbiddenRequestHeader {
            group: "G",
            topic: "T",
            readable,
        };
        let code = RequestCode::UPDATE_AND_GET_GROUP_FORBIDDEN;
        let reply = rig.call(Command::request(code, &header));
        ok::<GroupForbidden>(&reply).readable
    };
    let pulled = |rig: &mut Rig| {
        let header = PullMessageRequestHeader {
            consumer_group: "G",
            topic: "T",
            max_msg_nums: 32,
            ..Default::default()
        };
        let reply = rig.call(Command::request(RequestCode::PULL_MESSAGE, &header));
        (
            reply.response_code(),
            reply.ext.get("forbiddenType").map(str::to_owned),
        )
    };
    assert!(ask(&mut rig, None));
    assert_eq!(pulled(&mut rig).0, ResponseCode::SUCCESS);
    assert!(!ask(&mut rig, Some(false)) && !ask(&mut rig, None));
    let forbidden = (ResponseCode::NO_PERMISSION, Some("5".to_owned()));
    assert_eq!(pulled(&mut rig), forbidden);
    assert!(ask(&mut rig, Some(true)));
    assert_eq!(pulled(&mut rig).0, ResponseCode::SUCCESS);
}

#[test]
fn units_of_a_queue_are_shown() {
    let mut rig = rig_with_a_group();
    let mut ask = |topic: &str, queue_id, index, count, group| {
        let header = QueryConsumeQueueRequestHeader {
            topic,
            queue_id,
            index,
            count,
            consumer_group: group,
        };
        rig.call(Command::request(RequestCode::QUERY_CONSUME_QUEUE, &header))
    };
    let absent: QueryConsumeQueueResponse = ok(&ask("T", 0, 1, 10, Some("absent")));
    assert_eq!(absent.filter_data.unwrap(), "absent@T is not online!");
    let found: QueryConsumeQueueResponse = ok(&ask("T", 0, 1, 10, Some("G")));
    assert_eq!((found.min_queue_index, found.max_queue_index), (0, 3));
    assert_eq!(found.filter_data.unwrap(), "null");
    assert_eq!(found.subscription_data.unwrap().sub_string, "*");
    let units = found.queue_data.unwrap();
    assert_eq!(units.len(), 2);
    assert!(
        units
            .iter()
            .all(|unit| unit.tags_code == 65 && unit.physic_size > 91)
    );
    let few: QueryConsumeQueueResponse = ok(&ask("T", 0, 0, 1, None));
    assert_eq!((few.queue_data.unwrap().len(), few.filter_data), (1, None));
    for count in [0, -1] {
        let none: QueryConsumeQueueResponse = ok(&ask("T", 0, 0, count, None));
        assert!(none.queue_data.unwrap().is_empty());
    }
    let beyond = ask("T", 0, 3, 1, None);
    assert_eq!(beyond.response_code(), ResponseCode::SUCCESS);
    assert!(beyond.body.is_empty() && beyond.remark.unwrap().contains("Index 3"));
    for (topic, queue_id) in [("T", 9), ("T", -1), ("U", 0)] {
        let reply = ask(topic, queue_id, 0, 1, None);
        assert_eq!(reply.response_code(), ResponseCode::SYSTEM_ERROR);
    }
}

#[test]
fn time_spans_and_corrections_follow_the_committed_offsets() {
    let mut rig = rig_with_a_group();
    let header = QueryConsumeTimeSpanRequestHeader {
        topic: "T",
        group: "G",
    };
    let reply = rig.call(Command::request(
        RequestCode::QUERY_CONSUME_TIME_SPAN,
        &header,
    ));
    let spans = ok::<ConsumeTimeSpans>(&reply).consume_time_span_set;
    assert_eq!(spans.len(), 4);
    let start = 1_700_000_000_000;
    assert_eq!(
        (spans[0].min_time_stamp, spans[0].max_time_stamp),
        (start, start + 2_000)
    );
    assert_eq!(
        (spans[0].consume_time_stamp, spans[0].delay_time),
        (start, 2_000)
    );
    assert_eq!((spans[1].min_time_stamp, spans[1].delay_time), (-1, 0));

    let peer = rig.session.peer();
    rig.broker.offsets.commit(peer, "H", "T", 0, 2);
    rig.broker.offsets.commit(peer, "I", "T", 0, 3);
    let mut lowest = |filter_groups, compare_group| {
        let header = QueryCorrectionOffsetHeader {
            filter_groups,
            compare_group,
            topic: "T",
        };
        let reply = rig.call(Command::request(
            RequestCode::QUERY_CORRECTION_OFFSET,
            &header,
        ));
        ok::<CorrectionOffsets>(&reply).correction_offsets[&0]
    };
    assert_eq!(lowest(None, "nobody"), 1);
    assert_eq!(lowest(Some("G"), "H"), 2);
    assert_eq!(lowest(Some("G,H"), "H"), i64::MAX);
    assert_eq!(
        rig.broker.offsets.query("G", "T", 0),
        Some(1),
        "still there"
    );
}

#[test]
fn only_queues_of_topics_that_are_gone_are_cleaned() {
    let mut rig = rig_with_a_group();
    rig.call(send_to("kept", 0, "x"));
    let now_ms = rig.clock.now_ms();
    rig.broker.topics.remove("T", now_ms);
    for code in [
        RequestCode::CLEAN_UNUSED_TOPIC,
        RequestCode::CLEAN_EXPIRED_CONSUMEQUEUE,
    ] {
        let reply = rig.call(request(code));
        assert_eq!(reply.response_code(), ResponseCode::SUCCESS, "{reply:?}");
    }
    assert!(rig.broker.store.find_queue("T", 0).is_none());
    assert_eq!(rig.broker.store.max_offset("kept", 0), 1);
}

#[test]
fn expired_files_go_on_request_at_any_hour() {
    let config = BrokerConfig {
        store_path_root_dir: "/store".into(),
        mapped_file_size_commit_log: 16 * 1024,
        mapped_file_size_consume_queue: 400,
        max_hash_slot_num: 16,
        max_index_num: 200,
        delete_when: crate::config::DeleteWhen(String::new()),
        ..BrokerConfig::default()
    };
    let mut rig = Rig::configured(config);
    let body = "x".repeat(500);
    for _ in 0..100 {
        rig.call(send_to("T", 0, &body));
    }
    rig.broker.store.flush_pass().unwrap();
    for path in rig.disk.files() {
        rig.disk.set_modified_ms(&path, rig.clock.now_ms());
    }
    let age = |rig: &Rig, ms: i64| {
        rig.clock.advance(ms);
        rig.broker.store.tick(rig.clock.now_ms());
    };
    age(&rig, 73 * 3_600_000);
    age(&rig, 11_000);
    assert_eq!(rig.broker.store.min_offset("T", 0), 0, "it is not the hour");
    let reply = rig.call(request(RequestCode::DELETE_EXPIRED_COMMITLOG));
    assert_eq!(reply.response_code(), ResponseCode::SUCCESS);
    age(&rig, 11_000);
    assert!(rig.broker.store.min_offset("T", 0) > 0);
    let header = QueryConsumeQueueRequestHeader {
        topic: "T",
        count: 1,
        ..Default::default()
    };
    let before_the_first = rig.call(Command::request(RequestCode::QUERY_CONSUME_QUEUE, &header));
    assert!(before_the_first.remark.unwrap().contains("Index 0"));
    rig.call(request(RequestCode::CLEAN_EXPIRED_CONSUMEQUEUE));
    assert_eq!(
        rig.broker.store.max_offset("T", 0),
        100,
        "queues keep their ends"
    );
}

#[test]
fn what_is_off_answers_as_the_reference_with_it_off() {
    let mut rig = rig_with_a_group();
    let reply = rig.call(request(RequestCode::GET_BROKER_HA_STATUS));
    let info: HaRuntimeInfo = ok(&reply);
    assert!(info.master && info.ha_connection_info.is_empty());
    assert_eq!(
        info.master_commit_log_max_offset,
        rig.broker.store.commit_log_max()
    );
    for (mode, code) in [
        ("0", ResponseCode::SUCCESS),
        ("1", ResponseCode::SUCCESS),
        ("2", ResponseCode::INVALID_PARAMETER),
        ("many", ResponseCode::SYSTEM_ERROR),
    ] {
        let header = SetCommitLogReadModeRequestHeader {
            read_ahead_mode: mode,
        };
        let command = Command::request(RequestCode::SET_COMMITLOG_READ_MODE, &header);
        assert_eq!(rig.call(command).response_code(), code, "{mode}");
    }
    let code = RequestCode::UPDATE_COLD_DATA_FLOW_CTR_CONFIG;
    rig.call(request(code).with_body("G=1000\nbad=many\n"));
    let info = rig.call(request(RequestCode::GET_COLD_DATA_FLOW_CTR_INFO));
    let info = String::from_utf8(info.body.to_vec()).unwrap();
    assert!(info.contains(r#""configTable":{"G":1000}"#), "{info}");
    rig.call(request(RequestCode::REMOVE_COLD_DATA_FLOW_CTR_CONFIG).with_body("G"));
    let info = rig.call(request(RequestCode::GET_COLD_DATA_FLOW_CTR_INFO));
    assert!(
        String::from_utf8(info.body.to_vec())
            .unwrap()
            .contains(r#""configTable":{}"#)
    );

    for code in (3001..=3010).map(RequestCode) {
        let reply = rig.call(request(code));
        let blank = matches!(code.0, 3001 | 3002 | 3004);
        let expected = if blank {
            ResponseCode::INVALID_PARAMETER
        } else {
            ResponseCode::SYSTEM_ERROR
        };
        assert_eq!(reply.response_code(), expected, "{code:?}");
    }
    let refused = rig.call(request(RequestCode::GET_BROKER_EPOCH_CACHE));
    assert_eq!(refused.response_code(), ResponseCode::SYSTEM_ERROR);
    for code in [
        RequestCode::POP_ROLLBACK,
        RequestCode::CHECK_ROCKSDB_CQ_WRITE_PROGRESS,
        RequestCode::GET_ALL_DELAY_OFFSET,
    ] {
        let reply = rig.call(request(code));
        assert_eq!(reply.response_code(), ResponseCode::SUCCESS, "{code:?}");
    }
}

#[test]
fn a_broker_that_is_closed_for_writing_or_reading_refuses_as_the_reference() {
    let with = |broker_permission| {
        Rig::configured(BrokerConfig {
            store_path_root_dir: "/store".into(),
            mapped_file_size_commit_log: 1 << 20,
            mapped_file_size_consume_queue: 20 * 300,
            broker_permission,
            ..BrokerConfig::default()
        })
    };
    let mut read_only = with(4);
    // New messages keep away because routes lose the bit; ordered topics are refused outright.
    let sent = read_only.call(send_to("T", 0, "x"));
    assert_eq!(sent.response_code(), ResponseCode::SUCCESS);
    let ordered = kerolox_protocol::body::topic::TopicConfig {
        order: true,
        ..kerolox_protocol::body::topic::TopicConfig::new("ordered", 1, 6)
    };
    read_only.broker.topics.update([ordered], 1);
    let sent = read_only.call(send_to("ordered", 0, "x"));
    assert_eq!(sent.response_code(), ResponseCode::NO_PERMISSION);
    let message = read_only.pull_all("T").remove(0);
    let header = ConsumerSendMsgBackRequestHeader {
        offset: message.physical_offset,
        group: "G",
        ..Default::default()
    };
    let back = Command::request(RequestCode::CONSUMER_SEND_MSG_BACK, &header);
    let back = read_only.call(back);
    assert_eq!(back.response_code(), ResponseCode::NO_PERMISSION);

    let mut write_only = with(2);
    write_only.call(send_to("T", 0, "x"));
    let pulled = write_only.call(pull("T", 0, "*", 0));
    assert_eq!(pulled.response_code(), ResponseCode::NO_PERMISSION);
    assert_eq!(pulled.ext.get("forbiddenType"), Some("1"));
}

#[test]
fn requests_without_their_fields_name_what_is_missing() {
    let mut rig = rig_with_a_group();
    for (code, field) in [
        (RequestCode::VIEW_BROKER_STATS_DATA, "statsName"),
        (RequestCode::GET_CONSUME_STATS, "consumerGroup"),
        (RequestCode::GET_BROKER_CONSUME_STATS, "isOrder"),
        (RequestCode::QUERY_CONSUME_TIME_SPAN, "topic"),
        (RequestCode::QUERY_TOPICS_BY_CONSUMER, "group"),
        (RequestCode::QUERY_SUBSCRIPTION_BY_CONSUMER, "group"),
        (RequestCode::QUERY_CORRECTION_OFFSET, "compareGroup"),
        (RequestCode::QUERY_CONSUME_QUEUE, "topic"),
        (RequestCode::UPDATE_AND_GET_GROUP_FORBIDDEN, "group"),
        (RequestCode::SET_COMMITLOG_READ_MODE, "READ_AHEAD_MODE"),
        (RequestCode::RESET_MASTER_FLUSH_OFFSET, "masterFlushOffset"),
        (RequestCode::EXPORT_ROCKSDB_CONFIG_TO_JSON, "configType"),
    ] {
        let reply = rig.call(request(code));
        assert_eq!(
            reply.response_code(),
            ResponseCode::SYSTEM_ERROR,
            "{code:?}"
        );
        let remark = reply.remark.unwrap_or_default();
        assert!(remark.contains(field), "{code:?}: {remark}");
    }
    let code = RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST;
    for body in ["", "[", "{\"groupConfigList\":7}"] {
        let reply = rig.call(request(code).with_body(body));
        assert_eq!(reply.response_code(), ResponseCode::SYSTEM_ERROR, "{body}");
    }
    let not_text: &[u8] = &[0xFF, 0xFE];
    let code = RequestCode::UPDATE_COLD_DATA_FLOW_CTR_CONFIG;
    let reply = rig.call(request(code).with_body(not_text));
    assert_eq!(reply.response_code(), ResponseCode::SYSTEM_ERROR);
}

#[test]
fn offsets_and_indexes_out_of_all_range_are_survived() {
    let mut rig = rig_with_a_group();
    let peer = rig.session.peer();
    for (queue_id, offset) in [(0, i64::MAX), (1, i64::MAX), (2, i64::MIN), (3, -1)] {
        rig.broker.offsets.commit(peer, "G", "T", queue_id, offset);
    }
    let header = GetConsumeStatsRequestHeader {
        consumer_group: "G",
        topic_list: Some("T;T;T"),
        ..Default::default()
    };
    let reply = rig.call(Command::request(RequestCode::GET_CONSUME_STATS, &header));
    let stats: ConsumeStats = ok(&reply);
    assert_eq!(
        (stats.offset_table.0.len(), stats.total_diff()),
        (4, i64::MIN)
    );
    let header = GetBrokerConsumeStatsRequestHeader { is_order: false };
    let reply = rig.call(Command::request(
        RequestCode::GET_BROKER_CONSUME_STATS,
        &header,
    ));
    assert_eq!(ok::<ConsumeStatsList>(&reply).total_diff, i64::MIN);
    let header = QueryConsumeTimeSpanRequestHeader {
        topic: "T",
        group: "G",
    };
    let reply = rig.call(Command::request(
        RequestCode::QUERY_CONSUME_TIME_SPAN,
        &header,
    ));
    let spans = ok::<ConsumeTimeSpans>(&reply).consume_time_span_set;
    assert_eq!((spans[0].consume_time_stamp, spans[0].delay_time), (-1, 0));
    for (index, count) in [(i64::MIN, 1), (i64::MAX, i32::MAX), (0, i32::MIN), (-1, 0)] {
        let header = QueryConsumeQueueRequestHeader {
            topic: "T",
            index,
            count,
            ..Default::default()
        };
        let reply = rig.call(Command::request(RequestCode::QUERY_CONSUME_QUEUE, &header));
        assert_eq!(reply.response_code(), ResponseCode::SUCCESS);
    }
}
