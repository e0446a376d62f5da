// SPDX-License-Identifier: Apache-2.0
//! Reads one assigned queue ahead.

use std::sync::Arc;
use std::time::Duration;

use kerolox_protocol::body::heartbeat::SubscriptionData;

use super::super::process_queue::ProcessQueue;
use super::super::received;
use super::Inner;
use crate::error::{Category, ErrorCode, Result};
use crate::instance::{MASTER, PullRequest, PullStatus};

/// How long a broker may hold a pull.
const HOLD: Duration = Duration::from_secs(15);
/// Deadline of a pull; longer than the hold.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Pause after a broker said it is busy.
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// First and longest pause after a failure.
const FAILURE_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Inner {
    pub(super) async fn read_loop(
        self: Arc<Self>,
        queue: Arc<ProcessQueue>,
        filter: SubscriptionData,
    ) {
        let mut pause = FAILURE_PAUSE;
        let mut broker_id = MASTER;
        while !queue.is_leaving() {
            match self.read_once(&queue, &filter, &mut broker_id).await {
                Ok(()) => pause = FAILURE_PAUSE,
                Err(error) if error.code() == ErrorCode::BrokerBusy => {
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
                Err(error) => {
                    tracing::warn!(group = self.options.group, queue = %queue.queue, %error, "pull failed");
                    if error.code() == ErrorCode::ConnectFailed {
                        self.instance.suspect_routes();
                    }
                    // A broker that is away comes back; a queue that it refuses is for the application to know.
                    let is_final = error.category() == Category::Broker
                        || matches!(error.code(), ErrorCode::NoRoute | ErrorCode::BrokerNotFound);
                    if is_final {
                        self.fail(error);
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn read_once(
        &self,
        queue: &Arc<ProcessQueue>,
        filter: &SubscriptionData,
        broker_id: &mut i64,
    ) -> Result<()> {
        let at = &queue.queue;
        let group = &self.options.group;
        let offset = match queue.next_pull() {
            Some(offset) => offset,
            None => {
                // The route first, so that the brokers of the topic can be told of this consumer.
                self.instance.queue_address(at, TIMEOUT).await?;
                let stored = self.instance.stored_offset(group, at, false).await?;
                let offset = match stored {
                    Some(offset) => offset,
                    None => self.beginning.offset(&self.instance, at).await?,
                };
                queue.begin(offset, stored.is_some());
                offset
            }
        };
        queue.room(self.thresholds).await;
        let address = match self
            .instance
            .broker_address(&at.broker_name, *broker_id, false)
        {
            Some(address) => address,
            None => self.instance.queue_address(at, TIMEOUT).await?,
        };
        let pull = PullRequest {
            group,
            queue: at,
            offset,
            max_messages: self.options.pull_batch_size,
            commit_offset: None,
            hold: HOLD,
            expression: Some(&filter.sub_string),
            subscription_version: filter.sub_version,
            is_lite: true,
        };
        let answer = self.instance.pull(&address, &pull, TIMEOUT).await?;
        *broker_id = answer.suggested_broker;
        match answer.status {
            PullStatus::Found => {
                let pulled = received::decode(&answer, at, offset, filter);
                if queue.put(pulled.messages, pulled.next_offset) {
                    self.list(queue);
                }
            }
            PullStatus::NoNew => {
                queue.put(Vec::new(), answer.next_offset.max(offset));
            }
            PullStatus::OffsetMoved => {
                let (next, min, max) = (answer.next_offset, answer.min_offset, answer.max_offset);
                tracing::warn!(group, queue = %at, offset, next, min, max, "offset moved");
                queue.put(Vec::new(), next);
            }
        }
        Ok(())
    }
}
