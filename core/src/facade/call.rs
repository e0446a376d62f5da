// SPDX-License-Identifier: Apache-2.0
//! [`Call`]: an operation that runs on our runtime from the start, and the ways to wait for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::task::AbortHandle;

use crate::error::{Error, ErrorCode, Result};
use crate::runtime;

type Callback<T> = Box<dyn FnOnce(Result<T>) + Send>;

enum State<T> {
    Pending {
        waker: Option<Waker>,
        callback: Option<Callback<T>>,
    },
    Done(Result<T>),
    Taken,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    done: Condvar,
    operation: &'static str,
}

impl<T> Shared<T> {
    fn settle(&self, result: Result<T>) {
        let mut state = self.state.lock();
        let State::Pending { waker, callback } = &mut *state else {
            return;
        };
        let (waker, callback) = (waker.take(), callback.take());
        if let Some(callback) = callback {
            *state = State::Taken;
            drop(state);
            callback(result);
            return;
        }
        *state = State::Done(result);
        drop(state);
        self.done.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn take(&self, state: &mut State<T>) -> Option<Result<T>> {
        match std::mem::replace(state, State::Taken) {
            State::Done(result) => Some(result),
            State::Taken => Some(Err(Error::new(ErrorCode::InvalidArgument, self.operation)
                .with_message("the result of this call has already been taken"))),
            pending @ State::Pending { .. } => {
                *state = pending;
                None
            }
        }
    }
}

/// Settles the call when its task ends without a result: aborted, panicked, or the runtime went away.
struct SettleOnDrop<T>(Option<Arc<Shared<T>>>);

impl<T> Drop for SettleOnDrop<T> {
    fn drop(&mut self) {
        let Some(shared) = self.0.take() else { return };
        let code = if std::thread::panicking() {
            ErrorCode::Panic
        } else {
            ErrorCode::Cancelled
        };
        let error = Error::new(code, shared.operation);
        shared.settle(Err(error));
    }
}

/// An operation in progress. It runs from the moment it is made, whether or not anybody waits.
///
/// Take the result once: by `.await`, by [`Call::wait`] or by [`Call::on_done`]. Dropping it stops the waiting; what is
/// already on the wire is not unsent.
#[must_use = "dropping a call cancels it"]
pub struct Call<T> {
    shared: Arc<Shared<T>>,
    task: Canceller,
}

/// Cancels the [`Call`] that it was taken from.
#[derive(Clone, Debug)]
pub struct Canceller {
    generation: u64,
    abort: Option<AbortHandle>,
}

impl Canceller {
    /// Stops the call; it ends with [`ErrorCode::Cancelled`] unless it already has a result.
    pub fn cancel(&self) {
        if let Some(abort) = &self.abort
            && self.generation == runtime::generation()
        {
            abort.abort();
        }
    }
}

impl Drop for Canceller {
    fn drop(&mut self) {
        if self.generation != runtime::generation() {
            // The task's runtime did not survive the fork; touching it could wait for ever.
            std::mem::forget(self.abort.take());
        }
    }
}

impl<T: Send + 'static> Call<T> {
    /// Runs `future` on the runtime of this process.
    pub fn spawn(
        operation: &'static str,
        future: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Self {
        let handle = match runtime::handle() {
            Ok(handle) => handle,
            Err(error) => return Self::ready(operation, Err(error)),
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(State::Pending {
                waker: None,
                callback: None,
            }),
            done: Condvar::new(),
            operation,
        });
        let mut guard = SettleOnDrop(Some(Arc::clone(&shared)));
        let task = handle.spawn(async move {
            let result = future.await;
            if let Some(shared) = guard.0.take() {
                shared.settle(result);
            }
        });
        let task = Canceller {
            generation: runtime::generation(),
            abort: Some(task.abort_handle()),
        };
        Self { shared, task }
    }

    /// A call that has its result already.
    pub fn ready(operation: &'static str, result: Result<T>) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State::Done(result)),
                done: Condvar::new(),
                operation,
            }),
            task: Canceller {
                generation: runtime::generation(),
                abort: None,
            },
        }
    }

    /// Waits for the result, at most `timeout` (`None`: for ever). `None` means: not yet, ask again.
    ///
    /// On a thread of the runtime this would wait for itself, so there it answers [`ErrorCode::WouldDeadlock`] unless
    /// the result is there.
    pub fn wait(&self, timeout: Option<Duration>) -> Option<Result<T>> {
        if self.is_stale() {
            return Some(Err(self.forked()));
        }
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = self.shared.state.lock();
        loop {
            if let Some(result) = self.shared.take(&mut state) {
                return Some(result);
            }
            if runtime::is_io_thread() {
                return Some(Err(Error::new(
                    ErrorCode::WouldDeadlock,
                    self.shared.operation,
                )));
            }
            match deadline {
                None if timeout.is_some() => self.shared.done.wait(&mut state),
                None => self.shared.done.wait(&mut state),
                Some(deadline) => {
                    if self
                        .shared
                        .done
                        .wait_until(&mut state, deadline)
                        .timed_out()
                    {
                        return self.shared.take(&mut state);
                    }
                }
            }
        }
    }

    /// Calls `f` with the result: at once if it is there, else on a thread of the runtime, which `f` must not block.
    ///
    /// Take a [`Call::canceller`] before, if cancelling must stay possible.
    pub fn on_done(mut self, f: impl FnOnce(Result<T>) + Send + 'static) {
        if self.is_stale() {
            let error = self.forked();
            f(Err(error));
            return;
        }
        // From here on nobody waits by this handle, and dropping it must not abort the task.
        self.task.abort = None;
        let mut state = self.shared.state.lock();
        if let Some(result) = self.shared.take(&mut state) {
            drop(state);
            f(result);
        } else if let State::Pending { callback, .. } = &mut *state {
            *callback = Some(Box::new(f));
        }
    }

    /// Stops the call; it ends with [`ErrorCode::Cancelled`] unless it already has a result.
    pub fn cancel(&self) {
        self.task.cancel();
    }

    /// A handle that cancels this call and outlives it.
    pub fn canceller(&self) -> Canceller {
        self.task.clone()
    }

    /// Whether the result is there.
    pub fn is_done(&self) -> bool {
        self.is_stale() || !matches!(*self.shared.state.lock(), State::Pending { .. })
    }

    fn is_stale(&self) -> bool {
        self.task.abort.is_some() && self.task.generation != runtime::generation()
    }

    fn forked(&self) -> Error {
        Error::new(ErrorCode::Forked, self.shared.operation)
    }
}

impl<T: Send + 'static> Future for Call<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.is_stale() {
            return Poll::Ready(Err(self.forked()));
        }
        let mut state = self.shared.state.lock();
        if let Some(result) = self.shared.take(&mut state) {
            return Poll::Ready(result);
        }
        if let State::Pending { waker, .. } = &mut *state {
            match waker {
                Some(known) if known.will_wake(context.waker()) => {}
                other => *other = Some(context.waker().clone()),
            }
        }
        Poll::Pending
    }
}

impl<T> Drop for Call<T> {
    fn drop(&mut self) {
        self.task.cancel();
    }
}

impl<T> std::fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call")
            .field("operation", &self.shared.operation)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
