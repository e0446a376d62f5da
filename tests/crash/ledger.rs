// SPDX-License-Identifier: Apache-2.0
//! What was acknowledged, what was read back, and everything that does not fit between the two.
//!
//! [`check`] is a plain function of both, so that `ledger/tests.rs` can show that it reports each kind of fault.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::ensure;

use crate::message::{Kind, Plan, Queue, SCHEDULE, STRIDE, TOPICS};

/// Which faults of a check are printed.
const SHOWN: usize = 10;

/// Queue and offset.
pub(crate) type Place = (Queue, i64);

/// What was sent and what was acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Requests that may have reached the broker.
    sent: HashSet<u64>,
    /// Numbers by the places that the broker answered with.
    acknowledged: BTreeMap<Place, u64>,
}

impl Ledger {
    /// Notes a request before it is written to the connection.
    pub(crate) fn send(&mut self, request: u64) {
        self.sent.insert(request);
    }

    /// Notes the answer to a request: the queue offset of its first message.
    pub(crate) fn acknowledge(&mut self, request: u64, offset: i64) -> anyhow::Result<()> {
        let plan = Plan::of(request);
        let first = request * STRIDE;
        for (number, offset) in (first..first + plan.count()).zip(offset..) {
            let place = (plan.stored_in(), offset);
            let other = self.acknowledged.insert(place, number);
            ensure!(
                other.is_none(),
                "{} was acknowledged for {other:?} and for {number}",
                show(place)
            );
        }
        Ok(())
    }

    /// Acknowledged messages with their places, but for delayed ones.
    pub(crate) fn undelayed(&self) -> impl Iterator<Item = (Place, u64)> {
        let all = self.acknowledged.iter();
        all.filter(|(place, _)| place.0.0 != SCHEDULE)
            .map(|(place, number)| (*place, *number))
    }

    /// Acknowledged messages.
    pub(crate) fn len(&self) -> usize {
        self.acknowledged.len()
    }
}

/// A message that was read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Copy {
    /// Offset in its queue, as the message says.
    pub(crate) offset: i64,
    /// `None` if anything of the message is not what was sent.
    pub(crate) number: Option<u64>,
}

/// Everything that was read back, in the order of reading.
pub(crate) type Found = BTreeMap<Queue, Vec<Copy>>;

/// Something that must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An acknowledged message is nowhere.
    Lost { number: u64, place: Place },
    /// An acknowledged message lies somewhere else.
    Moved { number: u64, from: Place, to: Place },
    /// A message is not what was sent.
    Damaged { place: Place },
    /// The offsets of a queue are not consecutive from 0.
    Gap { place: Place, expected: i64 },
    /// A message is in a queue that it was not sent to.
    Strayed { number: u64, place: Place },
    /// A message that was sent once is there twice.
    Twice { number: u64, place: Place },
    /// A message was never sent.
    Unknown { number: u64, place: Place },
}

/// What a check found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) faults: Vec<Fault>,
    /// Messages in all queues, the waiting ones too.
    pub(crate) found: usize,
    /// Messages without an answer that are there all the same.
    pub(crate) unanswered: usize,
    /// Delayed messages that are not delivered yet.
    pub(crate) waiting: usize,
    /// Deliveries of delayed messages after the first: a kill between a delivery and the note of it repeats it.
    pub(crate) repeated: usize,
}

impl Report {
    /// # Errors
    /// Names the first faults, if there are any.
    pub(crate) fn into_result(self) -> anyhow::Result<Self> {
        let shown: Vec<_> = self.faults.iter().take(SHOWN).collect();
        ensure!(
            self.faults.is_empty(),
            "{} faults, the first: {shown:#?}",
            self.faults.len()
        );
        Ok(self)
    }
}

/// Compares what was read back with what was acknowledged.
pub(crate) fn check(ledger: &Ledger, found: &Found) -> Report {
    let mut report = Report::default();
    let places = inspect(ledger, found, &mut report);
    for (&place, &number) in &ledger.acknowledged {
        match places.stored.get(&number) {
            Some(&to) if to == place => {}
            Some(&to) => report.faults.push(Fault::Moved {
                number,
                from: place,
                to,
            }),
            None => report.faults.push(Fault::Lost { number, place }),
        }
    }
    let answered = ledger
        .acknowledged
        .values()
        .copied()
        .collect::<HashSet<_>>();
    let stored = places.stored.keys();
    report.unanswered = stored.filter(|number| !answered.contains(number)).count();
    let delayed = places
        .stored
        .iter()
        .filter(|(_, place)| place.0.0 == SCHEDULE);
    report.waiting = delayed
        .filter(|(number, _)| !places.delivered.contains(number))
        .count();
    report
}

#[derive(Default)]
struct Places {
    /// Where each message was stored first.
    stored: HashMap<u64, Place>,
    /// Delayed messages that arrived in their queues.
    delivered: HashSet<u64>,
}

/// Looks at each message that was read back.
fn inspect(ledger: &Ledger, found: &Found, report: &mut Report) -> Places {
    let mut places = Places::default();
    for (&queue, copies) in found {
        for (copy, expected) in copies.iter().zip(0..) {
            let place = (queue, copy.offset);
            report.found += 1;
            if copy.offset != expected {
                report.faults.push(Fault::Gap { place, expected });
            }
            let Some(number) = copy.number else {
                report.faults.push(Fault::Damaged { place });
                continue;
            };
            let plan = Plan::of(number / STRIDE);
            if !ledger.sent.contains(&(number / STRIDE)) || number % STRIDE >= plan.count() {
                report.faults.push(Fault::Unknown { number, place });
            } else if queue == plan.stored_in() {
                if places.stored.insert(number, place).is_some() {
                    report.faults.push(Fault::Twice { number, place });
                }
            } else if queue == plan.queue && matches!(plan.kind, Kind::Delayed(_)) {
                report.repeated += usize::from(!places.delivered.insert(number));
            } else {
                report.faults.push(Fault::Strayed { number, place });
            }
        }
    }
    places
}

/// A place for a person.
pub(crate) fn show(((topic, queue), offset): Place) -> String {
    format!("{} queue {queue} offset {offset}", TOPICS[topic])
}

#[cfg(test)]
mod tests;
