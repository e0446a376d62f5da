// SPDX-License-Identifier: Apache-2.0
use std::net::SocketAddr;

use super::*;
use crate::net::SessionId;

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

    fn departure(&self) -> Departure {
        Departure {
            key: self.key(),
            broker_name: self.name.to_owned(),
            session: None,
        }
    }

    fn register(&self, routes: &mut RouteTable) -> Result<Registered, SingleTopicError> {
        self.register_as(routes, false, None)
    }

    fn register_as(
        &self,
        routes: &mut RouteTable,
        delete_unlisted: bool,
        zone: Option<&str>,
    ) -> Result<Registered, SingleTopicError> {
        let registration = Registration {
            cluster: "c",
            broker_name: self.name,
            broker_id: self.id,
            address: &self.address,
            ha_address: "ha:1",
            timeout_ms: None,
            acting_master: self.acting_master,
            topics: &self.table,
            zone,
            filter_servers: Some(&[]),
            session: &self.session,
        };
        routes.register(&registration, delete_unlisted, NOW)
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
    let gone = routes.of_session(master.session.id());
    routes.unregister(&gone);
    assert_eq!(routes.member_group("c", "a").broker_addrs.len(), 1);
    routes.unregister(&[slave.departure()]);
    assert!(routes.topics().topic_list.is_empty() && routes.system_topics().topic_list.is_empty());
    assert_eq!(routes.live_count(), 0);
}

#[test]
fn silent_brokers_expire_after_their_timeout() {
    let mut routes = RouteTable::default();
    let a = broker("a", 0, &["t", "u"]);
    a.register(&mut routes).unwrap();
    let silent = |routes: &RouteTable, after_ms| routes.silent(NOW + after_ms).0;
    assert!(silent(&routes, DEFAULT_TIMEOUT_MS).is_empty());
    assert!(routes.refresh(&a.key(), NOW + 10));
    assert!(silent(&routes, DEFAULT_TIMEOUT_MS + 10).is_empty());
    let gone = silent(&routes, DEFAULT_TIMEOUT_MS + 11);
    assert_eq!(gone.len(), 1);
    routes.unregister(&gone);
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
    routes.unregister(&[master.departure()]);
    let route = routes.route("t", true).unwrap();
    assert_eq!(route.broker_datas[0].broker_addrs[&0], slave.address);
    assert_eq!(route.queue_datas[0].perm, 4);
    assert!(
        !routes.route("t", false).unwrap().broker_datas[0]
            .broker_addrs
            .contains_key(&0)
    );
}

#[test]
fn a_broker_that_came_back_is_not_taken_out_by_its_old_connection() {
    let mut routes = RouteTable::default();
    let old = broker("a", 0, &["t", "u"]);
    old.register(&mut routes).unwrap();
    let gone = routes.of_session(old.session.id());
    let peer = SocketAddr::from(([127, 0, 0, 1], 9));
    let new = Broker {
        session: Arc::new(Session::new(SessionId(9), peer, peer)),
        ..old
    };
    new.register(&mut routes).unwrap();
    assert!(routes.unregister(&gone).is_empty());
    assert!(routes.route("t", false).is_some());
}

#[test]
fn topics_that_a_registration_does_not_name_go_if_wanted_but_not_with_static_topics() {
    let mut routes = RouteTable::default();
    let mut a = broker("a", 0, &["t", "u"]);
    broker("b", 0, &["t", "v"]).register(&mut routes).unwrap();
    a.register(&mut routes).unwrap();
    a.table.topic_config_table.remove("u");
    a.table.data_version.counter = 2;
    a.register(&mut routes).unwrap();
    assert!(routes.route("u", false).is_some());
    let mapping = serde_json::json!({"bname": "a", "topic": "t", "currIdMap": {"0": 1}});
    let mappings = BTreeMap::from([("t".to_owned(), mapping)]);
    a.table.topic_queue_mapping_info_map = Some(mappings.clone());
    a.table.data_version.counter = 3;
    a.register_as(&mut routes, true, None).unwrap();
    assert!(routes.route("u", false).is_some(), "has static topics");
    let route = routes.route("t", false).unwrap();
    assert_eq!(
        route.topic_queue_mapping_by_broker.unwrap()["a"],
        mappings["t"]
    );
    a.table.topic_queue_mapping_info_map = None;
    a.register_as(&mut routes, true, None).unwrap();
    assert!(routes.route("u", false).is_none());
    assert_eq!(routes.route("t", false).unwrap().queue_datas.len(), 2);
    assert!(routes.route("v", false).is_some(), "another broker's");
    routes.delete_topic("t", None);
    a.register(&mut routes).unwrap();
    assert_eq!(
        routes
            .route("t", false)
            .unwrap()
            .topic_queue_mapping_by_broker,
        None
    );
}

#[test]
fn others_learn_of_a_new_smallest_id() {
    let mut routes = RouteTable::default();
    let members: Vec<Broker> = [2, 1, 3]
        .map(|id| Broker {
            acting_master: Some(true),
            ..broker("a", id, &["t", "u"])
        })
        .into();
    assert_eq!(members[0].register(&mut routes).unwrap().notice, None);
    let gained = members[1].register(&mut routes).unwrap().notice.unwrap();
    assert_eq!(gained.recipients, [members[0].address.as_str()]);
    assert_eq!(
        (gained.min_broker_id, &gained.min_broker_addr),
        (1, &members[1].address)
    );
    assert_eq!(gained.ha_broker_addr.as_deref(), Some("ha:1"));
    assert_eq!(gained.offline_broker_addr, None);
    assert_eq!(members[2].register(&mut routes).unwrap().notice, None);

    assert!(routes.unregister(&[members[2].departure()]).is_empty());
    members[2].register(&mut routes).unwrap();
    let lost = routes.unregister(&[members[1].departure()]);
    assert_eq!(lost.len(), 1);
    assert_eq!(
        (lost[0].min_broker_id, &lost[0].min_broker_addr),
        (2, &members[0].address)
    );
    assert_eq!(
        lost[0].recipients,
        [members[0].address.as_str(), &members[2].address]
    );
    assert_eq!(
        lost[0].offline_broker_addr.as_ref(),
        Some(&members[1].address)
    );
    let rest = [members[0].departure(), members[2].departure()];
    assert!(
        routes.unregister(&rest).is_empty(),
        "nobody is left to tell"
    );
    assert_eq!(routes.live_count(), 0);

    // Without the flag a loss concerns nobody, and an id that becomes smaller by itself tells itself.
    let (one, two) = (broker("b", 1, &["t", "u"]), broker("b", 2, &["t", "u"]));
    one.register(&mut routes).unwrap();
    two.register(&mut routes).unwrap();
    assert!(routes.unregister(&[one.departure()]).is_empty());
    let promoted = Broker { id: 0, ..two };
    let notice = promoted.register(&mut routes).unwrap().notice.unwrap();
    assert_eq!(notice.recipients, [promoted.address.as_str()]);
}

#[test]
fn the_first_slave_gives_the_topics_of_a_set_without_master_but_only_to_read() {
    let mut routes = RouteTable::default();
    let slave = |id, acting_master| Broker {
        acting_master,
        ..broker("a", id, &["t", "u"])
    };
    slave(1, None).register(&mut routes).unwrap();
    assert!(routes.route("t", false).is_none(), "old slaves have no say");
    slave(1, Some(true)).register(&mut routes).unwrap();
    assert_eq!(routes.route("t", false).unwrap().queue_datas[0].perm, 4);
    slave(2, Some(true)).register(&mut routes).unwrap();
    let shown = routes.route("t", true).unwrap().broker_datas[0]
        .broker_addrs
        .clone();
    assert_eq!(shown.keys().collect::<Vec<_>>(), [&0, &2]);
    routes.add_write_perm("a");
    let shown = routes.route("t", true).unwrap().broker_datas[0]
        .broker_addrs
        .clone();
    assert_eq!(
        shown.keys().collect::<Vec<_>>(),
        [&1, &2],
        "writable: no stand-in"
    );
}

#[test]
fn a_zone_keeps_its_own_masters_and_all_sets_without_one() {
    let mut routes = RouteTable::default();
    let near = broker("a", 0, &["t", "u"]);
    near.register_as(&mut routes, false, Some("Z1")).unwrap();
    let far = broker("b", 0, &["t", "u"]);
    far.register_as(&mut routes, false, Some("z2")).unwrap();
    let slave = Broker {
        acting_master: Some(true),
        ..broker("c", 1, &["t", "u"])
    };
    slave.register_as(&mut routes, false, None).unwrap();
    let mut route = routes.route("t", false).unwrap();
    keep_zone(&mut route, "z1");
    let names: Vec<_> = route
        .queue_datas
        .iter()
        .map(|queue| queue.broker_name.as_str())
        .collect();
    assert_eq!(names, ["a", "c"]);
    assert_eq!(route.broker_datas.len(), 2);
}
