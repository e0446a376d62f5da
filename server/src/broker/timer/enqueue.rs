// SPDX-License-Identifier: Apache-2.0
//! From the timer topic into the wheel.

use kerolox_protocol::message::RecordView;
use kerolox_protocol::message::tags::java_hash;

use super::dequeue::{Delivery, Waiting};
use super::instant::{TimerProperties, due_ms};
use super::{State, TimerService};
use crate::broker::Broker;
use crate::store::QueueHandle;
use crate::store::timer::{Slot, TimerFiles, Unit, magic};

/// Most messages noted in one tick; the rest follows at the next one.
const MOST_A_TICK: usize = 50_000;
/// Messages and bytes read at a time.
const READ_MESSAGES: usize = 256;
const READ_BYTES: usize = 1 << 20;

/// A slot's unit that is to be written.
struct Note<'a> {
    record: &'a RecordView<'a>,
    real_topic: &'a str,
    is_delete: bool,
    slot_ms: i64,
    rolls: bool,
    written_ms: i64,
}

impl TimerService {
    /// Notes what is new in the queue. Stops at a message that can not be noted now; it is the first of the next tick.
    pub(super) fn enqueue(
        &self,
        broker: &Broker,
        state: &mut State,
        queue: &QueueHandle,
        now_ms: i64,
    ) {
        state.queue_offset = state.queue_offset.max(queue.min_offset());
        let mut rest = MOST_A_TICK;
        while rest > 0 && state.queue_offset < queue.max_offset() {
            let found = broker.store.get_from(
                queue,
                state.queue_offset,
                READ_MESSAGES,
                READ_BYTES,
                &mut |_| true,
            );
            for slice in &found.slices {
                let mut bytes: &[u8] = slice;
                while let Ok(record) = RecordView::parse(bytes) {
                    if !self.note(broker, state, &record, now_ms) {
                        return;
                    }
                    state.queue_offset = record.queue_offset + 1;
                    state.is_dirty = true;
                    rest = rest.saturating_sub(1);
                    bytes = bytes.get(record.size..).unwrap_or_default();
                }
            }
            if found.next_offset <= state.queue_offset && found.count == 0 {
                break;
            }
            state.queue_offset = state.queue_offset.max(found.next_offset);
        }
        if let Some(rebuild) = &state.rebuild
            && rebuild.is_done(state.queue_offset)
        {
            state.rebuild = None;
        }
    }

    /// Puts a message into the wheel, or delivers it if it is due; `false` if that has to be tried again.
    fn note(
        &self,
        broker: &Broker,
        state: &mut State,
        record: &RecordView<'_>,
        now_ms: i64,
    ) -> bool {
        let text = record.properties();
        let properties = TimerProperties::read(&text);
        let (Some(out_ms), Some(real_topic)) = (properties.out_ms, properties.real_topic) else {
            tracing::error!(
                offset = record.physical_offset,
                "a message of the timer topic has no TIMER_OUT_MS or REAL_TOPIC and is skipped"
            );
            return true;
        };
        let precision_ms = self.layout.precision_ms;
        let wanted_ms = properties.wanted_ms(out_ms, record.store_timestamp, precision_ms);
        let mut slot_ms = self.layout.floor(out_ms);
        let due = due_ms(wanted_ms, slot_ms, precision_ms);
        if let Some(rebuild) = &state.rebuild
            && rebuild.is_over(record, &text, due)
        {
            return true;
        }
        if due <= state.read_ms {
            if wanted_ms <= now_ms {
                let delivery = Delivery {
                    offset: record.physical_offset,
                    written_ms: i64::MAX,
                    rolls: false,
                };
                return self.deliver(broker, state, &delivery, now_ms);
            }
            // Its slot is over although it is not due: the clock was set back.
            slot_ms = self.layout.floor(state.read_ms) + precision_ms;
        }
        let written_ms = self.layout.floor(now_ms);
        let ahead = slot_ms - written_ms;
        let rolls = ahead >= self.options.window_ms;
        if rolls {
            slot_ms = written_ms + self.roll_ms(ahead);
        }
        let note = Note {
            record,
            real_topic,
            is_delete: properties.deletes.is_some(),
            slot_ms,
            rolls,
            written_ms,
        };
        let Some(files) = &mut state.files else {
            return false;
        };
        let (position, unit) = match write(files, &note) {
            Ok(written) => written,
            Err(error) => {
                tracing::error!(%error, "a timer message can not be noted, trying again");
                return false;
            }
        };
        let count = if note.is_delete { -1 } else { 1 };
        self.metrics.add(real_topic, count, now_ms);
        self.shown.lock().enqueued += 1;
        if let Some(open) = state.open.as_mut().filter(|open| open.time_ms == slot_ms) {
            if unit.deletes() {
                open.delete(properties.deletes.unwrap_or_default(), real_topic);
            } else {
                let due = if rolls {
                    slot_ms + 1
                } else {
                    due_ms(wanted_ms, slot_ms, precision_ms)
                };
                open.wait(Waiting::new(due, position, &unit));
            }
        }
        true
    }

    /// How far ahead a message is noted whose slot is `ahead` milliseconds away, beyond the window: a whole window, but
    /// half of one if little would be left, so that there is time for the next roll.
    fn roll_ms(&self, ahead: i64) -> i64 {
        let precision_ms = self.layout.precision_ms;
        let window = self.options.window_ms / precision_ms;
        if ahead - self.options.window_ms < window / 3 * precision_ms {
            window / 2 * precision_ms
        } else {
            self.options.window_ms
        }
    }
}

fn write(files: &mut TimerFiles, note: &Note<'_>) -> std::io::Result<(i64, Unit)> {
    let slot = files.wheel.slot(note.slot_ms);
    let mut bits = magic::DEFAULT;
    if note.rolls {
        bits |= magic::ROLL;
    }
    if note.is_delete {
        bits |= magic::DELETE;
    }
    let unit = Unit {
        previous: slot.map_or(-1, |slot| slot.last),
        magic: bits,
        written_ms: note.written_ms,
        delay_ms: i32::try_from(note.slot_ms - note.written_ms)
            .map_err(|_| std::io::ErrorKind::InvalidInput)?,
        offset: note.record.physical_offset,
        size: i32::try_from(note.record.size).map_err(|_| std::io::ErrorKind::InvalidData)?,
        topic_hash: java_hash(note.real_topic),
    };
    let position = files.log.append(&unit)?;
    let count = slot.map_or(0, |slot| slot.count);
    files.wheel.put(&Slot {
        time_ms: note.slot_ms,
        first: slot.map_or(position, |slot| slot.first),
        last: position,
        count: count.saturating_add(if note.is_delete { -1 } else { 1 }),
    })?;
    Ok((position, unit))
}
