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

    /// Makes room for one unit in each queue and writes its place into the record. Nothing has happened if this fails.
    pub(super) fn prepare(self, range: Range<usize>, arena: &mut [u8]) -> Result<(), AppendError> {
        for (light, queue) in self.of(range) {
            if queue.is_deleted() {
                return Err(AppendError::QueueDeleted);
            }
            let mut writer = queue.writer.lock();
            writer
                .prepare(&queue.files, 1)
                .map_err(|error| refusal(&error))?;
            queue.note_open();
            let digits = light.digits_at..light.digits_at + DIGITS;
            if let Some(digits) = arena.get_mut(digits) {
                write_place(digits, writer.next());
            }
        }
        Ok(())
    }

    /// Writes the units.
    pub(super) fn put(self, range: Range<usize>, unit: &Unit) -> io::Result<()> {
        for (_, queue) in self.of(range) {
            queue.writer.lock().put(&queue.files, unit)?;
        }
        Ok(())
    }
}
