// SPDX-License-Identifier: Apache-2.0
//! The two ways to get a result: block, or be called back.
//!
//! A callback runs exactly once, always on a `kerolox-io` thread and never inside the function that asked for it: an
//! application may hold a lock while it asks, and may ask again from its callback without growing the stack.

use std::cell::Cell;
use std::time::Duration;

use kerolox_client::facade::{Call, Error, ErrorCode, Result, is_io_thread};

use crate::error::Outcome;

/// Starts a call and waits for it. A negative time-out waits as long as the operation itself does.
///
/// Refused before anything is started on a thread that runs callbacks, since the call could wait for that very thread.
pub(crate) fn block<T: Send + 'static>(
    operation: &'static str,
    timeout_ms: i64,
    start: impl FnOnce() -> Call<T>,
) -> Outcome<T> {
    refuse_io_thread(operation)?;
    let timeout = u64::try_from(timeout_ms).ok().map(Duration::from_millis);
    let call = start();
    let result = call.wait(timeout).unwrap_or_else(|| {
        Err(Error::new(ErrorCode::Timeout, operation)
            .with_context("timeout_ms", timeout_ms.to_string()))
    });
    Ok(result?)
}

pub(crate) fn refuse_io_thread(operation: &'static str) -> Result<()> {
    if is_io_thread() {
        return Err(Error::new(ErrorCode::WouldDeadlock, operation));
    }
    Ok(())
}

/// Waits for the end of a handle that is being freed; on an io thread it ends in the background.
pub(crate) fn finish(close: Call<()>, at_most: Duration) {
    if is_io_thread() {
        close.on_done(|_ended| ());
    } else {
        drop(close.wait(Some(at_most)));
    }
}

/// A result on its way to a callback; dropping it delivers it, so that no callback is ever forgotten.
struct Parcel<T, F: FnOnce(Result<T>)>(Option<(Result<T>, F)>);

impl<T, F: FnOnce(Result<T>)> Drop for Parcel<T, F> {
    fn drop(&mut self) {
        if let Some((result, callback)) = self.0.take() {
            callback(result);
        }
    }
}

thread_local!(static ASKING: Cell<bool> = const { Cell::new(false) });

/// Calls `callback` with the result of `call`, later and elsewhere.
pub(crate) fn notify<T: Send + 'static>(
    operation: &'static str,
    call: Call<T>,
    callback: impl FnOnce(Result<T>) + Send + 'static,
) {
    let before = ASKING.replace(true);
    call.on_done(move |result| {
        let parcel = Parcel(Some((result, callback)));
        if ASKING.get() {
            // The result is there already and this is the caller's own stack: deliver from an io thread instead.
            Call::spawn(operation, async move {
                drop(parcel);
                Ok(())
            })
            .on_done(|_delivered| ());
        }
    });
    ASKING.set(before);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn a_ready_result_is_still_delivered_on_an_io_thread() {
        let (sender, receiver) = mpsc::channel();
        notify("test", Call::ready("test", Ok(7)), move |result| {
            sender
                .send((result.ok(), is_io_thread()))
                .expect("receiver waits");
        });
        assert_eq!(receiver.recv_timeout(PATIENCE), Ok((Some(7), true)));
    }

    #[test]
    fn asking_again_from_a_callback_does_not_grow_the_stack() {
        fn again(left: u32, done: mpsc::Sender<()>) {
            notify(
                "test",
                Call::ready("test", Ok(())),
                move |_result| match left {
                    0 => done.send(()).expect("receiver waits"),
                    _ => again(left - 1, done),
                },
            );
        }
        let (sender, receiver) = mpsc::channel();
        again(200_000, sender);
        assert_eq!(receiver.recv_timeout(PATIENCE), Ok(()));
    }

    #[test]
    fn a_blocking_call_gives_up_in_time_and_never_blocks_an_io_thread() {
        let endless = || Call::spawn("test", std::future::pending::<Result<()>>());
        let late = block("test", 20, endless);
        assert!(
            matches!(late, Err(crate::error::Fail::Client(e)) if e.code() == ErrorCode::Timeout)
        );
        let (sender, receiver) = mpsc::channel();
        notify("test", Call::ready("test", Ok(())), move |_result| {
            let refused = block("test", -1, endless);
            let code = match refused {
                Err(crate::error::Fail::Client(error)) => Some(error.code()),
                _ => None,
            };
            sender.send(code).expect("receiver waits");
        });
        assert_eq!(
            receiver.recv_timeout(PATIENCE),
            Ok(Some(ErrorCode::WouldDeadlock))
        );
    }
}
