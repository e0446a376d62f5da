// SPDX-License-Identifier: Apache-2.0
//! Unregistrations that wait to be applied together.
//!
//! Taking a broker out costs a pass over all topics, and brokers of a machine or a rack go at the same time. So an
//! unregistration is queued first; whoever gets at the tables then applies all that are queued, and the others find
//! that theirs is done. Facts: server.md 1.3.

use parking_lot::{Mutex, RwLock};

use super::route_table::{Departure, MinIdNotice, RouteTable};

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Departures {
    waiting: Mutex<Vec<Departure>>,
}

impl Departures {
    /// Queues a departure; `false` if `capacity` are waiting.
    pub(super) fn submit(&self, departure: Departure, capacity: usize) -> bool {
        let mut waiting = self.waiting.lock();
        let has_room = waiting.len() < capacity;
        if has_room {
            waiting.push(departure);
        }
        has_room
    }

    /// Queues departures that nobody would repeat.
    pub(super) fn submit_all(&self, departures: Vec<Departure>) {
        self.waiting.lock().extend(departures);
    }

    /// Applies all that are waiting; those queued before the call are done when it returns.
    pub(super) fn apply(&self, routes: &RwLock<RouteTable>) -> Vec<MinIdNotice> {
        let mut routes = routes.write();
        let waiting = std::mem::take(&mut *self.waiting.lock());
        if waiting.is_empty() {
            return Vec::new();
        }
        routes.unregister(&waiting)
    }

    /// How many are waiting.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.waiting.lock().len()
    }
}
