// SPDX-License-Identifier: Apache-2.0
//! Sending: what goes out, what is retried where, which errors come back.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kerolox::producer::{Producer, ProducerOptions};
use kerolox::{ErrorCode, Message, Queue, SendStatus};
use kerolox_protocol::header::send::{SendMessageRequestHeaderV2, SendMessageResponseHeader};
use kerolox_protocol::message::{Properties, batch};
use kerolox_protocol::{Command, RequestCode, ResponseCode};

use super::peer::{Answer, Asked, Peer};
use super::world::{TOPIC, fail, name_server, ok, reply, route};
use super::{LONG, until};

fn stored(command: &Command, code: ResponseCode) -> Answer {
    let header: SendMessageRequestHeaderV2<'_> = command.header().expect("a header");
    let answer = SendMessageResponseHeader {
        msg_id: "0A00000100002A9F0000000000001000",
        queue_id: header.queue_id,
        queue_offset: 7,
        region: Some("R"),
        ..SendMessageResponseHeader::default()
    };
    reply(Command::reply_to(command, code).with_header(&answer))
}

/// Answers heartbeats, and sends as the script says.
async fn broker(script: impl Fn(&Asked<'_>) -> Answer + Send + Sync + 'static) -> Peer {
    Peer::start(move |asked| match asked.command.request_code() {
        RequestCode::SEND_MESSAGE_V2 | RequestCode::SEND_BATCH_MESSAGE => script(asked),
        _ => reply(ok(asked.command)),
    })
    .await
}

async fn producer(name_servers: &str, set: impl FnOnce(&mut ProducerOptions)) -> Producer {
    let mut options = ProducerOptions {
        name_servers: name_servers.to_owned(),
        ..ProducerOptions::default()
    };
    set(&mut options);
    Producer::start(options).await.expect("started")
}

fn sends(peer: &Peer) -> usize {
    peer.asked(RequestCode::SEND_MESSAGE_V2).len()
}

#[tokio::test]
async fn a_send_carries_the_message_and_returns_the_answer() {
    let a = broker(|asked| stored(asked.command, ResponseCode::SUCCESS)).await;
    let names = name_server(vec![(TOPIC, route(&[("a", &a.address)], 1))]).await;
    let producer = producer(&names.address, |_| {}).await;
    let message = Message::new(TOPIC, "hello")
        .with_tag("t")
        .with_key("k")
        .with_property("p", "v");
    let result = producer.send(message).await.expect("sent");
    assert_eq!(result.status, SendStatus::SendOk);
    assert_eq!((result.queue_id, result.queue_offset), (0, 7));
    assert_eq!(result.offset_message_id, "0A00000100002A9F0000000000001000");
    assert_eq!(
        (result.broker_name.as_str(), result.region.as_deref()),
        ("a", Some("R"))
    );
    assert_eq!(result.message_id.len(), 32);

    let sent = a.asked(RequestCode::SEND_MESSAGE_V2).remove(0);
    let header: SendMessageRequestHeaderV2<'_> = sent.header().expect("a header");
    assert_eq!((header.topic, header.default_topic), (TOPIC, "TBW102"));
    let properties = Properties::from_text(header.properties.expect("properties"));
    assert_eq!(properties.get("TAGS"), Some("t"));
    assert_eq!(properties.get("UNIQ_KEY"), Some(result.message_id.as_str()));
    assert_eq!(&sent.body[..], b"hello");
    producer.close().await.expect("closed");
    let error = producer
        .send(Message::new(TOPIC, "late"))
        .await
        .expect_err("closed");
    assert_eq!(error.code(), ErrorCode::Closed);
    until("the broker is told", || {
        !a.asked(RequestCode::UNREGISTER_CLIENT).is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_broker_that_hangs_is_passed_over_within_the_deadline() {
    let hanging = broker(|_| Answer::Nothing).await;
    let b = broker(|asked| stored(asked.command, ResponseCode::SUCCESS)).await;
    let both = route(&[("a", &hanging.address), ("b", &b.address)], 1);
    let names = name_server(vec![(TOPIC, both)]).await;
    let producer = producer(&names.address, |_| {}).await;
    let begin = Instant::now();
    for _ in 0..2 {
        let result = producer.send(Message::new(TOPIC, "x")).await.expect("sent");
        assert_eq!(result.broker_name, "b");
    }
    assert!(
        begin.elapsed() < Duration::from_secs(3),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(
        sends(&hanging),
        1,
        "one of two turns is the hanging broker's"
    );
}

#[tokio::test]
async fn a_dead_broker_is_passed_over_at_once() {
    let dead = Peer::start(|_| Answer::Close).await;
    let b = broker(|asked| stored(asked.command, ResponseCode::SUCCESS)).await;
    let both = route(&[("a", &dead.address), ("b", &b.address)], 1);
    let names = name_server(vec![(TOPIC, both)]).await;
    let producer = producer(&names.address, |_| {}).await;
    let begin = Instant::now();
    for _ in 0..4 {
        producer.send(Message::new(TOPIC, "x")).await.expect("sent");
    }
    assert_eq!(sends(&b), 4);
    assert!(begin.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn only_answers_that_may_change_are_retried() {
    let busy = broker(|asked| fail(asked.command, ResponseCode::SYSTEM_BUSY, "busy")).await;
    let b = broker(|asked| stored(asked.command, ResponseCode::SUCCESS)).await;
    let both = route(&[("a", &busy.address), ("b", &b.address)], 1);
    let names = name_server(vec![(TOPIC, both)]).await;
    let one = producer(&names.address, |_| {}).await;
    for _ in 0..2 {
        assert!(one.send(Message::new(TOPIC, "x")).await.is_ok());
    }
    assert_eq!(sends(&busy), 1);

    let strict = broker(|asked| fail(asked.command, ResponseCode::MESSAGE_ILLEGAL, "no")).await;
    let names = name_server(vec![(TOPIC, route(&[("a", &strict.address)], 1))]).await;
    let two = producer(&names.address, |_| {}).await;
    let error = two
        .send(Message::new(TOPIC, "x"))
        .await
        .expect_err("refused");
    assert_eq!(
        (error.code(), error.broker_code()),
        (ErrorCode::MessageIllegal, Some(13))
    );
    assert_eq!(error.operation(), "send");
    assert_eq!(sends(&strict), 1);
}

#[tokio::test]
async fn all_attempts_may_fail() {
    let busy = broker(|asked| fail(asked.command, ResponseCode::SYSTEM_BUSY, "busy")).await;
    let names = name_server(vec![(TOPIC, route(&[("a", &busy.address)], 1))]).await;
    let producer = producer(&names.address, |options| options.retry_times = 1).await;
    let error = producer
        .send(Message::new(TOPIC, "x"))
        .await
        .expect_err("busy");
    assert_eq!(error.code(), ErrorCode::BrokerBusy);
    assert_eq!(sends(&busy), 2);
}

#[tokio::test]
async fn the_four_statuses_are_results() {
    let codes = [
        (ResponseCode::SUCCESS, SendStatus::SendOk),
        (
            ResponseCode::FLUSH_DISK_TIMEOUT,
            SendStatus::FlushDiskTimeout,
        ),
        (
            ResponseCode::SLAVE_NOT_AVAILABLE,
            SendStatus::SlaveNotAvailable,
        ),
        (
            ResponseCode::FLUSH_SLAVE_TIMEOUT,
            SendStatus::FlushSlaveTimeout,
        ),
    ];
    let next = AtomicUsize::new(0);
    let a = broker(move |asked| {
        stored(
            asked.command,
            codes[next.fetch_add(1, Ordering::Relaxed) % codes.len()].0,
        )
    })
    .await;
    let names = name_server(vec![(TOPIC, route(&[("a", &a.address)], 1))]).await;
    let plain = producer(&names.address, |_| {}).await;
    for (_, status) in codes {
        let result = plain.send(Message::new(TOPIC, "x")).await.expect("stored");
        assert_eq!(result.status, status);
    }
    assert_eq!(sends(&a), 4);

    // With the option, a weaker status is tried again, and kept if that fails too.
    let weak = broker(|asked| stored(asked.command, ResponseCode::FLUSH_DISK_TIMEOUT)).await;
    let names = name_server(vec![(TOPIC, route(&[("a", &weak.address)], 1))]).await;
    let set = |options: &mut ProducerOptions| {
        options.retry_another_broker_when_not_store_ok = true;
    };
    let strict = producer(&names.address, set).await;
    let result = strict.send(Message::new(TOPIC, "x")).await.expect("stored");
    assert_eq!(result.status, SendStatus::FlushDiskTimeout);
    assert_eq!(sends(&weak), 3);
}

#[tokio::test]
async fn go_away_is_answered_by_a_new_connection() {
    let asked_so_far = AtomicUsize::new(0);
    let a = broker(
        move |asked| match asked_so_far.fetch_add(1, Ordering::Relaxed) {
            0 => fail(asked.command, ResponseCode::GO_AWAY, "please go away"),
            _ => stored(asked.command, ResponseCode::SUCCESS),
        },
    )
    .await;
    let names = name_server(vec![(TOPIC, route(&[("a", &a.address)], 1))]).await;
    let producer = producer(&names.address, |options| options.retry_times = 0).await;
    producer
        .send(Message::new(TOPIC, "x"))
        .await
        .expect("sent on the second connection");
    assert_eq!(sends(&a), 2);
}

#[tokio::test]
async fn a_message_goes_to_the_given_queue_once() {
    let a = broker(|asked| stored(asked.command, ResponseCode::SUCCESS)).await;
    let names = name_server(vec![(TOPIC, route(&[("a", &a.address)], 4))]).await;
    let producer = producer(&names.address, |_| {}).await;
    let queues = producer.queues(TOPIC).await.expect("queues");
    assert_eq!(queues.len(), 4);
    let result = producer
        .send_to_queue(Message::new(TOPIC, "x"), &queues[2])
        .await
        .expect("sent");
    assert_eq!(result.queue(), queues[2]);
    let elsewhere = Queue {
        broker_name: "none".to_owned(),
        ..queues[2].clone()
    };
    let error = producer
        .send_to_queue(Message::new(TOPIC, "x"), &elsewhere)
        .await;
    assert_eq!(
        error.expect_err("no such broker").code(),
        ErrorCode::BrokerNotFound
    );
    let error = producer
        .send_to_queue(Message::new("other", "x"), &queues[2])
        .await;
    assert_eq!(
        error.expect_err("another topic").code(),
        ErrorCode::InvalidQueue
    );
}

#[tokio::test]
async fn a_oneway_send_is_marked_and_waits_for_nothing() {
    let a = broker(|_| Answer::Nothing).await;
    let names = name_server(vec![(TOPIC, route(&[("a", &a.address)], 1))]).await;
    let producer = producer(&names.address, |_| {}).await;
    producer
        .send_oneway(Message::new(TOPIC, "x"))
        .await
        .expect("queued");
    until("it arrives", || sends(&a) == 1).await;
    assert!(a.asked(RequestCode::SEND_MESSAGE_V2)[0].is_oneway());
}

#[tokio::test]
async fn a_batch_is_one_request_with_its_own_rules() {
    let a = broker(|asked| stored(asked.command, ResponseCode::SUCCESS)).await;
    let names = name_server(vec![(TOPIC, route(&[("a", &a.address)], 1))]).await;
    let set = |options: &mut ProducerOptions| options.max_message_bytes = 300;
    let producer = producer(&names.address, set).await;
    let messages = vec![
        Message::new(TOPIC, "one"),
        Message::new(TOPIC, "two").with_tag("t"),
    ];
    let result = producer.send_batch(messages).await.expect("sent");
    assert_eq!(result.message_id.split(',').count(), 2);
    let sent = a.asked(RequestCode::SEND_BATCH_MESSAGE).remove(0);
    let header: SendMessageRequestHeaderV2<'_> = sent.header().expect("a header");
    assert_eq!(header.batch, Some(true));
    let bodies: Vec<Vec<u8>> = batch::elements(&sent.body)
        .map(|element| element.expect("an element").body.to_vec())
        .collect();
    assert_eq!(bodies, [b"one".to_vec(), b"two".to_vec()]);

    let mut delayed = Message::new(TOPIC, "x");
    delayed.delay_level = 1;
    for (messages, code) in [
        (vec![], ErrorCode::InvalidBatch),
        (
            vec![Message::new(TOPIC, "x"), Message::new("other", "x")],
            ErrorCode::InvalidBatch,
        ),
        (vec![delayed], ErrorCode::InvalidBatch),
        (
            vec![Message::new(TOPIC, vec![0; 200]); 2],
            ErrorCode::MessageTooLarge,
        ),
    ] {
        assert_eq!(
            producer
                .send_batch(messages)
                .await
                .expect_err("refused")
                .code(),
            code
        );
    }
    assert_eq!(a.asked(RequestCode::SEND_BATCH_MESSAGE).len(), 1);
}

#[tokio::test]
async fn what_can_not_be_sent_is_refused_without_asking_anybody() {
    let names = Peer::start(|_| Answer::Close).await;
    let producer = producer(&names.address, |options| options.max_message_bytes = 10).await;
    let error = producer
        .send(Message::new(TOPIC, vec![0; 11]))
        .await
        .expect_err("too large");
    assert_eq!(error.code(), ErrorCode::MessageTooLarge);
    let error = producer
        .send(Message::new("a b", "x"))
        .await
        .expect_err("bad name");
    assert_eq!(error.code(), ErrorCode::InvalidTopic);
    assert!(names.codes().is_empty());
}

#[tokio::test]
async fn a_topic_that_does_not_exist_is_created_after_the_template() {
    let a = broker(|asked| stored(asked.command, ResponseCode::SUCCESS)).await;
    let names = name_server(vec![("TBW102", route(&[("a", &a.address)], 8))]).await;
    let producer = producer(&names.address, |_| {}).await;
    assert_eq!(producer.queues("fresh").await.expect("queues").len(), 4);
    producer
        .send(Message::new("fresh", "x"))
        .await
        .expect("sent");
    let sent = a.asked(RequestCode::SEND_MESSAGE_V2).remove(0);
    let header: SendMessageRequestHeaderV2<'_> = sent.header().expect("a header");
    assert_eq!(
        (header.topic, header.default_topic_queue_nums),
        ("fresh", 4)
    );
}

#[tokio::test]
async fn many_sends_share_a_connection() {
    let a = broker(|asked| stored(asked.command, ResponseCode::SUCCESS)).await;
    let names = name_server(vec![(TOPIC, route(&[("a", &a.address)], 4))]).await;
    let producer = producer(&names.address, |_| {}).await;
    let mut sends = tokio::task::JoinSet::new();
    for number in 0..500 {
        let producer = producer.clone();
        sends.spawn(async move { producer.send(Message::new(TOPIC, number.to_string())).await });
    }
    let results = tokio::time::timeout(LONG, sends.join_all())
        .await
        .expect("in time");
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(names.codes().len(), 1, "one route for all of them");
}
