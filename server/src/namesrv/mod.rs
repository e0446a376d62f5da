// SPDX-License-Identifier: Apache-2.0
//! The name server: which brokers are alive and which queues they have.
//!
//! Brokers register with every name server; name servers do not know each other and keep everything in memory but the
//! key-value configuration. Like the broker's, this logic is synchronous: requests come through [`Service`], time
//! passes through [`NameServer::tick`]. Facts: server.md 1.
//!
//! [`route_table`] holds the tables, `processor` turns requests into calls on them, [`kv`] is the configuration.
//! `departures` collects brokers that leave, [`notices`] what other brokers have to learn of them.

mod departures;
pub mod kv;
pub mod notices;
mod processor;
mod registration_body;
pub mod route_table;

use std::io;
use std::sync::Arc;

use kerolox_protocol::{Command, RequestCode, ResponseCode};
use parking_lot::RwLock;

use crate::config::{Managed, NamesrvConfig};
use crate::net::{Outcome, Replies, Request, Service, Session};
use crate::store::clock::Clock;
use crate::store::disk::Disk;

use departures::Departures;
use kv::KvConfig;
use notices::Notices;
use route_table::{Departure, MinIdNotice, RouteTable};

/// A name server. All methods can be called from any thread.
pub struct NameServer {
    config: Managed<NamesrvConfig>,
    routes: RwLock<RouteTable>,
    departures: Departures,
    notices: Notices,
    kv: KvConfig,
    clock: Arc<dyn Clock>,
    started_ms: i64,
    scanned_ms: parking_lot::Mutex<i64>,
}

impl NameServer {
    /// A name server that knows no broker yet; reads the key-value configuration.
    ///
    /// # Errors
    /// The directory of the key-value configuration can not be created.
    pub fn open(
        config: NamesrvConfig,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
    ) -> io::Result<Self> {
        let kv = KvConfig::open(Arc::clone(&disk), config.kv_config_path.clone())?;
        let now_ms = clock.now_ms();
        let (path, black_list) = (config.config_store_path.clone(), config.black_list());
        Ok(Self {
            config: Managed::new(config, disk, path, &black_list, now_ms),
            routes: RwLock::default(),
            departures: Departures::default(),
            notices: Notices::default(),
            kv,
            clock,
            started_ms: now_ms,
            scanned_ms: parking_lot::Mutex::new(now_ms),
        })
    }

    /// Drops brokers that have been silent for too long; call it about every second.
    pub fn tick(&self, now_ms: i64) {
        let interval = self.config.scan_not_active_broker_interval;
        let mut scanned_ms = self.scanned_ms.lock();
        let waited = now_ms.saturating_sub(*scanned_ms);
        if waited < i64::try_from(interval).unwrap_or(i64::MAX) {
            return;
        }
        *scanned_ms = now_ms;
        drop(scanned_ms);
        let (silent, sessions) = self.routes.read().silent(now_ms);
        self.remove(silent);
        for session in sessions {
            session.close();
        }
    }

    /// Brokers that are gone; nothing may keep them.
    fn remove(&self, departures: Vec<Departure>) {
        if !departures.is_empty() {
            self.departures.submit_all(departures);
            self.apply_departures();
        }
    }

    fn apply_departures(&self) {
        self.notify(self.departures.apply(&self.routes));
    }

    fn notify(&self, notices: impl IntoIterator<Item = MinIdNotice>) {
        if self.config.notify_min_broker_id_changed {
            self.notices.add(notices);
        }
    }

    /// What brokers have to be told; whoever owns the sockets sends it.
    pub fn notices(&self) -> &Notices {
        &self.notices
    }

    /// Number of live brokers.
    pub fn broker_count(&self) -> usize {
        self.routes.read().live_count()
    }

    fn dispatch(&self, request: &Request<'_>) -> Outcome {
        use processor as p;
        match request.command.request_code() {
            RequestCode::GET_ROUTEINFO_BY_TOPIC => p::get_routeinfo_by_topic(self, request),
            RequestCode::REGISTER_BROKER => p::register_broker(self, request),
            RequestCode::UNREGISTER_BROKER => p::unregister_broker(self, request),
            RequestCode::QUERY_DATA_VERSION => p::query_data_version(self, request),
            RequestCode::BROKER_HEARTBEAT => p::broker_heartbeat(self, request),
            RequestCode::REGISTER_TOPIC_IN_NAMESRV => p::register_topic(self, request),
            RequestCode::DELETE_TOPIC_IN_NAMESRV => p::delete_topic(self, request),
            RequestCode::WIPE_WRITE_PERM_OF_BROKER => p::wipe_write_perm(self, request),
            RequestCode::ADD_WRITE_PERM_OF_BROKER => p::add_write_perm(self, request),
            RequestCode::GET_BROKER_CLUSTER_INFO => p::get_cluster_info(self),
            RequestCode::GET_BROKER_MEMBER_GROUP => p::get_broker_member_group(self, request),
            RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER => p::get_all_topic_list(self),
            RequestCode::GET_TOPICS_BY_CLUSTER => p::get_topics_by_cluster(self, request),
            RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_NS => p::get_system_topic_list(self),
            RequestCode::GET_UNIT_TOPIC_LIST
            | RequestCode::GET_HAS_UNIT_SUB_TOPIC_LIST
            | RequestCode::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST => {
                p::get_unit_topic_list(self, request)
            }
            RequestCode::PUT_KV_CONFIG => p::put_kv_config(self, request),
            RequestCode::GET_KV_CONFIG => p::get_kv_config(self, request),
            RequestCode::DELETE_KV_CONFIG => p::delete_kv_config(self, request),
            RequestCode::GET_KVLIST_BY_NAMESPACE => p::get_kv_list(self, request),
            RequestCode::GET_NAMESRV_CONFIG => p::get_namesrv_config(self),
            RequestCode::UPDATE_NAMESRV_CONFIG => p::update_namesrv_config(self, request),
            code => Outcome::Reply(
                Command::response(ResponseCode::REQUEST_CODE_NOT_SUPPORTED).with_remark(format!(
                    " request type {} not supported by the name server",
                    code.0
                )),
            ),
        }
    }
}

impl Service for NameServer {
    fn handle(&self, session: &Arc<Session>, requests: &mut Vec<Command>, replies: &mut Replies) {
        let now_ms = self.clock.now_ms();
        for command in requests.iter().filter(|command| !command.is_response()) {
            let request = Request {
                command,
                session,
                now_ms,
            };
            if let Outcome::Reply(reply) = self.dispatch(&request) {
                replies.push(command, reply);
            }
        }
    }

    fn closed(&self, session: &Arc<Session>) {
        let gone = self.routes.read().of_session(session.id());
        self.remove(gone);
    }
}

impl std::fmt::Debug for NameServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NameServer")
            .field("brokers", &self.broker_count())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
