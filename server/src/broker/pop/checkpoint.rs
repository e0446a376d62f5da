// SPDX-License-Identifier: Apache-2.0
//! Check points and acknowledgements as messages of the revive topic, which the timer delivers when they are due.
//!
//! A check point is due one second before its messages may be handed out again, an acknowledgement at that time: so each
//! is behind its check point in the revive queue. The forms are the reference's, either broker can go on with the other's.
//! Source: server.md 20.2, wire.md 6.6.

use kerolox_protocol::body;
use kerolox_protocol::body::pop::{PopAck, PopCheckPoint};
use kerolox_protocol::message::{name, property};

use crate::broker::Broker;
use crate::broker::draft::{Draft, Stored};
use crate::store::StoreError;

/// Tag of a check point.
pub(super) const CHECK_POINT: &str = "ck";
/// Tag of an acknowledgement.
pub(super) const ACK: &str = "ack";
/// Tag of an acknowledgement of several messages.
pub(super) const BATCH_ACK: &str = "bAck";

/// How long before its messages are handed out again a check point is due, milliseconds.
pub(super) const LEAD_MS: i64 = 1_000;

/// Stores a check point.
pub(super) fn put_check_point(
    broker: &Broker,
    point: &PopCheckPoint,
    revive_queue_id: i32,
    now_ms: i64,
) -> Result<Stored, NotPut> {
    let unique = format!(
        "{}@{}@{}@{}@{}@{}@{CHECK_POINT}",
        point.topic,
        point.queue_id,
        point.start_offset,
        point.group,
        point.pop_time,
        point.broker_name.as_deref().unwrap_or_default(),
    );
    let mut draft = revive_draft(broker, revive_queue_id, CHECK_POINT, unique, now_ms);
    draft.body = body::encode(point).into();
    put_due_at(
        broker,
        draft,
        point.revive_time().saturating_sub(LEAD_MS),
        now_ms,
    )
}

/// Stores an acknowledgement; `due_ms` is when its messages would be handed out again.
pub(super) fn put_ack(
    broker: &Broker,
    ack: &PopAck,
    revive_queue_id: i32,
    due_ms: i64,
    now_ms: i64,
) -> Result<Stored, NotPut> {
    let tag = if ack.ack_offsets.is_some() {
        BATCH_ACK
    } else {
        ACK
    };
    // The reference gives batches the key of a single acknowledgement, too.
    let unique = format!(
        "{}@{}@{}@{}@{}@{}@{ACK}",
        ack.topic,
        ack.queue_id,
        ack.ack_offset,
        ack.group,
        ack.pop_time,
        ack.broker_name.as_deref().unwrap_or_default(),
    );
    let mut draft = revive_draft(broker, revive_queue_id, tag, unique, now_ms);
    draft.body = body::encode(ack).into();
    put_due_at(broker, draft, due_ms, now_ms)
}

fn revive_draft(
    broker: &Broker,
    revive_queue_id: i32,
    tag: &str,
    unique: String,
    now_ms: i64,
) -> Draft {
    let topic = name::revive_topic(&broker.config.broker_cluster_name);
    let mut draft = Draft::new(broker, &topic, revive_queue_id, now_ms);
    draft.properties.set(property::TAGS, tag);
    draft.properties.set(property::UNIQ_KEY, unique);
    draft
}

/// Hands a message to the timer; one that is due already goes to the revive topic at once.
fn put_due_at(
    broker: &Broker,
    mut draft: Draft,
    due_ms: i64,
    now_ms: i64,
) -> Result<Stored, NotPut> {
    let max_ms = max_delay_ms(broker);
    if due_ms.saturating_sub(now_ms) > max_ms {
        return Err(NotPut::TooFar { due_ms, max_ms });
    }
    let properties = &mut draft.properties;
    properties.set(property::TIMER_DELIVER_MS, due_ms.to_string());
    if let Some(slot_ms) = broker.timer.slot_of(due_ms, now_ms) {
        properties.set(property::TIMER_OUT_MS, slot_ms.to_string());
        draft = draft.parked(name::TIMER_TOPIC, 0);
    }
    Ok(broker.put(&draft)?)
}

/// Longest time that the timer keeps a message, milliseconds.
pub(super) fn max_delay_ms(broker: &Broker) -> i64 {
    broker.config.timer_max_delay_sec.saturating_mul(1_000)
}

/// Whether everything that was due at the last tick has been delivered.
pub(super) fn timer_is_done(broker: &Broker) -> bool {
    let shown = broker.timer.shown();
    shown.read_behind_ms <= 0 && shown.offset_behind <= 0
}

/// Why a check point or acknowledgement is not stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotPut {
    /// The store does not take it.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// It would be due too late.
    #[error("it is due at {due_ms}, more than {max_ms} ms ahead (timerMaxDelaySec)")]
    TooFar {
        /// When, milliseconds since the epoch.
        due_ms: i64,
        /// Longest time ahead, milliseconds.
        max_ms: i64,
    },
}
