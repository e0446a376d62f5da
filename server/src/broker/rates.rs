// SPDX-License-Identifier: Apache-2.0
//! Messages a second, from samples of how many messages the queues ever had.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::store::MessageStore;

/// Milliseconds between two samples.
const INTERVAL_MS: i64 = 10_000;
/// Samples kept: ten minutes and one.
const SAMPLES: usize = 61;
const DAY_MS: i64 = 86_400_000;

#[derive(Clone, Copy, Debug)]
struct Sample {
    at_ms: i64,
    total: i64,
}

#[derive(Debug, Default)]
struct State {
    samples: VecDeque<Sample>,
    /// Totals at the last two midnights that were seen, the newer one first.
    midnights: [i64; 2],
}

/// Figures about messages put.
#[derive(Debug)]
pub(crate) struct Rates {
    boot_ms: i64,
    state: Mutex<State>,
}

/// Figures at one moment.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) boot_ms: i64,
    pub(crate) put_total: i64,
    pub(crate) put_at_midnight: i64,
    pub(crate) put_at_midnight_before: i64,
    /// Over the last ten seconds, minute and ten minutes, as far as the broker has run so long.
    tps: Vec<f64>,
}

impl View {
    /// As the reference writes it: one to three numbers.
    pub(crate) fn put_tps(&self) -> String {
        let numbers: Vec<String> = self.tps.iter().map(|tps| format!("{tps:.2}")).collect();
        numbers.join(" ")
    }
}

impl Rates {
    pub(crate) fn new(now_ms: i64) -> Self {
        Self {
            boot_ms: now_ms,
            state: Mutex::default(),
        }
    }

    /// Takes a sample if one is due.
    pub(crate) fn sample(&self, store: &MessageStore, now_ms: i64) {
        let mut state = self.state.lock();
        let last = state.samples.back().copied();
        if last.is_some_and(|last| now_ms.saturating_sub(last.at_ms) < INTERVAL_MS) {
            return;
        }
        let total = total(store);
        if last.is_none_or(|last| last.at_ms / DAY_MS != now_ms / DAY_MS) {
            let older = state.midnights[0];
            state.midnights = [total, if last.is_none() { total } else { older }];
        }
        if state.samples.len() == SAMPLES {
            state.samples.pop_front();
        }
        state.samples.push_back(Sample {
            at_ms: now_ms,
            total,
        });
    }

    /// The figures now.
    pub(crate) fn at(&self, store: &MessageStore, now_ms: i64) -> View {
        let put_total = total(store);
        let state = self.state.lock();
        let tps = [10_000, 60_000, 600_000].map(|window: i64| {
            // The newest sample that is at least as old as the window, else the oldest one there is.
            let old = |sample: &&Sample| now_ms.saturating_sub(sample.at_ms) >= window;
            let base = state
                .samples
                .iter()
                .rev()
                .find(old)
                .or_else(|| state.samples.front());
            base.map_or(0.0, |base| {
                per_second(put_total - base.total, now_ms - base.at_ms)
            })
        });
        View {
            boot_ms: self.boot_ms,
            put_total,
            put_at_midnight: state.midnights[0],
            put_at_midnight_before: state.midnights[1],
            tps: tps.to_vec(),
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a rate for people needs no more than 52 bits"
)]
fn per_second(count: i64, ms: i64) -> f64 {
    if ms <= 0 {
        0.0
    } else {
        count.max(0) as f64 * 1000.0 / ms as f64
    }
}

/// Messages that the queues ever had; deleted topics no longer count.
fn total(store: &MessageStore) -> i64 {
    let topics = store.topics();
    let queues = topics
        .iter()
        .flat_map(|(topic, queues)| queues.iter().map(move |id| (topic, *id)));
    queues
        .map(|(topic, queue_id)| store.max_offset(topic, queue_id))
        .sum()
}
