// SPDX-License-Identifier: Apache-2.0
use std::time::Instant;

use kerolox::net::{ConnectOptions, Connection};
use kerolox_protocol::body;
use kerolox_protocol::body::heartbeat::{ConsumerData, HeartbeatData, SubscriptionData};
use kerolox_protocol::body::route::TopicRouteData;
use kerolox_protocol::body::topic::TopicList;
use kerolox_protocol::header::admin::{CreateTopicRequestHeader, TopicRequestHeader};
use kerolox_protocol::header::heartbeat::ConsumerGroupRequestHeader;
use kerolox_protocol::header::route::GetRouteInfoRequestHeader;
use kerolox_protocol::{Command, RequestCode, ResponseCode, command};
use tokio::sync::mpsc;

use super::*;

const TIMEOUT: Duration = Duration::from_secs(5);

async fn ask(address: SocketAddr, request: Command) -> Command {
    let connection = Connection::connect(&address.to_string(), ConnectOptions::default())
        .await
        .unwrap();
    connection.request(request, TIMEOUT).await.unwrap()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

fn route(topic: &str) -> Command {
    let header = GetRouteInfoRequestHeader {
        topic,
        accept_standard_json_only: None,
    };
    Command::request(RequestCode::GET_ROUTEINFO_BY_TOPIC, &header)
}

fn create(topic: &str) -> Command {
    let header = CreateTopicRequestHeader {
        topic,
        read_queue_nums: 3,
        write_queue_nums: 2,
        perm: 6,
        ..CreateTopicRequestHeader::default()
    };
    Command::request(RequestCode::UPDATE_AND_CREATE_TOPIC, &header)
}

#[test]
fn a_started_server_is_routed_and_a_created_topic_is_known_when_it_is_answered() {
    let server = Server::start(ServerOptions::default()).unwrap();
    block_on(async {
        let reply = ask(server.namesrv_addr(), route("TBW102")).await;
        let found: TopicRouteData = body::decode(&reply.body).unwrap();
        assert_eq!(
            found.broker_datas[0].broker_addrs[&0],
            server.broker_addr().to_string()
        );

        for topic in ["orders", "orders-2"] {
            let created = ask(server.broker_addr(), create(topic)).await;
            assert_eq!(
                created.response_code(),
                ResponseCode::SUCCESS,
                "{created:?}"
            );
            let reply = ask(server.namesrv_addr(), route(topic)).await;
            let found: TopicRouteData = body::decode(&reply.body).unwrap();
            let queues = &found.queue_datas[0];
            assert_eq!((queues.read_queue_nums, queues.write_queue_nums), (3, 2));
        }
        for bad in ["a/b", "TBW102"] {
            let refused = ask(server.broker_addr(), create(bad)).await;
            assert_eq!(refused.response_code(), ResponseCode::INVALID_PARAMETER);
            assert!(refused.remark.unwrap().contains(bad));
        }
    });
    server.stop();
}

#[test]
fn topics_survive_a_restart_and_the_temporary_directory_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let options = || ServerOptions {
        data_dir: Some(dir.path().to_owned()),
        ..ServerOptions::default()
    };
    let server = Server::start(options()).unwrap();
    block_on(ask(server.broker_addr(), create("orders")));
    server.stop();
    let server = Server::start(options()).unwrap();
    block_on(async {
        assert!(
            !ask(server.namesrv_addr(), route("orders"))
                .await
                .body
                .is_empty()
        );
        let delete = Command::request(
            RequestCode::DELETE_TOPIC_IN_BROKER,
            &TopicRequestHeader { topic: "orders" },
        );
        assert_eq!(
            ask(server.broker_addr(), delete).await.response_code(),
            ResponseCode::SUCCESS
        );
    });
    drop(server);

    let server = Server::start(ServerOptions::default()).unwrap();
    let data = server.data_dir().to_owned();
    assert!(data.exists());
    drop(server);
    assert!(!data.exists());
}

#[test]
fn what_can_not_be_used_is_named_in_one_line() {
    let server = Server::start(ServerOptions::default()).unwrap();
    let line = |options: ServerOptions| Server::start(options).unwrap_err().to_string();
    let busy = line(ServerOptions {
        broker_listen: server.broker_addr().to_string(),
        ..ServerOptions::default()
    });
    assert!(busy.starts_with("--broker-listen is '127.0.0.1:"), "{busy}");
    assert!(busy.contains("a port that is free"), "{busy}");
    let shared = line(ServerOptions {
        data_dir: Some(server.data_dir().to_owned()),
        ..ServerOptions::default()
    });
    let pid = std::process::id().to_string();
    assert!(
        shared.starts_with("--data-dir is ") && shared.contains(&pid),
        "{shared}"
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    let unusable = line(ServerOptions {
        data_dir: Some(file.path().to_owned()),
        ..ServerOptions::default()
    });
    assert!(
        unusable.contains(&file.path().display().to_string()),
        "{unusable}"
    );
    let setting = line(ServerOptions {
        broker_settings: vec![("flushDiskType".into(), "NEVER".into())],
        ..ServerOptions::default()
    });
    assert_eq!(
        setting,
        "flushDiskType is 'NEVER', allowed: ASYNC_FLUSH, SYNC_FLUSH"
    );
    for line in [busy, shared, unusable] {
        assert!(!line.contains('\n'), "{line}");
    }
}

#[test]
fn a_server_starts_and_stops_inside_a_runtime() {
    block_on(async {
        let server = Server::start(ServerOptions::default()).unwrap();
        let list = command::request(RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER);
        let reply = ask(server.namesrv_addr(), list).await;
        let topics: TopicList = body::decode(&reply.body).unwrap();
        assert!(topics.topic_list.contains(&"TBW102".to_owned()));
        let broker_listen = server.broker_addr().to_string();
        let refused = Server::start(ServerOptions {
            broker_listen,
            ..ServerOptions::default()
        });
        assert!(matches!(refused, Err(ServeError::Listen { .. })));
        server.stop();
    });
}

/// Two members; each learns when the other comes or goes, also by a lost connection.
#[test]
fn members_of_a_group_are_told_of_each_other() {
    let server = Server::start(ServerOptions::default()).unwrap();
    let address = server.broker_addr().to_string();
    let beat = |id: &str| {
        let data = ConsumerData {
            group_name: "g".to_owned(),
            subscription_data_set: vec![SubscriptionData::tags("t", "*", 1)],
            ..ConsumerData::default()
        };
        let heartbeat = HeartbeatData {
            client_id: id.to_owned(),
            consumer_data_set: vec![data],
            ..HeartbeatData::default()
        };
        command::request(RequestCode::HEART_BEAT).with_body(body::encode(&heartbeat))
    };
    block_on(async {
        let (notices, mut noticed) = mpsc::channel(8);
        let options = ConnectOptions {
            requests: Some(notices),
            ..ConnectOptions::default()
        };
        let first = Connection::connect(&address, options).await.unwrap();
        let second = Connection::connect(&address, ConnectOptions::default())
            .await
            .unwrap();
        first.request(beat("c1"), TIMEOUT).await.unwrap();
        let mut next = async || {
            let notice = tokio::time::timeout(TIMEOUT, noticed.recv())
                .await
                .unwrap()
                .unwrap();
            assert_eq!(
                notice.command.request_code(),
                RequestCode::NOTIFY_CONSUMER_IDS_CHANGED
            );
            assert!(notice.command.is_oneway());
        };
        next().await;
        second.request(beat("c2"), TIMEOUT).await.unwrap();
        next().await;
        let members = || {
            let header = ConsumerGroupRequestHeader {
                consumer_group: "g",
            };
            Command::request(RequestCode::GET_CONSUMER_LIST_BY_GROUP, &header)
        };
        let reply = first.request(members(), TIMEOUT).await.unwrap();
        assert_eq!(&reply.body[..], br#"{"consumerIdList":["c1","c2"]}"#);
        let asked = Instant::now();
        drop(second);
        next().await;
        assert!(asked.elapsed() < TIMEOUT);
        let reply = first.request(members(), TIMEOUT).await.unwrap();
        assert_eq!(&reply.body[..], br#"{"consumerIdList":["c1"]}"#);
    });
    server.stop();
}
