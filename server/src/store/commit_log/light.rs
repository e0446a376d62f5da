// SPDX-License-Identifier: Apache-2.0
//! The light queues of a record during its append, under the append lock.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::refusal;
use crate::store::AppendError;
use crate::store::consume_queue::{QueueHandle, Unit};
use crate::store::light::{DIGITS, write_place};

/// One of the further queues of a record.
pub(crate) struct Light {
    /// Index into the batch's queues.
    pub(crate) queue: usize,
    /// Where the digits of the record's place in it begin in the arena.
    pub(crate) digits_at: usize,
}

/// What a batch knows of further queues.
#[derive(Clone, Copy)]
pub(super) struct Lights<'b> {
    pub(super) queues: &'b [Arc<QueueHandle>],
    pub(super) all: &'b [Light],
}

impl<'b> Lights<'b> {
    /// Those of one record.
    pub(super) fn of(
        self,
        range: Range<usize>,
    ) -> impl Iterator<Item = (&'b Light, &'b Arc<QueueHandle>)> {
        let lights = self.all.get(range).unwrap_or_default().iter();
        lights.filter_map(move |light| Some((light, self.queues.get(light.queue)?)))
    }

    /// Gives the record its place in each queue and writes it into the record. Nothing has happened if this fails.
    pub(super) fn place(self, range: Range<usize>, arena: &mut [u8]) -> Result<(), AppendError> {
        for (number, (light, queue)) in self.of(range.clone()).enumerate() {
            let placed = {
                let mut writer = queue.writer.lock();
                if queue.is_deleted() {
                    Err(AppendError::QueueDeleted)
                } else {
                    let placed = writer.place(&queue.files, 1);
                    placed.map_err(|error| refusal(&error))
                }
            };
            let place = match placed {
                Ok(place) => place,
                Err(error) => {
                    self.take_back(range.start..range.start + number);
                    return Err(error);
                }
            };
            queue.note_open();
            let digits = light.digits_at..light.digits_at + DIGITS;
            if let Some(digits) = arena.get_mut(digits) {
                write_place(digits, place);
            }
        }
        Ok(())
    }

    /// Writes the units; returns how many there are.
    pub(super) fn put(self, range: Range<usize>, unit: &Unit) -> io::Result<i64> {
        let mut units = 0;
        for (_, queue) in self.of(range) {
            let mut writer = queue.writer.lock();
            if !queue.is_deleted() {
                writer.put(&queue.files, &unit.encode())?;
                units += 1;
            }
        }
        Ok(units)
    }

    /// Gives places back: the record is not written.
    pub(super) fn take_back(self, range: Range<usize>) {
        for (_, queue) in self.of(range) {
            queue.writer.lock().take_back(1);
        }
    }
}
