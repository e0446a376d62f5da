// SPDX-License-Identifier: Apache-2.0
//! Transactions: messages that become visible once their producer says so.
//!
//! A half message lies in RMQ_SYS_TRANS_HALF_TOPIC until END_TRANSACTION commits it (it is stored again in its real
//! topic) or rolls it back ([`end`]). Either is noted in RMQ_SYS_TRANS_OP_HALF_TOPIC ([`op`]). Half messages that nothing was
//! noted of for too long are asked about at their producers ([`check`]), driven by [`Broker::tick`].
//!
//! Order of what is stored: a commit before the record that notes it; the copy of a half message before its producer
//! is asked; and how far the checks came is remembered only after all of that is on disk. A crash can lead to a
//! second check or delivery, never to a lost message. Source: server.md 11, store.md 9.3.

mod check;
mod half;
mod op;

pub(in crate::broker) mod end;
pub(in crate::broker) mod resume;

use parking_lot::Mutex;

use super::Broker;
use crate::config::BrokerConfig;

use check::Checks;
use op::Removals;

/// The group whose offsets say how far the checks came.
pub(in crate::broker) const GROUP: &str = "CID_RMQ_SYS_TRANS";

/// What is going on with half messages.
pub(in crate::broker) struct Transactions {
    /// Ended transactions that are not noted on disk yet. Held while one ends, so that a check sees it before or after.
    removals: Mutex<Removals>,
    checks: Mutex<Checks>,
}

impl Transactions {
    pub(super) fn new(config: &BrokerConfig, now_ms: i64) -> Self {
        Self {
            removals: Mutex::new(Removals::new(config)),
            checks: Mutex::new(Checks::new(config, now_ms)),
        }
    }

    /// Writes what is due and goes on checking.
    pub(super) fn tick(&self, broker: &Broker, now_ms: i64) {
        self.removals.lock().write_due(broker, now_ms);
        let mut checks = self.checks.lock();
        if checks.is_due(now_ms) {
            checks.go_on(broker, now_ms);
        }
    }

    /// Notes all transactions that ended; for a shutdown.
    pub(super) fn flush(&self, broker: &Broker, now_ms: i64) {
        self.removals.lock().write_all(broker, now_ms);
    }
}
