// SPDX-License-Identifier: Apache-2.0
//! A topic that a send made is known to the name server when that send is answered: the Go client asks for its route
//! right away, and a push consumer that finds none looks again only after thirty seconds.

use anyhow::{Context, ensure};
use kerolox_protocol::code::RequestCode;
use kerolox_protocol::command::Command;
use kerolox_protocol::header::route::GetRouteInfoRequestHeader;
use kerolox_protocol::header::send::SendMessageRequestHeaderV2;
use kerolox_tests::cluster::{Cluster, Kind};
use kerolox_tests::tools;
use kerolox_tests::wire::Connection;

use crate::shared;

fn send_then_route(cluster: &Cluster) -> anyhow::Result<()> {
    let mut broker = Connection::open(cluster.broker_addr())?;
    let mut namesrv = Connection::open(cluster.namesrv_addr())?;
    for round in 0..20 {
        let topic = format!("made_by_a_send_{round}");
        let header = SendMessageRequestHeaderV2 {
            producer_group: "route_producers",
            topic: &topic,
            default_topic: "TBW102",
            default_topic_queue_nums: 4,
            queue_id: 0,
            sys_flag: 0,
            born_timestamp: 1_700_000_000_000,
            flag: 0,
            properties: None,
            reconsume_times: Some(0),
            unit_mode: Some(false),
            max_reconsume_times: None,
            batch: Some(false),
            broker_name: None,
        };
        let send = Command::request(RequestCode::SEND_MESSAGE_V2, &header).with_body("body");
        broker.request_ok(send)?;
        let header = GetRouteInfoRequestHeader {
            topic: &topic,
            accept_standard_json_only: None,
        };
        let ask = Command::request(RequestCode::GET_ROUTEINFO_BY_TOPIC, &header);
        let route = namesrv
            .request_ok(ask)
            .with_context(|| format!("topic {round}"))?;
        let route = String::from_utf8_lossy(&route.body);
        ensure!(route.contains("\"writeQueueNums\":4"), "{route}");
    }
    Ok(())
}

fn run(kind: Kind) {
    let what = format!("route of a topic made by a send, {}", kind.name());
    if kind == Kind::Official && tools::missing(&what, &["java", "mvn"]) {
        return;
    }
    let cluster = shared(kind);
    if let Err(error) = send_then_route(cluster) {
        panic!("{what}: {error:?}\n{}", cluster.logs());
    }
}

#[test]
fn official_servers_route_a_topic_once_its_first_send_is_answered() {
    run(Kind::Official);
}

#[test]
fn our_servers_route_a_topic_once_its_first_send_is_answered() {
    run(Kind::Ours);
}
