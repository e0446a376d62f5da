// SPDX-License-Identifier: Apache-2.0
//! The name server below the clients: one script of requests to the official one and to ours, whose answers have to be
//! the same. Brokers are played by connections of this test.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::{Bytes, BytesMut};
use kerolox_protocol::body;
use kerolox_protocol::body::register::RegisterBrokerBody;
use kerolox_protocol::body::route::{QueueData, TopicRouteData};
use kerolox_protocol::body::topic::{DataVersion, TopicConfig, TopicConfigTable};
use kerolox_protocol::code::{RequestCode, ResponseCode};
use kerolox_protocol::command::{self, Command};
use kerolox_protocol::frame;
use kerolox_protocol::header::admin::TopicRequestHeader;
use kerolox_protocol::header::route::{
    BrokerHeartbeatRequestHeader, BrokerIdentityRequestHeader, BrokerNameRequestHeader,
    ClusterRequestHeader, DeleteTopicInNamesrvRequestHeader, GetBrokerMemberGroupRequestHeader,
    GetRouteInfoRequestHeader, KvConfigRequestHeader, NamespaceRequestHeader,
    NotifyMinBrokerIdChangeRequestHeader, PutKvConfigRequestHeader, RegisterBrokerRequestHeader,
};
use kerolox_protocol::message::compression::{self, CompressionType};
use kerolox_tests::cluster::Kind;
use kerolox_tests::mixed::NameServer;
use kerolox_tests::tools::{self, say};
use kerolox_tests::wait_for;
use kerolox_tests::wire::Connection;
use serde_json::Value;

const DEADLINE: Duration = Duration::from_secs(30);
/// A release whose routes are in the reference's dialect.
const OLD: i32 = 317;

/// What an answer says, in a form that can be compared.
#[derive(Debug, PartialEq)]
struct Said {
    step: String,
    code: i32,
    fields: BTreeMap<String, String>,
    body: Value,
}

/// Answers in the order of the requests.
struct Script {
    addr: SocketAddr,
    client: Connection,
    said: Vec<Said>,
}

/// Sets have no order, and hash tables have their own.
fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.into_iter().map(sorted).collect();
            items.sort_by_key(Value::to_string);
            Value::Array(items)
        }
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(name, value)| (name, sorted(value)))
                .collect(),
        ),
        other => other,
    }
}

fn said(step: &str, answer: &Command) -> anyhow::Result<Said> {
    let body = match answer.body.is_empty() {
        true => Value::Null,
        false => body::decode(&answer.body)
            .with_context(|| format!("{step}: {}", String::from_utf8_lossy(&answer.body)))?,
    };
    let fields = answer.ext.iter();
    Ok(Said {
        step: step.to_owned(),
        code: answer.code,
        fields: fields
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        body: sorted(body),
    })
}

impl Script {
    fn new(addr: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self {
            addr,
            client: Connection::open(addr)?,
            said: Vec::new(),
        })
    }

    fn ask(&mut self, step: &str, request: Command) -> anyhow::Result<()> {
        let answer = self.client.request(request).context(step.to_owned())?;
        self.said.push(said(step, &answer)?);
        Ok(())
    }

    /// As [`Script::ask`], through the connection of a broker.
    fn ask_as(
        &mut self,
        broker: &mut Connection,
        step: &str,
        request: Command,
    ) -> anyhow::Result<()> {
        let answer = broker.request(request).context(step.to_owned())?;
        self.said.push(said(step, &answer)?);
        Ok(())
    }

    /// Asks until the answer has that code: the official server does some things later.
    fn ask_until(
        &mut self,
        step: &str,
        code: ResponseCode,
        request: &Command,
    ) -> anyhow::Result<()> {
        let client = &mut self.client;
        let answer = wait_for(step, DEADLINE, || {
            let answer = client.request(request.clone()).ok()?;
            (answer.response_code() == code).then_some(answer)
        })?;
        self.said.push(said(step, &answer)?);
        Ok(())
    }
}

/// What a broker registers as.
#[derive(Clone)]
struct Broker {
    name: &'static str,
    cluster: &'static str,
    id: i64,
    addr: String,
    table: TopicConfigTable,
    acting_master: Option<bool>,
}

impl Broker {
    fn new(name: &'static str, id: i64, topics: &[TopicConfig]) -> Self {
        let mut table = TopicConfigTable {
            data_version: DataVersion {
                counter: 1,
                state_version: 0,
                timestamp: 1_700_000_000_000,
            },
            mapping_data_version: Some(DataVersion::default()),
            topic_queue_mapping_detail_map: Some(BTreeMap::new()),
            topic_queue_mapping_info_map: Some(BTreeMap::new()),
            ..TopicConfigTable::default()
        };
        for topic in topics {
            let name = topic.topic_name.clone();
            table.topic_config_table.insert(name, topic.clone());
        }
        Self {
            name,
            cluster: "C1",
            id,
            addr: format!("192.0.2.{}:{}", id + 1, 10_000 + name.len()),
            table,
            acting_master: Some(false),
        }
    }

    fn with_counter(mut self, counter: i64) -> Self {
        self.table.data_version.counter = counter;
        self
    }

    fn request(&self, body: impl Into<Bytes>, compressed: bool, crc: Option<i32>) -> Command {
        let body = body.into();
        let crc = crc.unwrap_or_else(|| (crc32fast::hash(&body) & 0x7fff_ffff).cast_signed());
        let header = RegisterBrokerRequestHeader {
            broker_name: self.name,
            broker_addr: &self.addr,
            cluster_name: self.cluster,
            ha_server_addr: "192.0.2.9:10912",
            broker_id: self.id,
            heartbeat_timeout_millis: None,
            enable_acting_master: self.acting_master,
            compressed: Some(compressed),
            body_crc32: Some(crc),
        };
        Command::request(RequestCode::REGISTER_BROKER, &header).with_body(body)
    }

    fn register(&self) -> Command {
        self.request(body::encode(&self.body()), false, None)
    }

    fn body(&self) -> RegisterBrokerBody {
        RegisterBrokerBody {
            filter_server_list: Vec::new(),
            topic_config_serialize_wrapper: self.table.clone(),
        }
    }

    fn register_compressed(&self) -> anyhow::Result<Command> {
        let mut plain = Vec::new();
        let mut block = |text: &[u8]| -> anyhow::Result<()> {
            plain.extend(i32::try_from(text.len())?.to_be_bytes());
            plain.extend(text);
            Ok(())
        };
        block(&body::encode(&self.table.data_version))?;
        let topics = &self.table.topic_config_table;
        let mut rest = i32::try_from(topics.len())?.to_be_bytes().to_vec();
        for topic in topics.values() {
            let text = format!(
                "{} {} {} {} {}",
                topic.topic_name,
                topic.read_queue_nums,
                topic.write_queue_nums,
                topic.perm,
                topic.topic_filter_type
            );
            rest.extend(i32::try_from(text.len())?.to_be_bytes());
            rest.extend(text.as_bytes());
        }
        rest.extend(2_i32.to_be_bytes());
        rest.extend(b"[]");
        rest.extend(0_i32.to_be_bytes());
        plain.extend(rest);
        let body = compression::compress(CompressionType::Zlib, 9, &plain)?;
        Ok(self.request(body, true, None))
    }

    fn identity(&self) -> BrokerIdentityRequestHeader<'_> {
        BrokerIdentityRequestHeader {
            broker_name: self.name,
            broker_addr: &self.addr,
            cluster_name: self.cluster,
            broker_id: self.id,
        }
    }

    fn unregister(&self) -> Command {
        Command::request(RequestCode::UNREGISTER_BROKER, &self.identity())
    }
}

fn topic(name: &str, sys_flag: i32) -> TopicConfig {
    TopicConfig {
        topic_sys_flag: sys_flag,
        ..TopicConfig::new(name, 4, 6)
    }
}

fn route(topic: &str) -> Command {
    let header = GetRouteInfoRequestHeader {
        topic,
        accept_standard_json_only: None,
    };
    Command::request(RequestCode::GET_ROUTEINFO_BY_TOPIC, &header)
}

fn of_broker(code: RequestCode, broker_name: &str) -> Command {
    Command::request(code, &BrokerNameRequestHeader { broker_name })
}

fn update(text: &str) -> Command {
    command::request(RequestCode::UPDATE_NAMESRV_CONFIG).with_body(text.as_bytes().to_vec())
}

fn registration(script: &mut Script) -> anyhow::Result<()> {
    let mut first = Connection::open(script.addr)?;
    let mut second = Connection::open(script.addr)?;
    let topics = [
        topic("t", 0),
        topic("unit", 1),
        topic("sub", 2),
        topic("both", 3),
    ];
    let a = Broker::new("broker-a", 0, &topics);
    script.ask("route before", route("t"))?;
    script.ask_as(
        &mut first,
        "single topic of an unknown broker",
        Broker::new("broker-a", 0, &topics[..1]).register(),
    )?;
    script.ask_as(
        &mut first,
        "wrong checksum",
        a.request("{}", false, Some(7)),
    )?;
    script.ask_as(&mut first, "register", a.register())?;
    script.ask("route", route("t"))?;
    let mut old = route("t");
    old.version = OLD;
    script.ask("route for an old client", old)?;
    let slave = Broker::new("broker-a", 1, &topics);
    script.ask_as(&mut second, "register a slave", slave.register())?;
    script.ask("route with a slave", route("t"))?;
    let b = Broker {
        cluster: "C2",
        ..Broker::new("broker-bb", 0, &[topic("t", 0), topic("of-b", 0)])
    };
    script.ask_as(&mut second, "register compressed", b.register_compressed()?)?;
    script.ask("route over two brokers", route("t"))?;
    script.ask("route of the compressed", route("of-b"))?;

    for (step, broker) in [
        ("same", &a),
        ("another", &a.clone().with_counter(9)),
        ("nobody's", &Broker::new("nobody", 0, &[])),
    ] {
        let version = body::encode(&broker.table.data_version);
        let ask = Command::request(RequestCode::QUERY_DATA_VERSION, &broker.identity());
        script.ask(&format!("{step} data version"), ask.with_body(version))?;
    }
    let heartbeat = BrokerHeartbeatRequestHeader {
        cluster_name: a.cluster,
        broker_addr: &a.addr,
        broker_name: a.name,
        broker_id: Some(0),
    };
    script.ask(
        "heartbeat",
        Command::request(RequestCode::BROKER_HEARTBEAT, &heartbeat),
    )?;

    for code in [
        RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER,
        RequestCode::GET_UNIT_TOPIC_LIST,
        RequestCode::GET_HAS_UNIT_SUB_TOPIC_LIST,
        RequestCode::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST,
        RequestCode::GET_BROKER_CLUSTER_INFO,
        RequestCode(31_999),
    ] {
        script.ask(&format!("{code:?}"), command::request(code))?;
    }
    for cluster in ["C1", "C2", "C3"] {
        let header = ClusterRequestHeader { cluster };
        script.ask(
            cluster,
            Command::request(RequestCode::GET_TOPICS_BY_CLUSTER, &header),
        )?;
    }
    for broker_name in ["broker-a", "nobody"] {
        let header = GetBrokerMemberGroupRequestHeader {
            cluster_name: "C1",
            broker_name,
        };
        script.ask(
            broker_name,
            Command::request(RequestCode::GET_BROKER_MEMBER_GROUP, &header),
        )?;
    }

    script.ask(
        "wipe",
        of_broker(RequestCode::WIPE_WRITE_PERM_OF_BROKER, "broker-a"),
    )?;
    script.ask("route of the wiped", route("t"))?;
    script.ask_as(&mut first, "the same version again", a.register())?;
    script.ask("route still wiped", route("t"))?;
    script.ask(
        "add",
        of_broker(RequestCode::ADD_WRITE_PERM_OF_BROKER, "broker-a"),
    )?;
    script.ask("route with the permission", route("t"))?;
    script.ask(
        "wipe again",
        of_broker(RequestCode::WIPE_WRITE_PERM_OF_BROKER, "broker-a"),
    )?;
    script.ask_as(
        &mut first,
        "a new version",
        a.clone().with_counter(2).register(),
    )?;
    script.ask("route no longer wiped", route("t"))?;
    script.ask(
        "wipe nobody",
        of_broker(RequestCode::WIPE_WRITE_PERM_OF_BROKER, "nobody"),
    )?;

    let increment = Broker::new("broker-a", 0, &[topic("new", 0)]).with_counter(3);
    script.ask_as(&mut first, "increment", increment.register())?;
    script.ask("route of the increment", route("new"))?;
    script.ask("route of the rest", route("unit"))?;
    for (name, broker) in [("single", "broker-a"), ("of-nobody", "nobody")] {
        let queues = QueueData {
            broker_name: broker.to_owned(),
            perm: 6,
            read_queue_nums: 3,
            topic_sys_flag: 0,
            write_queue_nums: 2,
        };
        let table = TopicRouteData {
            queue_datas: vec![queues],
            ..TopicRouteData::default()
        };
        let ask = Command::request(
            RequestCode::REGISTER_TOPIC_IN_NAMESRV,
            &TopicRequestHeader { topic: name },
        );
        script.ask(name, ask.with_body(body::encode(&table)))?;
        script.ask(name, route(name))?;
    }
    for (name, cluster_name) in [
        ("t", Some("C3")),
        ("t", Some("C1")),
        ("t", None),
        ("none", None),
    ] {
        let header = DeleteTopicInNamesrvRequestHeader {
            topic: name,
            cluster_name,
        };
        let step = format!("delete {name} in {cluster_name:?}");
        script.ask(
            &step,
            Command::request(RequestCode::DELETE_TOPIC_IN_NAMESRV, &header),
        )?;
        script.ask(&step, route(name))?;
    }

    // Another address for the master's id: the newer state wins.
    let mut rival = Broker::new("broker-a", 0, &topics);
    rival.addr = "192.0.2.77:1".to_owned();
    rival.table.data_version.state_version = 5;
    script.ask_as(&mut second, "rival with a newer state", rival.register())?;
    script.ask("route to the rival", route("unit"))?;
    script.ask_as(&mut first, "the old state", a.register())?;
    script.ask("route still to the rival", route("unit"))?;

    script.ask("unregister the slave", slave.unregister())?;
    script.ask("unregister the rival", rival.unregister())?;
    script.ask_until(
        "route without broker",
        ResponseCode::TOPIC_NOT_EXIST,
        &route("unit"),
    )?;
    // Its connection ends, and it with it.
    script.ask("route of the other broker", route("of-b"))?;
    drop(second);
    script.ask_until(
        "route after the connection's end",
        ResponseCode::TOPIC_NOT_EXIST,
        &route("of-b"),
    )?;
    let clusters = command::request(RequestCode::GET_BROKER_CLUSTER_INFO);
    script.ask("nothing is left", clusters)
}

fn settings(script: &mut Script) -> anyhow::Result<()> {
    let mut broker = Connection::open(script.addr)?;
    let a = Broker::new("broker-a", 0, &[topic("o", 0), topic("p", 0)]);
    let put = |namespace, key, value| {
        Command::request(
            RequestCode::PUT_KV_CONFIG,
            &PutKvConfigRequestHeader {
                namespace,
                key,
                value,
            },
        )
    };
    let get =
        |code, namespace, key| Command::request(code, &KvConfigRequestHeader { namespace, key });
    let list = |namespace| {
        Command::request(
            RequestCode::GET_KVLIST_BY_NAMESPACE,
            &NamespaceRequestHeader { namespace },
        )
    };
    script.ask("put", put("ns", "k", "v\u{e4}"))?;
    script.ask("get", get(RequestCode::GET_KV_CONFIG, "ns", "k"))?;
    script.ask("get another", get(RequestCode::GET_KV_CONFIG, "ns", "l"))?;
    script.ask("list", list("ns"))?;
    script.ask("list another", list("ms"))?;
    script.ask("delete", get(RequestCode::DELETE_KV_CONFIG, "ns", "k"))?;
    script.ask("list of the emptied", list("ns"))?;

    script.ask_as(&mut broker, "no order configuration", a.register())?;
    script.ask("order", put("ORDER_TOPIC_CONFIG", "o", "broker-a:4"))?;
    script.ask_as(
        &mut broker,
        "order configuration for the broker",
        a.register(),
    )?;
    script.ask("none for clients", route("o"))?;
    script.ask(
        "switch on",
        update("orderMessageEnable=true\nreturnOrderTopicConfigToBroker=false"),
    )?;
    script.ask("some for clients", route("o"))?;
    script.ask("none of that topic", route("p"))?;
    script.ask_as(&mut broker, "none for the broker", a.register())?;

    script.ask(
        "lists off",
        update("enableTopicList=false\nenableAllTopicList=false"),
    )?;
    for code in [
        RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER,
        RequestCode::GET_UNIT_TOPIC_LIST,
        RequestCode::GET_TOPICS_BY_CLUSTER,
        RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_NS,
    ] {
        let header = ClusterRequestHeader { cluster: "C1" };
        script.ask(&format!("{code:?}"), Command::request(code, &header))?;
    }
    script.ask("black list", update("kvConfigPath=/x"))?;
    script.ask(
        "no change",
        command::request(RequestCode::UPDATE_NAMESRV_CONFIG),
    )?;

    for (step, is_on, topics, counter) in [
        ("keep what is not named", false, ["o", "q"], 8),
        ("drop what is not named", true, ["q", "r"], 9),
    ] {
        script.ask(
            step,
            update(&format!("deleteTopicWithBrokerRegistration={is_on}")),
        )?;
        let topics = topics.map(|name| topic(name, 0));
        let next = Broker::new("broker-a", 0, &topics).with_counter(counter);
        script.ask_as(&mut broker, step, next.register())?;
        for name in ["o", "p", "q", "r"] {
            script.ask(&format!("{step}: {name}"), route(name))?;
        }
    }
    script.ask("farewell", a.unregister())?;
    script.ask_until("it is gone", ResponseCode::TOPIC_NOT_EXIST, &route("q"))
}

fn zones(script: &mut Script) -> anyhow::Result<()> {
    let mut connection = Connection::open(script.addr)?;
    for (name, zone) in [("zone-a", "z1"), ("zone-bb", "z2")] {
        let broker = Broker::new(name, 0, &[topic("z", 0), topic("y", 0)]);
        let mut register = broker.register();
        register.ext.set("__ZONE_NAME", zone);
        script.ask_as(&mut connection, name, register)?;
    }
    for (mode, zone) in [
        ("true", "Z1"),
        ("true", "z3"),
        ("false", "z1"),
        ("true", ""),
    ] {
        let mut ask = route("z");
        ask.ext.set("__ZONE_MODE", mode);
        ask.ext.set("__ZONE_NAME", zone);
        script.ask(&format!("zone {zone:?}, mode {mode}"), ask)?;
    }
    Ok(())
}

/// Where a broker listens. A name server may come again on the same connection or on a new one.
struct Ear {
    listener: TcpListener,
    heard: Vec<(TcpStream, BytesMut)>,
}

impl Ear {
    fn open() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            heard: Vec::new(),
        })
    }

    fn next_command(&mut self) -> Option<Command> {
        while let Ok((stream, _)) = self.listener.accept() {
            stream.set_nonblocking(true).ok()?;
            self.heard.push((stream, BytesMut::new()));
        }
        for (stream, input) in &mut self.heard {
            let mut chunk = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut chunk) {
                input.extend_from_slice(&chunk[..count]);
            }
            if let Ok(Some(frame)) = frame::split(input) {
                return Command::decode(frame).ok();
            }
        }
        None
    }

    /// The fields of the next notice.
    fn notice(&mut self) -> anyhow::Result<BTreeMap<String, String>> {
        let got = wait_for("notice", DEADLINE, || self.next_command())?;
        ensure!(
            got.request_code() == RequestCode::NOTIFY_MIN_BROKER_ID_CHANGE && got.is_oneway(),
            "{got:?}"
        );
        let _: NotifyMinBrokerIdChangeRequestHeader<'_> = got.header()?;
        let fields = got.ext.iter();
        Ok(fields
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect())
    }
}

fn acting_master(script: &mut Script) -> anyhow::Result<()> {
    let mut connection = Connection::open(script.addr)?;
    script.ask(
        "on",
        update("supportActingMaster=true\nnotifyMinBrokerIdChanged=true"),
    )?;
    let (mut ear, other) = (Ear::open()?, Ear::open()?);
    let member = |id, ear: &Ear| -> anyhow::Result<Broker> {
        Ok(Broker {
            addr: ear.listener.local_addr()?.to_string(),
            acting_master: Some(true),
            ..Broker::new("acting", id, &[topic("m", 0), topic("n", 0)])
        })
    };
    let (slave, master) = (member(1, &ear)?, member(0, &other)?);
    // Their ports are of this run.
    let named = |text: &str| {
        text.replace(&slave.addr, "SLAVE")
            .replace(&master.addr, "MASTER")
    };
    let mut told = |step: &str| -> anyhow::Result<Said> {
        Ok(Said {
            step: step.to_owned(),
            code: 0,
            fields: ear.notice().context(step.to_owned())?,
            body: Value::Null,
        })
    };
    let from = script.said.len();
    script.ask_as(&mut connection, "the slave comes", slave.register())?;
    script.ask("shown as master", route("m"))?;
    script.ask_as(&mut connection, "the master comes", master.register())?;
    let gained = told("the slave learns of the master")?;
    script.said.push(gained);
    script.ask("both are shown", route("m"))?;
    script.ask("the master goes", master.unregister())?;
    let lost = told("the slave learns that it is alone")?;
    script.said.push(lost);
    script.ask("stands in", route("m"))?;
    script.ask(
        "add write",
        of_broker(RequestCode::ADD_WRITE_PERM_OF_BROKER, "acting"),
    )?;
    script.ask("does not stand in for writing", route("m"))?;
    for said in &mut script.said[from..] {
        let text = named(&said.body.to_string());
        said.body = serde_json::from_str(&text)?;
        for value in said.fields.values_mut() {
            *value = named(value);
        }
    }
    script.ask(
        "off",
        update("supportActingMaster=false\nnotifyMinBrokerIdChanged=false"),
    )
}

/// One part of the script.
type Part = fn(&mut Script) -> anyhow::Result<()>;

const PARTS: &[(&str, Part)] = &[
    ("registration", registration),
    ("settings", settings),
    ("zones", zones),
    ("acting master", acting_master),
];

fn answers(kind: Kind) -> anyhow::Result<Vec<Said>> {
    let server = NameServer::start(kind, &[])?;
    let mut script = Script::new(server.addr())?;
    for (name, part) in PARTS {
        part(&mut script).with_context(|| format!("{name}\n{}", server.logs()))?;
    }
    Ok(script.said)
}

#[test]
fn our_name_server_answers_as_the_official_one() {
    let what = "the same requests to both name servers";
    if tools::missing(what, &["java", "mvn"]) {
        return;
    }
    let [official, ours] = Kind::ALL
        .map(|kind| answers(kind).unwrap_or_else(|error| panic!("{}: {error:?}", kind.name())));
    let differences: Vec<_> = official
        .iter()
        .zip(&ours)
        .filter(|(official, ours)| official != ours)
        .collect();
    assert!(
        differences.is_empty(),
        "official and ours: {differences:#?}"
    );
    assert_eq!(official.len(), ours.len());
    let refused = official.iter().filter(|said| said.code != 0).count();
    say(&format!(
        "{what}: {} answers are the same, {refused} of them refusals",
        ours.len()
    ));
}

/// The key-value pairs that one kind has written are there in the other, and back.
#[test]
fn key_value_pairs_are_handed_over_between_name_servers() {
    let what = "key-value pairs between name servers";
    if tools::missing(what, &["java", "mvn"]) {
        return;
    }
    let exchange = || -> anyhow::Result<()> {
        let mut server = NameServer::start(Kind::Ours, &[])?;
        for (round, next) in [Kind::Official, Kind::Ours].into_iter().enumerate() {
            let mut connection = Connection::open(server.addr())?;
            let value = format!("gr\u{fc}\u{df}e {round}; a:1");
            let pair = PutKvConfigRequestHeader {
                namespace: "ns",
                key: "k",
                value: &value,
            };
            connection.request_ok(Command::request(RequestCode::PUT_KV_CONFIG, &pair))?;
            drop(connection);
            server.hand_over_to(next)?;
            let header = KvConfigRequestHeader {
                namespace: "ns",
                key: "k",
            };
            let ask = Command::request(RequestCode::GET_KV_CONFIG, &header);
            let answer = Connection::open(server.addr())?.request_ok(ask)?;
            ensure!(answer.ext.get("value") == Some(&value), "{answer:?}");
        }
        Ok(())
    };
    if let Err(error) = exchange() {
        panic!("{what}: {error:?}");
    }
    say(&format!("{what}: ok"));
}
