// SPDX-License-Identifier: Apache-2.0
//! Making wheel and timer log again from the timer topic's queue.
//!
//! The queue holds everything that was ever in the wheel: messages that were delivered, that wait, and that were put into
//! the queue again on the way. Only those that wait go into the new wheel.

use std::collections::HashMap;

use kerolox_protocol::message::{RecordView, name, properties, property};

use super::{State, TimerService};
use crate::broker::Broker;
use crate::store::MessageStore;
use crate::store::timer::TimerFiles;

/// What is known of the messages that were in the wheel before.
pub(super) struct Rebuild {
    /// They lie before this offset.
    until: i64,
    /// Those due up to here were delivered.
    delivered_ms: i64,
    /// How often messages rolled, by unique key: earlier copies do not wait any more.
    rolls: HashMap<String, i32>,
}

impl Rebuild {
    /// Looks through the messages from `from` to `until`; `None` if there are none.
    pub(super) fn begin(
        store: &MessageStore,
        from: i64,
        until: i64,
        delivered_ms: i64,
    ) -> Option<Self> {
        let queue = store.find_queue(name::TIMER_TOPIC, 0)?;
        let until = until.min(queue.max_offset());
        if from >= until {
            return None;
        }
        let mut rolls = HashMap::new();
        let mut offset = from.max(queue.min_offset());
        while offset < until {
            let found = store.get_from(&queue, offset, 256, 1 << 20, &mut |_| true);
            for slice in &found.slices {
                let mut bytes: &[u8] = slice;
                while let Ok(record) = RecordView::parse(bytes) {
                    bytes = bytes.get(record.size..).unwrap_or_default();
                    let text = record.properties();
                    let count = roll_times(&text);
                    if let Some(key) = properties::find(&text, property::UNIQ_KEY)
                        && count > 0
                        && record.queue_offset < until
                    {
                        let most = rolls.entry(key.to_owned()).or_insert(count);
                        *most = count.max(*most);
                    }
                }
            }
            offset = found.next_offset.max(offset + 1);
        }
        Some(Self {
            until,
            delivered_ms,
            rolls,
        })
    }

    /// Whether the message of a record, due at `due_ms`, is one that does not wait any more.
    pub(super) fn is_over(&self, record: &RecordView<'_>, text: &str, due_ms: i64) -> bool {
        if record.queue_offset >= self.until {
            return false;
        }
        let key = properties::find(text, property::UNIQ_KEY);
        let most = key.and_then(|key| self.rolls.get(key));
        due_ms <= self.delivered_ms || most.is_some_and(|most| roll_times(text) < *most)
    }

    /// Whether the queue was read as far as the messages that are known.
    pub(super) fn is_done(&self, queue_offset: i64) -> bool {
        queue_offset >= self.until
    }
}

fn roll_times(text: &str) -> i32 {
    let times = properties::find(text, property::TIMER_ROLL_TIMES);
    times.and_then(|times| times.parse().ok()).unwrap_or(0)
}

impl TimerService {
    /// Begins to make wheel and log again while the broker runs: a part of them can not be read.
    pub(super) fn start_over(&self, broker: &Broker, state: &mut State) {
        match TimerFiles::create(&self.disk, &self.layout) {
            Ok(files) => state.files = Some(files),
            Err(error) => {
                tracing::error!(%error, "the timer files can not be made again, trying again");
                return;
            }
        }
        let queue = broker.store.find_queue(name::TIMER_TOPIC, 0);
        let from = queue.map_or(0, |queue| queue.min_offset());
        state.rebuild = Rebuild::begin(&broker.store, from, state.queue_offset, state.read_ms);
        state.queue_offset = from;
        state.open = None;
        state.is_dirty = true;
        self.metrics.clear();
    }
}
