// SPDX-License-Identifier: Apache-2.0
//! The check can fail: each kind of fault is made on purpose and has to be reported as what it is.

use bytes::Bytes;
use kerolox_protocol::message::{Message, property};

use super::*;
use crate::message;

const REQUESTS: u64 = 3_000;

/// A ledger of some acknowledged requests, and what an honest broker would give back.
fn honest() -> (Ledger, Found) {
    acknowledged(true)
}

fn acknowledged(are_delayed_delivered: bool) -> (Ledger, Found) {
    let (mut ledger, mut found) = (Ledger::default(), Found::default());
    let put = |found: &mut Found, queue: Queue, number| {
        let copies = found.entry(queue).or_default();
        let offset = i64::try_from(copies.len()).expect("few messages");
        let number = Some(number);
        copies.push(Copy { offset, number });
        offset
    };
    for request in 0..REQUESTS {
        let plan = Plan::of(request);
        ledger.send(request);
        let first = request * STRIDE;
        let offsets: Vec<_> = (first..first + plan.count())
            .map(|number| put(&mut found, plan.stored_in(), number))
            .collect();
        ledger.acknowledge(request, offsets[0]).expect("new places");
        if are_delayed_delivered && matches!(plan.kind, Kind::Delayed(_)) {
            put(&mut found, plan.queue, first);
        }
    }
    (ledger, found)
}

/// Number and place of an acknowledged message that was not delayed and is the last of its queue.
fn last_of_a_queue(ledger: &Ledger, found: &Found) -> (u64, Place) {
    let mut candidates = ledger.acknowledged.iter().filter(|((queue, offset), _)| {
        queue.0 != SCHEDULE
            && found[queue]
                .last()
                .is_some_and(|last| last.offset == *offset)
    });
    let (place, number) = candidates.next().expect("some queue ends so");
    (*number, *place)
}

#[test]
fn honest_broker_has_no_faults() {
    let (ledger, found) = honest();
    let report = check(&ledger, &found);
    assert_eq!(report.faults, []);
    assert_eq!(
        (report.unanswered, report.waiting, report.repeated),
        (0, 0, 0)
    );
    assert!(report.found > ledger.len() && ledger.len() > usize::try_from(REQUESTS).unwrap());
    assert!(report.into_result().is_ok());
}

#[test]
fn message_that_is_missing_at_the_end_is_lost() {
    let (ledger, mut found) = honest();
    let (number, place) = last_of_a_queue(&ledger, &found);
    found.get_mut(&place.0).unwrap().pop();
    let report = check(&ledger, &found);
    assert_eq!(report.faults, [Fault::Lost { number, place }]);
    assert!(report.into_result().is_err());
}

#[test]
fn message_that_is_missing_in_between_is_lost_and_leaves_a_gap() {
    let (ledger, mut found) = honest();
    let (number, place) = last_of_a_queue(&ledger, &found);
    let first = found.get_mut(&place.0).unwrap().remove(0);
    let report = check(&ledger, &found);
    let is_gap = |fault: &&Fault| matches!(fault, Fault::Gap { .. });
    assert!(report.faults.iter().filter(is_gap).count() > 0);
    assert!(report.faults.contains(&Fault::Lost {
        number: first.number.unwrap(),
        place: (place.0, 0),
    }));
    assert!(!report.faults.contains(&Fault::Lost { number, place }));
}

#[test]
fn delayed_message_that_is_missing_is_lost_even_if_it_was_delivered() {
    let (ledger, mut found) = honest();
    let queue = (SCHEDULE, 0);
    let lost = found.get_mut(&queue).unwrap().pop().unwrap();
    let report = check(&ledger, &found);
    assert_eq!(
        report.faults,
        [Fault::Lost {
            number: lost.number.unwrap(),
            place: (queue, lost.offset),
        }]
    );
}

#[test]
fn damaged_message_is_reported_as_damaged_and_lost() {
    let (ledger, mut found) = honest();
    let (number, place) = last_of_a_queue(&ledger, &found);
    found.get_mut(&place.0).unwrap().last_mut().unwrap().number = None;
    assert_eq!(
        check(&ledger, &found).faults,
        [Fault::Damaged { place }, Fault::Lost { number, place }]
    );
}

#[test]
fn swapped_offsets_are_moved_messages() {
    let (ledger, mut found) = honest();
    let (_, place) = last_of_a_queue(&ledger, &found);
    let copies = found.get_mut(&place.0).unwrap();
    let of_single = |copy: &&mut Copy| {
        let number = copy.number.unwrap();
        Plan::of(number / STRIDE).kind == Kind::Single
    };
    let mut singles: Vec<_> = copies.iter_mut().filter(of_single).collect();
    let (first, second) = singles.split_at_mut(1);
    std::mem::swap(&mut first[0].number, &mut second[0].number);
    let faults = check(&ledger, &found).faults;
    assert!(
        matches!(faults[..], [Fault::Moved { .. }, Fault::Moved { .. }]),
        "{faults:?}"
    );
}

#[test]
fn message_that_is_there_again_is_reported() {
    let (ledger, mut found) = honest();
    let (number, (queue, offset)) = last_of_a_queue(&ledger, &found);
    let again = Copy {
        offset: offset + 1,
        number: Some(number),
    };
    found.get_mut(&queue).unwrap().push(again);
    let report = check(&ledger, &found);
    let place = (queue, offset + 1);
    assert!(report.faults.contains(&Fault::Twice { number, place }));
}

#[test]
fn message_in_a_foreign_queue_and_one_that_was_never_sent_are_reported() {
    let (ledger, found) = honest();
    let (number, (queue, _)) = last_of_a_queue(&ledger, &found);
    let other = (queue.0, (queue.1 + 1) % message::QUEUES);
    let with = |number: u64| {
        let mut found = found.clone();
        let copies = found.get_mut(&other).unwrap();
        let offset = i64::try_from(copies.len()).unwrap();
        let number = Some(number);
        copies.push(Copy { offset, number });
        (check(&ledger, &found).faults, (other, offset))
    };
    let (faults, place) = with(number);
    assert_eq!(faults, [Fault::Strayed { number, place }]);
    let never = REQUESTS * STRIDE;
    let (faults, place) = with(never);
    assert_eq!(
        faults,
        [Fault::Unknown {
            number: never,
            place
        }]
    );
}

#[test]
fn delayed_messages_are_counted_while_they_wait_and_when_they_come_again() {
    let (ledger, mut found) = honest();
    let delayed = found[&(SCHEDULE, 0)][0].number.unwrap();
    let queue = Plan::of(delayed / STRIDE).queue;
    let copies = found.get_mut(&queue).unwrap();
    copies.push(Copy {
        offset: copies.last().unwrap().offset + 1,
        number: Some(delayed),
    });
    let report = check(&ledger, &found);
    assert_eq!((report.faults, report.repeated), (vec![], 1));

    let (ledger, found) = acknowledged(false);
    let delayed = found[&(SCHEDULE, 0)].len() + found[&(SCHEDULE, 1)].len();
    let report = check(&ledger, &found);
    assert_eq!((report.faults, report.waiting), (vec![], delayed));
}

#[test]
fn unanswered_message_may_be_there() {
    let (mut ledger, found) = honest();
    let (number, place) = last_of_a_queue(&ledger, &found);
    ledger.acknowledged.remove(&place);
    let report = check(&ledger, &found);
    assert_eq!((report.faults, report.unanswered), (vec![], 1), "{number}");
}

#[test]
fn place_that_is_acknowledged_twice_is_refused() {
    let (mut ledger, _) = honest();
    let same = (0..REQUESTS).find(|request| Plan::of(*request).kind == Kind::Single);
    ledger.acknowledge(same.unwrap(), 0).unwrap_err();
}

#[test]
fn every_part_of_a_message_is_compared() {
    let number = 7 * STRIDE;
    let whole = message::message(number);
    assert_eq!(message::number(&whole), Some(number));
    for at in [0, 8, whole.body.len() / 2, whole.body.len() - 1] {
        let mut body = whole.body.to_vec();
        body[at] ^= 1;
        let body = Bytes::from(body);
        let damaged = Message {
            body,
            ..whole.clone()
        };
        assert_eq!(message::number(&damaged), None, "byte {at}");
    }
    let cut = whole.body.slice(..whole.body.len() - 1);
    let cut = Message {
        body: cut,
        ..whole.clone()
    };
    assert_eq!(message::number(&cut), None);
    for name in [property::KEYS, property::TAGS] {
        let mut other = whole.clone();
        other.properties.set(name, "other");
        assert_eq!(message::number(&other), None, "{name}");
    }
    let mut other = whole;
    other.flag += 1;
    assert_eq!(message::number(&other), None);
}
