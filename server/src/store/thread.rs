// SPDX-License-Identifier: Apache-2.0
//! The thread that does a store's background work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::{FlushReport, MessageStore, StoreError};

/// Runs [`MessageStore::tick`] until it is stopped.
pub struct StoreThread {
    store: Arc<MessageStore>,
    is_stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl StoreThread {
    /// Starts the thread. `on_flushed` is called on it after each flush and must not block: under
    /// [`super::Flush::Sync`] it completes replies and wakes pulls.
    ///
    /// # Errors
    /// [`StoreError::Thread`].
    pub fn spawn(
        store: Arc<MessageStore>,
        on_flushed: Box<dyn Fn(&FlushReport) + Send + Sync>,
    ) -> Result<Self, StoreError> {
        let is_stopping = Arc::new(AtomicBool::new(false));
        let run = {
            let (store, is_stopping) = (Arc::clone(&store), Arc::clone(&is_stopping));
            move || {
                while !is_stopping.load(Ordering::Acquire) {
                    if let Some(report) = store.tick(store.clock.now_ms()) {
                        on_flushed(&report);
                    }
                    store.wait_for_work();
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("kerolox-store".to_owned())
            .spawn(run);
        Ok(Self {
            store,
            is_stopping,
            thread: Some(thread.map_err(StoreError::Thread)?),
        })
    }

    /// Stops the thread and waits for its end. Dropping does the same.
    pub fn stop(mut self) {
        self.join();
    }

    fn join(&mut self) {
        self.is_stopping.store(true, Ordering::Release);
        self.store.wake();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's thread panicked");
        }
    }
}

impl Drop for StoreThread {
    fn drop(&mut self) {
        self.join();
    }
}
