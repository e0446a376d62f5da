// SPDX-License-Identifier: Apache-2.0
//! Name servers: fail-over, and typed errors within the deadline.

use std::time::{Duration, Instant};

use kerolox::admin::{Admin, AdminOptions};
use kerolox::consumer::{PushConsumer, PushConsumerOptions, Subscription};
use kerolox::producer::{Producer, ProducerOptions};
use kerolox::{ErrorCode, Message};
use kerolox_protocol::body;
use kerolox_protocol::body::topic::TopicList;
use kerolox_protocol::{RequestCode, ResponseCode};
use tokio::net::TcpListener;

use super::peer::{Answer, Peer};
use super::world::{TOPIC, fail, name_server, ok, reply, route};

/// An address that nobody listens at.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("bound").to_string()
}

async fn producer(name_servers: String, send_timeout_ms: u64) -> Producer {
    let options = ProducerOptions {
        name_servers,
        send_timeout_ms,
        ..ProducerOptions::default()
    };
    Producer::start(options).await.expect("started")
}

#[tokio::test]
async fn an_unreachable_name_server_is_named() {
    let address = nobody().await;
    let producer = producer(address.clone(), 3000).await;
    let begin = Instant::now();
    let error = producer
        .send(Message::new(TOPIC, "x"))
        .await
        .expect_err("nobody there");
    assert_eq!(error.code(), ErrorCode::NameServerUnreachable);
    assert!(error.to_string().contains(&address), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(3));

    let options = PushConsumerOptions {
        name_servers: address,
        group: "g".to_owned(),
        ..PushConsumerOptions::default()
    };
    let error = PushConsumer::start(options, vec![Subscription::new(TOPIC, "*")]).await;
    assert_eq!(
        error.expect_err("nobody there").code(),
        ErrorCode::NameServerUnreachable
    );
}

#[tokio::test]
async fn a_silent_name_server_costs_no_more_than_the_deadline() {
    let silent = Peer::start(|_| Answer::Nothing).await;
    let producer = producer(silent.address.clone(), 300).await;
    let begin = Instant::now();
    let error = producer
        .send(Message::new(TOPIC, "x"))
        .await
        .expect_err("silent");
    assert_eq!(error.code(), ErrorCode::NameServerUnreachable);
    let elapsed = begin.elapsed();
    assert!(
        elapsed >= Duration::from_millis(300) && elapsed < Duration::from_secs(2),
        "{elapsed:?}"
    );
}

#[tokio::test]
async fn the_next_name_server_is_asked_in_the_same_call() {
    let silent = Peer::start(|_| Answer::Nothing).await;
    let good = name_server(vec![(TOPIC, route(&[("a", "127.0.0.1:1")], 1))]).await;
    let list = format!("{};{};{}", nobody().await, silent.address, good.address);
    let producer = producer(list, 3000).await;
    assert_eq!(producer.queues(TOPIC).await.expect("found").len(), 1);
}

#[tokio::test]
async fn no_route_says_what_to_do() {
    let names = name_server(Vec::new()).await;
    let producer = producer(names.address.clone(), 3000).await;
    let error = producer
        .send(Message::new(TOPIC, "x"))
        .await
        .expect_err("no route");
    assert_eq!(error.code(), ErrorCode::NoRoute);
    assert!(
        error.hint().contains("create the topic"),
        "{}",
        error.hint()
    );
    assert_eq!(error.context()[0], ("topic", TOPIC.to_owned()));
}

#[tokio::test]
async fn a_name_server_that_is_none_is_told_apart() {
    let http = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = http.local_addr().expect("bound").to_string();
    let serve = tokio::spawn(async move {
        let (mut socket, _) = http.accept().await.expect("a connection");
        let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut socket, answer)
            .await
            .expect("written");
        std::future::pending::<()>().await;
    });
    let producer = producer(address, 3000).await;
    let error = producer
        .send(Message::new(TOPIC, "x"))
        .await
        .expect_err("not the protocol");
    assert_eq!(error.code(), ErrorCode::NameServerUnreachable);
    assert!(
        error.to_string().contains("not RocketMQ's protocol"),
        "{error}"
    );
    serve.abort();
}

#[tokio::test]
async fn administration_creates_a_topic_and_waits_until_it_is_routed() {
    let broker = Peer::start(|asked| reply(ok(asked.command))).await;
    let address = broker.address.clone();
    let looks = std::sync::atomic::AtomicUsize::new(0);
    let names = Peer::start(move |asked| match asked.command.request_code() {
        RequestCode::GET_BROKER_CLUSTER_INFO => {
            let text = format!(
                r#"{{"brokerAddrTable":{{"a":{{"brokerAddrs":{{0:"{address}"}},"brokerName":"a","cluster":"c"}}}},"clusterAddrTable":{{"c":["a"]}}}}"#
            );
            reply(ok(asked.command).with_body(text))
        }
        RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER => {
            let list = TopicList {
                topic_list: vec!["b".to_owned(), "a".to_owned()],
                ..TopicList::default()
            };
            reply(ok(asked.command).with_body(body::encode(&list)))
        }
        RequestCode::GET_ROUTEINFO_BY_TOPIC
            if looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 1 =>
        {
            let route = route(&[("a", &address)], 2);
            reply(ok(asked.command).with_body(body::encode(&route)))
        }
        RequestCode::GET_ROUTEINFO_BY_TOPIC => {
            fail(asked.command, ResponseCode::TOPIC_NOT_EXIST, "not yet")
        }
        _ => reply(ok(asked.command)),
    })
    .await;
    let options = AdminOptions {
        name_servers: names.address.clone(),
        ..AdminOptions::default()
    };
    let admin = Admin::start(options).await.expect("started");
    admin
        .create_topic_on("t", 2, Some("c"))
        .await
        .expect("created");
    let created = broker.asked(RequestCode::UPDATE_AND_CREATE_TOPIC).remove(0);
    assert_eq!(created.ext.get("writeQueueNums"), Some("2"));
    assert_eq!(created.ext.get("perm"), Some("6"));
    assert_eq!(admin.topic_list().await.expect("listed"), ["a", "b"]);
    admin.delete_topic("t").await.expect("deleted");
    assert_eq!(broker.asked(RequestCode::DELETE_TOPIC_IN_BROKER).len(), 1);
    assert_eq!(names.asked(RequestCode::DELETE_TOPIC_IN_NAMESRV).len(), 1);
    let error = admin
        .create_topic_on("t", 2, Some("nothing"))
        .await
        .expect_err("no such broker");
    assert_eq!(error.code(), ErrorCode::BrokerNotFound);
    let error = admin
        .create_topic_on("t", 0, None)
        .await
        .expect_err("no queues");
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
}
