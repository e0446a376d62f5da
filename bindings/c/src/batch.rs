// SPDX-License-Identifier: Apache-2.0
//! What is received: a batch that stays in Rust, and accessors by index.

use kerolox_client::facade::{Delivery, ReceivedMessage};

use crate::convert::klx_str_t;
use crate::error::read;
use crate::ptr;

/// Received messages, read by index from 0. Everything read from it is borrowed. Free it with klx_batch_free.
pub struct klx_batch_t(Received);

enum Received {
    Deliveries(Vec<Delivery>),
    Messages(Vec<ReceivedMessage>),
}

impl From<Vec<Delivery>> for klx_batch_t {
    fn from(deliveries: Vec<Delivery>) -> Self {
        Self(Received::Deliveries(deliveries))
    }
}

impl From<Vec<ReceivedMessage>> for klx_batch_t {
    fn from(messages: Vec<ReceivedMessage>) -> Self {
        Self(Received::Messages(messages))
    }
}

impl klx_batch_t {
    fn at(&self, index: usize) -> Option<&ReceivedMessage> {
        match &self.0 {
            Received::Deliveries(deliveries) => Some(&deliveries.get(index)?.message),
            Received::Messages(messages) => messages.get(index),
        }
    }
}

/// The body of an accessor of one text, or one number, of one message.
macro_rules! received {
    ($batch:ident, $index:ident, str, |$message:ident| $text:expr) => {
        read!($batch, klx_str_t::NONE, |batch| {
            batch
                .at($index)
                .and_then(|$message| $text)
                .map(klx_str_t::of)
        })
    };
    ($batch:ident, $index:ident, $fallback:literal, |$message:ident| $number:expr) => {
        read!($batch, $fallback, |batch| batch
            .at($index)
            .map(|$message| $number))
    };
}

/// Number of messages; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_batch_count(batch: *const klx_batch_t) -> usize {
    read!(batch, 0, |batch| Some(match &batch.0 {
        Received::Deliveries(deliveries) => deliveries.len(),
        Received::Messages(messages) => messages.len(),
    }))
}

/// Frees received messages. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_batch_free(batch: *mut klx_batch_t) {
    // SAFETY: NULL or a batch that has not been freed.
    drop(unsafe { ptr::take(batch) });
}

/// What to complete a push consumer's delivery by; 0 for what a pull consumer received.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_batch_delivery_id(batch: *const klx_batch_t, index: usize) -> u64 {
    read!(batch, 0, |batch| match &batch.0 {
        Received::Deliveries(deliveries) => deliveries.get(index).map(|delivery| delivery.id),
        Received::Messages(_) => None,
    })
}

/// The topic; of a redelivered message, the original one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_batch_topic(batch: *const klx_batch_t, index: usize) -> klx_str_t {
    received!(batch, index, str, |message| Some(&message.topic))
}

/// The payload, decompressed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_batch_body(batch: *const klx_batch_t, index: usize) -> klx_str_t {
    received!(batch, index, str, |message| Some(&message.body))
}

/// The tag; absent if it has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_batch_tag(batch: *const klx_batch_t, index: usize) -> klx_str_t {
    received!(batch, index, str, |message| message.tag.as_ref())
}

/// Number of keys.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_batch_key_count(batch: *const klx_batch_t, index: usize) -> usize {
    received!(batch, index, 0, |message| message.keys.len())
}

/// A key of a message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_batch_key(
    batch: *const klx_batch_t,
    index: usize,
    key: usize,
) -> klx_str_t {
    received!(batch, index, str, |message| message.keys.get(key))
}

/// The value of a property by its name; absent if there is none of that name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_batch_property(
    batch: *const klx_batch_t,
    index: usize,
    name: klx_str_t,
) -> klx_str_t {
    received!(batch, index, str, |message| {
        name.text("name")
            .ok()
            .and_then(|name| message.property(name))
    })
}

/// Number of properties, the protocol's own included.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_batch_property_count(
    batch: *const klx_batch_t,
    index: usize,
) -> usize {
    received!(batch, index, 0, |message| message.properties.len())
}

/// The name of a property by its place.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_batch_property_name(
    batch: *const klx_batch_t,
    index: usize,
    property: usize,
) -> klx_str_t {
    received!(batch, index, str, |message| {
        message.properties.get(property).map(|(name, _)| name)
    })
}

/// The value of a property by its place.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_batch_property_value(
    batch: *const klx_batch_t,
    index: usize,
    property: usize,
) -> klx_str_t {
    received!(batch, index, str, |message| {
        message.properties.get(property).map(|(_, value)| value)
    })
}

/// The unique id that the sender gave it, else its offset id.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_batch_message_id(
    batch: *const klx_batch_t,
    index: usize,
) -> klx_str_t {
    received!(batch, index, str, |message| Some(&message.message_id))
}

/// The id that names its place in the broker's log.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_batch_offset_message_id(
    batch: *const klx_batch_t,
    index: usize,
) -> klx_str_t {
    received!(batch, index, str, |message| Some(
        &message.offset_message_id
    ))
}

/// The broker it came from.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_batch_broker_name(
    batch: *const klx_batch_t,
    index: usize,
) -> klx_str_t {
    received!(batch, index, str, |message| Some(&message.broker_name))
}

/// The queue it came from; -1 when the index is out of range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_batch_queue_id(batch: *const klx_batch_t, index: usize) -> i32 {
    received!(batch, index, -1, |message| message.queue_id)
}

/// Its offset in that queue; -1 when the index is out of range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_batch_queue_offset(batch: *const klx_batch_t, index: usize) -> i64 {
    received!(batch, index, -1, |message| message.queue_offset)
}

/// Its place in the broker's log; -1 when the index is out of range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_batch_physical_offset(batch: *const klx_batch_t, index: usize) -> i64 {
    received!(batch, index, -1, |message| message.physical_offset)
}

/// How often it has been redelivered to the group; -1 when the index is out of range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_batch_reconsume_times(batch: *const klx_batch_t, index: usize) -> i32 {
    received!(batch, index, -1, |message| message.reconsume_times)
}

/// The number that the sender's application set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_batch_flag(batch: *const klx_batch_t, index: usize) -> i32 {
    received!(batch, index, 0, |message| message.flag)
}

/// When the sender made it, in milliseconds since 1970.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_batch_born_timestamp_ms(
    batch: *const klx_batch_t,
    index: usize,
) -> i64 {
    received!(batch, index, 0, |message| message.born_timestamp_ms)
}

/// When the broker stored it, in milliseconds since 1970.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_batch_store_timestamp_ms(
    batch: *const klx_batch_t,
    index: usize,
) -> i64 {
    received!(batch, index, 0, |message| message.store_timestamp_ms)
}

/// Address of the sender.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_batch_born_host(batch: *const klx_batch_t, index: usize) -> klx_str_t {
    received!(batch, index, str, |message| Some(&message.born_host))
}

/// Address of the broker.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_batch_store_host(
    batch: *const klx_batch_t,
    index: usize,
) -> klx_str_t {
    received!(batch, index, str, |message| Some(&message.store_host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_out_of_range_is_answered_by_nothing() {
        let batch = klx_batch_t::from(vec![ReceivedMessage::default()]);
        // SAFETY: the batch is live.
        unsafe {
            assert_eq!(klx_batch_queue_id(&raw const batch, 0), 0);
            assert_eq!(klx_batch_queue_id(&raw const batch, 1), -1);
            assert!(klx_batch_body(&raw const batch, 1).ptr.is_null());
            assert_eq!(klx_batch_delivery_id(&raw const batch, 0), 0);
            assert_eq!(klx_batch_count(std::ptr::null()), 0);
        }
    }
}
