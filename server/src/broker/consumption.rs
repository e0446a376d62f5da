// SPDX-License-Identifier: Apache-2.0
//! How far each queue was consumed, for the store's retention: under disk pressure it keeps what was not.

use std::sync::Arc;

use kerolox_protocol::message::name;

use super::Broker;
use crate::store::Consumed;

impl Broker {
    /// Lets the store ask.
    pub(super) fn report_consumption(self: &Arc<Self>) {
        let broker = Arc::downgrade(self);
        self.store
            .watch_consumption(Arc::new(move |topic, queue_id| match broker.upgrade() {
                Some(broker) => broker.consumed(topic, queue_id),
                // Shutting down: keep everything.
                None => Consumed::Nothing,
            }));
    }

    fn consumed(&self, topic: &str, queue_id: i32) -> Consumed {
        if topic == name::SCHEDULE_TOPIC {
            return Consumed::UpTo(self.schedule.delivered(queue_id + 1));
        }
        match self.offsets.lowest(topic, queue_id) {
            Some(offset) => Consumed::UpTo(offset),
            None if name::is_system_topic(topic) => Consumed::Irrelevant,
            None => Consumed::Nothing,
        }
    }
}
