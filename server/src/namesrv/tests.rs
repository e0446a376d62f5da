// SPDX-License-Identifier: Apache-2.0
use std::net::SocketAddr;

use kerolox_protocol::body;
use kerolox_protocol::body::register::RegisterBrokerBody;
use kerolox_protocol::body::topic::{TopicConfig, TopicConfigTable, TopicList};
use kerolox_protocol::header::Header;
use kerolox_protocol::header::route::{
    BrokerIdentityRequestHeader, GetRouteInfoRequestHeader, KvConfigRequestHeader,
    KvConfigResponseHeader, PutKvConfigRequestHeader, RegisterBrokerRequestHeader,
};

use super::*;
use crate::config::Settings;
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

/// A second connection of the same fixture.
fn session(id: u64) -> Arc<Session> {
    let peer = SocketAddr::from(([127, 0, 0, 1], 2));
    Arc::new(Session::new(SessionId(id), peer, peer))
}

fn identity(broker_id: i64) -> Command {
    let address = format!("10.0.0.{}:10911", broker_id + 1);
    let header = BrokerIdentityRequestHeader {
        broker_name: "broker-a",
        broker_addr: &address,
        cluster_name: "C1",
        broker_id,
    };
    Command::request(RequestCode::UNREGISTER_BROKER, &header)
}

impl Fixture {
    fn register_id(&self, broker_id: i64, version: i32) -> Command {
        let address = format!("10.0.0.{}:10911", broker_id + 1);
        let mut table = TopicConfigTable::default();
        for topic in ["T1", "T2"] {
            let config = TopicConfig::new(topic, 8, 6);
            table.topic_config_table.insert(topic.to_owned(), config);
        }
        let body = match version < kerolox_protocol::version::V3_0_11 {
            true => body::encode(&table),
            false => body::encode(&RegisterBrokerBody {
                topic_config_serialize_wrapper: table,
                ..RegisterBrokerBody::default()
            }),
        };
        let header = RegisterBrokerRequestHeader {
            broker_name: "broker-a",
            broker_addr: &address,
            cluster_name: "C1",
            ha_server_addr: "ha:1",
            broker_id,
            enable_acting_master: Some(true),
            ..Default::default()
        };
        let mut command = Command::request(RequestCode::REGISTER_BROKER, &header).with_body(body);
        command.version = version;
        self.ask(&command)
    }

    fn update(&self, text: &'static str) -> Command {
        let command = kerolox_protocol::command::request(RequestCode::UPDATE_NAMESRV_CONFIG);
        self.ask(&command.with_body(text.as_bytes()))
    }
}

#[test]
fn old_brokers_send_their_topics_alone() {
    let fixture = fixture(in_memory());
    let reply = fixture.register_id(0, 30);
    assert_eq!(reply.response_code(), ResponseCode::SUCCESS, "{reply:?}");
    assert_eq!(
        fixture.route("T2", 401).response_code(),
        ResponseCode::SUCCESS
    );
}

#[test]
fn routes_wait_until_brokers_had_time_to_register() {
    let fixture = fixture(NamesrvConfig {
        need_wait_for_service: true,
        wait_seconds_for_service: 2,
        ..in_memory()
    });
    fixture.register(&["T1", "T2"], 0);
    fixture.clock.set(2_999);
    let early = fixture.route("T1", 401);
    assert_eq!(early.response_code(), ResponseCode::SYSTEM_ERROR);
    assert!(early.remark.unwrap().starts_with("name server not ready"));
    fixture.clock.set(3_000);
    assert_eq!(
        fixture.route("T1", 401).response_code(),
        ResponseCode::SUCCESS
    );
}

#[test]
fn a_client_in_zone_mode_gets_its_zone_in_the_dialect() {
    let fixture = fixture(in_memory());
    let mut registered = RegisterBrokerBody::default();
    let table = &mut registered.topic_config_serialize_wrapper.topic_config_table;
    for topic in ["T1", "T2"] {
        table.insert(topic.to_owned(), TopicConfig::new(topic, 8, 6));
    }
    for (name, address, zone) in [("near", "a:1", "z1"), ("far", "b:1", "z2")] {
        let header = RegisterBrokerRequestHeader {
            broker_name: name,
            broker_addr: address,
            cluster_name: "C1",
            ha_server_addr: "ha:1",
            ..Default::default()
        };
        let mut command = Command::request(RequestCode::REGISTER_BROKER, &header)
            .with_body(body::encode(&registered));
        command.ext.set("__ZONE_NAME", zone);
        fixture.ask(&command);
    }
    let header = GetRouteInfoRequestHeader {
        topic: "T1",
        accept_standard_json_only: None,
    };
    let ask = |mode: &str, zone: &str| {
        let mut command = Command::request(RequestCode::GET_ROUTEINFO_BY_TOPIC, &header);
        command.ext.set("__ZONE_MODE", mode);
        command.ext.set("__ZONE_NAME", zone);
        String::from_utf8(fixture.ask(&command).body.to_vec()).unwrap()
    };
    let near = ask("true", "Z1");
    assert!(
        near.contains(r#"{0:"a:1"}"#) && near.contains(r#""zoneName":"z1""#),
        "{near}"
    );
    assert!(!near.contains("far"), "{near}");
    for (mode, zone) in [("false", "Z1"), ("true", " ")] {
        let all = ask(mode, zone);
        assert!(
            all.contains("far") && all.contains(r#"{"0":"a:1"}"#),
            "{all}"
        );
    }
}

#[test]
fn the_order_configuration_goes_to_brokers_and_if_wanted_to_clients() {
    let fixture = fixture(in_memory());
    let put = PutKvConfigRequestHeader {
        namespace: kv::ORDER_TOPIC_CONFIG,
        key: "T1",
        value: "broker-a:4",
    };
    fixture.ask(&Command::request(RequestCode::PUT_KV_CONFIG, &put));
    let reply = fixture.register(&["T1", "T2"], 0);
    assert_eq!(&reply.body[..], br#"{"table":{"T1":"broker-a:4"}}"#);
    let has_order = |fixture: &Fixture| {
        let route = fixture.route("T1", 401).body;
        String::from_utf8_lossy(&route).contains(r#""orderTopicConf":"broker-a:4""#)
    };
    assert!(!has_order(&fixture));
    fixture.update("orderMessageEnable=true\nreturnOrderTopicConfigToBroker=false");
    assert!(has_order(&fixture));
    assert!(fixture.register(&["T1", "T2"], 0).body.is_empty());
}

#[test]
fn unregistrations_that_wait_are_applied_together_and_are_not_too_many() {
    let fixture = fixture(NamesrvConfig {
        un_register_broker_queue_capacity: 2,
        ..in_memory()
    });
    for id in [0, 1, 2] {
        fixture.register_id(id, 401);
    }
    std::thread::scope(|scope| {
        // Nobody can apply them while somebody reads.
        let reading = fixture.server.routes.read();
        let waiting = [0, 1].map(|id| {
            let request = identity(id);
            let fixture = &fixture;
            scope.spawn(move || fixture.ask(&request).response_code())
        });
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while fixture.server.departures.len() < 2 {
            assert!(std::time::Instant::now() < deadline);
            std::thread::yield_now();
        }
        let refused = fixture.ask(&identity(2));
        assert_eq!(refused.response_code(), ResponseCode::SYSTEM_ERROR);
        assert!(
            refused
                .remark
                .unwrap()
                .contains("unRegisterBrokerQueueCapacity")
        );
        drop(reading);
        for done in waiting {
            assert_eq!(done.join().unwrap(), ResponseCode::SUCCESS);
        }
    });
    assert_eq!(fixture.server.broker_count(), 1);
    assert_eq!(
        fixture.ask(&identity(2)).response_code(),
        ResponseCode::SUCCESS
    );
    assert_eq!(fixture.server.broker_count(), 0);
}

#[test]
fn a_new_smallest_id_is_announced_if_wanted() {
    let fixture = fixture(in_memory());
    for id in [1, 0] {
        fixture.register_id(id, 401);
    }
    assert!(fixture.server.notices().take().is_empty(), "off by default");
    fixture.update("notifyMinBrokerIdChanged=true");
    fixture.ask(&identity(0));
    let notices = fixture.server.notices().take();
    assert_eq!(notices.len(), 1);
    assert_eq!(notices[0].recipients, ["10.0.0.2:10911"]);
    let command = notices[0].command();
    let header: kerolox_protocol::header::route::NotifyMinBrokerIdChangeRequestHeader<'_> =
        command.header().unwrap();
    assert_eq!(header.min_broker_id, Some(1));
    assert_eq!(header.offline_broker_addr, Some("10.0.0.1:10911"));
    fixture.register_id(0, 401);
    assert_eq!(fixture.server.notices().take().len(), 1);
    fixture.server.closed(&fixture.session);
    assert!(
        fixture.server.notices().take().is_empty(),
        "all gone together"
    );
}

#[test]
fn a_lost_connection_takes_only_its_own_brokers() {
    let mut fixture = fixture(in_memory());
    fixture.register_id(0, 401);
    fixture.session = session(7);
    fixture.register_id(1, 401);
    fixture.server.closed(&session(8));
    assert_eq!(fixture.server.broker_count(), 2);
    fixture.server.closed(&session(7));
    assert_eq!(fixture.server.broker_count(), 1);
    assert_eq!(
        fixture.route("T1", 401).response_code(),
        ResponseCode::SUCCESS
    );
}

#[test]
fn settings_are_changed_in_the_file_too_but_not_those_of_the_black_list() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("namesrv.conf");
    std::fs::write(
        &path,
        "# mine\nlistenPort=1\nconfigBlackList=enableTopicList\nother=x\n",
    )
    .unwrap();
    let mut config = in_memory();
    config.apply_file(&path).unwrap();
    config.config_store_path = Some(path.clone());
    let fixture = fixture(config);
    let done =
        fixture.update("scanNotActiveBrokerInterval=7000\nserverChannelMaxIdleTimeSeconds=60\n");
    assert_eq!(done.response_code(), ResponseCode::SUCCESS);
    assert_eq!(
        done.remark.as_deref(),
        Some("at the next start: serverChannelMaxIdleTimeSeconds")
    );
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(
        written.starts_with("# mine\nlistenPort=1\nconfigBlackList=enableTopicList\nother=x\n")
    );
    assert!(written.contains("scanNotActiveBrokerInterval=7000\n"));
    for key in [
        "enableTopicList",
        "configBlackList",
        "configStorePath",
        "kvConfigPath",
        "rocketmqHome",
        "bindAddress",
    ] {
        let text: &'static str = format!("{key}=1").leak();
        let refused = fixture.update(text);
        assert_eq!(
            refused.response_code(),
            ResponseCode::NO_PERMISSION,
            "{key}"
        );
        assert!(refused.remark.unwrap().contains(key));
    }
    let refused = fixture.update("scanNotActiveBrokerInterval=0");
    assert!(
        refused
            .remark
            .unwrap()
            .contains("scanNotActiveBrokerInterval is '0'")
    );
    let get = kerolox_protocol::command::request(RequestCode::GET_NAMESRV_CONFIG);
    let all = String::from_utf8(fixture.ask(&get).body.to_vec()).unwrap();
    for line in [
        "scanNotActiveBrokerInterval=7000",
        "other=x",
        "enableTopicList=true",
    ] {
        assert!(all.lines().any(|there| there == line), "{line} in {all}");
    }
}

#[test]
fn a_missing_field_of_a_list_request_is_named() {
    let fixture = fixture(in_memory());
    let ask = kerolox_protocol::command::request(RequestCode::GET_TOPICS_BY_CLUSTER);
    let refused = fixture.ask(&ask);
    assert_eq!(refused.response_code(), ResponseCode::SYSTEM_ERROR);
    assert!(refused.remark.unwrap().contains("cluster"));
    fixture.update("enableTopicList=false");
    assert!(fixture.ask(&ask).remark.unwrap().starts_with("disable"));
}
