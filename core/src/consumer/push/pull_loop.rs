// SPDX-License-Identifier: Apache-2.0
//! Pulls one queue for as long as this member has it.

use std::sync::Arc;
use std::time::Duration;

use super::super::process_queue::ProcessQueue;
use super::super::received;
use super::Inner;
use crate::error::{Error, ErrorCode, Result};
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

/// What to do after a pull.
enum Next {
    Pull,
    Pause(Duration),
    /// The offset was outside the queue: begin anew at this one.
    Restart(i64),
}

impl Inner {
    pub(super) async fn pull_loop(self: Arc<Self>, queue: Arc<ProcessQueue>) {
        let mut pause = FAILURE_PAUSE;
        while let Err(error) = self.begin(&queue).await {
            tracing::warn!(group = self.group(), queue = %queue.queue, %error, "no offset to begin at");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        pause = FAILURE_PAUSE;
        let interval = Duration::from_millis(self.options.pull_interval_ms);
        let mut broker_id = MASTER;
        loop {
            queue.room(self.thresholds).await;
            if queue.is_leaving() {
                return;
            }
            match self.pull_once(&queue, &mut broker_id).await {
                Ok(Next::Pull) => {
                    pause = FAILURE_PAUSE;
                    if !interval.is_zero() {
                        tokio::time::sleep(interval).await;
                    }
                }
                Ok(Next::Pause(pause)) => tokio::time::sleep(pause).await,
                Ok(Next::Restart(offset)) => {
                    let (inner, queue) = (Arc::clone(&self), queue.queue.clone());
                    self.spawn_errand(async move { inner.move_offset(&queue, offset).await });
                    return;
                }
                Err(error) => {
                    tracing::warn!(group = self.group(), queue = %queue.queue, %error, "pull failed");
                    if error.code() == ErrorCode::ConnectFailed {
                        self.instance.suspect_routes();
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Finds out where to begin.
    async fn begin(&self, queue: &ProcessQueue) -> Result<()> {
        let (offset, is_stored) = match self.offsets.read(&queue.queue).await? {
            Some(offset) => (offset, true),
            None => (
                self.beginning.offset(&self.instance, &queue.queue).await?,
                false,
            ),
        };
        tracing::debug!(group = self.group(), queue = %queue.queue, offset, is_stored, "begins");
        queue.begin(offset, is_stored);
        Ok(())
    }

    async fn pull_once(&self, queue: &Arc<ProcessQueue>, broker_id: &mut i64) -> Result<Next> {
        let at = &queue.queue;
        let Some(offset) = queue.next_pull() else {
            return Err(Error::new(ErrorCode::Internal, "pull"));
        };
        let Some(subscription) = self.subscriptions.get(&at.topic) else {
            return Err(Error::new(ErrorCode::Internal, "pull"));
        };
        let address = match self
            .instance
            .broker_address(&at.broker_name, *broker_id, false)
        {
            Some(address) => address,
            None => self.instance.queue_address(at, TIMEOUT).await?,
        };
        let commit_offset = queue
            .uncommitted()
            .filter(|offset| self.is_clustering() && *broker_id == MASTER && *offset > 0);
        let pull = PullRequest {
            group: self.group(),
            queue: at,
            offset,
            max_messages: self.options.pull_batch_size,
            commit_offset,
            hold: HOLD,
            expression: None,
            subscription_version: subscription.sub_version,
            is_lite: false,
        };
        let answer = match self.instance.pull(&address, &pull, TIMEOUT).await {
            Ok(answer) => answer,
            Err(error) => {
                return match error.code() {
                    ErrorCode::SubscriptionNotExist | ErrorCode::SubscriptionNotLatest => {
                        self.instance.heartbeat_to(&address).await?;
                        Ok(Next::Pause(FAILURE_PAUSE))
                    }
                    ErrorCode::BrokerBusy => Ok(Next::Pause(BUSY_PAUSE)),
                    _ => Err(error),
                };
            }
        };
        *broker_id = answer.suggested_broker;
        match answer.status {
            PullStatus::Found => {
                let pulled = received::decode(&answer, at, offset, subscription);
                if queue.put(pulled.messages, pulled.next_offset) {
                    self.list(queue);
                }
                Ok(Next::Pull)
            }
            PullStatus::NoNew => {
                queue.put(Vec::new(), answer.next_offset.max(offset));
                Ok(Next::Pull)
            }
            PullStatus::OffsetMoved => {
                let (next, min, max) = (answer.next_offset, answer.min_offset, answer.max_offset);
                tracing::warn!(group = self.group(), queue = %at, offset, next, min, max, "offset moved");
                Ok(Next::Restart(next))
            }
        }
    }
}
