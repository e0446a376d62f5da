// SPDX-License-Identifier: Apache-2.0
//! When a message of the timer topic is due.

use kerolox_protocol::message::{properties, property};

/// The properties of a record in the timer topic that its delivery depends on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TimerProperties<'a> {
    /// Start of the slot that the message was put into.
    pub(super) out_ms: Option<i64>,
    /// The topic that it belongs to.
    pub(super) real_topic: Option<&'a str>,
    /// Key of the message that it takes back.
    pub(super) deletes: Option<&'a str>,
    delay_sec: Option<i64>,
    delay_ms: Option<i64>,
    deliver_ms: Option<i64>,
}

impl<'a> TimerProperties<'a> {
    pub(super) fn read(text: &'a str) -> Self {
        let mut found = Self::default();
        for (name, value) in properties::scan(text) {
            match name {
                property::TIMER_OUT_MS => found.out_ms = value.parse().ok(),
                property::REAL_TOPIC => found.real_topic = Some(value),
                property::TIMER_DEL_UNIQKEY => found.deletes = Some(value),
                property::TIMER_DELAY_SEC => found.delay_sec = value.parse().ok(),
                property::TIMER_DELAY_MS => found.delay_ms = value.parse().ok(),
                property::TIMER_DELIVER_MS => found.deliver_ms = value.parse().ok(),
                _ => {}
            }
        }
        found
    }

    /// When the sender wanted the message, as far as the record tells: a relative delay counts from the time of storing,
    /// which is a little after the time that the slot was chosen at. Never before that instant.
    pub(super) fn wanted_ms(&self, out_ms: i64, store_timestamp: i64, precision_ms: i64) -> i64 {
        let relative = self
            .delay_sec
            .map(|sec| sec.saturating_mul(1000))
            .or(self.delay_ms)
            .map(|delay| store_timestamp.saturating_add(delay));
        let latest = out_ms.saturating_add(precision_ms);
        let wanted = relative.or(self.deliver_ms).unwrap_or(latest);
        wanted.clamp(out_ms.saturating_add(1), latest)
    }
}

/// When a message is delivered that wants `wanted_ms` and lies in the slot that starts at `slot_ms`: within the slot's
/// time, its start excluded.
pub(super) fn due_ms(wanted_ms: i64, slot_ms: i64, precision_ms: i64) -> i64 {
    wanted_ms.clamp(
        slot_ms.saturating_add(1),
        slot_ms.saturating_add(precision_ms),
    )
}
