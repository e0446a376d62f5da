// SPDX-License-Identifier: Apache-2.0
//! Light queues: further queues of a record, which it names itself (store.md 2.8, 3.4).
//!
//! A record lists them in its property INNER_MULTI_DISPATCH, and its places in them in INNER_MULTI_QUEUE_OFFSET. The places
//! are known under the append lock only, so their digits are written there over zeros of a fixed number; leading zeros
//! mean nothing to who reads them.

use kerolox_protocol::message::record::RecordView;
use kerolox_protocol::message::{name, properties, property};

/// Digits of a place.
pub(crate) const DIGITS: usize = 19;

/// Whether messages of a topic are put into light queues: not what the broker keeps for a while, or gave up.
pub fn allows(topic: &str) -> bool {
    let is_parked = [
        name::HALF_TOPIC,
        name::OP_HALF_TOPIC,
        name::TRANS_CHECK_MAX_TIME_TOPIC,
    ];
    may_be_in(topic) && !is_parked.contains(&topic) && !name::is_dlq_topic(topic)
}

/// Whether records of a topic can be in light queues; the reference puts more of them there than [`allows`].
fn may_be_in(topic: &str) -> bool {
    !name::is_retry_topic(topic)
        && !topic.starts_with(name::SYSTEM_TOPIC_PREFIX)
        && topic != name::SCHEDULE_TOPIC
}

/// Whether `topic` names a light queue.
pub fn is_light(topic: &str) -> bool {
    topic.starts_with(name::LMQ_PREFIX)
}

/// The property with the places of a record in `count` light queues, all zero.
pub(crate) fn places(count: usize) -> String {
    let zeros = vec!["0".repeat(DIGITS); count].join(",");
    let mut text = String::new();
    properties::append_item(&mut text, property::INNER_MULTI_QUEUE_OFFSET, &zeros);
    text
}

/// Where the digits of the first place begin in a record that ends with (or nearly with) such a property.
pub(crate) fn first_place(record: &[u8]) -> Option<usize> {
    let name = property::INNER_MULTI_QUEUE_OFFSET;
    let at = memchr::memmem::rfind(record, name.as_bytes())?;
    Some(at + name.len() + 1)
}

/// Writes a place over its zeros.
pub(crate) fn write_place(digits: &mut [u8], mut place: i64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(place.rem_euclid(10)).unwrap_or(0);
        place /= 10;
    }
}

/// The light queues of a record with its places in them.
pub(crate) fn units(record: &RecordView<'_>) -> Vec<(String, i64)> {
    // Most records have none: look before anything is copied.
    let is_marked = memchr::memmem::find(
        record.properties,
        property::INNER_MULTI_QUEUE_OFFSET.as_bytes(),
    )
    .is_some();
    if !is_marked || !may_be_in(&record.topic()) {
        return Vec::new();
    }
    let text = record.properties();
    let find = |name| properties::find(&text, name).unwrap_or_default();
    let names = find(property::INNER_MULTI_DISPATCH).split(',');
    let places = find(property::INNER_MULTI_QUEUE_OFFSET).split(',');
    if names.clone().count() != places.clone().count() {
        return Vec::new();
    }
    names
        .zip(places)
        .filter(|(queue, _)| is_light(queue) && super::is_storable(queue))
        .filter_map(|(queue, place)| {
            let place: i64 = place.parse().ok()?;
            (place >= 0).then(|| (queue.to_owned(), place))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_written_over_zeros() {
        let mut text = places(2).into_bytes();
        let at = first_place(&text).unwrap();
        write_place(&mut text[at..at + DIGITS], 0);
        write_place(&mut text[at + DIGITS + 1..at + 2 * DIGITS + 1], i64::MAX);
        let text = String::from_utf8(text).unwrap();
        let found = properties::find(&text, property::INNER_MULTI_QUEUE_OFFSET).unwrap();
        let read: Vec<i64> = found
            .split(',')
            .map(|place| place.parse().unwrap())
            .collect();
        assert_eq!(read, [0, i64::MAX]);
    }

    #[test]
    fn what_the_broker_parks_is_in_no_light_queue() {
        for topic in ["T", "%LMQ%x"] {
            assert!(allows(topic), "{topic}");
        }
        for topic in [
            "%RETRY%g",
            "%DLQ%g",
            "rmq_sys_wheel_timer",
            name::SCHEDULE_TOPIC,
            name::HALF_TOPIC,
        ] {
            assert!(!allows(topic), "{topic}");
        }
    }
}
