// SPDX-License-Identifier: Apache-2.0
//! Wakes the background thread; cheap when it is already awake.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// A flag that one thread waits for.
#[derive(Default)]
pub(crate) struct Signal {
    is_set: AtomicBool,
    lock: Mutex<()>,
    condition: Condvar,
}

impl Signal {
    /// Sets the flag and wakes the waiter; only the first call after a wait touches the lock.
    pub(crate) fn set(&self) {
        if !self.is_set.swap(true, Ordering::AcqRel) {
            // Taking the lock makes sure that the waiter is before its check or inside the wait.
            drop(self.lock.lock());
            self.condition.notify_one();
        }
    }

    /// Waits until the flag is set or the time is over, and clears it.
    pub(crate) fn wait(&self, timeout: Duration) {
        let mut guard = self.lock.lock();
        if !self.is_set.load(Ordering::Acquire) {
            // Woken, timed out or neither: the caller looks at what is due in any case.
            let _ = self.condition.wait_for(&mut guard, timeout);
        }
        self.is_set.store(false, Ordering::Release);
    }
}
