// SPDX-License-Identifier: Apache-2.0
//! What producers and consumers of one client id share: connections, routes, heartbeats.
//!
//! An instance is found by its client id; the first user's options decide. It ends with its last user. Its one
//! background task refreshes routes, sends heartbeats and answers what brokers ask.

mod broker;
mod client_id;
mod heartbeat;
mod name_server;
mod peer;
mod route;
mod running_info;

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kerolox_protocol::body::heartbeat::ConsumerData;
use kerolox_protocol::body::queue::MessageQueue;
use kerolox_protocol::body::route::TopicRouteData;
use kerolox_protocol::header::Header;
use kerolox_protocol::header::route::GetRouteInfoRequestHeader;
use kerolox_protocol::message::name::{AUTO_CREATE_TOPIC, is_retry_topic};
use kerolox_protocol::{Command, RequestCode, ResponseCode, body};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use crate::error::{Error, ErrorCode, Result};
use crate::message::Queue;
use crate::net::{PeerRequest, Pool, PoolOptions};
use crate::runtime;

pub(crate) use broker::{PullAnswer, PullRequest, PullStatus, SendBack, broker_error};
pub(crate) use client_id::{MessageIds, client_id, now_ms, unique_instance_name};
pub(crate) use route::{MASTER, PublishQueue, TopicRoute};
pub(crate) use running_info::{QueueInfo, RunningInfo};

/// Period of refreshing routes and of heartbeats.
const PERIOD: Duration = Duration::from_secs(30);
/// Deadline of requests that nobody waits for.
pub(crate) const BACKGROUND_TIMEOUT: Duration = Duration::from_secs(3);
/// Routes that failed are asked for again at most this often.
const REFRESH_PAUSE: Duration = Duration::from_secs(1);

/// A consumer as its instance sees it.
pub(crate) trait GroupMember: Send + Sync {
    /// What heartbeats say of it; `None` once it has gone.
    fn heartbeat_data(&self) -> Option<ConsumerData>;
    /// The topics whose routes it needs.
    fn topics(&self) -> Vec<String>;
    /// The members of the group or the routes have changed.
    fn wake(&self);
    /// An administrator moves offsets.
    fn reset_offsets(&self, offsets: BTreeMap<MessageQueue, i64>);
    /// Offsets of a topic, as an administrator sees them.
    fn offsets(&self, topic: &str) -> BTreeMap<MessageQueue, i64>;
    /// The state in detail, for administrators.
    fn running_info(&self) -> RunningInfo;
}

/// What an instance is made from.
pub(crate) struct InstanceConfig {
    pub(crate) name_servers: String,
    pub(crate) client_id: String,
}

/// What producers and consumers of one client id share.
pub(crate) struct Instance {
    client_id: String,
    pool: Pool,
    name_servers: name_server::NameServers,
    routes: route::Routes,
    /// Held while a route is asked for: others who need it find it when they get here.
    fetching: tokio::sync::Mutex<()>,
    producers: Mutex<Vec<String>>,
    consumers: Mutex<HashMap<String, Arc<dyn GroupMember>>>,
    users: AtomicUsize,
    stale_routes: Notify,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Instance {
    /// The instance of a client id; [`Instance::release`] it when done.
    pub(crate) fn acquire(config: InstanceConfig) -> Result<Arc<Self>> {
        let addresses = name_server::parse(&config.name_servers)?;
        let mut registry = runtime::registry()?.lock();
        let known = registry
            .get(&config.client_id)
            .and_then(std::sync::Weak::upgrade);
        if let Some(instance) = known.and_then(|known| known.downcast::<Self>().ok()) {
            instance.users.fetch_add(1, Ordering::Relaxed);
            return Ok(instance);
        }
        let (requests_in, requests) = mpsc::channel(256);
        let (connected_in, connected) = mpsc::channel(64);
        let options = PoolOptions {
            requests: Some(requests_in),
            connected: Some(connected_in),
            ..PoolOptions::default()
        };
        let handle = runtime::handle()?;
        let instance = Arc::new(Self {
            client_id: config.client_id.clone(),
            pool: Pool::new(handle.clone(), options),
            name_servers: name_server::NameServers::new(addresses),
            routes: route::Routes::default(),
            fetching: tokio::sync::Mutex::new(()),
            producers: Mutex::default(),
            consumers: Mutex::default(),
            users: AtomicUsize::new(1),
            stale_routes: Notify::new(),
            task: Mutex::default(),
        });
        let background = Arc::clone(&instance);
        let task = handle.spawn(async move { background.run(requests, connected).await });
        *instance.task.lock() = Some(task);
        let shared: Arc<dyn Any + Send + Sync> = Arc::<Self>::clone(&instance);
        registry.insert(config.client_id, Arc::downgrade(&shared));
        Ok(instance)
    }

    /// Gives the instance up; the last user ends it.
    pub(crate) async fn release(&self) {
        {
            let Ok(registry) = runtime::registry() else {
                return;
            };
            let mut registry = registry.lock();
            if self.users.fetch_sub(1, Ordering::Relaxed) > 1 {
                return;
            }
            registry.remove(&self.client_id);
        }
        let task = self.task.lock().take();
        if let Some(task) = task {
            task.abort();
            // The outcome of an aborted task says nothing.
            drop(task.await);
        }
        self.pool.close();
    }

    /// Its client id.
    pub(crate) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Addresses of its name servers, as text.
    pub(crate) fn name_servers(&self) -> &[String] {
        self.name_servers.addresses()
    }

    /// Registers a producer group.
    pub(crate) fn add_producer(&self, group: &str) -> Result<()> {
        let mut producers = self.producers.lock();
        if producers.iter().any(|known| known == group) {
            return Err(duplicate(&self.client_id, group));
        }
        producers.push(group.to_owned());
        Ok(())
    }

    /// Registers a consumer.
    pub(crate) fn add_consumer(&self, group: &str, member: Arc<dyn GroupMember>) -> Result<()> {
        let mut consumers = self.consumers.lock();
        if consumers.contains_key(group) {
            return Err(duplicate(&self.client_id, group));
        }
        consumers.insert(group.to_owned(), member);
        Ok(())
    }

    /// Forgets a consumer that did not get to start.
    pub(crate) fn forget_consumer(&self, group: &str) {
        let member = self.consumers.lock().remove(group);
        drop(member);
    }

    /// Forgets a producer group.
    pub(crate) fn forget_producer(&self, group: &str) {
        self.producers.lock().retain(|known| known != group);
    }

    fn members(&self) -> Vec<Arc<dyn GroupMember>> {
        self.consumers.lock().values().cloned().collect()
    }

    /// Sends a request to `address` and waits for the response. A peer that says it is going away is asked once more,
    /// on a new connection.
    pub(crate) async fn call<'h>(
        &self,
        address: &str,
        code: RequestCode,
        header: &impl Header<'h>,
        body: &Bytes,
        timeout: Duration,
    ) -> Result<Command> {
        let deadline = Instant::now() + timeout;
        let left = || deadline.saturating_duration_since(Instant::now());
        let connection = self.pool.connection(address, timeout).await?;
        let response = connection.request_typed(code, header, body, left()).await?;
        if response.code != ResponseCode::GO_AWAY.0 {
            return Ok(response);
        }
        self.pool.retire(&connection);
        let connection = self.pool.connection(address, left()).await?;
        connection.request_typed(code, header, body, left()).await
    }

    /// Sends a request to `address` that has no response.
    pub(crate) async fn call_oneway<'h>(
        &self,
        address: &str,
        code: RequestCode,
        header: &impl Header<'h>,
        body: &Bytes,
        timeout: Duration,
    ) -> Result<()> {
        let connection = self.pool.connection(address, timeout).await?;
        connection.oneway_typed(code, header, body, timeout).await
    }

    /// Asks a name server.
    pub(crate) async fn ask_name_server<'h>(
        &self,
        code: RequestCode,
        header: &impl Header<'h>,
        timeout: Duration,
    ) -> Result<Command> {
        self.name_servers
            .request(&self.pool, code, header, timeout)
            .await
    }

    /// Sends a request to every name server; the first failure is the answer.
    pub(crate) async fn tell_name_servers<'h>(
        &self,
        code: RequestCode,
        header: &impl Header<'h>,
        timeout: Duration,
    ) -> Result<()> {
        for address in self.name_servers.addresses() {
            let response = self
                .call(address, code, header, &Bytes::new(), timeout)
                .await?;
            if response.code != ResponseCode::SUCCESS.0 {
                return Err(broker_error("tell name server", &response, address));
            }
        }
        Ok(())
    }

    /// The route of a topic as far as it is known.
    pub(crate) fn known_route(&self, topic: &str) -> Option<Arc<TopicRoute>> {
        self.routes.get(topic)
    }

    /// The route of a topic, asked for if it is not known. With `default_queues`, a topic that does not exist gets the
    /// route that it would be created with.
    pub(crate) async fn route(
        &self,
        topic: &str,
        default_queues: Option<i32>,
        timeout: Duration,
    ) -> Result<Arc<TopicRoute>> {
        let usable = |route: &Arc<TopicRoute>| default_queues.is_some() || !route.is_default;
        if let Some(route) = self.routes.get(topic).filter(usable) {
            return Ok(route);
        }
        let deadline = Instant::now() + timeout;
        let left = || deadline.saturating_duration_since(Instant::now());
        let Ok(_turn) = tokio::time::timeout(timeout, self.fetching.lock()).await else {
            return Err(Error::new(ErrorCode::Timeout, "find route").with_context("topic", topic));
        };
        if let Some(route) = self.routes.get(topic).filter(usable) {
            return Ok(route);
        }
        if self.fetch_route(topic, left()).await?.is_none() {
            let Some(most) = default_queues.filter(|_| !is_retry_topic(topic)) else {
                return Err(self.no_route(topic));
            };
            let Some(data) = self.ask_route(AUTO_CREATE_TOPIC, left()).await? else {
                return Err(self.no_route(topic));
            };
            self.routes
                .put(topic, TopicRoute::new(topic, data, Some(most)));
        }
        self.routes.get(topic).ok_or_else(|| self.no_route(topic))
    }

    fn no_route(&self, topic: &str) -> Error {
        Error::new(ErrorCode::NoRoute, "find route")
            .with_context("topic", topic)
            .with_context("name_servers", self.name_servers.addresses().join(";"))
    }

    /// Asks the name server for a route and stores it; `None` if there is none, else whether it has changed.
    pub(crate) async fn fetch_route(&self, topic: &str, timeout: Duration) -> Result<Option<bool>> {
        let Some(data) = self.ask_route(topic, timeout).await? else {
            return Ok(None);
        };
        let has_changed = self.routes.put(topic, TopicRoute::new(topic, data, None));
        if has_changed {
            tracing::debug!(client_id = self.client_id, topic, "route changed");
        }
        Ok(Some(has_changed))
    }

    async fn ask_route(&self, topic: &str, timeout: Duration) -> Result<Option<TopicRouteData>> {
        let header = GetRouteInfoRequestHeader {
            topic,
            accept_standard_json_only: Some(true),
        };
        let code = RequestCode::GET_ROUTEINFO_BY_TOPIC;
        let response = self.ask_name_server(code, &header, timeout).await?;
        match response.response_code() {
            ResponseCode::SUCCESS => body::decode(&response.body).map(Some).map_err(|error| {
                Error::new(ErrorCode::Protocol, "find route")
                    .with_context("topic", topic)
                    .with_source(error)
            }),
            ResponseCode::TOPIC_NOT_EXIST => Ok(None),
            _ => {
                Err(broker_error("find route", &response, "name server")
                    .with_context("topic", topic))
            }
        }
    }

    /// Forgets the route of a topic that has been deleted.
    pub(crate) fn forget_route(&self, topic: &str) {
        self.routes.remove(topic);
    }

    /// Has the routes asked for again soon: something that they say does not work.
    pub(crate) fn suspect_routes(&self) {
        self.stale_routes.notify_one();
    }

    /// The address of a broker's member; see [`route::Routes::address`].
    pub(crate) fn broker_address(&self, broker_name: &str, id: i64, only: bool) -> Option<String> {
        self.routes.address(broker_name, id, only)
    }

    /// The address of a queue's broker, asking for the route if it is not known.
    pub(crate) async fn queue_address(&self, queue: &Queue, timeout: Duration) -> Result<String> {
        if let Some(address) = self.broker_address(&queue.broker_name, MASTER, false) {
            return Ok(address);
        }
        self.fetch_route(&queue.topic, timeout).await?;
        self.broker_address(&queue.broker_name, MASTER, false)
            .ok_or_else(|| {
                Error::new(ErrorCode::BrokerNotFound, "find broker")
                    .with_context("broker", &queue.broker_name)
                    .with_context("topic", &queue.topic)
            })
    }

    async fn run(
        self: Arc<Self>,
        mut requests: mpsc::Receiver<PeerRequest>,
        mut connected: mpsc::Receiver<Arc<str>>,
    ) {
        let mut period = tokio::time::interval_at((Instant::now() + PERIOD).into(), PERIOD);
        period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut refreshed = Instant::now() - REFRESH_PAUSE;
        loop {
            tokio::select! {
                Some(request) = requests.recv() => self.answer(&request),
                Some(address) = connected.recv() => {
                    // A broker forgets a client when its connection ends, so a new one needs a heartbeat at once.
                    if self.heartbeat_to_new(&address).await {
                        self.members().iter().for_each(|member| member.wake());
                    }
                }
                () = self.stale_routes.notified(), if refreshed.elapsed() >= REFRESH_PAUSE => {
                    self.refresh_routes().await;
                    refreshed = Instant::now();
                }
                () = tokio::time::sleep_until((refreshed + REFRESH_PAUSE).into()),
                    if refreshed.elapsed() < REFRESH_PAUSE => {}
                _ = period.tick() => {
                    self.refresh_routes().await;
                    refreshed = Instant::now();
                    self.heartbeat().await;
                }
            }
        }
    }

    async fn refresh_routes(&self) {
        let mut topics = self.routes.topics();
        let members = self.members();
        topics.extend(members.iter().flat_map(|member| member.topics()));
        topics.sort_unstable();
        topics.dedup();
        let mut have_changed = false;
        for topic in topics {
            match self.fetch_route(&topic, BACKGROUND_TIMEOUT).await {
                Ok(has_changed) => have_changed |= has_changed == Some(true),
                Err(error) => {
                    tracing::warn!(client_id = self.client_id, topic, %error, "no fresh route");
                    break;
                }
            }
        }
        if have_changed {
            members.iter().for_each(|member| member.wake());
        }
        let brokers = self.routes.brokers();
        let name_servers = self.name_servers.addresses();
        self.pool.retain(|address| {
            name_servers.iter().any(|known| known == address)
                || brokers
                    .values()
                    .any(|members| members.values().any(|known| known == address))
        });
    }
}

fn duplicate(client_id: &str, group: &str) -> Error {
    Error::new(ErrorCode::DuplicateGroup, "start")
        .with_context("group", group)
        .with_context("client_id", client_id)
}
