// SPDX-License-Identifier: Apache-2.0
//! Leaving the wheel so that the reference's broker can go on without delivering anything twice.
//!
//! It delivers slots as a whole. Of the slot that is under way when this broker stops, some messages were delivered and
//! others were not; the others are noted once more, as a chain of their own.

use std::collections::BTreeSet;
use std::io;

use super::{State, TimerService};
use crate::broker::Broker;
use crate::store::timer::{Slot, Unit, chain, magic};

impl TimerService {
    /// Takes what was delivered out of the slot that is under way.
    pub(super) fn settle(&self, broker: &Broker, state: &mut State, now_ms: i64) {
        let slot_ms = self.layout.floor(state.read_ms);
        let slot = state
            .files
            .as_ref()
            .filter(|_| state.read_ms > slot_ms && state.rebuild.is_none())
            .and_then(|files| files.wheel.slot(slot_ms));
        let Some(slot) = slot else {
            return;
        };
        if state.open.is_none() {
            self.open_next(broker, state, now_ms);
        }
        let is_open = state
            .open
            .as_ref()
            .is_some_and(|open| open.time_ms == slot_ms);
        if !is_open {
            return;
        }
        match self.note_rest(state, &slot) {
            Ok(true) => {}
            Ok(false) => state.read_ms = slot_ms + self.layout.precision_ms,
            Err(error) => {
                tracing::warn!(%error, "the slot under way was not settled; another broker would deliver all of it");
            }
        }
        state.open = None;
    }

    /// Notes what is left of a slot again; `false` if nothing is.
    fn note_rest(&self, state: &mut State, slot: &Slot) -> io::Result<bool> {
        let (Some(files), Some(open)) = (&mut state.files, &state.open) else {
            return Ok(true);
        };
        let waiting: BTreeSet<i64> = open.positions().collect();
        let Some(units) = chain(&self.layout, &files.log, slot) else {
            return Ok(true);
        };
        if units.len() == waiting.len() {
            return Ok(true);
        }
        let mut rest = None;
        if !waiting.is_empty() {
            let is_left = |at: &i64, unit: &Unit| unit.deletes() || waiting.contains(at);
            for (_, unit) in units.iter().rev().filter(|(at, unit)| is_left(at, unit)) {
                let before: Option<Slot> = rest;
                let position = files.log.append(&Unit {
                    previous: before.map_or(-1, |slot| slot.last),
                    ..*unit
                })?;
                let is_marker = unit.magic & magic::DELETE != 0;
                let count = before.map_or(0, |slot| slot.count);
                rest = Some(Slot {
                    time_ms: slot.time_ms,
                    first: before.map_or(position, |slot| slot.first),
                    last: position,
                    count: count + if is_marker { -1 } else { 1 },
                });
            }
        }
        match &rest {
            Some(rest) => files.wheel.put(rest)?,
            None => files.wheel.clear(slot.time_ms)?,
        }
        Ok(rest.is_some())
    }
}
