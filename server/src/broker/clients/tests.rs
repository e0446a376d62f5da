// SPDX-License-Identifier: Apache-2.0
use std::net::SocketAddr;

use super::*;

fn member(id: u64, client_id: &str, now_ms: i64) -> Member {
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    Member {
        session: Arc::new(Session::new(SessionId(id), address, address)),
        client_id: client_id.to_owned(),
        language: LanguageCode::Java,
        version: 0,
        last_seen_ms: now_ms,
    }
}

fn data(subscriptions: &[(&str, &str, i64)]) -> ConsumerData {
    ConsumerData {
        group_name: "g".to_owned(),
        subscription_data_set: subscriptions
            .iter()
            .map(|(topic, tags, version)| SubscriptionData::tags(topic, tags, *version))
            .collect(),
        ..ConsumerData::default()
    }
}

fn table() -> ClientTable {
    ClientTable::new(&BrokerConfig::default())
}

#[test]
fn only_new_and_gone_members_and_topics_are_changes() {
    let clients = table();
    let beat = |id, data: &ConsumerData| {
        clients
            .register_consumer(member(id, &format!("c{id}"), 0), data, Beat::default())
            .notify
    };
    assert!(beat(1, &data(&[("t", "*", 1)])));
    assert!(!beat(1, &data(&[("t", "*", 1)])));
    assert!(beat(2, &data(&[("t", "*", 1)])), "a new member");
    assert!(!beat(2, &data(&[("t", "a", 2)])), "a newer text");
    assert_eq!(clients.subscription("g", "t").unwrap().sub_string, "a");
    assert!(!beat(2, &data(&[("t", "old", 1)])));
    assert_eq!(clients.subscription("g", "t").unwrap().sub_string, "a");
    assert!(
        beat(2, &data(&[("t", "a", 2), ("u", "*", 2)])),
        "a new topic"
    );
    assert!(beat(2, &data(&[("u", "*", 2)])), "a topic less");
    assert!(clients.subscription("g", "t").is_none());
    assert_eq!(clients.consumer_ids("g"), ["c1", "c2"]);

    assert!(clients.unregister_consumer("g", SessionId(1)));
    assert_eq!(clients.remove_session(SessionId(2)), ["g"]);
    assert!(!clients.group_known("g") && clients.consumer_ids("g").is_empty());
}

#[test]
fn fingerprints_tell_when_subscriptions_have_to_be_sent_again() {
    let clients = table();
    let beat = |fingerprint, without_subscriptions| {
        let beat = Beat {
            fingerprint,
            without_subscriptions,
        };
        let subscriptions: &[_] = if without_subscriptions {
            &[]
        } else {
            &[("t", "*", 1)]
        };
        clients
            .register_consumer(member(1, "c", 0), &data(subscriptions), beat)
            .resend
    };
    assert!(beat(7, true), "unknown subscriptions");
    assert!(!beat(7, false));
    assert!(!beat(7, true));
    assert!(
        clients.subscription("g", "t").is_some(),
        "a short heartbeat removes nothing"
    );
    assert!(beat(8, true), "another fingerprint");
    assert!(
        beat(0, false),
        "heartbeats of the first kind are always in full"
    );
}

#[test]
fn silent_connections_expire() {
    let clients = table();
    clients.register_consumer(member(1, "c1", 0), &data(&[]), Beat::default());
    clients.register_producer("p", member(1, "c1", 0));
    clients.register_producer("p", member(2, "c2", 60_000));
    assert!(clients.expire(120_000).is_empty());
    assert!(clients.expire(129_999).is_empty(), "looks are 10 s apart");
    let ids: Vec<_> = clients
        .expire(130_000)
        .iter()
        .map(|session| session.id())
        .collect();
    assert_eq!(ids, [SessionId(1)]);
    clients.remove_session(SessionId(1));
    assert_eq!(clients.producers("p").unwrap().len(), 1);
    clients.unregister_producer("p", SessionId(2));
    assert!(clients.producers("p").is_none());
}
