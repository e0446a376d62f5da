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
use super::route_table::{BrokerKey, Registration, UnitFilter};
use crate::config::{Settings, properties};
use crate::net::{Outcome, Request};
use crate::refusal::{Refusal, answer, success};

/// Keys that UPDATE_NAMESRV_CONFIG may change; everything else is for whoever can edit the file.
const REMOTE_KEYS: &[&str] = &[
    "orderMessageEnable",
    "returnOrderTopicConfigToBroker",
    "enableAllTopicList",
    "enableTopicList",
    "deleteTopicWithBrokerRegistration",
    "supportActingMaster",
];

fn bad(error: &dyn std::error::Error) -> Refusal {
    Refusal::new(ResponseCode::SYSTEM_ERROR, error.to_string())
}

pub(super) fn get_routeinfo_by_topic(server: &NameServer, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: GetRouteInfoRequestHeader<'_> = request.command.header()?;
        let config = server.config.read();
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
        let is_strict = request.command.version >= version::V4_9_4
            || wanted.accept_standard_json_only == Some(true);
        let text = if is_strict {
            body::encode_standard(&route)
        } else {
            body::encode(&route)
        };
        Ok(success().with_body(text))
    })
}

pub(super) fn register_broker(server: &NameServer, request: &Request<'_>) -> Outcome {
    answer(|| {
        let fields: RegisterBrokerRequestHeader<'_> = request.command.header()?;
        check_crc(&fields, &request.command.body)?;
        let old = request.command.version < version::V3_0_11;
        let text = if old {
            &[]
        } else {
            request.command.body.as_ref()
        };
        let registered = registration_body::decode(text, fields.compressed == Some(true))
            .map_err(|error| bad(&error))?;
        let registration = Registration {
            cluster: fields.cluster_name,
            broker_name: fields.broker_name,
            broker_id: fields.broker_id,
            address: fields.broker_addr,
            ha_address: fields.ha_server_addr,
            timeout_ms: fields.heartbeat_timeout_millis,
            acting_master: fields.enable_acting_master,
            topics: &registered.topic_config_serialize_wrapper,
            filter_servers: &registered.filter_server_list,
            session: request.session,
        };
        let config = server.config.read();
        let delete_unlisted = config.delete_topic_with_broker_registration;
        let result = server
            .routes
            .write()
            .register(&registration, delete_unlisted, request.now_ms)
            .map_err(|error| bad(&error))?;
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
        let key = key(broker.cluster_name, broker.broker_addr);
        server.routes.write().unregister(&key, broker.broker_name);
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

fn topic_list(enabled: bool, key: &str, list: impl FnOnce() -> TopicList) -> Outcome {
    answer(|| match enabled {
        true => Ok(success().with_body(body::encode(&list()))),
        false => Err(Refusal::new(
            ResponseCode::SYSTEM_ERROR,
            format!("disable: {key} is false"),
        )),
    })
}

pub(super) fn get_all_topic_list(server: &NameServer) -> Outcome {
    let enabled = server.config.read().enable_all_topic_list;
    topic_list(enabled, "enableAllTopicList", || {
        server.routes.read().topics()
    })
}

pub(super) fn get_topics_by_cluster(server: &NameServer, request: &Request<'_>) -> Outcome {
    let enabled = server.config.read().enable_topic_list;
    let fields = request.command.header::<ClusterRequestHeader<'_>>();
    let cluster = fields.map(|fields| fields.cluster).unwrap_or_default();
    topic_list(enabled, "enableTopicList", || {
        server.routes.read().topics_of_cluster(cluster)
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
    let enabled = server.config.read().enable_topic_list;
    topic_list(enabled, "enableTopicList", || {
        server.routes.read().unit_topics(filter)
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
    let text = properties::write(server.config.read().entries());
    Outcome::Reply(success().with_body(text.into_bytes()))
}

pub(super) fn update_namesrv_config(server: &NameServer, request: &Request<'_>) -> Outcome {
    answer(|| {
        let text = std::str::from_utf8(&request.command.body).map_err(|error| bad(&error))?;
        let pairs = properties::parse(text);
        if let Some((key, _)) = pairs
            .iter()
            .find(|(key, _)| !REMOTE_KEYS.contains(&key.as_str()))
        {
            let allowed = REMOTE_KEYS.join(", ");
            return Err(Refusal::new(
                ResponseCode::NO_PERMISSION,
                format!("{key} can not be changed remotely, allowed: {allowed}"),
            ));
        }
        let mut config = server.config.write();
        let mut changed = config.clone();
        for (key, value) in &pairs {
            changed.set(key, value).map_err(|error| bad(&error))?;
        }
        *config = changed;
        Ok(success())
    })
}
