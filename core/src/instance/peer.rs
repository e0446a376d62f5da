// SPDX-License-Identifier: Apache-2.0
//! What brokers ask of a client: to rebalance, to move offsets, to show its state.

use std::collections::BTreeMap;
use std::sync::Arc;

use kerolox_protocol::body::offset::QueueOffsets;
use kerolox_protocol::body::queue::{MessageQueue, QueueMap};
use kerolox_protocol::{Command, RequestCode, ResponseCode, body};
use serde::{Deserialize, Serialize};

use super::{GroupMember, Instance};
use crate::net::PeerRequest;

/// Answer of GET_CONSUMER_STATUS_FROM_CLIENT.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct ConsumerStatus {
    consumer_table: BTreeMap<String, ()>,
    message_queue_table: QueueMap<i64>,
}

/// The list form of the offsets to reset, which administrators written in C++ ask for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OffsetList {
    offset_table: Vec<ListedOffset>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListedOffset {
    #[serde(flatten)]
    queue: MessageQueue,
    offset: i64,
}

impl Instance {
    pub(super) fn answer(&self, request: &PeerRequest) {
        let command = &request.command;
        let reply = match command.request_code() {
            RequestCode::NOTIFY_CONSUMER_IDS_CHANGED => {
                tracing::debug!(
                    client_id = self.client_id,
                    "the members of a group have changed"
                );
                self.members().iter().for_each(|member| member.wake());
                None
            }
            RequestCode::RESET_CONSUMER_CLIENT_OFFSET => {
                self.reset_offsets(command);
                None
            }
            RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT => Some(self.status(command)),
            RequestCode::GET_CONSUMER_RUNNING_INFO => Some(self.running_info(command)),
            other => {
                let remark = format!("request type {} not supported", other.0);
                let code = ResponseCode::REQUEST_CODE_NOT_SUPPORTED;
                Some(Command::reply_to(command, code).with_remark(remark))
            }
        };
        if let Some(reply) = reply
            && !command.is_oneway()
        {
            request.connection.reply(&reply);
        }
    }

    fn member(&self, group: Option<&str>) -> Option<Arc<dyn GroupMember>> {
        self.consumers.lock().get(group?).cloned()
    }

    fn reset_offsets(&self, command: &Command) {
        let Some(member) = self.member(command.ext.get("group")) else {
            return;
        };
        let offsets = match body::decode::<QueueOffsets>(&command.body) {
            Ok(table) => table.offset_table.0,
            Err(error) => match body::decode::<OffsetList>(&command.body) {
                Ok(list) => list
                    .offset_table
                    .into_iter()
                    .map(|item| (item.queue, item.offset))
                    .collect(),
                Err(_not_a_list_either) => {
                    tracing::warn!(%error, "offsets to reset can not be read");
                    return;
                }
            },
        };
        member.reset_offsets(offsets);
    }

    fn status(&self, command: &Command) -> Command {
        let topic = command.ext.get("topic").unwrap_or_default();
        let Some(member) = self.member(command.ext.get("group")) else {
            return unknown_group(command);
        };
        let status = ConsumerStatus {
            message_queue_table: QueueMap(member.offsets(topic)),
            ..ConsumerStatus::default()
        };
        Command::reply_to(command, ResponseCode::SUCCESS).with_body(body::encode(&status))
    }

    fn running_info(&self, command: &Command) -> Command {
        match self.member(command.ext.get("consumerGroup")) {
            Some(member) => {
                let mut info = member.running_info();
                let servers = self.name_servers().join(";");
                info.properties
                    .insert("PROP_NAMESERVER_ADDR".to_owned(), format!("{servers};"));
                Command::reply_to(command, ResponseCode::SUCCESS).with_body(body::encode(&info))
            }
            None => unknown_group(command),
        }
    }
}

fn unknown_group(command: &Command) -> Command {
    Command::reply_to(command, ResponseCode::SYSTEM_ERROR)
        .with_remark("the consumer group does not exist in this client")
}
