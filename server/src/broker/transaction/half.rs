// SPDX-License-Identifier: Apache-2.0
//! The forms of a message in a transaction: half, half again after a check, committed.

use std::time::Duration;

use kerolox_protocol::message::{MessageExt, name, property, sys_flag};

use crate::broker::draft::Draft;

impl Draft {
    /// The half message of a send: it is kept back and remembers where it belongs. A delay counts from the commit on.
    pub(in crate::broker) fn half(mut self) -> Self {
        if let Some(unique) = self.properties.get(property::UNIQ_KEY) {
            let unique = unique.to_owned();
            self.properties.set(property::TRANSACTION_ID, unique);
        }
        // The broker's own notes, which a message that was received and is sent on may bring along.
        self.properties.remove(property::TRAN_PREPARED_QUEUE_OFFSET);
        self.properties.remove(property::TRANSACTION_CHECK_TIMES);
        self.sys_flag &= !sys_flag::TRANSACTION_MASK;
        self.parked(name::HALF_TOPIC, 0)
    }
}

/// A half message as it was stored.
#[derive(Debug)]
pub(super) struct Half<'m>(pub(super) &'m MessageExt);

impl<'m> Half<'m> {
    fn number<T: std::str::FromStr>(&self, property: &str) -> Option<T> {
        self.0.message.properties.get(property)?.parse().ok()
    }

    /// The topic and queue that the message belongs to.
    pub(super) fn place(&self) -> Option<(&'m str, i32)> {
        let topic = self.0.message.properties.get(property::REAL_TOPIC)?;
        let queue_id = self.number(property::REAL_QID)?;
        Some((topic, queue_id)).filter(|_| queue_id >= 0)
    }

    /// The group that is asked about it.
    pub(super) fn producer_group(&self) -> Option<&'m str> {
        self.0.message.properties.get(property::PGROUP)
    }

    /// How often it was asked about.
    pub(super) fn checks(&self) -> i32 {
        // As in the reference something that is no number counts as no check.
        self.number(property::TRANSACTION_CHECK_TIMES).unwrap_or(0)
    }

    /// Milliseconds after its birth in which it is not asked about, if it says so itself.
    pub(super) fn own_immunity_ms(&self, default_ms: i64) -> Option<i64> {
        let text = self
            .0
            .message
            .properties
            .get(property::CHECK_IMMUNITY_TIME_IN_SECONDS)?;
        Some(match text.parse::<i64>() {
            Ok(seconds) if seconds != -1 => seconds.saturating_mul(1_000),
            _ => default_ms,
        })
    }

    /// Queue offset of the half message that this is a copy of.
    pub(super) fn original(&self) -> Option<i64> {
        self.number(property::TRAN_PREPARED_QUEUE_OFFSET)
    }

    /// Queue offset of the first copy of it, or its own.
    pub(super) fn first(&self) -> i64 {
        self.original().unwrap_or(self.0.queue_offset)
    }

    /// Whether it was born longer ago than messages are kept.
    pub(super) fn is_outdated(&self, kept: Duration, now_ms: i64) -> bool {
        let kept_ms = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
        now_ms.saturating_sub(self.0.born_timestamp) > kept_ms
    }

    /// A copy for the end of its queue. It names its original: a producer that ends that late ends the copy, too.
    pub(super) fn again(&self) -> Draft {
        let mut copy = Draft::copy_of(self.0);
        let first = self.first().to_string();
        copy.properties
            .set(property::TRAN_PREPARED_QUEUE_OFFSET, first);
        copy
    }

    /// A copy that is asked about once more.
    pub(super) fn checked_again(&self) -> Draft {
        let mut copy = self.again();
        let checks = self.checks().saturating_add(1);
        copy.properties
            .set(property::TRANSACTION_CHECK_TIMES, checks.to_string());
        copy
    }

    /// The message itself, visible from now on. Its properties stay as they are, as the reference stores them.
    pub(super) fn committed(&self) -> Option<Draft> {
        let (topic, queue_id) = self.place()?;
        let mut draft = Draft::copy_of(self.0).to(topic, queue_id);
        draft.sys_flag =
            (draft.sys_flag & !sys_flag::TRANSACTION_MASK) | sys_flag::TRANSACTION_COMMIT;
        draft.prepared_transaction_offset = self.0.physical_offset;
        Some(draft)
    }
}
