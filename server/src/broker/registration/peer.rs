// SPDX-License-Identifier: Apache-2.0
//! One name server: its connection, what it knows, and when to try again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kerolox::net::{ConnectOptions, Connection};
use kerolox_protocol::body;
use kerolox_protocol::body::register::KvTable;
use kerolox_protocol::body::topic::DataVersion;
use kerolox_protocol::header::admin::TopicRequestHeader;
use kerolox_protocol::header::route::{
    BrokerIdentityRequestHeader, QueryDataVersionResponseHeader, RegisterBrokerRequestHeader,
};
use kerolox_protocol::{Command, RequestCode, ResponseCode};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::bodies;
use crate::broker::Broker;

/// First pause after a failure; it doubles up to the registration period.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The process is about to end and nobody depends on the answer.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);

/// Something to register.
#[derive(Debug)]
pub(super) struct Job {
    what: What,
    /// Dropped when the job is done.
    _done: Option<mpsc::Sender<()>>,
}

/// What a job registers.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// Everything.
    Full,
    /// Body of an increment.
    Increment(Bytes),
    /// Topics with the bodies that register them alone.
    Topics(Vec<(String, Bytes)>),
}

impl Job {
    pub(super) const fn new(what: What) -> Self {
        Self { what, _done: None }
    }

    pub(super) fn with_done(&self, done: mpsc::Sender<()>) -> Self {
        Self {
            what: self.what.clone(),
            _done: Some(done),
        }
    }
}

/// The registration at one name server.
pub(super) struct Peer {
    address: String,
    broker: Arc<Broker>,
    connection: Option<Connection>,
    /// It missed something and gets everything next.
    needs_full: Arc<AtomicBool>,
    pause: Duration,
    next: Instant,
}

impl Peer {
    pub(super) fn new(address: String, broker: Arc<Broker>, needs_full: Arc<AtomicBool>) -> Self {
        Self {
            address,
            broker,
            connection: None,
            needs_full,
            pause: Duration::ZERO,
            next: Instant::now(),
        }
    }

    /// Registers until nobody is left to give it jobs, then says farewell.
    pub(super) async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        self.next = Instant::now() + self.period();
        loop {
            // Cancel safety: nothing here loses anything when another branch wins.
            tokio::select! {
                job = jobs.recv() => match job {
                    Some(job) if self.pause.is_zero() => self.register(job.what).await,
                    Some(_) => self.needs_full.store(true, Ordering::Release),
                    None => break,
                },
                () = tokio::time::sleep_until(self.next) => self.register_again().await,
                () = lost(self.connection.as_ref()) => {
                    tracing::warn!(name_server = self.address, "connection to the name server lost");
                    self.connection = None;
                    self.needs_full.store(true, Ordering::Release);
                    self.next = Instant::now();
                }
            }
        }
        self.farewell().await;
    }

    /// The periodical registration, which keeps the broker alive there.
    pub(super) async fn register_again(&mut self) {
        let config = self.broker.config();
        let may_skip = !config.force_register
            && !config.enable_split_registration
            && !self.needs_full.load(Ordering::Acquire);
        // A name server that can not be asked gets everything.
        if may_skip && self.is_up_to_date().await.unwrap_or(false) {
            self.next = Instant::now() + self.period();
            return;
        }
        self.register(What::Full).await;
    }

    /// Whether the name server has the topics in their present version. Asking keeps the broker alive there.
    async fn is_up_to_date(&self) -> Result<bool, String> {
        let Some(connection) = &self.connection else {
            return Ok(false);
        };
        let version = self.broker.topics().version();
        let address = self.broker.config().advertised_address();
        let header = self.identity(&address);
        let request = Command::request(RequestCode::QUERY_DATA_VERSION, &header)
            .with_body(body::encode(&version));
        let reply = self.ask(connection, request).await?;
        let answer: QueryDataVersionResponseHeader =
            reply.header().map_err(|error| error.to_string())?;
        if answer.changed || reply.body.is_empty() {
            return Ok(false);
        }
        let theirs: DataVersion = body::decode(&reply.body).map_err(|error| error.to_string())?;
        Ok(theirs == version)
    }

    fn period(&self) -> Duration {
        let period = self.broker.config().register_name_server_period;
        Duration::from_millis(period.clamp(10_000, 60_000))
    }

    pub(super) async fn register(&mut self, what: What) {
        match self.try_register(what).await {
            Ok(()) => {
                if !self.pause.is_zero() {
                    tracing::info!(name_server = self.address, "registered again");
                }
                self.pause = Duration::ZERO;
                self.next = Instant::now() + self.period();
            }
            Err(reason) => {
                if self.pause.is_zero() {
                    tracing::warn!(
                        name_server = self.address,
                        reason,
                        "registration failed, trying again"
                    );
                }
                self.connection = None;
                self.needs_full.store(true, Ordering::Release);
                self.pause = (self.pause * 2).clamp(FIRST_PAUSE, self.period());
                self.next = Instant::now() + self.pause;
            }
        }
    }

    async fn try_register(&mut self, what: What) -> Result<(), String> {
        let connection = match &self.connection {
            Some(connection) if !connection.is_closed() => connection.clone(),
            _ => {
                self.needs_full.store(true, Ordering::Release);
                let options = ConnectOptions {
                    timeout: CONNECT_TIMEOUT,
                    ..ConnectOptions::default()
                };
                let connected = Connection::connect(&self.address, options).await;
                self.connection
                    .insert(connected.map_err(|error| error.to_string())?)
                    .clone()
            }
        };
        // Cleared before the topics are read: whatever is missed from here on counts for the next time.
        let needs_full = self.needs_full.swap(false, Ordering::AcqRel);
        match what {
            What::Topics(topics) if !needs_full => {
                for (topic, body) in topics {
                    self.register_topic(&connection, &topic, body).await?;
                }
            }
            What::Increment(body) if !needs_full => self.register_topics(&connection, body).await?,
            What::Full | What::Increment(_) | What::Topics(_) => {
                for body in bodies::full(self.broker.config(), self.broker.topics()) {
                    self.register_topics(&connection, body).await?;
                }
            }
        }
        Ok(())
    }

    /// REGISTER_BROKER with some or all topics.
    async fn register_topics(&self, connection: &Connection, body: Bytes) -> Result<(), String> {
        let config = self.broker.config();
        let crc = crc32fast::hash(&body) & 0x7fff_ffff;
        let (address, ha_address) = (config.advertised_address(), config.ha_address());
        let header = RegisterBrokerRequestHeader {
            broker_name: &config.broker_name,
            broker_addr: &address,
            cluster_name: &config.broker_cluster_name,
            ha_server_addr: &ha_address,
            broker_id: config.broker_id,
            heartbeat_timeout_millis: None,
            enable_acting_master: Some(false),
            compressed: Some(false),
            body_crc32: i32::try_from(crc).ok(),
        };
        let request = Command::request(RequestCode::REGISTER_BROKER, &header).with_body(body);
        let reply = self.ask(connection, request).await?;
        self.learn(&reply.body);
        Ok(())
    }

    /// REGISTER_TOPIC_IN_NAMESRV.
    async fn register_topic(
        &self,
        connection: &Connection,
        topic: &str,
        body: Bytes,
    ) -> Result<(), String> {
        let header = TopicRequestHeader { topic };
        let request =
            Command::request(RequestCode::REGISTER_TOPIC_IN_NAMESRV, &header).with_body(body);
        self.ask(connection, request).await.map(drop)
    }

    async fn ask(&self, connection: &Connection, request: Command) -> Result<Command, String> {
        let timeout = self.broker.config().register_broker_timeout_mills;
        let reply = connection
            .request(request, Duration::from_millis(timeout))
            .await
            .map_err(|error| error.to_string())?;
        if reply.response_code() != ResponseCode::SUCCESS {
            let remark = reply.remark.unwrap_or_default();
            return Err(format!("answered with code {}: {remark}", reply.code));
        }
        Ok(reply)
    }

    /// A name server may know which topics are ordered.
    fn learn(&self, body: &[u8]) {
        if body.is_empty() {
            return;
        }
        match body::decode::<KvTable>(body) {
            Ok(ordered) => {
                let now_ms = self.broker.clock.now_ms();
                self.broker
                    .topics()
                    .mark_ordered(ordered.table.keys().map(String::as_str), now_ms);
            }
            Err(error) => {
                tracing::warn!(name_server = self.address, %error, "order configuration not understood");
            }
        }
    }

    fn identity<'h>(&'h self, address: &'h str) -> BrokerIdentityRequestHeader<'h> {
        let config = self.broker.config();
        BrokerIdentityRequestHeader {
            broker_name: &config.broker_name,
            broker_addr: address,
            cluster_name: &config.broker_cluster_name,
            broker_id: config.broker_id,
        }
    }

    async fn farewell(self) {
        let Some(connection) = &self.connection else {
            return;
        };
        let address = self.broker.config().advertised_address();
        let header = self.identity(&address);
        let request = Command::request(RequestCode::UNREGISTER_BROKER, &header);
        if let Err(error) = connection.request(request, FAREWELL_TIMEOUT).await {
            tracing::info!(name_server = self.address, %error, "the name server did not take the farewell");
        }
    }
}

/// Ends when the connection does; never without one.
async fn lost(connection: Option<&Connection>) {
    match connection {
        Some(connection) => connection.closed().await,
        None => std::future::pending().await,
    }
}
