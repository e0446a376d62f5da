// SPDX-License-Identifier: Apache-2.0
//! Groups whose members are to be told of a change, where `realTimeNotifyConsumerChange` is off.

use std::collections::BTreeSet;

use parking_lot::Mutex;

/// Milliseconds between two rounds.
const INTERVAL_MS: i64 = 15_000;

/// Collected group names.
#[derive(Debug, Default)]
pub struct PendingNotices(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    groups: BTreeSet<String>,
    told_ms: i64,
}

impl PendingNotices {
    /// Notes a change; several of one group are told once.
    pub fn add(&self, group: &str) {
        let mut state = self.0.lock();
        if !state.groups.contains(group) {
            state.groups.insert(group.to_owned());
        }
    }

    /// The groups to tell now.
    pub fn due(&self, now_ms: i64) -> BTreeSet<String> {
        let mut state = self.0.lock();
        if now_ms.saturating_sub(state.told_ms) < INTERVAL_MS {
            return BTreeSet::new();
        }
        state.told_ms = now_ms;
        std::mem::take(&mut state.groups)
    }
}
