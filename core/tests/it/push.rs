// SPDX-License-Identifier: Apache-2.0
//! One push consumer: order of joining, deliveries, verdicts, filters, leaving.

use std::time::Duration;

use kerolox::ErrorCode;
use kerolox::consumer::{
    ConsumeFrom, MessageModel, PushConsumer, PushConsumerOptions, Subscription, Verdict,
};
use kerolox_protocol::RequestCode;

use super::world::{TOPIC, World};
use super::{LONG, until};

pub async fn consumer(
    world: &World,
    expression: &str,
    set: impl FnOnce(&mut PushConsumerOptions),
) -> PushConsumer {
    let mut options = PushConsumerOptions {
        name_servers: world.name_server.address.clone(),
        group: "g".to_owned(),
        consume_from: ConsumeFrom::FirstOffset,
        ..PushConsumerOptions::default()
    };
    set(&mut options);
    let subscriptions = vec![Subscription::new(TOPIC, expression)];
    PushConsumer::start(options, subscriptions)
        .await
        .expect("started")
}

/// Polls until this many messages have come; completes them. Their bodies, sorted by number.
pub async fn receive(consumer: &PushConsumer, count: usize) -> Vec<i32> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        let deliveries = consumer.poll(10, LONG).await.expect("open");
        assert!(!deliveries.is_empty(), "{} of {count} came", numbers.len());
        for delivery in deliveries {
            let body = String::from_utf8_lossy(&delivery.message.body).into_owned();
            numbers.push(body.parse().expect("a number"));
            consumer
                .complete(delivery.id, Verdict::Success)
                .expect("out");
        }
    }
    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn messages_are_delivered_completed_and_committed() {
    let world = World::with_queues(2).await;
    world.broker.add(0, 0..50);
    world.broker.add(1, 50..100);
    let consumer = consumer(&world, "*", |_| {}).await;
    assert_eq!(receive(&consumer, 100).await, (0..100).collect::<Vec<_>>());
    assert_eq!(consumer.assigned().len(), 2);
    consumer.close().await.expect("closed");
    assert_eq!(
        (world.broker.offset("g", 0), world.broker.offset("g", 1)),
        (Some(50), Some(50))
    );
    assert!(world.broker.state().locks.is_empty() && world.broker.state().members.is_empty());

    let codes = world.peer.codes();
    let first = |code| codes.iter().position(|seen| *seen == code).expect("asked");
    let last = |code| codes.iter().rposition(|seen| *seen == code).expect("asked");
    assert!(first(RequestCode::HEART_BEAT) < first(RequestCode::PULL_MESSAGE));
    assert!(last(RequestCode::UPDATE_CONSUMER_OFFSET) < last(RequestCode::UNLOCK_BATCH_MQ));
    assert!(last(RequestCode::UNLOCK_BATCH_MQ) < last(RequestCode::UNREGISTER_CLIENT));
    consumer.close().await.expect("closing twice is fine");
}

#[tokio::test]
async fn the_heartbeat_says_what_the_group_wants() {
    let world = World::with_queues(1).await;
    let _consumer = consumer(&world, "a || b", |_| {}).await;
    let state = world.broker.state();
    let data = &state.heartbeats[0].consumer_data_set[0];
    assert_eq!(data.group_name, "g");
    let topics: Vec<&str> = data
        .subscription_data_set
        .iter()
        .map(|data| data.topic.as_str())
        .collect();
    assert_eq!(topics, ["%RETRY%g", TOPIC]);
    assert_eq!(data.subscription_data_set[1].sub_string, "a || b");
}

#[tokio::test]
async fn what_is_not_completed_is_not_committed() {
    let world = World::with_queues(1).await;
    world.broker.add(0, 0..10);
    let consumer = consumer(&world, "*", |options| options.close_wait_ms = 50).await;
    let deliveries = consumer.poll(10, LONG).await.expect("open");
    assert_eq!(deliveries.len(), 10);
    for delivery in deliveries
        .iter()
        .filter(|delivery| delivery.message.queue_offset != 4)
    {
        consumer
            .complete(delivery.id, Verdict::Success)
            .expect("out");
    }
    let again = consumer
        .complete(deliveries[0].id, Verdict::Success)
        .expect_err("completed");
    assert_eq!(again.code(), ErrorCode::UnknownDelivery);
    consumer.close().await.expect("closed");
    assert_eq!(world.broker.offset("g", 0), Some(4));
    let late = consumer.complete(deliveries[4].id, Verdict::Success);
    assert!(late.is_ok(), "a late completion is ignored");
}

#[tokio::test]
async fn close_waits_for_deliveries_and_wakes_polls() {
    let world = World::with_queues(1).await;
    world.broker.add(0, 0..1);
    let consumer = consumer(&world, "*", |_| {}).await;
    let delivery = consumer.poll(1, LONG).await.expect("open").remove(0);
    let (waiting, closing) = (consumer.clone(), consumer.clone());
    let waiting = tokio::spawn(async move { waiting.poll(1, LONG).await });
    let closing = tokio::spawn(async move { closing.close().await });
    let error = waiting.await.expect("no panic").expect_err("closed");
    assert_eq!(error.code(), ErrorCode::Closed);
    consumer
        .complete(delivery.id, Verdict::Success)
        .expect("still out");
    closing.await.expect("no panic").expect("closed");
    assert_eq!(world.broker.offset("g", 0), Some(1));
}

#[tokio::test]
async fn tags_are_checked_exactly() {
    let world = World::with_queues(1).await;
    let tags = [Some("a"), Some("b"), None, Some("a")];
    let messages = tags
        .iter()
        .enumerate()
        .map(|(number, tag)| (number.to_string().into_bytes(), *tag));
    world.broker.state().queues.insert(0, messages.collect());
    let consumer = consumer(&world, "a", |_| {}).await;
    assert_eq!(receive(&consumer, 2).await, [0, 3]);
    consumer.close().await.expect("closed");
    assert_eq!(world.broker.offset("g", 0), Some(4));
}

#[tokio::test]
async fn later_sends_the_message_back() {
    let world = World::with_queues(1).await;
    world.broker.add(0, 0..3);
    let consumer = consumer(&world, "*", |options| options.max_reconsume_times = 5).await;
    let deliveries = consumer.poll(3, LONG).await.expect("open");
    let verdicts: Vec<_> = deliveries
        .iter()
        .map(|delivery| (delivery.id, Verdict::Later))
        .collect();
    consumer.complete_batch(&verdicts).expect("out");
    consumer.close().await.expect("closed");
    assert_eq!(world.broker.offset("g", 0), Some(3));
    let mut backs = world.peer.asked(RequestCode::CONSUMER_SEND_MSG_BACK);
    backs.sort_by_key(|back| back.ext.get("offset").map(str::to_owned));
    assert_eq!(backs.len(), 3);
    assert_eq!(backs[1].ext.get("offset"), Some("1000"));
    assert_eq!(backs[1].ext.get("originTopic"), Some(TOPIC));
    assert_eq!(backs[1].ext.get("maxReconsumeTimes"), Some("5"));
}

#[tokio::test]
async fn a_message_that_is_not_taken_back_is_not_committed() {
    let world = World::with_queues(1).await;
    world.broker.add(0, 0..2);
    world.broker.state().refuses_send_back = true;
    let consumer = consumer(&world, "*", |options| options.close_wait_ms = 50).await;
    let deliveries = consumer.poll(2, LONG).await.expect("open");
    consumer
        .complete(deliveries[0].id, Verdict::Later)
        .expect("out");
    consumer
        .complete(deliveries[1].id, Verdict::Success)
        .expect("out");
    let refused = || {
        !world
            .peer
            .asked(RequestCode::CONSUMER_SEND_MSG_BACK)
            .is_empty()
    };
    until("the broker refuses", refused).await;
    consumer.close().await.expect("closed");
    assert_eq!(world.broker.offset("g", 0), Some(0));
}

#[tokio::test]
async fn pulling_pauses_while_too_much_is_held() {
    let world = World::with_queues(1).await;
    world.broker.add(0, 0..100);
    let set = |options: &mut PushConsumerOptions| {
        options.pull_batch_size = 10;
        options.pull_threshold_for_queue = 20;
    };
    let consumer = consumer(&world, "*", set).await;
    let pulls = || world.peer.asked(RequestCode::PULL_MESSAGE).len();
    let mut held = Vec::new();
    while held.len() < 20 {
        held.extend(consumer.poll(15, LONG).await.expect("open"));
    }
    // Nothing more is pulled until some are done.
    assert!(
        consumer
            .poll(1, Duration::from_millis(50))
            .await
            .expect("open")
            .is_empty()
    );
    assert_eq!((held.len(), pulls()), (20, 2));
    for delivery in &held {
        consumer
            .complete(delivery.id, Verdict::Success)
            .expect("out");
    }
    assert_eq!(receive(&consumer, 80).await, (20..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn broadcasting_keeps_its_offsets_in_a_file_and_locks_nothing() {
    let world = World::with_queues(2).await;
    world.broker.add(0, 0..5);
    world.broker.add(1, 5..10);
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_str().expect("text").to_owned();
    let set = |options: &mut PushConsumerOptions| {
        options.message_model = MessageModel::Broadcasting;
        options.offset_store_dir = path.clone();
        options.client_ip = "10.0.0.9".to_owned();
        options.instance_name = "broadcasting-test".to_owned();
    };
    let first = consumer(&world, "*", set).await;
    assert_eq!(receive(&first, 10).await, (0..10).collect::<Vec<_>>());
    first.close().await.expect("closed");
    let file = dir.path().join("10.0.0.9@broadcasting-test/g/offsets.json");
    let text = std::fs::read_to_string(file).expect("written");
    assert!(text.contains("offsetTable"), "{text}");
    assert!(world.peer.asked(RequestCode::LOCK_BATCH_MQ).is_empty());
    assert_eq!(world.broker.offset("g", 0), None);

    world.broker.add(0, 10..12);
    let second = consumer(&world, "*", set).await;
    assert_eq!(receive(&second, 2).await, [10, 11]);
    // Broadcasting does not redeliver.
    world.broker.add(1, 12..13);
    second.close().await.expect("closed");
}

#[tokio::test]
async fn an_offset_outside_the_queue_is_corrected() {
    let world = World::with_queues(1).await;
    world.broker.add(0, 0..3);
    world.broker.state().offsets.insert(("g".to_owned(), 0), 99);
    let consumer = consumer(&world, "*", |_| {}).await;
    until("the offset is corrected", || {
        world.broker.offset("g", 0) == Some(3)
    })
    .await;
    assert!(
        consumer
            .poll(1, Duration::ZERO)
            .await
            .expect("open")
            .is_empty()
    );
}

#[tokio::test]
async fn a_consumer_that_is_dropped_leaves() {
    let world = World::with_queues(1).await;
    world.broker.add(0, 0..1);
    let consumer = consumer(&world, "*", |_| {}).await;
    receive(&consumer, 1).await;
    drop(consumer);
    until("it has left", || world.broker.state().members.is_empty()).await;
    assert_eq!(world.broker.offset("g", 0), Some(1));
}
