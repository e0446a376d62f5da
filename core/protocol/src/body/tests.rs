// SPDX-License-Identifier: Apache-2.0
use proptest::prelude::*;

use super::cluster::ClusterInfo;
use super::group::SubscriptionGroupTable;
use super::heartbeat::{HeartbeatData, SubscriptionData};
use super::offset::{ConsumerOffsetTable, QueueOffsets};
use super::queue::MessageQueue;
use super::register::RegisterBrokerBody;
use super::route::TopicRouteData;
use super::*;

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// Compact texts as the reference writes them (wire.md 4): reading and writing gives the same bytes.
#[test]
fn reference_texts_are_written_back_to_the_letter() {
    fn same<T: serde::Serialize + serde::de::DeserializeOwned>(json: &str) {
        let value: T = decode(json.as_bytes()).unwrap();
        assert_eq!(text(encode(&value)), json);
    }
    same::<TopicRouteData>(
        r#"{"brokerDatas":[{"brokerAddrs":{0:"10.0.0.1:10911",1:"10.0.0.2:10911"},"brokerName":"broker-a","cluster":"C1","enableActingMaster":false}],"filterServerTable":{},"queueDatas":[{"brokerName":"broker-a","perm":6,"readQueueNums":4,"topicSysFlag":0,"writeQueueNums":4}]}"#,
    );
    same::<ClusterInfo>(
        r#"{"brokerAddrTable":{"broker-a":{"brokerAddrs":{0:"10.0.0.1:10911"},"brokerName":"broker-a","cluster":"C1","enableActingMaster":false}},"clusterAddrTable":{"C1":["broker-a"]}}"#,
    );
    same::<QueueOffsets>(
        r#"{"offsetTable":{{"brokerName":"broker-a","queueId":0,"topic":"T1"}:100,{"brokerName":"broker-a","queueId":1,"topic":"T1"}:90}}"#,
    );
    same::<HeartbeatData>(
        r#"{"clientID":"10.0.0.9@4711#123456789","consumerDataSet":[{"consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","consumeType":"CONSUME_PASSIVELY","groupName":"G1","messageModel":"CLUSTERING","subscriptionDataSet":[{"classFilterMode":false,"codeSet":[2598919],"expressionType":"TAG","subString":"TagA","subVersion":1700000000000,"tagsSet":["TagA"],"topic":"T1"}],"unitMode":false}],"heartbeatFingerprint":0,"producerDataSet":[{"groupName":"P1"}],"withoutSub":false}"#,
    );
    same::<RegisterBrokerBody>(
        r#"{"filterServerList":[],"topicConfigSerializeWrapper":{"dataVersion":{"counter":1,"stateVersion":0,"timestamp":1700000000000},"mappingDataVersion":{"counter":0,"stateVersion":0,"timestamp":1700000000000},"topicConfigTable":{"T1":{"attributes":{},"order":false,"perm":6,"readQueueNums":8,"topicFilterType":"SINGLE_TAG","topicName":"T1","topicSysFlag":0,"writeQueueNums":8}},"topicQueueMappingDetailMap":{},"topicQueueMappingInfoMap":{}}}"#,
    );
}

#[test]
fn files_have_the_reference_layout_but_for_line_breaks_of_integer_keys() {
    let table: ConsumerOffsetTable = decode(
        br#"{"dataVersion":{"counter":1,"stateVersion":0,"timestamp":1},"offsetTable":{"T@g":{0:10,1:12}}}"#,
    )
    .unwrap();
    let pretty = text(encode_pretty(&table));
    assert!(
        pretty.starts_with("{\n\t\"dataVersion\":{\n\t\t\"counter\":1,\n"),
        "{pretty}"
    );
    assert!(pretty.contains("\"T@g\":{"), "{pretty}");
    assert!(!pretty.contains("\"0\""), "integer keys are bare: {pretty}");
    assert_eq!(
        decode::<ConsumerOffsetTable>(pretty.as_bytes()).unwrap(),
        table
    );
    let groups = SubscriptionGroupTable::default();
    assert_eq!(
        decode::<SubscriptionGroupTable>(&encode_pretty(&groups)).unwrap(),
        groups
    );
}

#[test]
fn standard_routes_quote_their_keys() {
    let route: TopicRouteData =
        decode(br#"{"brokerDatas":[{"brokerAddrs":{0:"a:1"},"brokerName":"b","cluster":"c"}]}"#)
            .unwrap();
    assert!(text(encode_standard(&route)).contains(r#""brokerAddrs":{"0":"a:1"}"#));
}

#[test]
fn queues_sort_by_topic_then_broker_then_number() {
    let queue = |topic: &str, broker: &str, queue_id| MessageQueue {
        topic: topic.into(),
        broker_name: broker.into(),
        queue_id,
    };
    let mut queues = [
        queue("b", "a", 0),
        queue("a", "b", 0),
        queue("a", "a", 10),
        queue("a", "a", 9),
    ];
    queues.sort();
    let order: Vec<_> = queues
        .iter()
        .map(|q| (q.topic.as_str(), q.broker_name.as_str(), q.queue_id))
        .collect();
    assert_eq!(
        order,
        [("a", "a", 9), ("a", "a", 10), ("a", "b", 0), ("b", "a", 0)]
    );
}

#[test]
fn tag_expressions_have_the_reference_hashes() {
    let data = SubscriptionData::tags("T", " TagA ||  || order-created", 5);
    assert_eq!(
        data.code_set.iter().copied().collect::<Vec<_>>(),
        [-392_709_271, 2_598_919]
    );
    assert!(data.matches_tags_code(2_598_919) && data.matches_tags_code(-392_709_271));
    assert!(!data.matches_tags_code(0));
    assert!(SubscriptionData::tags("T", "*", 5).matches_tags_code(0));
}

#[test]
fn tag_hashes_may_be_texts() {
    let subscription: SubscriptionData =
        decode(br#"{"codeSet":["2598919",-5],"subString":"TagA","topic":"T"}"#).unwrap();
    assert_eq!(
        subscription.code_set.into_iter().collect::<Vec<_>>(),
        [-5, 2_598_919]
    );
    assert!(decode::<SubscriptionData>(br#"{"codeSet":["x"]}"#).is_err());
}

#[test]
fn nesting_is_bounded() {
    let deep = [b"{\"a\":".repeat(100_000), b"1".to_vec()].concat();
    assert!(decode::<serde_json::Value>(&deep).is_err());
    let keys = b"{".repeat(100_000);
    assert!(decode::<serde_json::Value>(&keys).is_err());
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(input in r#"[\{\}\[\]"':,\\0-9a-z\-]{0,80}"#) {
        drop(decode::<serde_json::Value>(input.as_bytes()));
    }
}
