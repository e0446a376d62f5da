// SPDX-License-Identifier: Apache-2.0
//! Pull consumers: positions, commits, filters.

use std::time::Duration;

use kerolox::consumer::{ConsumeFrom, PullConsumer, PullConsumerOptions};
use kerolox::{ErrorCode, Queue};
use kerolox_protocol::RequestCode;

use super::LONG;
use super::world::{TOPIC, World};

async fn consumer(world: &World, set: impl FnOnce(&mut PullConsumerOptions)) -> PullConsumer {
    let mut options = PullConsumerOptions {
        name_servers: world.name_server.address.clone(),
        group: "g".to_owned(),
        consume_from: ConsumeFrom::FirstOffset,
        ..PullConsumerOptions::default()
    };
    set(&mut options);
    PullConsumer::start(options).await.expect("started")
}

async fn poll(consumer: &PullConsumer, max: u32) -> Vec<i64> {
    let messages = consumer.poll(max, LONG).await.expect("open");
    messages
        .iter()
        .map(|message| message.queue_offset)
        .collect()
}

#[tokio::test]
async fn positions_are_committed_when_asked() {
    let world = World::with_queues(2).await;
    world.broker.add(0, 0..10);
    let consumer = consumer(&world, |options| options.auto_commit = false).await;
    let queues = consumer.queues(TOPIC).await.expect("queues");
    assert_eq!(queues.len(), 2);
    consumer.assign(queues.clone()).expect("open");
    assert_eq!(poll(&consumer, 4).await, [0, 1, 2, 3]);
    assert_eq!(consumer.committed(&queues[0]).await.expect("asked"), None);
    consumer.commit().await.expect("committed");
    assert_eq!(
        consumer.committed(&queues[0]).await.expect("asked"),
        Some(4)
    );
    assert_eq!(poll(&consumer, 2).await, [4, 5]);
    consumer.close().await.expect("closed");
    assert_eq!(world.broker.offset("g", 0), Some(4));
    let error = consumer.poll(1, Duration::ZERO).await.expect_err("closed");
    assert_eq!(error.code(), ErrorCode::Closed);
}

#[tokio::test]
async fn an_automatic_commit_is_one_poll_behind_until_close() {
    let world = World::with_queues(1).await;
    world.broker.add(0, 0..10);
    let consumer = consumer(&world, |options| options.auto_commit_interval_ms = 0).await;
    consumer
        .assign(consumer.queues(TOPIC).await.expect("queues"))
        .expect("open");
    assert_eq!(poll(&consumer, 3).await, [0, 1, 2]);
    assert_ne!(world.broker.offset("g", 0), Some(3));
    assert_eq!(poll(&consumer, 3).await, [3, 4, 5]);
    super::until("the first poll is committed", || {
        world.broker.offset("g", 0) == Some(3)
    })
    .await;
    consumer.close().await.expect("closed");
    assert_eq!(world.broker.offset("g", 0), Some(6));
}

#[tokio::test]
async fn seeks_move_the_position() {
    let world = World::with_queues(1).await;
    world.broker.add(0, 0..10);
    let consumer = consumer(&world, |_| {}).await;
    let queues = consumer.queues(TOPIC).await.expect("queues");
    let queue = &queues[0];
    let error = consumer.seek(queue, 1).await.expect_err("not assigned");
    assert_eq!(error.code(), ErrorCode::QueueNotAssigned);
    consumer.assign(queues.clone()).expect("open");
    assert_eq!(poll(&consumer, 2).await, [0, 1]);
    consumer.seek(queue, 7).await.expect("moved");
    assert_eq!(poll(&consumer, 10).await, [7, 8, 9]);
    consumer.seek_to_begin(queue).await.expect("moved");
    assert_eq!(poll(&consumer, 1).await, [0]);
    consumer.seek_to_end(queue).await.expect("moved");
    let nothing = consumer
        .poll(1, Duration::from_millis(50))
        .await
        .expect("open");
    assert!(nothing.is_empty());
    let error = consumer.seek(queue, 11).await.expect_err("outside");
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    assert!(error.to_string().contains("0 to 10"), "{error}");
}

#[tokio::test]
async fn assignments_keep_and_drop_queues() {
    let world = World::with_queues(2).await;
    world.broker.add(0, 0..5);
    world.broker.add(1, 5..10);
    let consumer = consumer(&world, |_| {}).await;
    let queues = consumer.queues(TOPIC).await.expect("queues");
    consumer.assign(vec![queues[0].clone()]).expect("open");
    assert_eq!(poll(&consumer, 2).await, [0, 1]);
    consumer.assign(queues.clone()).expect("open");
    let mut seen = Vec::new();
    while seen.len() < 8 {
        for message in consumer.poll(10, LONG).await.expect("open") {
            seen.push((message.queue_id, message.queue_offset));
        }
    }
    seen.sort_unstable();
    assert_eq!(
        seen,
        [
            (0, 2),
            (0, 3),
            (0, 4),
            (1, 0),
            (1, 1),
            (1, 2),
            (1, 3),
            (1, 4)
        ]
    );
    consumer.assign(Vec::new()).expect("open");
    super::until("positions are committed", || {
        world.broker.offset("g", 0) == Some(5) && world.broker.offset("g", 1) == Some(5)
    })
    .await;
}

#[tokio::test]
async fn filters_travel_with_the_pull_and_are_checked_exactly() {
    let world = World::with_queues(1).await;
    let messages = vec![(b"0".to_vec(), Some("a")), (b"1".to_vec(), Some("b"))];
    world.broker.state().queues.insert(0, messages);
    let consumer = consumer(&world, |_| {}).await;
    consumer.filter(TOPIC, "b").expect("usable");
    consumer
        .assign(consumer.queues(TOPIC).await.expect("queues"))
        .expect("open");
    assert_eq!(poll(&consumer, 10).await, [1]);
    let pull = world.peer.asked(RequestCode::LITE_PULL_MESSAGE).remove(0);
    assert_eq!(pull.ext.get("subscription"), Some("b"));
    let error = consumer.filter(TOPIC, "||").expect_err("no tags");
    assert_eq!(error.code(), ErrorCode::InvalidSubscription);
}

#[tokio::test]
async fn a_queue_that_can_not_be_read_is_said() {
    let world = World::with_queues(1).await;
    let consumer = consumer(&world, |_| {}).await;
    let queue = Queue {
        topic: TOPIC.into(),
        broker_name: "elsewhere".into(),
        queue_id: 0,
    };
    consumer.assign(vec![queue]).expect("open");
    let error = consumer.poll(1, LONG).await.expect_err("no such broker");
    assert_eq!(error.code(), ErrorCode::BrokerNotFound);
    let error = consumer.queues("unknown").await.expect_err("no route");
    assert_eq!(error.code(), ErrorCode::NoRoute);
}
