// SPDX-License-Identifier: Apache-2.0
//! What a message with a timer property becomes when it is sent (server.md 13).

use kerolox_protocol::ResponseCode;
use kerolox_protocol::message::{Properties, property};

use super::TimerService;
use crate::refusal::Refusal;

/// The three ways to say when, in the order in which they count.
pub(in crate::broker) const TIMER_PROPERTIES: [&str; 3] = [
    property::TIMER_DELAY_SEC,
    property::TIMER_DELAY_MS,
    property::TIMER_DELIVER_MS,
];

impl TimerService {
    /// Start of the slot that a message waits in; `None` if it is due already, or has no timer property.
    ///
    /// # Errors
    /// The answer to the send: timers are off, the property says nothing, or too much, or the slot is full.
    pub(in crate::broker) fn slot_for(
        &self,
        properties: &Properties,
        now_ms: i64,
    ) -> Result<Option<i64>, Refusal> {
        let asked = TIMER_PROPERTIES
            .iter()
            .find_map(|name| Some((*name, properties.get(name)?)));
        let Some((name, value)) = asked else {
            return Ok(None);
        };
        if !self.options.is_enabled {
            let remark = format!(
                "the message has {name} but this broker delivers no timer messages (timerWheelEnable=false); \
                 use a delay level, or set timerWheelEnable=true"
            );
            return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark));
        }
        let illegal = |remark: String| Err(Refusal::new(ResponseCode::MESSAGE_ILLEGAL, remark));
        let Ok(number) = value.parse::<i64>() else {
            return illegal(format!(
                "the timer message is illegal: {name}={value} is no whole number"
            ));
        };
        let deliver_ms = match name {
            property::TIMER_DELAY_SEC => now_ms.saturating_add(number.saturating_mul(1000)),
            property::TIMER_DELAY_MS => now_ms.saturating_add(number),
            _ => number,
        };
        if deliver_ms <= now_ms {
            if properties.get(property::TIMER_DEL_UNIQKEY).is_some() {
                return illegal(format!(
                    "the timer message is illegal: {name}={value} is over, there is nothing to take back"
                ));
            }
            return Ok(None);
        }
        if deliver_ms.saturating_sub(now_ms) > self.options.max_delay_ms {
            return illegal(format!(
                "the timer message is illegal: {name}={value} is more than {} s ahead (timerMaxDelaySec)",
                self.options.max_delay_ms / 1000
            ));
        }
        // The end of a slot belongs to it, its start does not.
        let slot_ms = self.layout.floor(deliver_ms - 1);
        if self.is_full(slot_ms) {
            let most = self.options.most_a_slot;
            return Err(Refusal::new(
                ResponseCode::SYSTEM_ERROR,
                format!(
                    "timer messages are under flow control: {name}={value} falls into a slot with more than {most} \
                     messages (timerCongestNumEachSlot); choose another time"
                ),
            ));
        }
        Ok(Some(slot_ms))
    }

    /// Start of the slot of a message of the broker's own; `None` if it is due already. A full slot takes it, too, and no lock
    /// is waited for: it may be stored while timer messages are delivered.
    pub(in crate::broker) fn slot_of(&self, deliver_ms: i64, now_ms: i64) -> Option<i64> {
        (deliver_ms > now_ms).then(|| self.layout.floor(deliver_ms - 1))
    }

    /// Above the limit a growing share is refused, above twice the limit everything.
    fn is_full(&self, slot_ms: i64) -> bool {
        let most = i64::from(self.options.most_a_slot);
        if most == i64::from(i32::MAX) {
            return false;
        }
        let state = self.state.lock();
        let slot = state
            .files
            .as_ref()
            .and_then(|files| files.wheel.slot(slot_ms));
        let excess = slot.map_or(0, |slot| i64::from(slot.count)) - most;
        excess > 0 && (excess >= most || fastrand::i64(0..most) < excess)
    }
}
