// SPDX-License-Identifier: Apache-2.0
use kerolox_protocol::message::Message;

use super::*;

const THRESHOLDS: Thresholds = Thresholds {
    messages: 3,
    bytes: 1000,
    span: 100,
};

fn message(offset: i64) -> MessageExt {
    let host = "127.0.0.1:1".parse().expect("an address");
    MessageExt {
        message: Message::new("t", "body"),
        queue_id: 0,
        store_size: 100,
        queue_offset: offset,
        sys_flag: 0,
        born_timestamp: 0,
        born_host: host,
        store_timestamp: 0,
        store_host: host,
        physical_offset: offset * 100,
        body_crc: 0,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
    }
}

fn queue() -> ProcessQueue {
    let queue = ProcessQueue::new(Queue {
        topic: "t".into(),
        broker_name: "b".into(),
        queue_id: 0,
    });
    queue.begin(10, true);
    queue
}

fn take(queue: &ProcessQueue, max: usize) -> (Vec<i64>, bool) {
    let mut out = Vec::new();
    let has_more = queue.take(max, &mut out);
    (
        out.into_iter().map(|(offset, _)| offset).collect(),
        has_more,
    )
}

#[test]
fn the_first_message_that_is_not_done_holds_the_offset() {
    let queue = queue();
    assert_eq!(
        (queue.commit_offset(), queue.uncommitted()),
        (Some(10), None)
    );
    assert!(queue.put(vec![message(10), message(12), message(13)], 14));
    assert_eq!(take(&queue, 9), (vec![10, 12, 13], false));
    assert!(queue.complete(12) && queue.complete(13));
    assert_eq!(queue.commit_offset(), Some(10));
    assert!(queue.complete(10));
    assert_eq!(
        (queue.commit_offset(), queue.uncommitted()),
        (Some(14), Some(14))
    );
    queue.set_committed(14);
    assert_eq!(queue.uncommitted(), None);
    assert!(!queue.complete(10), "a message is completed once");
}

#[test]
fn an_empty_pull_moves_the_offset() {
    let queue = queue();
    assert!(!queue.put(Vec::new(), 50));
    assert_eq!(queue.uncommitted(), Some(50));
}

#[test]
fn a_queue_is_listed_once_until_it_is_taken_from() {
    let queue = queue();
    assert!(queue.put(vec![message(10), message(11)], 12));
    assert!(!queue.put(vec![message(12)], 13));
    assert_eq!(take(&queue, 2), (vec![10, 11], true));
    assert_eq!(take(&queue, 2), (vec![12], false));
    assert!(queue.put(vec![message(13)], 14));
}

#[test]
fn a_leaving_queue_drops_what_was_not_handed_out_and_keeps_what_was() {
    let queue = queue();
    queue.put(vec![message(10), message(11), message(12), message(13)], 14);
    assert_eq!(take(&queue, 2).0, [10, 11]);
    queue.complete(10);
    queue.leave();
    assert_eq!(take(&queue, 9).0, [0; 0]);
    assert!(!queue.put(vec![message(14)], 15));
    assert_eq!(queue.commit_offset(), Some(11));
    assert!(queue.complete(11));
    assert_eq!(queue.commit_offset(), Some(12));
    queue.drop_all();
    assert_eq!(queue.commit_offset(), None);
}

#[tokio::test]
async fn settled_waits_for_what_is_out() {
    let queue = queue();
    queue.put(vec![message(10), message(11)], 12);
    take(&queue, 2);
    queue.leave();
    let complete = async {
        queue.complete(11);
        queue.complete(10);
    };
    tokio::join!(queue.settled(), complete);
    assert_eq!(queue.commit_offset(), Some(12));
}

#[tokio::test]
async fn pulling_pauses_at_a_threshold_and_goes_on_behind_it() {
    let queue = queue();
    queue.put(vec![message(10), message(11), message(12)], 13);
    assert!(!queue.has_room(THRESHOLDS));
    take(&queue, 9);
    let complete = async { queue.complete(10) };
    let ((), completed) = tokio::join!(queue.room(THRESHOLDS), complete);
    assert!(completed);
    let wide = Thresholds {
        span: 1,
        ..THRESHOLDS
    };
    assert!(!queue.has_room(wide));
    queue.leave();
    assert!(queue.has_room(wide), "a leaving queue keeps nobody waiting");
}

#[test]
fn a_message_can_be_handed_out_again() {
    let queue = queue();
    queue.put(vec![message(10), message(11)], 12);
    take(&queue, 2);
    queue.complete(11);
    assert!(queue.again(10));
    assert_eq!(queue.commit_offset(), Some(10));
    let mut out = Vec::new();
    queue.take(9, &mut out);
    assert_eq!((out[0].0, out[0].1.reconsume_times), (10, 1));
    assert!(queue.complete(10));
    assert_eq!(queue.commit_offset(), Some(12));
}
