// SPDX-License-Identifier: Apache-2.0
//! Threads that run connections, each with an event loop of its own.
//!
//! A connection stays on the thread that it was given to when it was accepted, the one with the fewest. So its requests wake
//! that thread and no other: with one loop for all threads, whoever hears of requests wakes another to share them with, and
//! on two processors these wake-ups cost more than they win (ADR 5).

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// The threads; they end when this is dropped, and with them what they still run.
#[derive(Debug)]
pub struct Workers(Vec<Worker>);

#[derive(Debug)]
struct Worker {
    handle: Handle,
    /// How many connections it has.
    load: Arc<AtomicUsize>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// One connection of a worker.
struct Share(Arc<AtomicUsize>);

impl Drop for Share {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Workers {
    /// Starts that many threads, at least one.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn start(count: usize) -> io::Result<Self> {
        let workers = (0..count.max(1)).map(|_| Worker::start());
        workers.collect::<io::Result<_>>().map(Self)
    }

    /// Runs a connection on the thread that has the fewest.
    pub(super) fn spawn(
        &self,
        tasks: &mut JoinSet<()>,
        connection: impl Future<Output = ()> + Send + 'static,
    ) {
        let load = |worker: &&Worker| worker.load.load(Ordering::Relaxed);
        if let Some(worker) = self.0.iter().min_by_key(load) {
            worker.load.fetch_add(1, Ordering::Relaxed);
            let share = Share(Arc::clone(&worker.load));
            let run = async move {
                connection.await;
                drop(share);
            };
            tasks.spawn_on(run, &worker.handle);
        }
    }
}

impl Worker {
    fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("kerolox-server".to_owned())
            .stack_size(1 << 20)
            // Nothing is ever sent: it ends when the sender is gone.
            .spawn(move || runtime.block_on(async { stopped.await.unwrap_or(()) }))?;
        Ok(Self {
            handle,
            load: Arc::default(),
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("a thread that served connections failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread::ThreadId;

    use tokio::sync::mpsc;

    use super::*;

    #[test]
    fn connections_go_where_the_fewest_are_and_stay_there() {
        let workers = Workers::start(2).unwrap();
        let mut tasks = JoinSet::new();
        let (tell, mut told) = mpsc::unbounded_channel::<ThreadId>();
        let mut add = |tasks: &mut JoinSet<()>| {
            let (end, ended) = oneshot::channel::<()>();
            let tell = tell.clone();
            workers.spawn(tasks, async move {
                tell.send(std::thread::current().id()).unwrap();
                ended.await.unwrap_or(());
            });
            (told.blocking_recv().unwrap(), end)
        };
        let [one, other, third, fourth] = [(); 4].map(|()| add(&mut tasks));
        assert_eq!((one.0, other.0), (third.0, fourth.0));
        assert_ne!(one.0, other.0);
        let emptied = other.0;
        drop((other, fourth));
        let mut left = 4;
        while left > 2 {
            left -= usize::from(tasks.try_join_next().is_some());
            std::thread::yield_now();
        }
        let [fifth, sixth] = [(); 2].map(|()| add(&mut tasks));
        assert_eq!((fifth.0, sixth.0), (emptied, emptied));
    }
}
