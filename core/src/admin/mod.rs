// SPDX-License-Identifier: Apache-2.0
//! Administration: topics, subscription groups, routes, clusters.

mod options;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kerolox_protocol::body::cluster::ClusterInfo;
use kerolox_protocol::body::group::SubscriptionGroupConfig;
use kerolox_protocol::body::route::TopicRouteData;
use kerolox_protocol::body::topic::{TopicConfig, TopicList, perm};
use kerolox_protocol::header::admin::{CreateTopicRequestHeader, TopicRequestHeader};
use kerolox_protocol::header::route::{
    ClusterRequestHeader, DeleteTopicInNamesrvRequestHeader, GetRouteInfoRequestHeader,
};
use kerolox_protocol::header::{Header, NoHeader};
use kerolox_protocol::message::name;
use kerolox_protocol::{Command, RequestCode, ResponseCode, body};
use serde::de::DeserializeOwned;

pub use options::AdminOptions;

use crate::error::{Error, ErrorCode, Result};
use crate::instance::{
    Instance, InstanceConfig, MASTER, broker_error, client_id, unique_instance_name,
};
use crate::runtime;

/// First and longest pause between two looks at a route.
const LOOK: Duration = Duration::from_millis(5);
const LONGEST_LOOK: Duration = Duration::from_millis(100);

/// Administers a cluster. Clones share it; it closes when the last one is dropped.
#[derive(Clone)]
pub struct Admin {
    owner: Arc<Owner>,
}

struct Owner {
    instance: Arc<Instance>,
    timeout: Duration,
    is_closed: AtomicBool,
}

/// A broker's master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Master {
    /// Name of the broker.
    pub broker_name: String,
    /// Its cluster.
    pub cluster: String,
    /// Its address.
    pub address: String,
}

impl Admin {
    /// Starts an administration client; nothing is sent yet.
    ///
    /// # Errors
    /// `NO_NAME_SERVER`, `INVALID_OPTION`.
    pub async fn start(options: AdminOptions) -> Result<Self> {
        let instance = Instance::acquire(InstanceConfig {
            name_servers: options.name_servers,
            client_id: client_id("", &unique_instance_name()),
        })?;
        let timeout = Duration::from_millis(options.timeout_ms.max(1));
        let owner = Owner {
            instance,
            timeout,
            is_closed: AtomicBool::new(false),
        };
        Ok(Self {
            owner: Arc::new(owner),
        })
    }

    /// Creates a topic, or changes it, with as many read as write queues, and waits until it is routed. `on` names a
    /// broker or a cluster; `None` means every master.
    ///
    /// # Errors
    /// `INVALID_TOPIC`, `INVALID_ARGUMENT` (queues), `BROKER_NOT_FOUND` (nothing is called `on`), what a broker answers.
    pub async fn create_topic_on(&self, topic: &str, queues: i32, on: Option<&str>) -> Result<()> {
        const OPERATION: &str = "create_topic";
        if queues < 1 {
            return Err(Error::new(ErrorCode::InvalidArgument, OPERATION)
                .with_message(format!("queues is {queues}, allowed is at least 1"))
                .with_context("topic", topic));
        }
        check_topic(OPERATION, topic)?;
        let masters = self.masters(OPERATION, on).await?;
        let config = TopicConfig::new(topic, queues, perm::READ | perm::WRITE);
        for master in &masters {
            self.create_topic(&master.address, &config).await?;
        }
        let names: Vec<&str> = masters
            .iter()
            .map(|master| master.broker_name.as_str())
            .collect();
        self.wait_for_route(topic, &names).await
    }

    /// Creates or changes a topic on the broker at `address`.
    ///
    /// # Errors
    /// `INVALID_TOPIC`, what the broker answers.
    pub async fn create_topic(&self, address: &str, config: &TopicConfig) -> Result<()> {
        const OPERATION: &str = "create_topic";
        check_topic(OPERATION, &config.topic_name)?;
        let attributes: Vec<String> = config
            .attributes
            .iter()
            .map(|(name, value)| format!("+{name}={value}"))
            .collect();
        let attributes = attributes.join(",");
        let header = CreateTopicRequestHeader {
            topic: &config.topic_name,
            default_topic: Some(name::AUTO_CREATE_TOPIC),
            read_queue_nums: config.read_queue_nums,
            write_queue_nums: config.write_queue_nums,
            perm: config.perm,
            topic_filter_type: Some(&config.topic_filter_type),
            topic_sys_flag: Some(config.topic_sys_flag),
            order: Some(config.order),
            attributes: (!attributes.is_empty()).then_some(attributes.as_str()),
            force: Some(false),
        };
        let code = RequestCode::UPDATE_AND_CREATE_TOPIC;
        self.tell(OPERATION, address, code, &header, Bytes::new())
            .await
            .map_err(|error| error.with_context("topic", &config.topic_name))
    }

    /// Waits until the name servers route a topic to all these brokers.
    ///
    /// # Errors
    /// `TIMEOUT` naming the brokers that are missing.
    pub async fn wait_for_route(&self, topic: &str, broker_names: &[&str]) -> Result<()> {
        let deadline = Instant::now() + self.timeout();
        let mut pause = LOOK;
        loop {
            let route = self.topic_route(topic).await?.unwrap_or_default();
            let missing: Vec<&str> = broker_names
                .iter()
                .filter(|name| {
                    !route
                        .queue_datas
                        .iter()
                        .any(|queues| queues.broker_name == **name)
                })
                .copied()
                .collect();
            if missing.is_empty() && !route.queue_datas.is_empty() {
                return Ok(());
            }
            if Instant::now() + pause > deadline {
                return Err(Error::new(ErrorCode::Timeout, "wait_for_route")
                    .with_message(format!(
                        "the topic exists, but the name server does not route it to {} yet",
                        missing.join(", ")
                    ))
                    .with_context("topic", topic));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_LOOK);
        }
    }

    /// Deletes a topic from every broker and from the name servers.
    ///
    /// # Errors
    /// `INVALID_TOPIC`, what a broker or name server answers.
    pub async fn delete_topic(&self, topic: &str) -> Result<()> {
        const OPERATION: &str = "delete_topic";
        check_topic(OPERATION, topic)?;
        for master in self.masters(OPERATION, None).await? {
            self.delete_topic_on(&master.address, topic).await?;
        }
        let header = DeleteTopicInNamesrvRequestHeader {
            topic,
            ..Default::default()
        };
        let code = RequestCode::DELETE_TOPIC_IN_NAMESRV;
        let told = self
            .instance(OPERATION)?
            .tell_name_servers(code, &header, self.timeout())
            .await;
        told.map_err(|error| error.in_operation(OPERATION).with_context("topic", topic))
    }

    /// Deletes a topic from the broker at `address`.
    ///
    /// # Errors
    /// What the broker answers.
    pub async fn delete_topic_on(&self, address: &str, topic: &str) -> Result<()> {
        let header = TopicRequestHeader { topic };
        let code = RequestCode::DELETE_TOPIC_IN_BROKER;
        self.tell("delete_topic", address, code, &header, Bytes::new())
            .await
            .map_err(|error| error.with_context("topic", topic))
    }

    /// Names of all topics that the name server knows, sorted.
    ///
    /// # Errors
    /// `NAME_SERVER_UNREACHABLE`, what it answers.
    pub async fn topic_list(&self) -> Result<Vec<String>> {
        let code = RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER;
        let list: TopicList = self.ask("topics", code, &NoHeader).await?;
        Ok(sorted(list))
    }

    /// Names of the topics of a cluster, sorted.
    ///
    /// # Errors
    /// `NAME_SERVER_UNREACHABLE`, what it answers.
    pub async fn topics_of_cluster(&self, cluster: &str) -> Result<Vec<String>> {
        let code = RequestCode::GET_TOPICS_BY_CLUSTER;
        let list: TopicList = self
            .ask("topics", code, &ClusterRequestHeader { cluster })
            .await?;
        Ok(sorted(list))
    }

    /// Where the queues of a topic are; `None` if the name server does not know it.
    ///
    /// # Errors
    /// `NAME_SERVER_UNREACHABLE`, what it answers.
    pub async fn topic_route(&self, topic: &str) -> Result<Option<TopicRouteData>> {
        let header = GetRouteInfoRequestHeader {
            topic,
            accept_standard_json_only: Some(true),
        };
        match self
            .ask("topic_route", RequestCode::GET_ROUTEINFO_BY_TOPIC, &header)
            .await
        {
            Ok(route) => Ok(Some(route)),
            Err(error) if error.code() == ErrorCode::TopicNotExist => Ok(None),
            Err(error) => Err(error.with_context("topic", topic)),
        }
    }

    /// All brokers and clusters that the name server knows.
    ///
    /// # Errors
    /// `NAME_SERVER_UNREACHABLE`, what it answers.
    pub async fn cluster_info(&self) -> Result<ClusterInfo> {
        self.ask(
            "cluster_info",
            RequestCode::GET_BROKER_CLUSTER_INFO,
            &NoHeader,
        )
        .await
    }

    /// The masters of a broker or a cluster, or of everything; sorted by broker name.
    ///
    /// # Errors
    /// `BROKER_NOT_FOUND` when there is none.
    pub async fn masters_on(&self, on: Option<&str>) -> Result<Vec<Master>> {
        self.masters("masters", on).await
    }

    async fn masters(&self, operation: &'static str, on: Option<&str>) -> Result<Vec<Master>> {
        let info = self
            .cluster_info()
            .await
            .map_err(|error| error.in_operation(operation))?;
        let of_cluster = on.and_then(|name| info.cluster_addr_table.get(name));
        let is_meant = |broker_name: &str| match (on, of_cluster) {
            (None, _) => true,
            (Some(_), Some(brokers)) => brokers.contains(broker_name),
            (Some(name), None) => broker_name == name,
        };
        let mut masters = Vec::new();
        for (broker_name, broker) in info.broker_addr_table {
            if let Some(address) = broker
                .broker_addrs
                .get(&MASTER)
                .filter(|_| is_meant(&broker_name))
            {
                masters.push(Master {
                    address: address.clone(),
                    cluster: broker.cluster,
                    broker_name,
                });
            }
        }
        if masters.is_empty() {
            let what = match on {
                Some(name) => format!("no broker and no cluster with a master is called '{name}'"),
                None => "no master is registered at the name server".to_owned(),
            };
            return Err(Error::new(ErrorCode::BrokerNotFound, operation).with_message(what));
        }
        Ok(masters)
    }

    /// Creates or changes a subscription group on the broker at `address`.
    ///
    /// # Errors
    /// `INVALID_GROUP`, what the broker answers.
    pub async fn create_subscription_group(
        &self,
        address: &str,
        config: &SubscriptionGroupConfig,
    ) -> Result<()> {
        const OPERATION: &str = "create_subscription_group";
        if let Err(error) = name::check_group(&config.group_name) {
            return Err(Error::new(ErrorCode::InvalidGroup, OPERATION)
                .with_message(format!("the group name is not allowed: {error}"))
                .with_context("group", &config.group_name));
        }
        let code = RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP;
        self.tell(
            OPERATION,
            address,
            code,
            &NoHeader,
            body::encode(config).into(),
        )
        .await
        .map_err(|error| error.with_context("group", &config.group_name))
    }

    /// Sends any request to a server and returns its answer, whatever it says: for tools.
    ///
    /// # Errors
    /// `CONNECT_FAILED`, `TIMEOUT`, `CONNECTION_LOST`.
    pub async fn call<'h>(
        &self,
        address: &str,
        code: RequestCode,
        header: &impl Header<'h>,
        body: Bytes,
    ) -> Result<Command> {
        self.instance("call")?
            .call(address, code, header, &body, self.timeout())
            .await
    }

    /// Ends the client. May be called twice.
    ///
    /// # Errors
    /// None today.
    pub async fn close(&self) -> Result<()> {
        if !self.owner.is_closed.swap(true, Ordering::AcqRel) {
            self.owner.instance.release().await;
        }
        Ok(())
    }

    fn timeout(&self) -> Duration {
        self.owner.timeout
    }

    fn instance(&self, operation: &'static str) -> Result<&Instance> {
        if self.owner.is_closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorCode::Closed, operation));
        }
        Ok(&self.owner.instance)
    }

    async fn ask<'h, T: DeserializeOwned>(
        &self,
        operation: &'static str,
        code: RequestCode,
        header: &impl Header<'h>,
    ) -> Result<T> {
        let instance = self.instance(operation)?;
        let response = instance.ask_name_server(code, header, self.timeout()).await;
        let response = response.map_err(|error| error.in_operation(operation))?;
        if response.code != ResponseCode::SUCCESS.0 {
            return Err(broker_error(
                operation,
                &response,
                &instance.name_servers().join(";"),
            ));
        }
        body::decode(&response.body).map_err(|error| {
            Error::new(ErrorCode::Protocol, operation)
                .with_message(format!("the answer can not be read: {error}"))
        })
    }

    async fn tell<'h>(
        &self,
        operation: &'static str,
        address: &str,
        code: RequestCode,
        header: &impl Header<'h>,
        body: Bytes,
    ) -> Result<()> {
        let instance = self.instance(operation)?;
        let response = instance
            .call(address, code, header, &body, self.timeout())
            .await;
        let response = response.map_err(|error| error.in_operation(operation))?;
        if response.code == ResponseCode::SUCCESS.0 {
            return Ok(());
        }
        Err(broker_error(operation, &response, address))
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if self.is_closed.load(Ordering::Acquire) {
            return;
        }
        if let Ok(handle) = runtime::handle() {
            let instance = Arc::clone(&self.instance);
            handle.spawn(async move { instance.release().await });
        }
    }
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin")
            .field("name_servers", &self.owner.instance.name_servers())
            .finish_non_exhaustive()
    }
}

fn sorted(list: TopicList) -> Vec<String> {
    let names: BTreeSet<String> = list.topic_list.into_iter().collect();
    names.into_iter().collect()
}

fn check_topic(operation: &'static str, topic: &str) -> Result<()> {
    name::check_topic(topic).map_err(|error| {
        Error::new(ErrorCode::InvalidTopic, operation)
            .with_message(format!("the topic name '{topic}' is not allowed: {error}"))
            .with_context("topic", topic)
    })
}
