// SPDX-License-Identifier: Apache-2.0
//! Commands about topics.

use anyhow::{Result, bail};
use bytes::Bytes;
use kerolox::admin::Admin;
use kerolox_protocol::body;
use kerolox_protocol::body::route::TopicRouteData;
use kerolox_protocol::body::topic::{GroupList, perm};
use kerolox_protocol::header::admin::{CreateTopicRequestHeader, TopicRequestHeader};
use kerolox_protocol::header::route::DeleteTopicInNamesrvRequestHeader;
use kerolox_protocol::message::name;
use kerolox_protocol::{RequestCode, ResponseCode};

use super::Common;
use crate::cli::say;

/// `updateTopic`.
#[derive(Clone, Debug, clap::Args)]
#[group(id = "where", required = true, multiple = false, args = ["broker_addr", "cluster_name"])]
pub(super) struct UpdateTopic {
    #[command(flatten)]
    common: Common,
    /// Create it on this broker, host:port.
    #[arg(short = 'b', long = "brokerAddr")]
    broker_addr: Option<String>,
    /// Create it on every master of this cluster.
    #[arg(short = 'c', long = "clusterName")]
    cluster_name: Option<String>,
    /// Topic.
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// Queues that consumers see.
    #[arg(short = 'r', long = "readQueueNums", default_value_t = 8)]
    read_queue_nums: i32,
    /// Queues that producers see.
    #[arg(short = 'w', long = "writeQueueNums", default_value_t = 8)]
    write_queue_nums: i32,
    /// Permission: 2 write, 4 read, 6 both.
    #[arg(short = 'p', long = "perm", default_value_t = 6)]
    perm: i32,
    /// Ordered topic.
    #[arg(short = 'o', long = "order", action = clap::ArgAction::Set, default_value_t = false)]
    order: bool,
    /// Unit topic.
    #[arg(short = 'u', long = "unit", action = clap::ArgAction::Set, default_value_t = false)]
    unit: bool,
    /// Has a unit subscription.
    #[arg(short = 's', long = "hasUnitSub", action = clap::ArgAction::Set, default_value_t = false)]
    has_unit_sub: bool,
    /// Attributes, `+key=value,-key`.
    #[arg(short = 'a', long = "attributes", allow_hyphen_values = true)]
    attributes: Option<String>,
}

impl UpdateTopic {
    pub(super) async fn run(&self) -> Result<()> {
        let (admin, addresses) = match (&self.broker_addr, &self.cluster_name) {
            (Some(address), _) => (self.common.admin_of_broker().await?, vec![address.clone()]),
            (None, cluster) => {
                let admin = self.common.admin().await?;
                let masters = admin.masters_on(cluster.as_deref()).await?;
                (
                    admin,
                    masters.into_iter().map(|master| master.address).collect(),
                )
            }
        };
        for address in &addresses {
            self.create(&admin, address).await?;
            say(&format!("create topic to {address} success."))?;
        }
        say(&format!(
            "TopicConfig [topicName={}, readQueueNums={}, writeQueueNums={}, perm={}, \
             topicFilterType=SINGLE_TAG, topicSysFlag={}, order={}, attributes={}]",
            self.topic,
            self.read_queue_nums,
            self.write_queue_nums,
            perm::text(self.perm),
            self.sys_flag(),
            self.order,
            self.attributes.as_deref().unwrap_or("null"),
        ))?;
        Ok(admin.close().await?)
    }

    fn sys_flag(&self) -> i32 {
        i32::from(self.unit) | i32::from(self.has_unit_sub) << 1
    }

    async fn create(&self, admin: &Admin, address: &str) -> Result<()> {
        let header = CreateTopicRequestHeader {
            topic: &self.topic,
            default_topic: Some(name::AUTO_CREATE_TOPIC),
            read_queue_nums: self.read_queue_nums,
            write_queue_nums: self.write_queue_nums,
            perm: self.perm,
            topic_filter_type: Some("SINGLE_TAG"),
            topic_sys_flag: Some(self.sys_flag()),
            order: Some(self.order),
            attributes: self.attributes.as_deref(),
            force: Some(false),
        };
        let code = RequestCode::UPDATE_AND_CREATE_TOPIC;
        let reply = admin.call(address, code, &header, Bytes::new()).await?;
        if reply.response_code() != ResponseCode::SUCCESS {
            bail!(
                "{address} answered with code {}: {}",
                reply.code,
                reply.remark.unwrap_or_default()
            );
        }
        Ok(())
    }
}

/// `deleteTopic`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct DeleteTopic {
    #[command(flatten)]
    common: Common,
    /// Topic.
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// Cluster to delete it from.
    #[arg(short = 'c', long = "clusterName")]
    cluster_name: String,
}

impl DeleteTopic {
    pub(super) async fn run(&self) -> Result<()> {
        let admin = self.common.admin().await?;
        let (topic, cluster) = (&self.topic, &self.cluster_name);
        for master in admin.masters_on(Some(cluster)).await? {
            admin.delete_topic_on(&master.address, topic).await?;
        }
        say(&format!(
            "delete topic [{topic}] from cluster [{cluster}] success."
        ))?;
        let header = DeleteTopicInNamesrvRequestHeader {
            topic,
            cluster_name: Some(cluster.as_str()),
        };
        let code = RequestCode::DELETE_TOPIC_IN_NAMESRV;
        for address in self.common.name_servers() {
            let reply = admin.call(&address, code, &header, Bytes::new()).await?;
            if reply.response_code() != ResponseCode::SUCCESS {
                let remark = reply.remark.unwrap_or_default();
                bail!("{address} answered with code {}: {remark}", reply.code);
            }
        }
        say(&format!("delete topic [{topic}] from NameServer success."))?;
        Ok(admin.close().await?)
    }
}

impl Common {
    fn name_servers(&self) -> Vec<String> {
        let from_environment = || std::env::var("NAMESRV_ADDR").unwrap_or_default();
        let text = self.namesrv_addr.clone().unwrap_or_else(from_environment);
        let parts = text
            .split([';', ','])
            .map(str::trim)
            .filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect()
    }
}

/// `topicList`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct TopicList {
    #[command(flatten)]
    common: Common,
    /// With clusters and consumer groups.
    #[arg(short = 'c', long = "clusterModel")]
    cluster_model: bool,
}

impl TopicList {
    pub(super) async fn run(&self) -> Result<()> {
        let admin = self.common.admin().await?;
        if self.cluster_model {
            say(&format!(
                "{:<20}  {:<48}  {:<48}",
                "#Cluster Name", "#Topic", "#Consumer Group"
            ))?;
            for cluster in admin.cluster_info().await?.cluster_addr_table.keys() {
                for topic in admin.topics_of_cluster(cluster).await? {
                    let groups = groups_of(&admin, &topic).await?;
                    let groups = if groups.is_empty() {
                        vec![String::new()]
                    } else {
                        groups
                    };
                    for group in groups {
                        say(&format!("{cluster:<20}  {topic:<48}  {group:<48}"))?;
                    }
                }
            }
        } else {
            for topic in admin.topic_list().await? {
                say(&topic)?;
            }
        }
        Ok(admin.close().await?)
    }
}

/// Groups that consume a topic, as its first broker knows; retry topics belong to their group.
async fn groups_of(admin: &Admin, topic: &str) -> Result<Vec<String>> {
    if name::is_retry_topic(topic) || name::is_dlq_topic(topic) {
        return Ok(Vec::new());
    }
    let route = admin.topic_route(topic).await?.unwrap_or_default();
    let Some(address) = route
        .broker_datas
        .iter()
        .find_map(|data| data.broker_addrs.get(&0))
    else {
        return Ok(Vec::new());
    };
    let header = TopicRequestHeader { topic };
    let code = RequestCode::QUERY_TOPIC_CONSUME_BY_WHO;
    let reply = admin.call(address, code, &header, Bytes::new()).await?;
    if reply.response_code() != ResponseCode::SUCCESS {
        return Ok(Vec::new());
    }
    Ok(body::decode::<GroupList>(&reply.body)?.group_list)
}

/// `topicRoute`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct TopicRoute {
    #[command(flatten)]
    common: Common,
    /// Topic.
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// As a table.
    #[arg(short = 'l', long = "list")]
    list: bool,
}

impl TopicRoute {
    pub(super) async fn run(&self) -> Result<()> {
        let admin = self.common.admin().await?;
        let Some(route) = admin.topic_route(&self.topic).await? else {
            bail!("the name server has no route for topic '{}'", self.topic);
        };
        if self.list {
            print_table(route)?;
        } else {
            say(&String::from_utf8_lossy(&body::encode_pretty(&route)))?;
        }
        Ok(admin.close().await?)
    }
}

fn print_table(route: TopicRouteData) -> Result<()> {
    say(&format!(
        "{:<45} {:<32} {:<50} {:<10} {:<11} {:<5}",
        "#ClusterName", "#BrokerName", "#BrokerAddrs", "#ReadQueue", "#WriteQueue", "#Perm"
    ))?;
    let (mut reads, mut writes) = (0, 0);
    for queues in &route.queue_datas {
        let set = route
            .broker_datas
            .iter()
            .find(|data| data.broker_name == queues.broker_name);
        let Some(set) = set else { continue };
        let addresses = set
            .broker_addrs
            .iter()
            .map(|(id, address)| format!("{id}={address}"));
        let addresses = format!("{{{}}}", addresses.collect::<Vec<_>>().join(", "));
        reads += queues.read_queue_nums;
        writes += queues.write_queue_nums;
        say(&format!(
            "{:<45} {:<32} {:<50} {:<10} {:<11} {:<5}",
            set.cluster,
            queues.broker_name,
            addresses,
            queues.read_queue_nums,
            queues.write_queue_nums,
            queues.perm
        ))?;
    }
    say(&"-".repeat(158))?;
    let brokers = route.queue_datas.len();
    say(&format!(
        "{:<45} {brokers:<32} {:<50} {reads:<10} {writes:<11}",
        "Total:", ""
    ))?;
    Ok(())
}
