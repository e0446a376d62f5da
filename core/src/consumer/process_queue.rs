// SPDX-License-Identifier: Apache-2.0
//! The messages of one queue between pull and completion.
//!
//! Messages are kept in the order of their offsets until every one before them is done. The offset to commit is that of
//! the first that is not done; when there is none, it is where the next pull begins. So what was handed out and not
//! completed is never committed, however late it is.
//!
//! A queue that is given up first *leaves*: what has not been handed out is dropped, nothing more is handed out, and
//! deliveries that are out may still be completed. Then it is *dropped*: nothing counts any more.

use std::collections::VecDeque;

use kerolox_protocol::message::MessageExt;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::received;
use crate::message::{Queue, ReceivedMessage};

/// When pulling has to pause.
#[derive(Clone, Copy, Debug)]
pub(super) struct Thresholds {
    pub(super) messages: usize,
    pub(super) bytes: u64,
    pub(super) span: i64,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Waiting,
    Out,
    Done,
}

struct Slot {
    offset: i64,
    bytes: u64,
    stage: Stage,
    /// Redeliveries by this client, after the broker would not take the message back.
    local_retries: i32,
    /// Gone once it is done.
    message: Option<Box<MessageExt>>,
}

#[derive(Default)]
struct State {
    slots: VecDeque<Slot>,
    /// How many slots have been taken off the front so far.
    removed: usize,
    /// The first slot that was never handed out, counted from the very first.
    next_waiting: usize,
    /// Slots that wait to be handed out again.
    again: VecDeque<i64>,
    bytes: u64,
    out: usize,
    /// Where the next pull begins; `None` until that is known.
    next_pull: Option<i64>,
    committed: Option<i64>,
    is_leaving: bool,
    is_dropped: bool,
    /// Stands in the list of queues that have messages to hand out.
    is_listed: bool,
}

/// The messages of one queue between pull and completion.
pub(super) struct ProcessQueue {
    pub(super) queue: Queue,
    state: Mutex<State>,
    /// Wakes the puller: there is room again.
    room: Notify,
    /// Wakes who waits for deliveries to be completed.
    settled: Notify,
}

/// What a message that is out has to be sent back by.
pub(super) struct BackInfo {
    pub(super) physical_offset: i64,
    pub(super) message_id: String,
    pub(super) topic: String,
}

impl ProcessQueue {
    pub(super) fn new(queue: Queue) -> Self {
        Self {
            queue,
            state: Mutex::default(),
            room: Notify::new(),
            settled: Notify::new(),
        }
    }

    /// Sets where the first pull begins. `is_stored`: that is what the offset store says.
    pub(super) fn begin(&self, offset: i64, is_stored: bool) {
        let mut state = self.state.lock();
        state.next_pull = Some(offset);
        state.committed = is_stored.then_some(offset);
    }

    pub(super) fn next_pull(&self) -> Option<i64> {
        self.state.lock().next_pull
    }

    /// Adds what a pull brought, and where the next one begins. Whether the queue has to be listed now.
    pub(super) fn put(&self, messages: Vec<MessageExt>, next_pull: i64) -> bool {
        let mut state = self.state.lock();
        if state.is_leaving {
            return false;
        }
        let mut last = state.slots.back().map_or(i64::MIN, |slot| slot.offset);
        for message in messages {
            let offset = message.queue_offset;
            // Offsets only go up; anything else would be a broker's mistake.
            if offset <= last {
                continue;
            }
            last = offset;
            let bytes = u64::try_from(message.message.body.len()).unwrap_or(u64::MAX);
            state.bytes += bytes;
            state.slots.push_back(Slot {
                offset,
                bytes,
                stage: Stage::Waiting,
                local_retries: 0,
                message: Some(Box::new(message)),
            });
        }
        state.next_pull = Some(next_pull);
        state.list()
    }

    /// Hands out up to `max` messages with their offsets, and whether there are more.
    pub(super) fn take(&self, max: usize, out: &mut Vec<(i64, ReceivedMessage)>) -> bool {
        let mut state = self.state.lock();
        state.is_listed = false;
        if state.is_leaving {
            return false;
        }
        let mut room = max;
        while room > 0 {
            let Some(index) = state.next_to_hand_out() else {
                break;
            };
            let Some(slot) = state.slots.get_mut(index) else {
                break;
            };
            slot.stage = Stage::Out;
            if let Some(message) = &slot.message {
                let received = received::to_received(message, &self.queue, slot.local_retries);
                out.push((slot.offset, received));
            }
            state.out += 1;
            room -= 1;
        }
        state.list()
    }

    /// Marks a message that is out as done. `false` if it is not out, or the queue has been dropped.
    pub(super) fn complete(&self, offset: i64) -> bool {
        let (is_settled, has_moved) = {
            let mut state = self.state.lock();
            if state.is_dropped {
                return false;
            }
            let Some(slot) = state.slot(offset).filter(|slot| slot.stage == Stage::Out) else {
                return false;
            };
            slot.stage = Stage::Done;
            slot.message = None;
            state.out -= 1;
            let before = state.slots.len();
            while state
                .slots
                .front()
                .is_some_and(|slot| slot.stage == Stage::Done)
            {
                if let Some(slot) = state.slots.pop_front() {
                    state.bytes -= slot.bytes;
                    state.removed += 1;
                }
            }
            (state.out == 0, state.slots.len() != before)
        };
        if has_moved {
            self.room.notify_one();
        }
        if is_settled {
            self.settled.notify_waiters();
        }
        true
    }

    /// What a message that is out is sent back by.
    pub(super) fn back_info(&self, offset: i64) -> Option<BackInfo> {
        let mut state = self.state.lock();
        if state.is_dropped {
            return None;
        }
        let message = state
            .slot(offset)
            .filter(|slot| slot.stage == Stage::Out)?
            .message
            .as_ref()?;
        Some(BackInfo {
            physical_offset: message.physical_offset,
            message_id: message.message_id(),
            topic: message.message.topic.clone(),
        })
    }

    /// Has a message that is out handed out again. Whether the queue has to be listed now.
    pub(super) fn again(&self, offset: i64) -> bool {
        let is_settled = {
            let mut state = self.state.lock();
            if state.is_dropped {
                return false;
            }
            let Some(slot) = state.slot(offset).filter(|slot| slot.stage == Stage::Out) else {
                return false;
            };
            slot.stage = Stage::Waiting;
            slot.local_retries += 1;
            state.out -= 1;
            state.again.push_back(offset);
            if !state.is_leaving {
                return state.list();
            }
            state.out == 0
        };
        if is_settled {
            self.settled.notify_waiters();
        }
        false
    }

    /// The offset of the first message that is not done; `None` until the beginning is known, or once dropped.
    pub(super) fn commit_offset(&self) -> Option<i64> {
        let state = self.state.lock();
        if state.is_dropped {
            return None;
        }
        state.commit_offset()
    }

    /// The offset to commit, if it differs from what was committed last.
    pub(super) fn uncommitted(&self) -> Option<i64> {
        let state = self.state.lock();
        if state.is_dropped {
            return None;
        }
        state
            .commit_offset()
            .filter(|offset| state.committed != Some(*offset))
    }

    pub(super) fn set_committed(&self, offset: i64) {
        self.state.lock().committed = Some(offset);
    }

    /// Waits until there is room for another pull, or the queue leaves.
    pub(super) async fn room(&self, thresholds: Thresholds) {
        loop {
            let room = self.room.notified();
            if self.has_room(thresholds) {
                return;
            }
            room.await;
        }
    }

    fn has_room(&self, thresholds: Thresholds) -> bool {
        let state = self.state.lock();
        let span = match (state.slots.front(), state.slots.back()) {
            (Some(first), Some(last)) => last.offset - first.offset,
            _ => 0,
        };
        state.is_leaving
            || (state.slots.len() < thresholds.messages
                && state.bytes < thresholds.bytes
                && span < thresholds.span)
    }

    /// Stops handing out, and drops what was not handed out.
    pub(super) fn leave(&self) {
        {
            let mut state = self.state.lock();
            if state.is_leaving {
                return;
            }
            state.is_leaving = true;
            let index = state.next_waiting - state.removed;
            if let Some(first) = state.slots.get(index).map(|slot| slot.offset) {
                state.next_pull = Some(first);
                state.slots.truncate(index);
            }
            state.bytes = state.slots.iter().map(|slot| slot.bytes).sum();
        }
        self.room.notify_one();
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.state.lock().is_leaving
    }

    /// Waits until nothing is out.
    pub(super) async fn settled(&self) {
        loop {
            let settled = self.settled.notified();
            if self.state.lock().out == 0 {
                return;
            }
            settled.await;
        }
    }

    /// From now on nothing counts.
    pub(super) fn drop_all(&self) {
        self.leave();
        let slots = {
            let mut state = self.state.lock();
            state.is_dropped = true;
            state.out = 0;
            std::mem::take(&mut state.slots)
        };
        drop(slots);
        self.settled.notify_waiters();
    }

    /// Messages held, bytes held, first and last offset held.
    pub(super) fn figures(&self) -> (usize, u64, i64, i64) {
        let state = self.state.lock();
        let first = state.slots.front().map_or(0, |slot| slot.offset);
        let last = state.slots.back().map_or(0, |slot| slot.offset);
        (state.slots.len(), state.bytes, first, last)
    }
}

impl State {
    fn commit_offset(&self) -> Option<i64> {
        self.slots
            .front()
            .map(|slot| slot.offset)
            .or(self.next_pull)
    }

    fn slot(&mut self, offset: i64) -> Option<&mut Slot> {
        let index = self
            .slots
            .binary_search_by_key(&offset, |slot| slot.offset)
            .ok()?;
        self.slots.get_mut(index)
    }

    fn next_to_hand_out(&mut self) -> Option<usize> {
        while let Some(offset) = self.again.pop_front() {
            if let Ok(index) = self.slots.binary_search_by_key(&offset, |slot| slot.offset) {
                return Some(index);
            }
        }
        let index = self.next_waiting - self.removed;
        if index < self.slots.len() {
            self.next_waiting += 1;
            return Some(index);
        }
        None
    }

    /// Whether the queue has messages to hand out and does not stand in the list yet; it does then.
    fn list(&mut self) -> bool {
        let has_messages =
            !self.again.is_empty() || self.next_waiting - self.removed < self.slots.len();
        if has_messages && !self.is_listed && !self.is_leaving {
            self.is_listed = true;
            return true;
        }
        false
    }
}

#[cfg(test)]
mod tests;
