// SPDX-License-Identifier: Apache-2.0
//! Step "processor" of the name server: from request to outcome, one function a request code.

use kerolox_protocol::body::cluster::GetBrokerMemberGroupResponse;
use kerolox_protocol::body::register::KvTable;
use kerolox_protocol::body::route::TopicRouteData;
use kerolox_protocol::body::topic::{DataVersion, TopicList};
use kerolox_protocol::header::admin::TopicRequestHeader;
use kerolox_protocol::header::route::{
    AddWritePermResponseHeader, BrokerHeartbeatRequestHeader, BrokerIdentityRequestHeader,
    BrokerNameRequestHeader, ClusterRequestHeader, DeleteTopicInNamesrvRequestHeader,
    GetBrokerMemberGroupRequestHeader, GetRouteInfoRequestHeader, KvConfigRequestHeader,
    KvConfigResponseHeader, NamespaceRequestHeader, PutKvConfigRequestHeader,
    QueryDataVersionResponseHeader, RegisterBrokerRequestHeader, RegisterBrokerResponseHeader,
    WipeWritePermResponseHeader,
};
use kerolox_protocol::{RequestCode, ResponseCode, body, version};

use super::NameServer;
use super::kv::ORDER_TOPIC_CONFIG;
use super::registration_body;
use super::route_table::{BrokerKey, Departure, Registration, UnitFilter, keep_zone};
use crate::config::NamesrvConfig;
use crate::net::{Outcome, Request};
use crate::refusal::{Refusal, answer, refuse_change, success};

/// Fields that the zone hook of clients and brokers adds to any request.
const ZONE_NAME: &str = "__ZONE_NAME";
const ZONE_MODE: &str = "__ZONE_MODE";

fn bad(error: &dyn std::error::Error) -> Refusal {
    Refusal::new(ResponseCode::SYSTEM_ERROR, error.to_string())
}

pub(super) fn get_routeinfo_by_topic(server: &NameServer, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: GetRouteInfoRequestHeader<'_> = request.command.header()?;
        let config = &server.config;
        if config.need_wait_for_service {
            let wait_ms = i64::from(config.wait_seconds_for_service) * 1_000;
            let left_ms = server.started_ms.saturating_add(wait_ms) - request.now_ms;
            if left_ms > 0 {
                let remark = format!(
                    "name server not ready: needWaitForService is true, brokers have {left_ms} ms more to register"
                );
                return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark));
            }
        }
        let route = server
            .routes
            .read()
            .route(wanted.topic, config.support_acting_master);
        let Some(mut route) = route else {
            return Err(Refusal::new(
                ResponseCode::TOPIC_NOT_EXIST,
                format!(
                    "no route for topic '{}': no live broker has it",
                    wanted.topic
                ),
            ));
        };
        if config.order_message_enable {
            route.order_topic_conf = server.kv.get(ORDER_TOPIC_CONFIG, wanted.topic);
        }
        let mut is_strict = request.command.version >= version::V4_9_4
            || wanted.accept_standard_json_only == Some(true);
        if let Some(zone) = wanted_zone(request) {
            keep_zone(&mut route, zone);
            // The reference writes a route that it cut down anew, and in its dialect.
            is_strict = false;
        }
        let text = if is_strict {
            body::encode_standard(&route)
        } else {
            body::encode(&route)
        };
        Ok(success().with_body(text))
    })
}

/// The zone that a client wants brokers of, if it is in zone mode.
fn wanted_zone<'r>(request: &Request<'r>) -> Option<&'r str> {
    let fields = &request.command.ext;
    let is_on = fields.get(ZONE_MODE)?.eq_ignore_ascii_case("true");
    let zone = fields.get(ZONE_NAME)?;
    (is_on && !zone.trim().is_empty()).then_some(zone)
}

pub(super) fn register_broker(server: &NameServer, request: &Request<'_>) -> Outcome {
    answer(|| {
        let fields: RegisterBrokerRequestHeader<'_> = request.command.header()?;
        check_crc(&fields, &request.command.body)?;
        // Old brokers send their topics only.
        let is_old = request.command.version < version::V3_0_11;
        let registered = match is_old {
            true => registration_body::decode_old(&request.command.body),
            false => registration_body::decode(
                &request.command.body,
                fields.compressed == Some(true),
                request.command.version,
            ),
        };
        let registered = registered.map_err(|error| bad(&error))?;
        let registration = Registration {
            cluster: fields.cluster_name,
            broker_name: fields.broker_name,
            broker_id: fields.broker_id,
            address: fields.broker_addr,
            ha_address: fields.ha_server_addr,
            timeout_ms: fields.heartbeat_timeout_millis,
            acting_master: fields.enable_acting_master,
            topics: &registered.topic_config_serialize_wrapper,
            zone: request.command.ext.get(ZONE_NAME),
            filter_servers: (!is_old).then_some(&registered.filter_server_list[..]),
            session: request.session,
        };
        let config = &server.config;
        let delete_unlisted = config.delete_topic_with_broker_registration;
        let result = server
            .routes
            .write()
            .register(&registration, delete_unlisted, request.now_ms)
            .map_err(|error| bad(&error))?;
        server.notify(result.notice);
        let mut reply = success().with_header(&RegisterBrokerResponseHeader {
            ha_server_addr: result.ha_address.as_deref(),
            master_addr: result.master_address.as_deref(),
        });
        if config.return_order_topic_config_to_broker
            && let Some(table) = server.kv.namespace(ORDER_TOPIC_CONFIG)
        {
            reply = reply.with_body(body::encode(&KvTable { table }));
        }
        Ok(reply)
    })
}

fn check_crc(fields: &RegisterBrokerRequestHeader<'_>, text: &[u8]) -> Result<(), Refusal> {
    let actual = crc32fast::hash(text) & 0x7fff_ffff;
    match fields.body_crc32 {
        None | Some(0) => Ok(()),
        Some(said) if u32::try_from(said) == Ok(actual) => Ok(()),
        Some(said) => {
            let remark = format!("bodyCrc32 is {said}, the body's checksum is {actual}");
            Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark))
        }
    }
}

fn key(cluster: &str, address: &str) -> BrokerKey {
    BrokerKey {
        cluster: cluster.to_owned(),
        address: address.to_owned(),
    }
}

pub(super) fn unregister_broker(server: &NameServer, request: &Request<'_>) -> Outcome {
    answer(|| {
        let broker: BrokerIdentityRequestHeader<'_> = request.command.header()?;
        let departure = Departure {
            key: key(broker.cluster_name, broker.broker_addr),
            broker_name: broker.broker_name.to_owned(),
            session: None,
        };
        let capacity = server.config.un_register_broker_queue_capacity;
        if !server.departures.submit(departure, capacity) {
            let remark = format!(
                "{capacity} unregistrations are waiting (unRegisterBrokerQueueCapacity), try again"
            );
            return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark));
        }
        server.apply_departures();
        Ok(success())
    })
}

pub(super) fn query_data_version(server: &NameServer, request: &Request<'_>) -> Outcome {
    answer(|| {
        let broker: BrokerIdentityRequestHeader<'_> = request.command.header()?;
        let theirs: DataVersion = body::decode(&request.command.body)?;
        let key = key(broker.cluster_name, broker.broker_addr);
        let mut routes = server.routes.write();
        routes.refresh(&key, request.now_ms);
        let ours = routes.data_version(&key);
        drop(routes);
        let changed = ours != Some(theirs);
        let reply = success().with_header(&QueryDataVersionResponseHeader { changed });
        Ok(match ours {
            Some(version) => reply.with_body(body::encode(&version)),
            None => reply,
        })
    })
}

pub(super) fn broker_heartbeat(server: &NameServer, request: &Request<'_>) -> Outcome {
    answer(|| {
        let broker: BrokerHeartbeatRequestHeader<'_> = request.command.header()?;
        let key = key(broker.cluster_name, broker.broker_addr);
        server.routes.write().refresh(&key, request.now_ms);
        Ok(success())
    })
}

pub(super) fn register_topic(server: &NameServer, request: &Request<'_>) -> Outcome {
    answer(|| {
        let fields: TopicRequestHeader<'_> = request.command.header()?;
        let route: TopicRouteData = body::decode(&request.command.body)?;
        server
            .routes
            .write()
            .add_queues(fields.topic, route.queue_datas);
        Ok(success())
    })
}

pub(super) fn delete_topic(server: &NameServer, request: &Request<'_>) -> Outcome {
    answer(|| {
        let fields: DeleteTopicInNamesrvRequestHeader<'_> = request.command.header()?;
        let cluster = fields.cluster_name.filter(|cluster| !cluster.is_empty());
        server.routes.write().delete_topic(fields.topic, cluster);
        Ok(success())
    })
}

pub(super) fn wipe_write_perm(server: &NameServer, request: &Request<'_>) -> Outcome {
    answer(|| {
        let broker: BrokerNameRequestHeader<'_> = request.command.header()?;
        let wipe_topic_count = server.routes.write().wipe_write_perm(broker.broker_name);
        Ok(success().with_header(&WipeWritePermResponseHeader { wipe_topic_count }))
    })
}

pub(super) fn add_write_perm(server: &NameServer, request: &Request<'_>) -> Outcome {
    answer(|| {
        let broker: BrokerNameRequestHeader<'_> = request.command.header()?;
        let add_topic_count = server.routes.write().add_write_perm(broker.broker_name);
        Ok(success().with_header(&AddWritePermResponseHeader { add_topic_count }))
    })
}

pub(super) fn get_cluster_info(server: &NameServer) -> Outcome {
    Outcome::Reply(success().with_body(body::encode(&server.routes.read().cluster_info())))
}

pub(super) fn get_broker_member_group(server: &NameServer, request: &Request<'_>) -> Outcome {
    answer(|| {
        let set: GetBrokerMemberGroupRequestHeader<'_> = request.command.header()?;
        let routes = server.routes.read();
        let broker_member_group = routes.member_group(set.cluster_name, set.broker_name);
        Ok(
            success().with_body(body::encode(&GetBrokerMemberGroupResponse {
                broker_member_group,
            })),
        )
    })
}

fn topic_list(
    enabled: bool,
    key: &str,
    list: impl FnOnce() -> Result<TopicList, Refusal>,
) -> Outcome {
    answer(|| match enabled {
        true => Ok(success().with_body(body::encode(&list()?))),
        false => Err(Refusal::new(
            ResponseCode::SYSTEM_ERROR,
            format!("disable: {key} is false"),
        )),
    })
}

pub(super) fn get_all_topic_list(server: &NameServer) -> Outcome {
    let enabled = server.config.enable_all_topic_list;
    topic_list(enabled, "enableAllTopicList", || {
        Ok(server.routes.read().topics())
    })
}

pub(super) fn get_topics_by_cluster(server: &NameServer, request: &Request<'_>) -> Outcome {
    topic_list(server.config.enable_topic_list, "enableTopicList", || {
        let fields: ClusterRequestHeader<'_> = request.command.header()?;
        Ok(server.routes.read().topics_of_cluster(fields.cluster))
    })
}

pub(super) fn get_system_topic_list(server: &NameServer) -> Outcome {
    Outcome::Reply(success().with_body(body::encode(&server.routes.read().system_topics())))
}

pub(super) fn get_unit_topic_list(server: &NameServer, request: &Request<'_>) -> Outcome {
    let filter = match request.command.request_code() {
        RequestCode::GET_UNIT_TOPIC_LIST => UnitFilter::Unit,
        RequestCode::GET_HAS_UNIT_SUB_TOPIC_LIST => UnitFilter::HasUnitSubscription,
        _ => UnitFilter::HasUnitSubscriptionOnly,
    };
    topic_list(server.config.enable_topic_list, "enableTopicList", || {
        Ok(server.routes.read().unit_topics(filter))
    })
}

pub(super) fn put_kv_config(server: &NameServer, request: &Request<'_>) -> Outcome {
    answer(|| {
        let pair: PutKvConfigRequestHeader<'_> = request.command.header()?;
        server
            .kv
            .put(pair.namespace, pair.key, pair.value)
            .map_err(|error| bad(&error))?;
        Ok(success())
    })
}

pub(super) fn get_kv_config(server: &NameServer, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: KvConfigRequestHeader<'_> = request.command.header()?;
        match server.kv.get(wanted.namespace, wanted.key) {
            Some(value) => Ok(success().with_header(&KvConfigResponseHeader {
                value: Some(&value),
            })),
            None => Err(Refusal::new(
                ResponseCode::QUERY_NOT_FOUND,
                format!(
                    "no value for key '{}' in namespace '{}'",
                    wanted.key, wanted.namespace
                ),
            )),
        }
    })
}

pub(super) fn delete_kv_config(server: &NameServer, request: &Request<'_>) -> Outcome {
    answer(|| {
        let unwanted: KvConfigRequestHeader<'_> = request.command.header()?;
        server
            .kv
            .remove(unwanted.namespace, unwanted.key)
            .map_err(|error| bad(&error))?;
        Ok(success())
    })
}

pub(super) fn get_kv_list(server: &NameServer, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: NamespaceRequestHeader<'_> = request.command.header()?;
        match server.kv.namespace(wanted.namespace) {
            Some(table) => Ok(success().with_body(body::encode(&KvTable { table }))),
            None => Err(Refusal::new(
                ResponseCode::QUERY_NOT_FOUND,
                format!("no values in namespace '{}'", wanted.namespace),
            )),
        }
    })
}

pub(super) fn get_namesrv_config(server: &NameServer) -> Outcome {
    let (text, _) = server.config.text();
    Outcome::Reply(success().with_body(text.into_bytes()))
}

pub(super) fn update_namesrv_config(server: &NameServer, request: &Request<'_>) -> Outcome {
    answer(|| {
        let text = &request.command.body;
        let change = server
            .config
            .change(text, request.now_ms, NamesrvConfig::check)
            .map_err(refuse_change)?;
        tracing::info!(
            by = request.session.peer_text(),
            live = ?change.live,
            at_restart = ?change.at_restart,
            inert = ?change.inert,
            "settings changed"
        );
        Ok(match change.remark() {
            Some(remark) => success().with_remark(remark),
            None => success(),
        })
    })
}
