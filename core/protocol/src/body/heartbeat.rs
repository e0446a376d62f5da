// SPDX-License-Identifier: Apache-2.0
//! What clients tell brokers of themselves. Source: wire.md 4.5.

use std::collections::BTreeSet;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// How a consumer gets its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConsumeType {
    /// The application pulls.
    ConsumeActively,
    /// The client pushes to a listener.
    #[default]
    ConsumePassively,
    /// Pop.
    ConsumePop,
}

/// Who of a group gets a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MessageModel {
    /// Every member.
    Broadcasting,
    /// One member.
    #[default]
    Clustering,
}

/// Where a new group starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(
    missing_docs,
    reason = "each name is the reference's and says what it means"
)]
pub enum ConsumeFromWhere {
    #[default]
    ConsumeFromLastOffset,
    ConsumeFromLastOffsetAndFromMinWhenBootFirst,
    ConsumeFromMinOffset,
    ConsumeFromMaxOffset,
    ConsumeFromFirstOffset,
    ConsumeFromTimestamp,
}

/// A subscription of a group to a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SubscriptionData {
    /// Legacy class filter.
    pub class_filter_mode: bool,
    /// Hashes of the tags.
    #[serde(deserialize_with = "numbers_or_texts")]
    pub code_set: BTreeSet<i32>,
    /// `TAG` or `SQL92`.
    pub expression_type: String,
    /// The expression as written.
    pub sub_string: String,
    /// When it was made, milliseconds since the epoch.
    pub sub_version: i64,
    /// Tags; empty is all.
    pub tags_set: BTreeSet<String>,
    /// Topic.
    pub topic: String,
}

/// The Go client writes its hashes as texts, `["2598919"]`.
fn numbers_or_texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<i32>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Code {
        Number(i32),
        Text(String),
    }
    let codes = Vec::<Code>::deserialize(deserializer)?;
    let number = |code| match code {
        Code::Number(number) => Ok(number),
        Code::Text(text) => text.trim().parse().map_err(D::Error::custom),
    };
    codes.into_iter().map(number).collect()
}

impl Default for SubscriptionData {
    fn default() -> Self {
        Self {
            class_filter_mode: false,
            code_set: BTreeSet::new(),
            expression_type: "TAG".to_owned(),
            sub_string: String::new(),
            sub_version: 0,
            tags_set: BTreeSet::new(),
            topic: String::new(),
        }
    }
}

impl SubscriptionData {
    /// Parses a tag expression: `*` or empty is all, else tags joined by `||`.
    pub fn tags(topic: &str, expression: &str, version: i64) -> Self {
        let mut data = Self {
            topic: topic.to_owned(),
            sub_version: version,
            ..Self::default()
        };
        let expression = expression.trim();
        if expression.is_empty() || expression == "*" {
            data.sub_string = "*".to_owned();
            return data;
        }
        data.sub_string = expression.to_owned();
        for tag in expression
            .split("||")
            .map(str::trim)
            .filter(|tag| !tag.is_empty())
        {
            data.tags_set.insert(tag.to_owned());
            data.code_set.insert(crate::message::tags::java_hash(tag));
        }
        data
    }

    /// Whether the low 32 bits of a consume-queue unit's tags code pass; collisions are for the client to sort out.
    pub fn matches_tags_code(&self, tags_code: i64) -> bool {
        if self.code_set.is_empty() || self.sub_string == "*" || self.class_filter_mode {
            return true;
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the low 32 bits are the hash"
        )]
        let hash = tags_code as i32;
        self.code_set.contains(&hash)
    }
}

/// A consumer group of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumerData {
    /// Where a new group starts.
    pub consume_from_where: ConsumeFromWhere,
    /// Pull, push or pop.
    pub consume_type: ConsumeType,
    /// Group.
    pub group_name: String,
    /// Broadcasting or clustering.
    pub message_model: MessageModel,
    /// Subscriptions.
    pub subscription_data_set: Vec<SubscriptionData>,
    /// Unit mode.
    pub unit_mode: bool,
}

/// A producer group of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProducerData {
    /// Group.
    pub group_name: String,
}

/// Body of HEART_BEAT.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HeartbeatData {
    /// Client id.
    #[serde(rename = "clientID")]
    pub client_id: String,
    /// Consumer groups.
    pub consumer_data_set: Vec<ConsumerData>,
    /// 0: a heartbeat of the first kind.
    pub heartbeat_fingerprint: i32,
    /// Producer groups.
    pub producer_data_set: Vec<ProducerData>,
    /// Subscriptions are left out.
    pub without_sub: bool,
}

/// Body of CHECK_CLIENT_CONFIG.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CheckClientRequest {
    /// Client id.
    pub client_id: String,
    /// Consumer group.
    pub group: String,
    /// What the client wants to subscribe to.
    pub subscription_data: SubscriptionData,
}
