// SPDX-License-Identifier: Apache-2.0
//! Several members of a group: queues move without losing or repeating a message.

use std::time::{Duration, Instant};

use kerolox::consumer::{PushConsumer, Verdict};
use kerolox_protocol::RequestCode;

use super::push::{consumer, receive};
use super::world::World;
use super::{LONG, until};

/// Polls for a short while and completes everything; the numbers.
async fn drain(consumer: &PushConsumer) -> Vec<i32> {
    let mut numbers = Vec::new();
    loop {
        let deliveries = consumer
            .poll(7, Duration::from_millis(100))
            .await
            .expect("open");
        if deliveries.is_empty() {
            return numbers;
        }
        for delivery in deliveries {
            let body = String::from_utf8_lossy(&delivery.message.body).into_owned();
            numbers.push(body.parse().expect("a number"));
            consumer
                .complete(delivery.id, Verdict::Success)
                .expect("out");
        }
    }
}

#[tokio::test]
async fn a_growing_group_repeats_and_loses_nothing() {
    let world = World::with_queues(4).await;
    for queue_id in 0..4 {
        world
            .broker
            .add(queue_id, queue_id * 1000..queue_id * 1000 + 1000);
    }
    let first = consumer(&world, "*", |_| {}).await;
    let mut numbers = receive(&first, 500).await;
    let second = consumer(&world, "*", |_| {}).await;
    world.broker.notify();
    let consume = async |consumer: &PushConsumer| {
        until("a share", || consumer.assigned().len() == 2).await;
        drain(consumer).await
    };
    let busy = async {
        // Goes on while its queues are taken away.
        let mut numbers = Vec::new();
        while first.assigned().len() != 2 {
            for delivery in first.poll(3, Duration::from_millis(5)).await.expect("open") {
                let body = String::from_utf8_lossy(&delivery.message.body).into_owned();
                numbers.push(body.parse::<i32>().expect("a number"));
                first.complete(delivery.id, Verdict::Success).expect("out");
            }
        }
        numbers.extend(drain(&first).await);
        numbers
    };
    let (more, others) = tokio::join!(busy, consume(&second));
    numbers.extend(more);
    numbers.extend(others);
    numbers.sort_unstable();
    assert_eq!(numbers, (0..4000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_queue_moves_only_when_its_deliveries_are_done() {
    let world = World::with_queues(2).await;
    world.broker.add(1, 0..10);
    let first = consumer(&world, "*", |_| {}).await;
    let held = first.poll(4, LONG).await.expect("open");
    assert_eq!(held.len(), 4);
    let second = consumer(&world, "*", |_| {}).await;
    world.broker.notify();
    // One of the two lets go of a queue; which one depends on the ids.
    let is_first_ahead = first.client_id() < second.client_id();
    until("the group shares", || first.assigned().len() == 1).await;
    if is_first_ahead {
        // Queue 1 is wanted by the second, and stays locked while its deliveries are out.
        let refusals = || world.peer.asked(RequestCode::LOCK_BATCH_MQ).len();
        let before = refusals();
        until("the second asks again", || refusals() > before + 2).await;
        assert!(second.assigned().is_empty());
        assert!(
            first
                .poll(10, Duration::ZERO)
                .await
                .expect("open")
                .is_empty()
        );
        for delivery in held {
            first.complete(delivery.id, Verdict::Success).expect("out");
        }
        assert_eq!(receive(&second, 6).await, (4..10).collect::<Vec<_>>());
    } else {
        until("the second has the other", || second.assigned().len() == 1).await;
        for delivery in held {
            first.complete(delivery.id, Verdict::Success).expect("out");
        }
        assert_eq!(receive(&first, 6).await, (4..10).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_member_that_leaves_hands_its_queues_over() {
    let world = World::with_queues(2).await;
    world.broker.add(0, 0..100);
    world.broker.add(1, 100..200);
    let first = consumer(&world, "*", |_| {}).await;
    let second = consumer(&world, "*", |_| {}).await;
    world.broker.notify();
    until("the group shares", || {
        first.assigned().len() == 1 && second.assigned().len() == 1
    })
    .await;
    let mut numbers = Vec::new();
    for delivery in first.poll(10, LONG).await.expect("open") {
        let body = String::from_utf8_lossy(&delivery.message.body).into_owned();
        numbers.push(body.parse::<i32>().expect("a number"));
        first.complete(delivery.id, Verdict::Success).expect("out");
    }
    first.close().await.expect("closed");
    world.broker.notify();
    numbers.extend(receive(&second, 200 - numbers.len()).await);
    numbers.sort_unstable();
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_only_member_does_not_wait_for_the_lock_of_a_dead_one() {
    let world = World::with_queues(1).await;
    world.broker.add(0, 0..3);
    world
        .broker
        .state()
        .locks
        .insert(0, "somebody dead".to_owned());
    let begin = Instant::now();
    let consumer = consumer(&world, "*", |_| {}).await;
    assert_eq!(receive(&consumer, 3).await, [0, 1, 2]);
    assert!(begin.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_lock_that_is_never_given_back_is_waited_for_only_so_long() {
    let world = World::with_queues(1).await;
    world.broker.add(0, 0..3);
    {
        let mut state = world.broker.state();
        state.locks.insert(0, "somebody dead".to_owned());
        state
            .members
            .insert("~somebody who gets nothing".to_owned());
    }
    let consumer = consumer(&world, "*", |options| options.handover_wait_ms = 0).await;
    assert!(
        consumer
            .poll(1, Duration::from_millis(300))
            .await
            .expect("open")
            .is_empty()
    );
    assert_eq!(receive(&consumer, 3).await, [0, 1, 2]);
}
