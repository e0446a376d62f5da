// SPDX-License-Identifier: Apache-2.0
//! Pops: taken, acknowledged, handed out again.

mod choice;
mod crash;
mod ordered;
mod refusals;
mod waiting;

use std::collections::BTreeMap;

use kerolox_protocol::body;
use kerolox_protocol::body::assignment::{QueryAssignmentRequest, QueryAssignmentResponse};
use kerolox_protocol::body::heartbeat::MessageModel;
use kerolox_protocol::body::pop::{BatchAck, BatchAckRequest, PopAck, PopCheckPoint};
use kerolox_protocol::header::pop::{
    AckMessageRequestHeader, ChangeInvisibleTimeRequestHeader, ChangeInvisibleTimeResponseHeader,
    NotificationRequestHeader, NotificationResponseHeader, PeekMessageRequestHeader,
    PollingInfoRequestHeader, PollingInfoResponseHeader, PopMessageRequestHeader,
    PopMessageResponseHeader, init_mode,
};
use kerolox_protocol::message::receipt::{Receipt, RetryMark};

use super::*;

const START_MS: i64 = 1_700_000_000_000;
/// How long the tests hide messages.
const HIDDEN_MS: i64 = 10_000;

/// A popped message with its receipt.
#[derive(Clone, Debug)]
struct Popped {
    message: MessageExt,
    receipt: String,
    /// Topic that it lies in.
    topic: String,
}

impl Popped {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.message.message.body).unwrap()
    }
}

fn config() -> BrokerConfig {
    BrokerConfig {
        store_path_root_dir: "/store".into(),
        broker_name: "broker-a".to_owned(),
        mapped_file_size_commit_log: 1 << 20,
        mapped_file_size_consume_queue: 20 * 300,
        mapped_file_size_timer_log: 52 * 1_000,
        message_index_enable: false,
        pop_from_retry_probability: 0,
        ..BrokerConfig::default()
    }
}

fn open(config: BrokerConfig, disk: SimDisk, now_ms: i64) -> Rig {
    Rig::timers(config, disk, now_ms, 400)
}

fn rig() -> Rig {
    open(config(), SimDisk::new(), START_MS)
}

fn topic(rig: &Rig, name: &str, queues: i32) {
    use kerolox_protocol::body::topic::{TopicConfig, perm};
    let config = TopicConfig::new(name, queues, perm::READ | perm::WRITE);
    rig.broker.topics.update([config], START_MS);
}

fn send_to(rig: &mut Rig, topic: &str, queue_id: i32, properties: &str, body: &str) {
    let mut command = send(topic, properties, body);
    command.ext.set("e", &queue_id.to_string());
    let code = rig.call(command).response_code();
    assert_eq!(code, ResponseCode::SUCCESS);
}

/// A pop of topic T by group G that does not wait.
fn header() -> PopMessageRequestHeader<'static> {
    PopMessageRequestHeader {
        consumer_group: "G",
        topic: "T",
        queue_id: -1,
        max_msg_nums: 32,
        invisible_time: HIDDEN_MS,
        init_mode: init_mode::MIN,
        exp_type: Some("TAG"),
        exp: Some("*"),
        order: Some(false),
        ..PopMessageRequestHeader::default()
    }
}

fn request(header: &PopMessageRequestHeader<'_>) -> Command {
    Command::request(RequestCode::POP_MESSAGE, header)
}

/// The receipts that a client makes from an answer.
fn popped(reply: Command) -> Vec<Popped> {
    assert_eq!(reply.response_code(), ResponseCode::SUCCESS, "{reply:?}");
    let header: PopMessageResponseHeader<'_> = reply.header().unwrap();
    let parse = |text: &str| -> BTreeMap<(String, i32), String> {
        let items = text.split(';').map(|item| {
            let parts: Vec<&str> = item.split(' ').collect();
            assert_eq!(parts.len(), 3, "{item}");
            (
                (parts[0].to_owned(), parts[1].parse().unwrap()),
                parts[2].to_owned(),
            )
        });
        items.collect()
    };
    let starts = parse(header.start_offset_info.unwrap());
    let offsets = parse(header.msg_offset_info.unwrap());
    let messages = record::decode_all(reply.body.clone());
    let announced: usize = offsets.values().map(|list| list.split(',').count()).sum();
    assert_eq!(messages.len(), announced);
    let mut taken = Vec::new();
    for message in messages {
        let own = message.message.properties.get(property::POP_CK);
        let receipt = match own {
            Some(receipt) => receipt.to_owned(),
            None => {
                let key = ("0".to_owned(), message.queue_id);
                let listed = offsets[&key].split(',');
                assert!(
                    listed
                        .map(str::parse::<i64>)
                        .any(|o| o.unwrap() == message.queue_offset),
                    "{offsets:?}"
                );
                Receipt {
                    start_offset: starts[&key].parse().unwrap(),
                    pop_time: header.pop_time,
                    invisible_time: header.invisible_time,
                    revive_queue_id: header.revive_queue_id,
                    retry: RetryMark::Normal,
                    broker_name: "broker-a",
                    queue_id: Some(message.queue_id),
                    queue_offset: Some(message.queue_offset),
                }
                .to_string()
            }
        };
        let mark = Receipt::parse(&receipt).unwrap().retry;
        let topic = mark.real_topic(&message.message.topic, "G");
        taken.push(Popped {
            message,
            receipt,
            topic,
        });
    }
    taken
}

fn pop(rig: &mut Rig) -> Vec<Popped> {
    let reply = rig.call(request(&header()));
    if reply.response_code() == ResponseCode::POLLING_TIMEOUT {
        assert!(reply.header::<PopMessageResponseHeader<'_>>().is_ok());
        return Vec::new();
    }
    popped(reply)
}

fn texts(popped: &[Popped]) -> Vec<&str> {
    popped.iter().map(Popped::text).collect()
}

fn ack(popped: &Popped) -> Command {
    let header = AckMessageRequestHeader {
        consumer_group: "G",
        topic: &popped.topic,
        queue_id: popped.message.queue_id,
        extra_info: &popped.receipt,
        offset: popped.message.queue_offset,
        broker_name: None,
    };
    Command::request(RequestCode::ACK_MESSAGE, &header)
}

fn change(popped: &Popped, invisible_ms: i64) -> Command {
    let header = ChangeInvisibleTimeRequestHeader {
        consumer_group: "G",
        topic: &popped.topic,
        queue_id: popped.message.queue_id,
        extra_info: &popped.receipt,
        offset: popped.message.queue_offset,
        invisible_time: invisible_ms,
        suspend: None,
        broker_name: None,
    };
    Command::request(RequestCode::CHANGE_MESSAGE_INVISIBLETIME, &header)
}

fn succeeds(rig: &mut Rig, command: Command) -> Command {
    let reply = rig.call(command);
    assert_eq!(reply.response_code(), ResponseCode::SUCCESS, "{reply:?}");
    reply
}

/// Lets the time pass in the steps of a ticking broker.
fn wait(rig: &Rig, ms: i64) {
    for _ in 0..ms / 100 {
        rig.advance(100);
    }
}

#[test]
fn acknowledged_messages_never_come_again_and_others_do_as_retries() {
    let mut rig = rig();
    topic(&rig, "T", 2);
    for n in 0..6 {
        send_to(&mut rig, "T", n % 2, "TAGS\u{1}A\u{2}", &format!("m{n}"));
    }
    let first = pop(&mut rig);
    assert_eq!(first.len(), 6);
    assert_eq!(
        pop(&mut rig).len(),
        0,
        "hidden and behind the group's offset"
    );
    for done in first
        .iter()
        .filter(|p| p.text() != "m3" && p.text() != "m4")
    {
        succeeds(&mut rig, ack(done));
    }
    wait(&rig, HIDDEN_MS);
    assert_eq!(pop(&mut rig).len(), 0, "too early");
    wait(&rig, 4_000);
    let mut again = pop(&mut rig);
    again.sort_by_key(|p| p.text().to_owned());
    assert_eq!(texts(&again), ["m3", "m4"]);
    for retry in &again {
        let message = &retry.message;
        assert_eq!(
            message.message.topic, "T",
            "under the topic that was popped"
        );
        assert_eq!(retry.topic, "%RETRY%G_T");
        assert_eq!(message.reconsume_times, 1);
        let properties = &message.message.properties;
        let first_pop = properties.get(property::FIRST_POP_TIME).unwrap();
        assert_eq!(first_pop, START_MS.to_string());
        assert_eq!(properties.get(property::TAGS), Some("A"));
        let receipt = Receipt::parse(&retry.receipt).unwrap();
        assert_eq!(receipt.retry, RetryMark::RetryV1);
        assert_eq!(receipt.queue_offset, Some(message.queue_offset));
    }
    // A second time only one of them is acknowledged.
    succeeds(&mut rig, ack(&again[0]));
    wait(&rig, HIDDEN_MS + 4_000);
    let third = pop(&mut rig);
    assert_eq!(texts(&third), ["m4"]);
    assert_eq!(third[0].message.reconsume_times, 2);
    let first_pop = third[0]
        .message
        .message
        .properties
        .get(property::FIRST_POP_TIME);
    assert_eq!(first_pop, Some(&*START_MS.to_string()));
    succeeds(&mut rig, ack(&third[0]));
    wait(&rig, 10 * HIDDEN_MS);
    assert_eq!(pop(&mut rig).len(), 0);
}

#[test]
fn check_points_and_acknowledgements_lie_in_the_revive_topic_as_the_references() {
    let mut rig = rig();
    topic(&rig, "T", 1);
    for n in 0..3 {
        send_to(
            &mut rig,
            "T",
            0,
            if n == 1 {
                "TAGS\u{1}B\u{2}"
            } else {
                "TAGS\u{1}A\u{2}"
            },
            "x",
        );
    }
    let only_a = PopMessageRequestHeader {
        exp: Some("A"),
        ..header()
    };
    let taken = popped(rig.call(request(&only_a)));
    assert_eq!(taken.len(), 2);
    succeeds(&mut rig, ack(&taken[1]));
    let bits = BatchAck {
        bit_set: "BQ==".to_owned(),
        group: "G".to_owned(),
        invisible_time: HIDDEN_MS,
        pop_time: START_MS,
        queue_id: 0,
        retry: "0".to_owned(),
        revive_queue_id: 0,
        start_offset: 0,
        topic: "T".to_owned(),
    };
    let batch = BatchAckRequest {
        acks: vec![bits],
        broker_name: Some("broker-a".to_owned()),
    };
    let command = kerolox_protocol::command::request(RequestCode::BATCH_ACK_MESSAGE);
    succeeds(&mut rig, command.with_body(body::encode(&batch)));
    wait(&rig, HIDDEN_MS + 1_000);
    let stored = rig.pull_all("rmq_sys_REVIVE_LOG_DefaultCluster");
    let by_tag: BTreeMap<&str, &MessageExt> = stored
        .iter()
        .map(|m| (m.message.properties.get(property::TAGS).unwrap(), m))
        .collect();
    assert_eq!(
        by_tag.keys().copied().collect::<Vec<_>>(),
        ["ack", "bAck", "ck"]
    );
    let property =
        |tag: &str, name: &str| by_tag[tag].message.properties.get(name).map(str::to_owned);
    let due = |ms: i64| Some((START_MS + ms).to_string());
    assert_eq!(
        property("ck", property::TIMER_DELIVER_MS),
        due(HIDDEN_MS - 1_000)
    );
    assert_eq!(property("ack", property::TIMER_DELIVER_MS), due(HIDDEN_MS));
    assert_eq!(property("bAck", property::TIMER_DELIVER_MS), due(HIDDEN_MS));
    let unique = format!("T@0@0@G@{START_MS}@broker-a@ck");
    assert_eq!(property("ck", property::UNIQ_KEY), Some(unique));
    let unique = format!("T@0@2@G@{START_MS}@broker-a@ack");
    assert_eq!(property("ack", property::UNIQ_KEY), Some(unique));
    let point: PopCheckPoint = body::decode(&by_tag["ck"].message.body).unwrap();
    assert_eq!((point.offset_differences, point.num), (vec![0, 2], 2));
    let ack: PopAck = body::decode(&by_tag["ack"].message.body).unwrap();
    assert_eq!((ack.ack_offset, ack.start_offset), (2, 0));
    let batch: PopAck = body::decode(&by_tag["bAck"].message.body).unwrap();
    assert_eq!(
        (batch.ack_offset, batch.ack_offsets),
        (-1, Some(vec![0, 2]))
    );
    assert_eq!(pop(&mut rig).len(), 0);
    wait(&rig, 10_000);
    assert_eq!(
        pop(&mut rig).len(),
        0,
        "all are acknowledged, the batch has the first one"
    );
}

#[test]
fn a_changed_time_counts_instead_of_the_first_one() {
    let mut rig = rig();
    topic(&rig, "T", 1);
    for body in ["longer", "shorter", "same"] {
        send_to(&mut rig, "T", 0, "", body);
    }
    let taken = pop(&mut rig);
    wait(&rig, 1_000);
    let reply = succeeds(&mut rig, change(&taken[0], 60_000));
    let changed: ChangeInvisibleTimeResponseHeader = reply.header().unwrap();
    assert_eq!(changed.pop_time, START_MS + 1_000);
    assert_eq!(
        (changed.invisible_time, changed.revive_queue_id),
        (60_000, 0)
    );
    succeeds(&mut rig, change(&taken[1], 2_000));
    wait(&rig, 6_000);
    assert_eq!(texts(&pop(&mut rig)), ["shorter"]);
    wait(&rig, 7_000);
    assert_eq!(texts(&pop(&mut rig)), ["same"]);
    // The old receipt is void, the new one counts.
    succeeds(&mut rig, ack(&taken[0]));
    let renewed = Receipt {
        start_offset: 0,
        pop_time: changed.pop_time,
        invisible_time: 60_000,
        revive_queue_id: 0,
        retry: RetryMark::Normal,
        broker_name: "broker-a",
        queue_id: Some(0),
        queue_offset: Some(0),
    };
    let first = |retries: Vec<Popped>| retries.iter().any(|p| p.text() == "longer");
    wait(&rig, 45_000);
    assert!(!first(pop(&mut rig)));
    let renewed = Popped {
        receipt: renewed.to_string(),
        ..taken[0].clone()
    };
    succeeds(&mut rig, ack(&renewed));
    wait(&rig, 60_000);
    assert!(!first(pop(&mut rig)));
}

#[test]
fn a_group_begins_where_it_wants() {
    let mut rig = rig();
    topic(&rig, "T", 1);
    topic(&rig, "E", 1);
    for n in 0..3 {
        send_to(&mut rig, "T", 0, "", &format!("m{n}"));
    }
    let newest = PopMessageRequestHeader {
        init_mode: init_mode::MAX,
        consumer_group: "G",
        ..header()
    };
    assert_eq!(
        popped(rig.call(request(&newest))).len(),
        3,
        "the queue is young"
    );
    let mut old = config();
    old.init_pop_offset_by_check_msg_in_mem = false;
    let mut rig = open(old, SimDisk::new(), START_MS);
    topic(&rig, "T", 1);
    for n in 0..3 {
        send_to(&mut rig, "T", 0, "", &format!("m{n}"));
    }
    assert_eq!(texts(&popped(rig.call(request(&newest)))), ["m2"]);
    let by_other = PopMessageRequestHeader {
        consumer_group: "H",
        ..header()
    };
    let header_of = |reply: &Command| {
        let header: PopMessageResponseHeader<'_> = reply.header().unwrap();
        (
            header.rest_num,
            header.start_offset_info.unwrap().to_owned(),
        )
    };
    let two = PopMessageRequestHeader {
        max_msg_nums: 2,
        ..by_other
    };
    assert_eq!(header_of(&rig.call(request(&two))), (1, "0 0 0".to_owned()));
    assert_eq!(header_of(&rig.call(request(&two))), (0, "0 0 2".to_owned()));
}

#[test]
fn a_group_whose_messages_expired_goes_on_with_the_first_that_exists() {
    let mut rig = rig();
    topic(&rig, "T", 1);
    send_to(&mut rig, "T", 0, "", "only");
    let peer = rig.session.peer();
    rig.broker.offsets.commit(peer, "G", "T", 0, 77);
    assert_eq!(pop(&mut rig).len(), 0, "behind the end is the end");
    assert_eq!(rig.broker.offsets.query("G", "T", 0), Some(1));
    rig.broker.offsets.commit(peer, "G", "T", 0, -5);
    assert_eq!(texts(&pop(&mut rig)), ["only"]);
}

#[test]
fn retries_of_both_names_are_read() {
    let mut v2 = config();
    v2.enable_retry_topic_v2 = true;
    let mut rig = open(v2, SimDisk::new(), START_MS);
    topic(&rig, "T", 1);
    topic(&rig, "%RETRY%G_T", 1);
    send_to(&mut rig, "T", 0, "", "new name");
    send_to(&mut rig, "%RETRY%G_T", 0, "", "old name");
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        wait(&rig, 1_000);
        for taken in pop(&mut rig) {
            assert_eq!(taken.message.message.topic, "T");
            seen.insert((taken.topic.clone(), taken.text().to_owned()));
        }
    }
    let seen: Vec<_> = seen.iter().map(|(t, b)| (t.as_str(), b.as_str())).collect();
    assert_eq!(
        seen,
        [
            ("%RETRY%G+T", "new name"),
            ("%RETRY%G_T", "old name"),
            ("T", "new name"),
        ]
    );
}

#[test]
fn a_check_point_of_another_broker_is_put_off_and_kept() {
    let mut rig = rig();
    topic(&rig, "T", 1);
    send_to(&mut rig, "T", 0, "", "elsewhere");
    let mut taken = pop(&mut rig).remove(0);
    taken.receipt = taken.receipt.replace("broker-a", "broker-z");
    succeeds(&mut rig, change(&taken, 1_000));
    wait(&rig, 60_000);
    let stored = rig.pull_all("rmq_sys_REVIVE_LOG_DefaultCluster");
    let tries: Vec<String> = stored
        .iter()
        .filter_map(|m| {
            body::decode::<PopCheckPoint>(&m.message.body)
                .ok()?
                .re_put_times
        })
        .collect();
    assert!(
        tries.len() >= 2 && tries[0] == "1" && tries[1] == "2",
        "{tries:?}"
    );
}

#[test]
fn too_many_in_flight_stop_a_queue_until_they_are_acknowledged() {
    let mut small = config();
    small.enable_pop_message_threshold = true;
    small.pop_inflight_message_threshold = 2;
    let mut rig = open(small, SimDisk::new(), START_MS);
    topic(&rig, "T", 1);
    for n in 0..8 {
        send_to(&mut rig, "T", 0, "", &format!("m{n}"));
    }
    let three = PopMessageRequestHeader {
        max_msg_nums: 3,
        ..header()
    };
    let taken = popped(rig.call(request(&three)));
    let stopped = rig.call(request(&three));
    assert_eq!(stopped.response_code(), ResponseCode::POLLING_TIMEOUT);
    let rest = stopped
        .header::<PopMessageResponseHeader<'_>>()
        .unwrap()
        .rest_num;
    assert_eq!(rest, 5);
    succeeds(&mut rig, ack(&taken[0]));
    assert_eq!(popped(rig.call(request(&three))).len(), 3);
}

#[test]
fn a_peek_takes_nothing() {
    let mut rig = rig();
    topic(&rig, "T", 2);
    for n in 0..5 {
        send_to(&mut rig, "T", n % 2, "", &format!("m{n}"));
    }
    let header = PeekMessageRequestHeader {
        topic: "T",
        queue_id: -1,
        max_msg_nums: 4,
        consumer_group: "G",
        broker_name: None,
    };
    let peek = Command::request(RequestCode::PEEK_MESSAGE, &header);
    for _ in 0..2 {
        let reply = succeeds(&mut rig, peek.clone());
        let rest = reply
            .header::<PopMessageResponseHeader<'_>>()
            .unwrap()
            .rest_num;
        assert_eq!((rest, record::decode_all(reply.body).len()), (5, 4));
    }
    assert_eq!(pop(&mut rig).len(), 5);
    let reply = rig.call(peek);
    assert_eq!(reply.response_code(), ResponseCode::PULL_NOT_FOUND);
}

#[test]
fn the_broker_assigns_queues_by_the_mode_that_was_set() {
    let mut rig = rig();
    topic(&rig, "T", 4);
    let query = |strategy: &str, topic: &str| {
        let wanted = QueryAssignmentRequest {
            client_id: "c1".to_owned(),
            consumer_group: "G".to_owned(),
            message_model: Some(MessageModel::Clustering),
            strategy_name: strategy.to_owned(),
            topic: topic.to_owned(),
        };
        let command = kerolox_protocol::command::request(RequestCode::QUERY_ASSIGNMENT);
        command.with_body(body::encode(&wanted))
    };
    let assigned = |rig: &mut Rig, command| -> Option<Vec<(i32, String)>> {
        let reply = succeeds(rig, command);
        let answer: QueryAssignmentResponse = body::decode(&reply.body).unwrap();
        let list = answer.message_queue_assignments?;
        let parts = list
            .into_iter()
            .map(|one| (one.message_queue.queue_id, format!("{:?}", one.mode)));
        Some(parts.collect())
    };
    assert_eq!(
        assigned(&mut rig, query("AVG", "T")),
        None,
        "the group has no members"
    );
    let beat = r#"{"clientID":"c1","consumerDataSet":[{"groupName":"G","subscriptionDataSet":[]}],"producerDataSet":[]}"#;
    let heartbeat = kerolox_protocol::command::request(RequestCode::HEART_BEAT);
    succeeds_first(&mut rig, heartbeat.with_body(beat.to_owned()));
    let pulled: Vec<(i32, String)> = (0..4).map(|id| (id, "Pull".to_owned())).collect();
    assert_eq!(assigned(&mut rig, query("AVG", "T")), Some(pulled));
    assert_eq!(assigned(&mut rig, query("HASH", "T")), None);
    assert_eq!(assigned(&mut rig, query("AVG", "nothing")), None);
    let mode = r#"{"consumerGroup":"G","mode":"POP","popShareQueueNum":0,"topic":"T"}"#;
    let set = kerolox_protocol::command::request(RequestCode::SET_MESSAGE_REQUEST_MODE);
    succeeds(&mut rig, set.clone().with_body(mode.to_owned()));
    let any = Some(vec![(-1, "Pop".to_owned())]);
    assert_eq!(assigned(&mut rig, query("AVG", "T")), any);
    for (bad, code) in [
        (
            mode.replace("\"T\"", "\"%RETRY%G\""),
            ResponseCode::NO_PERMISSION,
        ),
        (
            mode.replace("\"T\"", "\"nothing\""),
            ResponseCode::TOPIC_NOT_EXIST,
        ),
        (
            mode.replace("\"G\"", "\"../g\""),
            ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST,
        ),
        (mode.replace("POP", "PUSH"), ResponseCode::SYSTEM_ERROR),
    ] {
        let reply = rig.call(set.clone().with_body(bad));
        assert_eq!(reply.response_code(), code, "{reply:?}");
    }
    let disk = rig.disk.kill();
    let rig = open(config(), disk, START_MS);
    let modes = rig.broker.pop.modes.snapshot();
    assert_eq!(
        modes.message_request_mode_map["T"]["G"].pop_share_queue_num,
        0
    );
}

/// As [`succeeds`], where the broker sends requests of its own, too.
fn succeeds_first(rig: &mut Rig, command: Command) {
    let replies = rig.handle(vec![command]);
    let codes: Vec<_> = replies.iter().map(Command::response_code).collect();
    assert_eq!(codes, [ResponseCode::SUCCESS]);
}
