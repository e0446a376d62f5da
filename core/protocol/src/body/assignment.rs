// SPDX-License-Identifier: Apache-2.0
//! Who of a group gets which queues, and how it gets their messages, when the broker decides. Source: wire.md 4.7.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::heartbeat::MessageModel;
use super::queue::MessageQueue;

/// How a consumer gets the messages of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RequestMode {
    /// It pulls and keeps the offset.
    #[default]
    Pull,
    /// It pops and acknowledges.
    Pop,
}

/// Body of QUERY_ASSIGNMENT.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct QueryAssignmentRequest {
    /// Who asks.
    pub client_id: String,
    /// Its group.
    pub consumer_group: String,
    /// Who of the group gets a message.
    pub message_model: Option<MessageModel>,
    /// How queues are shared: `AVG` or `AVG_BY_CIRCLE`.
    pub strategy_name: String,
    /// Topic.
    pub topic: String,
}

/// Answer of QUERY_ASSIGNMENT.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct QueryAssignmentResponse {
    /// Absent: the client keeps what it has. Empty: it has nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_queue_assignments: Option<Vec<QueueAssignment>>,
}

/// A queue of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueAssignment {
    /// The queue; id -1 with POP is any queue of that broker.
    pub message_queue: MessageQueue,
    /// How the client gets its messages.
    pub mode: RequestMode,
}

/// Body of SET_MESSAGE_REQUEST_MODE: how a group consumes a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SetRequestModeRequest {
    /// Group.
    pub consumer_group: String,
    /// Pull or pop.
    pub mode: RequestMode,
    /// Pop: with how many further clients a queue is shared; 0 and less is all.
    pub pop_share_queue_num: i32,
    /// Topic.
    pub topic: String,
}

/// All request modes: `messageRequestMode.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RequestModeTable {
    /// By topic and group.
    pub message_request_mode_map: BTreeMap<String, BTreeMap<String, SetRequestModeRequest>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body;

    #[test]
    fn bodies_are_the_references() {
        let text = br#"{"messageQueueAssignments":[{"messageQueue":{"brokerName":"broker-a","queueId":-1,"topic":"g_pop"},"mode":"POP"}]}"#;
        let answer: QueryAssignmentResponse = body::decode(text).unwrap();
        assert_eq!(body::encode(&answer), text);
        assert_eq!(body::encode(&QueryAssignmentResponse::default()), b"{}");
        let text = br#"{"consumerGroup":"G1","mode":"POP","popShareQueueNum":8,"topic":"T1"}"#;
        let mode: SetRequestModeRequest = body::decode(text).unwrap();
        assert_eq!(body::encode(&mode), text);
    }
}
