// SPDX-License-Identifier: Apache-2.0
//! The threads that do a store's background work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::background::Job;
use super::{FlushReport, MessageStore, StoreError};

/// Does the background work of a store, each kind on a thread of its own, until it is stopped.
pub struct StoreThread {
    store: Arc<MessageStore>,
    is_stopping: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// Told of each flush, and of each commit of the transient store pool.
type OnFlushed = dyn Fn(&FlushReport) + Send + Sync;

impl StoreThread {
    /// Starts the threads. `on_flushed` is called on one of them after each flush or commit and must not block: under
    /// [`super::Flush::Sync`] it completes replies and wakes pulls.
    ///
    /// # Errors
    /// [`StoreError::Thread`].
    pub fn spawn(store: Arc<MessageStore>, on_flushed: Box<OnFlushed>) -> Result<Self, StoreError> {
        let on_flushed: Arc<OnFlushed> = Arc::from(on_flushed);
        let mut all = Self {
            store,
            is_stopping: Arc::default(),
            threads: Vec::new(),
        };
        for job in Job::ALL {
            if job == Job::Commit && !all.store.log.has_pool() {
                continue;
            }
            let store = Arc::clone(&all.store);
            let is_stopping = Arc::clone(&all.is_stopping);
            let on_flushed = Arc::clone(&on_flushed);
            let run = move || work(job, &store, &is_stopping, on_flushed.as_ref());
            let thread = std::thread::Builder::new()
                .name(job.thread_name().to_owned())
                .spawn(run);
            // Those that were started end when `all` is dropped.
            all.threads.push(thread.map_err(StoreError::Thread)?);
        }
        Ok(all)
    }

    /// Stops the threads and waits for their end. Dropping does the same.
    pub fn stop(mut self) {
        self.join();
    }

    fn join(&mut self) {
        self.is_stopping.store(true, Ordering::Release);
        self.store.wake_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
    }
}

fn work(job: Job, store: &MessageStore, is_stopping: &AtomicBool, on_flushed: &OnFlushed) {
    let is_stopping = || is_stopping.load(Ordering::Acquire);
    while !is_stopping() {
        if let Some(report) = store.run(job, store.clock.now_ms()) {
            on_flushed(&report);
        }
        // Space first: the index has time.
        if job == Job::Ahead && store.lead_index() {
            continue;
        }
        store.wait_for_work(job);
    }
}

impl Drop for StoreThread {
    fn drop(&mut self) {
        self.join();
    }
}
