// SPDX-License-Identifier: Apache-2.0
//! The thread that tells a server what time it is.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Calls a function periodically, on a thread of its own because it may wait for the disk.
#[derive(Debug)]
pub(super) struct Ticker {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(super) fn spawn(
        name: &str,
        period: Duration,
        tick: impl Fn() + Send + 'static,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let run = move || {
            while stopped.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
                tick();
            }
        };
        let builder = std::thread::Builder::new()
            .name(name.to_owned())
            .stack_size(512 << 10);
        Ok(Self {
            stop: Some(stop),
            thread: Some(builder.spawn(run)?),
        })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self
            .thread
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            tracing::error!("the ticking thread panicked");
        }
    }
}
