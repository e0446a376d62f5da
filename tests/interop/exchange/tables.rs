// SPDX-License-Identifier: Apache-2.0
//! The tables in `config/`: topics, groups, consumer offsets and how far the delays came.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use kerolox_protocol::body;
use kerolox_protocol::body::group::{SubscriptionGroupConfig, SubscriptionGroupTable};
use kerolox_protocol::body::offset::ConsumerOffsetTable;
use kerolox_protocol::body::topic::{TopicConfig, TopicConfigTable};
use kerolox_protocol::code::{RequestCode, ResponseCode};
use kerolox_protocol::command::Command;
use kerolox_protocol::header::NoHeader;
use kerolox_protocol::header::offset::{
    OffsetResponseHeader, QueryConsumerOffsetRequestHeader, UpdateConsumerOffsetRequestHeader,
};
use kerolox_tests::wait_for;
use kerolox_tests::wire::Connection;
use serde::Deserialize;

use super::draft::{GROUP, MANY};

/// Topics and groups of this test contain it.
const OURS: &str = "exchange_";

/// What the tables have to say.
#[derive(Debug, Default)]
pub(super) struct Tables {
    topics: BTreeMap<String, TopicConfig>,
    groups: BTreeMap<String, SubscriptionGroupConfig>,
    /// Offsets by group and queue that may be found: the last one, and with a kill those before it that may be all
    /// that was written.
    offsets: BTreeMap<(String, i32), Vec<Option<i64>>>,
    /// By level, as of the last orderly stop.
    delays: BTreeMap<i32, i64>,
}

/// Content of `delayOffset.json`.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct DelayOffsets {
    offset_table: BTreeMap<i32, i64>,
}

fn topics_of(connection: &mut Connection) -> anyhow::Result<BTreeMap<String, TopicConfig>> {
    let request = Command::request(RequestCode::GET_ALL_TOPIC_CONFIG, &NoHeader);
    let table: TopicConfigTable = body::decode(&connection.request_ok(request)?.body)?;
    let mut topics = table.topic_config_table;
    topics.retain(|name, _| name.contains(OURS));
    Ok(topics)
}

fn groups_of(
    connection: &mut Connection,
) -> anyhow::Result<BTreeMap<String, SubscriptionGroupConfig>> {
    let request = Command::request(RequestCode::GET_ALL_SUBSCRIPTIONGROUP_CONFIG, &NoHeader);
    let table: SubscriptionGroupTable = body::decode(&connection.request_ok(request)?.body)?;
    let mut groups = table.subscription_group_table;
    groups.retain(|name, _| name.contains(OURS));
    Ok(groups)
}

/// Makes a group with settings that are not the defaults.
pub(super) fn create_group(
    connection: &mut Connection,
    name: &str,
    retry_max_times: i32,
) -> anyhow::Result<()> {
    let config = SubscriptionGroupConfig {
        group_name: name.to_owned(),
        consume_from_min_enable: retry_max_times % 2 == 0,
        retry_max_times,
        consume_timeout_minute: 7,
        ..Default::default()
    };
    let request = Command::request(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, &NoHeader);
    connection.request_ok(request.with_body(body::encode(&config)))?;
    Ok(())
}

impl Tables {
    /// Notes all topics and groups as the broker has them now.
    pub(super) fn note(&mut self, connection: &mut Connection) -> anyhow::Result<()> {
        self.topics = topics_of(connection)?;
        self.groups = groups_of(connection)?;
        Ok(())
    }

    /// Topics and their queues.
    pub(super) fn queues(&self) -> BTreeMap<String, i32> {
        let topics = self.topics.iter();
        topics
            .map(|(name, config)| (name.clone(), config.read_queue_nums))
            .collect()
    }

    /// Compares topics, groups and offsets with what the broker says.
    pub(super) fn check(&mut self, connection: &mut Connection) -> anyhow::Result<()> {
        let topics = topics_of(connection)?;
        ensure!(
            topics == self.topics,
            "topics: {topics:#?}\nexpected {:#?}",
            self.topics
        );
        let groups = groups_of(connection)?;
        ensure!(
            groups == self.groups,
            "groups: {groups:#?}\nexpected {:#?}",
            self.groups
        );
        for ((group, queue_id), candidates) in &mut self.offsets {
            let found = committed(connection, group, *queue_id)?;
            ensure!(
                candidates.contains(&found),
                "group {group} committed {candidates:?} of queue {queue_id}, the broker says {found:?}"
            );
            *candidates = vec![found];
        }
        Ok(())
    }

    /// Commits an offset.
    pub(super) fn commit(
        &mut self,
        connection: &mut Connection,
        group: &str,
        queue_id: i32,
        offset: i64,
    ) -> anyhow::Result<()> {
        let header = UpdateConsumerOffsetRequestHeader {
            consumer_group: group,
            topic: MANY,
            queue_id: Some(queue_id),
            commit_offset: Some(offset),
            broker_name: None,
        };
        let request = Command::request(RequestCode::UPDATE_CONSUMER_OFFSET, &header);
        connection.request_ok(request)?;
        self.offsets
            .entry((group.to_owned(), queue_id))
            .or_insert_with(|| vec![None])
            .push(Some(offset));
        Ok(())
    }

    /// Waits until the file of the offsets holds the last ones: no kill takes them back then.
    pub(super) fn await_written(&mut self, store: &Path) -> anyhow::Result<()> {
        let file = store.join("config/consumerOffset.json");
        wait_for("offsets on disk", Duration::from_secs(20), || {
            let table: ConsumerOffsetTable = body::decode(&fs::read(&file).ok()?).ok()?;
            let is_there =
                |((group, queue_id), candidates): (&(String, i32), &Vec<Option<i64>>)| {
                    let queues = table.offset_table.get(&format!("{MANY}@{group}"));
                    candidates.last()
                        == Some(&queues.and_then(|queues| queues.get(queue_id).copied()))
                };
            self.offsets.iter().all(is_there).then_some(())
        })?;
        self.settle();
        Ok(())
    }

    /// After an orderly stop only the last offsets may be found, and the delays went forward.
    pub(super) fn stopped(&mut self, store: &Path) -> anyhow::Result<()> {
        self.settle();
        let file = store.join("config/delayOffset.json");
        let delays = match fs::read(&file) {
            Ok(text) => body::decode::<DelayOffsets>(&text)?.offset_table,
            // Nothing was due yet.
            Err(error) if error.kind() == ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error).with_context(|| format!("read {}", file.display())),
        };
        for (level, before) in &self.delays {
            ensure!(
                delays.get(level) >= Some(before),
                "level {level} was at {before}, now {:?}",
                delays.get(level)
            );
        }
        self.delays = delays;
        Ok(())
    }

    fn settle(&mut self) {
        for candidates in self.offsets.values_mut() {
            candidates.drain(..candidates.len() - 1);
        }
    }
}

fn committed(
    connection: &mut Connection,
    group: &str,
    queue_id: i32,
) -> anyhow::Result<Option<i64>> {
    let header = QueryConsumerOffsetRequestHeader {
        consumer_group: group,
        topic: MANY,
        queue_id,
        set_zero_if_not_found: Some(false),
        broker_name: None,
    };
    let response = connection.request(Command::request(
        RequestCode::QUERY_CONSUMER_OFFSET,
        &header,
    ))?;
    match response.response_code() {
        ResponseCode::SUCCESS => Ok(Some(response.header::<OffsetResponseHeader>()?.offset)),
        ResponseCode::QUERY_NOT_FOUND => Ok(None),
        code => anyhow::bail!("offset of {group}: {code:?} {:?}", response.remark),
    }
}

/// The groups that commit in a phase: one that all share and one that is new.
pub(super) fn groups_of_phase(phase: u64) -> [String; 2] {
    [GROUP.to_owned(), format!("exchange_group_of_{phase}")]
}
