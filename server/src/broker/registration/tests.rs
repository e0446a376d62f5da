// SPDX-License-Identifier: Apache-2.0
use std::net::SocketAddr;
use std::time::Instant;

use crate::config::{BrokerConfig, NamesrvConfig};
use crate::embedded::{RunningBroker, RunningNamesrv};
use kerolox::net::{ConnectOptions, Connection};
use kerolox_protocol::body;
use kerolox_protocol::body::route::TopicRouteData;
use kerolox_protocol::header::route::{
    DeleteTopicInNamesrvRequestHeader, GetRouteInfoRequestHeader,
};
use kerolox_protocol::{Command, RequestCode, ResponseCode};

use super::*;

async fn name_server(port: u16) -> RunningNamesrv {
    let config = NamesrvConfig {
        listen_port: port,
        kv_config_path: None,
        ..NamesrvConfig::default()
    };
    RunningNamesrv::start(config, "listenPort", "kvConfigPath")
        .await
        .unwrap()
}

async fn ask(address: SocketAddr, request: Command) -> Command {
    let options = ConnectOptions::default();
    let connection = Connection::connect(&address.to_string(), options)
        .await
        .unwrap();
    connection.request(request, PATIENCE).await.unwrap()
}

/// The permission of the topic's queues, if it has a route.
async fn routed_perm(address: SocketAddr, topic: &str) -> Option<i32> {
    let header = GetRouteInfoRequestHeader {
        topic,
        accept_standard_json_only: None,
    };
    let request = Command::request(RequestCode::GET_ROUTEINFO_BY_TOPIC, &header);
    let reply = ask(address, request).await;
    let is_there = reply.response_code() == ResponseCode::SUCCESS;
    is_there.then(|| {
        let route: TopicRouteData = body::decode(&reply.body).unwrap();
        route.queue_datas[0].perm
    })
}

async fn is_routed(address: SocketAddr, topic: &str) -> bool {
    routed_perm(address, topic).await.is_some()
}

async fn until_routed(address: SocketAddr, topic: &str, wanted: bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while is_routed(address, topic).await != wanted {
        assert!(Instant::now() < deadline, "'{topic}' routed: {}", !wanted);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One name server is there, one comes late, one goes and comes back with nothing in its tables.
#[test]
fn every_name_server_learns_everything_whenever_it_comes() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = crate::embedded::runtime(2).unwrap();
    runtime.block_on(async {
        let first = name_server(0).await;
        let late = name_server(0).await;
        let (one, two) = (first.address(), late.address());
        late.stop().await;
        let config = BrokerConfig {
            listen_port: 0,
            namesrv_addr: format!("{one};{two}"),
            store_path_root_dir: dir.path().join("store"),
            ..BrokerConfig::default()
        };
        let broker = RunningBroker::start(config, "listenPort", "storePathRootDir", 2)
            .await
            .unwrap();
        assert!(is_routed(one, "TBW102").await);
        let topics = broker.broker().topics();
        topics.create_on_send("early", "TBW102", 4, 0, 1).unwrap();
        until_routed(one, "early", true).await;

        let late = name_server(two.port()).await;
        until_routed(two, "early", true).await;
        topics.create_on_send("later", "TBW102", 4, 0, 1).unwrap();
        until_routed(two, "later", true).await;

        first.stop().await;
        topics
            .create_on_send("meanwhile", "TBW102", 4, 0, 1)
            .unwrap();
        let first = name_server(one.port()).await;
        until_routed(one, "meanwhile", true).await;
        assert!(is_routed(one, "TBW102").await);

        broker.stop().await;
        assert!(!is_routed(one, "TBW102").await && !is_routed(two, "TBW102").await);
        first.stop().await;
        late.stop().await;
    });
}

async fn until_perm(address: SocketAddr, topic: &str, wanted: i32) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while routed_perm(address, topic).await != Some(wanted) {
        assert!(Instant::now() < deadline, "'{topic}' never has {wanted}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Permission and name servers change while the broker runs; topics go in parts and alone.
#[test]
fn changed_settings_reach_name_servers() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = crate::embedded::runtime(2).unwrap();
    runtime.block_on(async {
        let (first, second) = (name_server(0).await, name_server(0).await);
        let (one, two) = (first.address(), second.address());
        let config = BrokerConfig {
            listen_port: 0,
            namesrv_addr: one.to_string(),
            store_path_root_dir: dir.path().join("store"),
            enable_split_registration: true,
            split_registration_size: 3,
            enable_single_topic_register: true,
            ..BrokerConfig::default()
        };
        let running = RunningBroker::start(config, "listenPort", "storePathRootDir", 2)
            .await
            .unwrap();
        let broker = running.broker();
        for topic in broker.topics().snapshot().topic_config_table.keys() {
            assert!(is_routed(one, topic).await, "{topic}");
        }
        broker
            .topics()
            .create_on_send("alone", "TBW102", 4, 0, 1)
            .unwrap();
        until_perm(one, "alone", 6).await;
        let change = |text: String| broker.change_settings(text.as_bytes(), 7).map(drop);
        change("brokerPermission=4".to_owned()).unwrap();
        until_perm(one, "alone", 4).await;
        until_perm(one, "SELF_TEST_TOPIC", 4).await;
        broker
            .topics()
            .create_on_send("later", "TBW102", 4, 0, 1)
            .unwrap();
        until_perm(one, "later", 4).await;
        change("brokerPermission=6".to_owned()).unwrap();
        until_perm(one, "alone", 6).await;

        change(format!("namesrvAddr={two}")).unwrap();
        until_routed(two, "alone", true).await;
        until_routed(one, "alone", false).await;
        change("namesrvAddr=".to_owned()).unwrap();
        until_routed(two, "alone", false).await;
        change(format!("namesrvAddr={one};{two}")).unwrap();
        until_routed(one, "alone", true).await;
        until_routed(two, "alone", true).await;
        running.stop().await;
        assert!(!is_routed(one, "alone").await && !is_routed(two, "alone").await);
        first.stop().await;
        second.stop().await;
    });
}

#[test]
fn without_force_only_another_version_is_registered_again() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = crate::embedded::runtime(2).unwrap();
    runtime.block_on(async {
        let name_server = name_server(0).await;
        let address = name_server.address();
        let config = BrokerConfig {
            force_register: false,
            store_path_root_dir: dir.path().join("store"),
            ..BrokerConfig::default()
        };
        let disk = Arc::new(crate::store::disk::RealDisk::new());
        let clock = Arc::new(crate::store::clock::SystemClock);
        let (broker, _) = Broker::open(config, address, disk, clock).unwrap();
        let needs_full = Arc::new(AtomicBool::new(false));
        let mut peer = Peer::new(address.to_string(), Arc::clone(&broker), needs_full);
        peer.register(What::Full).await;
        assert!(is_routed(address, "TBW102").await);
        // What a registration would bring back.
        let header = DeleteTopicInNamesrvRequestHeader {
            topic: "TBW102",
            cluster_name: None,
        };
        ask(
            address,
            Command::request(RequestCode::DELETE_TOPIC_IN_NAMESRV, &header),
        )
        .await;
        peer.register_again().await;
        assert!(!is_routed(address, "TBW102").await);
        broker.topics().touch(9);
        peer.register_again().await;
        assert!(is_routed(address, "TBW102").await);
        name_server.stop().await;
    });
}

/// The broker learns a topic's queues from its name server before it says who gets them.
#[test]
fn assignments_follow_the_route_of_the_name_server() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = crate::embedded::runtime(2).unwrap();
    runtime.block_on(async {
        let namesrv = name_server(0).await;
        let config = BrokerConfig {
            listen_port: 0,
            broker_name: "broker-a".to_owned(),
            namesrv_addr: namesrv.address().to_string(),
            store_path_root_dir: dir.path().join("store"),
            ..BrokerConfig::default()
        };
        let broker = RunningBroker::start(config, "listenPort", "storePathRootDir", 2)
            .await
            .unwrap();
        let topics = broker.broker().topics();
        topics.create_on_send("shared", "TBW102", 2, 0, 1).unwrap();
        until_routed(namesrv.address(), "shared", true).await;
        let address = broker.address().to_string();
        let connection = Connection::connect(&address, ConnectOptions::default())
            .await
            .unwrap();
        let ask = |code, body: String| {
            let request = kerolox_protocol::command::request(code).with_body(body);
            let connection = connection.clone();
            async move {
                let reply = connection.request(request, PATIENCE).await.unwrap();
                assert_eq!(reply.response_code(), ResponseCode::SUCCESS, "{reply:?}");
                String::from_utf8(reply.body.to_vec()).unwrap()
            }
        };
        let beat = r#"{"clientID":"c","consumerDataSet":[{"groupName":"G","subscriptionDataSet":[]}],"producerDataSet":[]}"#;
        ask(RequestCode::HEART_BEAT, beat.to_owned()).await;
        let query = |topic: &str| {
            let body = format!(
                r#"{{"clientId":"c","consumerGroup":"G","messageModel":"CLUSTERING","strategyName":"AVG","topic":"{topic}"}}"#
            );
            ask(RequestCode::QUERY_ASSIGNMENT, body)
        };
        let queue = |id| {
            format!(r#"{{"messageQueue":{{"brokerName":"broker-a","queueId":{id},"topic":"shared"}},"mode":"PULL"}}"#)
        };
        let both = format!(r#"{{"messageQueueAssignments":[{},{}]}}"#, queue(0), queue(1));
        assert_eq!(query("shared").await, both);
        assert_eq!(query("nothing").await, "{}");
        namesrv.stop().await;
        assert_eq!(query("shared").await, both, "what is known is kept");
        assert_eq!(query("other").await, "{}", "nobody can be asked");
        broker.stop().await;
    });
}
