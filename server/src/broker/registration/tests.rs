// SPDX-License-Identifier: Apache-2.0
use std::net::SocketAddr;
use std::time::Instant;

use crate::config::{BrokerConfig, NamesrvConfig};
use crate::embedded::{RunningBroker, RunningNamesrv};
use kerolox::net::{ConnectOptions, Connection};
use kerolox_protocol::header::route::GetRouteInfoRequestHeader;
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

async fn is_routed(address: SocketAddr, topic: &str) -> bool {
    let options = ConnectOptions::default();
    let connection = Connection::connect(&address.to_string(), options)
        .await
        .unwrap();
    let header = GetRouteInfoRequestHeader {
        topic,
        accept_standard_json_only: None,
    };
    let request = Command::request(RequestCode::GET_ROUTEINFO_BY_TOPIC, &header);
    let reply = connection.request(request, PATIENCE).await.unwrap();
    reply.response_code() == ResponseCode::SUCCESS
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
        let broker = RunningBroker::start(config, "listenPort", "storePathRootDir")
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
        let broker = RunningBroker::start(config, "listenPort", "storePathRootDir")
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
