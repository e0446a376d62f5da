// SPDX-License-Identifier: Apache-2.0
use std::net::SocketAddr;

use kerolox_protocol::body;
use kerolox_protocol::body::register::RegisterBrokerBody;
use kerolox_protocol::body::topic::{TopicConfig, TopicList};
use kerolox_protocol::header::Header;
use kerolox_protocol::header::route::{
    GetRouteInfoRequestHeader, KvConfigRequestHeader, KvConfigResponseHeader,
    PutKvConfigRequestHeader, RegisterBrokerRequestHeader,
};

use super::*;
use crate::net::SessionId;
use crate::store::clock::ManualClock;
use crate::store::disk::RealDisk;

struct Fixture {
    server: NameServer,
    clock: Arc<ManualClock>,
    session: Arc<Session>,
}

fn fixture(config: NamesrvConfig) -> Fixture {
    let clock = Arc::new(ManualClock::new(1_000));
    let peer = SocketAddr::from(([127, 0, 0, 1], 1));
    Fixture {
        server: NameServer::open(config, Arc::new(RealDisk::new()), clock.clone()).unwrap(),
        clock,
        session: Arc::new(Session::new(SessionId(1), peer, peer)),
    }
}

fn in_memory() -> NamesrvConfig {
    NamesrvConfig {
        kv_config_path: None,
        ..NamesrvConfig::default()
    }
}

impl Fixture {
    fn ask(&self, command: &Command) -> Command {
        let request = Request {
            command,
            session: &self.session,
            now_ms: self.clock.now_ms(),
        };
        match self.server.dispatch(&request) {
            Outcome::Reply(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    fn register(&self, topics: &[&str], crc_error: i32) -> Command {
        let mut registered = RegisterBrokerBody::default();
        let table = &mut registered.topic_config_serialize_wrapper.topic_config_table;
        for topic in topics {
            table.insert((*topic).to_owned(), TopicConfig::new(*topic, 8, 6));
        }
        let text = body::encode(&registered);
        let crc = i32::try_from(crc32fast::hash(&text) & 0x7fff_ffff).unwrap();
        let header = RegisterBrokerRequestHeader {
            broker_name: "broker-a",
            broker_addr: "10.0.0.1:10911",
            cluster_name: "C1",
            ha_server_addr: "10.0.0.1:10912",
            body_crc32: Some(crc ^ crc_error),
            ..Default::default()
        };
        self.ask(&Command::request(RequestCode::REGISTER_BROKER, &header).with_body(text))
    }

    fn route(&self, topic: &str, version: i32) -> Command {
        let header = GetRouteInfoRequestHeader {
            topic,
            accept_standard_json_only: None,
        };
        let mut command = Command::request(RequestCode::GET_ROUTEINFO_BY_TOPIC, &header);
        command.version = version;
        self.ask(&command)
    }
}

#[test]
fn routes_are_strict_json_for_new_clients_and_the_dialect_for_old_ones() {
    let fixture = fixture(in_memory());
    assert_eq!(
        fixture.register(&["T1", "T2"], 0).response_code(),
        ResponseCode::SUCCESS
    );
    let new = fixture.route("T1", 401);
    assert_eq!(
        std::str::from_utf8(&new.body).unwrap(),
        r#"{"brokerDatas":[{"brokerAddrs":{"0":"10.0.0.1:10911"},"brokerName":"broker-a","cluster":"C1","enableActingMaster":false}],"filterServerTable":{},"queueDatas":[{"brokerName":"broker-a","perm":6,"readQueueNums":8,"topicSysFlag":0,"writeQueueNums":8}]}"#
    );
    let old = fixture.route("T1", 317);
    assert!(
        std::str::from_utf8(&old.body)
            .unwrap()
            .contains(r#"{0:"10.0.0.1:10911"}"#)
    );
    let unknown = fixture.route("nowhere", 401);
    assert_eq!(unknown.response_code(), ResponseCode::TOPIC_NOT_EXIST);
    assert!(unknown.remark.unwrap().contains("nowhere"));
}

#[test]
fn bad_registrations_change_nothing() {
    let fixture = fixture(in_memory());
    for refused in [
        fixture.register(&["T1", "T2"], 1),
        fixture.register(&["T1"], 0),
    ] {
        assert_eq!(refused.response_code(), ResponseCode::SYSTEM_ERROR);
        assert!(refused.remark.is_some());
    }
    assert_eq!(fixture.server.broker_count(), 0);
}

#[test]
fn brokers_go_with_their_connection_or_after_silence() {
    let fixture = fixture(in_memory());
    fixture.register(&["T1", "T2"], 0);
    fixture.server.closed(&fixture.session);
    assert_eq!(fixture.server.broker_count(), 0);

    fixture.register(&["T1", "T2"], 0);
    fixture.server.tick(1_000 + 120_000);
    assert_eq!(fixture.server.broker_count(), 1);
    fixture.server.tick(1_000 + 123_000);
    assert_eq!(fixture.server.broker_count(), 1, "scans are 5 s apart");
    fixture.server.tick(1_000 + 125_000);
    assert_eq!(fixture.server.broker_count(), 0);
    assert!(fixture.session.is_closed());
}

#[test]
fn key_value_configuration_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let config = NamesrvConfig {
        kv_config_path: Some(dir.path().join("namesrv/kvConfig.json")),
        ..NamesrvConfig::default()
    };
    let first = fixture(config.clone());
    let put = PutKvConfigRequestHeader {
        namespace: "ns",
        key: "k",
        value: "v值",
    };
    first.ask(&Command::request(RequestCode::PUT_KV_CONFIG, &put));
    let second = fixture(config);
    let get = KvConfigRequestHeader {
        namespace: "ns",
        key: "k",
    };
    let reply = second.ask(&Command::request(RequestCode::GET_KV_CONFIG, &get));
    assert_eq!(
        KvConfigResponseHeader::read(&reply.ext).unwrap().value,
        Some("v值")
    );
    second.ask(&Command::request(RequestCode::DELETE_KV_CONFIG, &get));
    let gone = second.ask(&Command::request(RequestCode::GET_KV_CONFIG, &get));
    assert_eq!(gone.response_code(), ResponseCode::QUERY_NOT_FOUND);
}

#[test]
fn lists_can_be_switched_off_remotely_but_not_what_matters() {
    let fixture = fixture(in_memory());
    fixture.register(&["T1", "T2"], 0);
    let list = Command::request(
        RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER,
        &kerolox_protocol::header::NoHeader,
    );
    let topics: TopicList = body::decode(&fixture.ask(&list).body).unwrap();
    assert_eq!(topics.topic_list, ["T1", "T2"]);
    let update = |text: &'static str| {
        let command = kerolox_protocol::command::request(RequestCode::UPDATE_NAMESRV_CONFIG);
        fixture
            .ask(&command.with_body(text.as_bytes()))
            .response_code()
    };
    assert_eq!(update("enableAllTopicList=false"), ResponseCode::SUCCESS);
    assert_eq!(
        fixture.ask(&list).response_code(),
        ResponseCode::SYSTEM_ERROR
    );
    assert_eq!(
        update("kvConfigPath=/etc/passwd"),
        ResponseCode::NO_PERMISSION
    );
    assert_eq!(update("enableTopicList=maybe"), ResponseCode::SYSTEM_ERROR);
}

#[test]
fn unknown_codes_are_named() {
    let fixture = fixture(in_memory());
    let reply = fixture.ask(&kerolox_protocol::command::request(RequestCode(9999)));
    assert_eq!(
        reply.response_code(),
        ResponseCode::REQUEST_CODE_NOT_SUPPORTED
    );
    assert!(reply.remark.unwrap().contains("9999"));
}
