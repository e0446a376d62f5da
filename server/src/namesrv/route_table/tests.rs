// SPDX-License-Identifier: Apache-2.0
use std::net::SocketAddr;

use super::*;

const NOW: i64 = 1_000_000;

struct Broker {
    name: &'static str,
    id: i64,
    address: String,
    session: Arc<Session>,
    acting_master: Option<bool>,
    table: TopicConfigTable,
}

fn broker(name: &'static str, id: i64, topics: &[&str]) -> Broker {
    let port = 10_000 + u16::try_from(id).unwrap() + u16::from(name.as_bytes()[0]);
    let peer = SocketAddr::from(([127, 0, 0, 1], port));
    let mut table = TopicConfigTable::default();
    table.data_version.counter = 1;
    for topic in topics {
        table
            .topic_config_table
            .insert((*topic).to_owned(), TopicConfig::new(*topic, 4, 6));
    }
    Broker {
        name,
        id,
        address: format!("10.0.0.1:{port}"),
        session: Arc::new(Session::new(SessionId(u64::from(port)), peer, peer)),
        acting_master: Some(false),
        table,
    }
}

impl Broker {
    fn key(&self) -> BrokerKey {
        BrokerKey {
            cluster: "c".to_owned(),
            address: self.address.clone(),
        }
    }

    fn register(&self, routes: &mut RouteTable) -> Result<Registered, SingleTopicError> {
        let registration = Registration {
            cluster: "c",
            broker_name: self.name,
            broker_id: self.id,
            address: &self.address,
            ha_address: "ha:1",
            timeout_ms: None,
            acting_master: self.acting_master,
            topics: &self.table,
            filter_servers: &[],
            session: &self.session,
        };
        routes.register(&registration, false, NOW)
    }
}

#[test]
fn a_route_names_all_brokers_of_the_topic_and_their_queues() {
    let mut routes = RouteTable::default();
    broker("a", 0, &["t", "only-a"])
        .register(&mut routes)
        .unwrap();
    broker("b", 0, &["t", "u"]).register(&mut routes).unwrap();
    let route = routes.route("t", false).unwrap();
    let names: Vec<_> = route
        .queue_datas
        .iter()
        .map(|queue| queue.broker_name.as_str())
        .collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(route.broker_datas.len(), 2);
    assert_eq!(routes.route("only-a", false).unwrap().broker_datas.len(), 1);
    assert!(routes.route("unknown", false).is_none());
    assert_eq!(routes.topics().topic_list, ["only-a", "t", "u"]);
    assert_eq!(routes.topics_of_cluster("c").topic_list.len(), 3);
    assert!(routes.topics_of_cluster("d").topic_list.is_empty());
    assert_eq!(routes.system_topics().topic_list, ["c", "a", "b"]);
    assert_eq!(routes.cluster_info().cluster_addr_table["c"].len(), 2);
}

#[test]
fn a_single_topic_introduces_no_broker_but_extends_a_known_one() {
    let mut routes = RouteTable::default();
    let mut a = broker("a", 0, &["t"]);
    assert_eq!(a.register(&mut routes), Err(SingleTopicError));
    assert_eq!(
        (routes.live_count(), routes.topics().topic_list.len()),
        (0, 0)
    );
    assert!(routes.cluster_info().broker_addr_table.is_empty());
    broker("a", 0, &["t", "u"]).register(&mut routes).unwrap();
    a.table = TopicConfigTable::default();
    a.table.data_version.counter = 2;
    a.table
        .topic_config_table
        .insert("new".to_owned(), TopicConfig::new("new", 1, 6));
    a.register(&mut routes).unwrap();
    assert_eq!(routes.topics().topic_list, ["new", "t", "u"]);
}

#[test]
fn queues_change_only_with_the_version() {
    let mut routes = RouteTable::default();
    let mut a = broker("a", 0, &["t", "u"]);
    a.register(&mut routes).unwrap();
    assert_eq!(routes.wipe_write_perm("a"), 2);
    assert_eq!(routes.route("t", false).unwrap().queue_datas[0].perm, 4);
    a.register(&mut routes).unwrap();
    assert_eq!(
        routes.route("t", false).unwrap().queue_datas[0].perm,
        4,
        "same version"
    );
    a.table.data_version.counter = 2;
    a.register(&mut routes).unwrap();
    assert_eq!(routes.route("t", false).unwrap().queue_datas[0].perm, 6);
    assert_eq!(
        (routes.wipe_write_perm("a"), routes.add_write_perm("a")),
        (2, 2)
    );
    routes.delete_topic("t", Some("c"));
    assert!(routes.route("t", false).is_none());
    a.register(&mut routes).unwrap();
    assert!(
        routes.route("t", false).is_some(),
        "missing pairs are added whatever the version"
    );
}

#[test]
fn the_last_member_takes_its_set_with_it() {
    let mut routes = RouteTable::default();
    let (master, slave) = (broker("a", 0, &["t", "u"]), broker("a", 1, &["t", "u"]));
    master.register(&mut routes).unwrap();
    let learned = slave.register(&mut routes).unwrap();
    assert_eq!(learned.master_address.as_ref(), Some(&master.address));
    assert_eq!(learned.ha_address.as_deref(), Some("ha:1"));
    routes.remove_session(master.session.id());
    assert_eq!(routes.member_group("c", "a").broker_addrs.len(), 1);
    routes.unregister(&slave.key(), "a");
    assert!(routes.topics().topic_list.is_empty() && routes.system_topics().topic_list.is_empty());
    assert_eq!(routes.live_count(), 0);
}

#[test]
fn silent_brokers_expire_after_their_timeout() {
    let mut routes = RouteTable::default();
    let a = broker("a", 0, &["t", "u"]);
    a.register(&mut routes).unwrap();
    assert!(routes.expire(NOW + DEFAULT_TIMEOUT_MS).is_empty());
    assert!(routes.refresh(&a.key(), NOW + 10));
    assert!(routes.expire(NOW + DEFAULT_TIMEOUT_MS + 10).is_empty());
    assert_eq!(routes.expire(NOW + DEFAULT_TIMEOUT_MS + 11).len(), 1);
    assert!(routes.route("t", false).is_none() && !routes.refresh(&a.key(), NOW));
}

#[test]
fn an_address_has_one_id_and_an_id_goes_to_the_newest_state() {
    let mut routes = RouteTable::default();
    let slave = broker("a", 1, &["t", "u"]);
    slave.register(&mut routes).unwrap();
    let promoted = Broker { id: 0, ..slave };
    promoted.register(&mut routes).unwrap();
    let addresses = routes.member_group("c", "a").broker_addrs;
    assert_eq!(addresses.keys().collect::<Vec<_>>(), [&0]);

    let mut newer = broker("a", 0, &["t", "u"]);
    newer.table.data_version.state_version = 5;
    newer.register(&mut routes).unwrap();
    promoted.register(&mut routes).unwrap();
    assert_eq!(
        routes.member_group("c", "a").broker_addrs[&0],
        newer.address
    );
}

#[test]
fn a_slave_stands_in_for_reading_only() {
    let mut routes = RouteTable::default();
    let (mut master, mut slave) = (broker("a", 0, &["t", "u"]), broker("a", 2, &["t", "u"]));
    master.acting_master = Some(true);
    slave.acting_master = Some(true);
    master.register(&mut routes).unwrap();
    slave.register(&mut routes).unwrap();
    routes.unregister(&master.key(), "a");
    let route = routes.route("t", true).unwrap();
    assert_eq!(route.broker_datas[0].broker_addrs[&0], slave.address);
    assert_eq!(route.queue_datas[0].perm, 4);
    assert!(
        !routes.route("t", false).unwrap().broker_datas[0]
            .broker_addrs
            .contains_key(&0)
    );
}
