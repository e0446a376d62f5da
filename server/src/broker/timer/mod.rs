// SPDX-License-Identifier: Apache-2.0
//! Delivers messages at the instant that their sender chose (store.md 9.2, server.md 13).
//!
//! A message with a timer property is put into queue 0 of `rmq_sys_wheel_timer` instead of its topic (`plan`). Each
//! [`TimerService::tick`] reads what is new there and notes it in the wheel (`enqueue`), then delivers what is due
//! (`dequeue`). The reference delivers a slot of a second as a whole when the second is over; here each message is
//! delivered at its own instant, in the same files: [`State::read_ms`] is exact to the millisecond and says that
//! everything due up to it was delivered.
//!
//! After a crash the checkpoint of at most a second ago counts: a message may be delivered twice, never lost, never early.

mod dequeue;
mod enqueue;
mod instant;
mod metrics;
mod plan;
mod rebuild;
mod settle;

use std::sync::Arc;

use kerolox_protocol::message::RecordView;
use kerolox_protocol::message::name;
use parking_lot::Mutex;

use super::Broker;
use crate::config::BrokerConfig;
use crate::store::disk::Disk;
use crate::store::timer::{
    BLANK_SLOTS, Recovered, Surroundings, TimerCheckpoint, TimerFiles, TimerLayout, recover,
};
use crate::store::{MessageStore, QueueHandle, StoreError};

use dequeue::OpenSlot;
use metrics::Metrics;
pub(super) use plan::TIMER_PROPERTIES;
use rebuild::Rebuild;

/// Milliseconds between two looks for files of the timer log that are not needed any more.
const CLEAN_INTERVAL_MS: i64 = 30_000;
/// Milliseconds after which a checkpoint is written although nothing happened.
const IDLE_CHECKPOINT_MS: i64 = 60_000;
/// A clock that is set back further is followed; a smaller step is waited for.
const CLOCK_STEP_MS: i64 = 5_000;

/// The timer messages of a broker.
pub(super) struct TimerService {
    options: Options,
    layout: TimerLayout,
    disk: Arc<dyn Disk>,
    state: Mutex<State>,
    metrics: Metrics,
    /// What requests are told, so that they do not wait for a tick.
    shown: Mutex<Shown>,
}

/// Settings; see the keys of [`BrokerConfig`].
struct Options {
    is_enabled: bool,
    max_delay_ms: i64,
    /// Messages due later than this are put into the timer topic again on the way.
    window_ms: i64,
    most_a_slot: i32,
    flush_interval_ms: i64,
    stops_enqueue: bool,
    stops_dequeue: bool,
}

struct State {
    /// `None` until the first timer message.
    files: Option<TimerFiles>,
    /// Everything due up to here was delivered.
    read_ms: i64,
    /// Offset in the timer topic's queue of the next message to look at.
    queue_offset: i64,
    /// Set while wheel and log are made again.
    rebuild: Option<Rebuild>,
    checkpoint: TimerCheckpoint,
    /// The slot that messages are delivered from.
    open: Option<OpenSlot>,
    /// Something was noted or delivered since the last checkpoint.
    is_dirty: bool,
    checkpoint_ms: i64,
    cleaned_ms: i64,
}

/// Figures of the last tick.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    pub(super) checkpoint: TimerCheckpoint,
    /// Milliseconds that deliveries are late.
    pub(super) read_behind_ms: i64,
    /// Messages of the timer topic that are not in the wheel yet.
    pub(super) offset_behind: i64,
    /// Messages noted and delivered since the start.
    pub(super) enqueued: u64,
    pub(super) dequeued: u64,
}

impl TimerService {
    /// Opens the files if there are any, after whatever happened to them.
    ///
    /// # Errors
    /// A file can not be read or made.
    pub(super) fn open(
        config: &BrokerConfig,
        disk: Arc<dyn Disk>,
        store: &MessageStore,
        wheel_slots: i64,
        now_ms: i64,
    ) -> Result<Self, StoreError> {
        let layout = layout(config, wheel_slots);
        let directory = config.store_path_root_dir.join("config");
        let service = Self {
            options: options(config, &layout),
            metrics: Metrics::open(Arc::clone(&disk), &directory),
            state: Mutex::new(State {
                files: None,
                read_ms: now_ms,
                queue_offset: 0,
                rebuild: None,
                checkpoint: TimerCheckpoint::default(),
                open: None,
                is_dirty: false,
                checkpoint_ms: now_ms,
                cleaned_ms: now_ms,
            }),
            shown: Mutex::default(),
            layout,
            disk,
        };
        if service.options.is_enabled {
            service.open_files(store, now_ms).map_err(StoreError::io(
                "open the timer files of",
                &config.store_path_root_dir,
            ))?;
        }
        Ok(service)
    }

    fn open_files(&self, store: &MessageStore, now_ms: i64) -> std::io::Result<()> {
        let queue = store
            .find_queue(name::TIMER_TOPIC, 0)
            .map(|queue| (queue.min_offset(), queue.max_offset()));
        let has_files = TimerFiles::exist(self.disk.as_ref(), &self.layout)?;
        let queue = match queue {
            None | Some((_, 0)) if !has_files => return Ok(()),
            queue => queue.unwrap_or_default(),
        };
        let recovered = recover(
            &self.disk,
            &self.layout,
            &Surroundings {
                queue,
                now_ms,
                message_at: &|offset, size| queue_offset_at(store, offset, size),
            },
        )?;
        let Recovered {
            files,
            checkpoint,
            known_until,
            is_rebuilt,
        } = recovered;
        let mut state = self.state.lock();
        if is_rebuilt {
            self.metrics.clear();
            state.rebuild = Rebuild::begin(store, queue.0, known_until, checkpoint.read_ms);
        }
        state.files = Some(files);
        state.read_ms = checkpoint.read_ms;
        state.queue_offset = checkpoint.queue_offset;
        self.shown.lock().checkpoint = checkpoint.clone();
        state.checkpoint = checkpoint;
        Ok(())
    }

    /// What the last tick and the last checkpoint say.
    pub(super) fn shown(&self) -> Shown {
        self.shown.lock().clone()
    }

    /// How many messages of each topic wait, as GET_TIMER_METRICS answers.
    pub(super) fn metrics_body(&self) -> Vec<u8> {
        self.metrics.body()
    }

    /// Notes new timer messages and delivers what is due.
    pub(super) fn tick(&self, broker: &Broker, now_ms: i64) {
        if !self.options.is_enabled {
            return;
        }
        let queue = broker.store.find_queue(name::TIMER_TOPIC, 0);
        let mut state = self.state.lock();
        let state = &mut *state;
        if state.files.is_none() && !self.create_files(state, queue.as_deref(), now_ms) {
            return;
        }
        if state.read_ms - now_ms > CLOCK_STEP_MS {
            tracing::warn!(
                behind_ms = state.read_ms - now_ms,
                "the clock was set back, timer messages due since then are delivered again"
            );
            state.read_ms = now_ms;
            state.open = None;
        }
        if let Some(queue) = &queue
            && !self.options.stops_enqueue
        {
            self.enqueue(broker, state, queue, now_ms);
        }
        if !self.options.stops_dequeue {
            self.dequeue(broker, state, now_ms);
        }
        if self.is_checkpoint_due(state, now_ms) {
            self.write_checkpoint(broker, state, now_ms);
        }
        if now_ms - state.cleaned_ms >= CLEAN_INTERVAL_MS {
            state.cleaned_ms = now_ms;
            self.clean(broker, state);
        }
        let mut shown = self.shown.lock();
        shown.read_behind_ms = (now_ms - state.read_ms).max(0);
        let end = queue.map_or(0, |queue| queue.max_offset());
        shown.offset_behind = (end - state.queue_offset).max(0);
    }

    fn create_files(&self, state: &mut State, queue: Option<&QueueHandle>, now_ms: i64) -> bool {
        state.read_ms = now_ms;
        let Some(queue) = queue.filter(|queue| queue.max_offset() > 0) else {
            return false;
        };
        match TimerFiles::create(&self.disk, &self.layout) {
            Ok(files) => {
                state.files = Some(files);
                state.queue_offset = queue.min_offset();
                true
            }
            Err(error) => {
                tracing::error!(%error, "the timer files can not be made, trying again");
                false
            }
        }
    }

    fn is_checkpoint_due(&self, state: &State, now_ms: i64) -> bool {
        let since = now_ms - state.checkpoint_ms;
        let interval = if state.is_dirty {
            self.options.flush_interval_ms
        } else {
            IDLE_CHECKPOINT_MS
        };
        // A clock that was set back must not stop it.
        !(0..interval).contains(&since)
    }

    /// Writes how far the timer messages came, before the broker stops.
    pub(super) fn persist(&self, broker: &Broker, now_ms: i64) {
        let mut state = self.state.lock();
        if self.options.is_enabled && state.files.is_some() {
            self.settle(broker, &mut state, now_ms);
            self.write_checkpoint(broker, &mut state, now_ms);
        }
    }

    fn write_checkpoint(&self, broker: &Broker, state: &mut State, now_ms: i64) {
        state.checkpoint_ms = now_ms;
        let mut checkpoint = TimerCheckpoint {
            read_ms: state.read_ms,
            log_flushed: 0,
            queue_offset: state.queue_offset,
            master_queue_offset: state.queue_offset,
            version: state.checkpoint.version,
        };
        if checkpoint.read_ms != state.checkpoint.read_ms
            || checkpoint.queue_offset != state.checkpoint.queue_offset
        {
            checkpoint.version.next(now_ms);
        }
        // What was delivered must not be less safe than the checkpoint that forgets it.
        match broker.store.flush_pass() {
            Ok(report) => broker.flushed(&report),
            Err(error) => {
                tracing::error!(%error, "no timer checkpoint, what was delivered is not on disk");
                return;
            }
        }
        let Some(files) = &mut state.files else {
            return;
        };
        match files.checkpoint(self.disk.as_ref(), checkpoint.clone()) {
            Ok(log_flushed) => checkpoint.log_flushed = log_flushed,
            Err(error) => {
                tracing::error!(%error, "the timer checkpoint was not written");
                return;
            }
        }
        self.shown.lock().checkpoint = checkpoint.clone();
        state.checkpoint = checkpoint;
        state.is_dirty = false;
        self.metrics.save();
    }

    fn clean(&self, broker: &Broker, state: &mut State) {
        let Some(files) = &mut state.files else {
            return;
        };
        match files.log.remove_expired(broker.store.commit_log_min()) {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "files of the timer log were removed"),
            Err(error) => tracing::warn!(%error, "a file of the timer log can not be removed"),
        }
    }
}

fn layout(config: &BrokerConfig, wheel_slots: i64) -> TimerLayout {
    TimerLayout {
        root_dir: config.store_path_root_dir.clone(),
        precision_ms: config.timer_precision(),
        slots: wheel_slots,
        log_file_size: config.mapped_file_size_timer_log,
    }
}

fn options(config: &BrokerConfig, layout: &TimerLayout) -> Options {
    let longest = layout.slots - BLANK_SLOTS.min(layout.slots / 2);
    let window = Some(config.timer_roll_window_slot).filter(|slots| (2..=longest).contains(slots));
    Options {
        is_enabled: config.timer_wheel_enable,
        max_delay_ms: config.timer_max_delay_sec.saturating_mul(1000),
        window_ms: window.unwrap_or(longest) * layout.precision_ms,
        most_a_slot: config.timer_congest_num_each_slot,
        flush_interval_ms: config.timer_flush_interval_ms,
        stops_enqueue: config.timer_stop_enqueue,
        stops_dequeue: config.timer_stop_dequeue,
    }
}

/// The queue offset of a message in the timer topic, if the record at a commit-log offset is one.
fn queue_offset_at(store: &MessageStore, offset: i64, size: i32) -> Option<i64> {
    let bytes = store.record_at(offset)?;
    let record = RecordView::parse(&bytes).ok()?;
    let is_it = usize::try_from(size).is_ok_and(|size| size == record.size)
        && record.topic == name::TIMER_TOPIC.as_bytes();
    is_it.then_some(record.queue_offset)
}
