// SPDX-License-Identifier: Apache-2.0
use kerolox_protocol::body::route::{BrokerData, QueueData};

use super::*;

fn broker(name: &str, addresses: &[(i64, &str)]) -> BrokerData {
    BrokerData {
        broker_name: name.to_owned(),
        cluster: "c".to_owned(),
        broker_addrs: addresses
            .iter()
            .map(|(id, address)| (*id, (*address).to_owned()))
            .collect(),
        ..BrokerData::default()
    }
}

fn queues(name: &str, read: i32, write: i32, perm: i32) -> QueueData {
    QueueData {
        broker_name: name.to_owned(),
        read_queue_nums: read,
        write_queue_nums: write,
        perm,
        ..QueueData::default()
    }
}

fn data() -> TopicRouteData {
    TopicRouteData {
        broker_datas: vec![
            broker("b", &[(0, "b:1"), (1, "b:2")]),
            broker("a", &[(0, "a:1")]),
            broker("slave-only", &[(1, "s:1")]),
        ],
        queue_datas: vec![
            queues("b", 2, 1, 6),
            queues("a", 1, 2, 6),
            queues("slave-only", 1, 1, 6),
        ],
        ..TopicRouteData::default()
    }
}

#[test]
fn queues_come_from_permissions_and_masters() {
    let route = TopicRoute::new("t", data(), None);
    let publish: Vec<(&str, i32)> = route
        .publish
        .iter()
        .map(|queue| (&*queue.broker_name, queue.queue_id))
        .collect();
    assert_eq!(publish, [("a", 0), ("a", 1), ("b", 0)]);
    let subscribe: Vec<String> = route.subscribe.iter().map(Queue::to_string).collect();
    assert_eq!(subscribe, ["t@a:0", "t@b:0", "t@b:1", "t@slave-only:0"]);

    let mut read_only = data();
    read_only
        .queue_datas
        .iter_mut()
        .for_each(|queues| queues.perm = 4);
    let route = TopicRoute::new("t", read_only, None);
    assert!(route.publish.is_empty() && !route.subscribe.is_empty());
    assert!(route.next_queue(None).is_none());
}

#[test]
fn an_ordered_topic_names_its_queues() {
    let ordered = TopicRouteData {
        order_topic_conf: Some("b:3;gone:2".to_owned()),
        ..data()
    };
    let route = TopicRoute::new("t", ordered, None);
    let ids: Vec<i32> = route.publish.iter().map(|queue| queue.queue_id).collect();
    assert_eq!(ids, [0, 1, 2]);
}

#[test]
fn a_topic_to_be_created_gets_at_most_the_default_queues() {
    let mut template = data();
    template.queue_datas = vec![queues("a", 8, 8, 7), queues("b", 2, 2, 7)];
    let route = TopicRoute::new("t", template, Some(4));
    assert_eq!(route.publish.len(), 6);
    assert!(route.is_default);
}

#[test]
fn a_retry_goes_to_another_broker_if_there_is_one() {
    let route = TopicRoute::new("t", data(), None);
    for _ in 0..20 {
        let queue = route.next_queue(Some("a")).expect("there are queues");
        assert_eq!(&*queue.broker_name, "b");
    }
    let mut alone = data();
    alone.queue_datas.retain(|queues| queues.broker_name == "a");
    let route = TopicRoute::new("t", alone, None);
    assert_eq!(
        route.next_queue(Some("a")).map(|queue| &*queue.broker_name),
        Some("a")
    );
    let mut turns: Vec<i32> = (0..2)
        .filter_map(|_| Some(route.next_queue(None)?.queue_id))
        .collect();
    turns.sort_unstable();
    assert_eq!(turns, [0, 1]);
}

#[test]
fn a_missing_slave_is_stood_in_for() {
    let routes = Routes::default();
    assert!(routes.put("t", TopicRoute::new("t", data(), None)));
    assert!(!routes.put("t", TopicRoute::new("t", data(), None)));
    assert_eq!(routes.address("b", 1, false).as_deref(), Some("b:2"));
    assert_eq!(routes.address("b", 5, false).as_deref(), Some("b:1"));
    assert_eq!(routes.address("b", 5, true), None);
    assert_eq!(
        routes.address("slave-only", 0, false).as_deref(),
        Some("s:1")
    );
    assert_eq!(routes.address("slave-only", 0, true), None);
    assert_eq!(routes.address("unknown", 0, false), None);
}
