// SPDX-License-Identifier: Apache-2.0
//! The push consumer, polled and completed. The loop that runs the user's code is the application's own.

use std::ffi::c_void;
use std::ptr::null_mut;
use std::time::Duration;

use kerolox_client::facade::{Call, PushConsumer, PushConsumerOptions, Result, Verdict};

use crate::batch::klx_batch_t;
use crate::completion::{block, finish, notify};
use crate::convert::{self, klx_options_t, klx_queues_t, klx_subscription_t};
use crate::error::{Fail, KLX_OK, Outcome, entry, klx_error_t, klx_status_t, parts};
use crate::ptr::{self, UserData};

/// Receives the messages of its share of the group's queues. May be used by several threads at once.
///
/// Poll, deal with each delivery, complete each delivery. Free it with klx_push_consumer_free.
pub struct klx_push_consumer_t(PushConsumer);

/// What became of a delivery: one of KLX_VERDICT_*.
pub type klx_verdict_t = i32;

/// It has been dealt with.
pub const KLX_VERDICT_SUCCESS: klx_verdict_t = 0;
/// Deliver it again later. With broadcasting it is dropped with a log line.
pub const KLX_VERDICT_LATER: klx_verdict_t = 1;

/// A delivery and what became of it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct klx_completion_t {
    /// As klx_batch_delivery_id gave it.
    pub delivery_id: u64,
    /// KLX_VERDICT_SUCCESS or KLX_VERDICT_LATER.
    pub verdict: klx_verdict_t,
}

/// Called once with what a poll brought: KLX_OK and a batch, which may be empty, or a status and an error.
///
/// Batch and error belong to the callback, which frees them. It runs on a kerolox-io thread and must not block.
pub type klx_poll_callback_t = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        status: klx_status_t,
        batch: *mut klx_batch_t,
        err: *mut klx_error_t,
    ),
>;

/// Starts a consumer with options of "PushConsumerOptions" and its subscriptions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_push_consumer_start(
    options: *const klx_options_t,
    subscriptions: *const klx_subscription_t,
    count: usize,
    timeout_ms: i64,
    consumer: *mut *mut klx_push_consumer_t,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("push_consumer_start", err, {
        let out = ptr::out_object(consumer, "consumer")?;
        let mut wanted = PushConsumerOptions::default();
        convert::apply(options, |name, value| wanted.set(name, value))?;
        let subscriptions = convert::subscriptions(subscriptions, count)?;
        let started = block("push_consumer_start", timeout_ms, || {
            PushConsumer::start(wanted, subscriptions)
        })?;
        out.give(klx_push_consumer_t(started));
        Ok(())
    })
}

/// Takes up to max messages, waiting up to wait_ms for the first; the batch is empty when none came in time.
///
/// Free the batch with klx_batch_free; a delivery may be completed before or after.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_push_consumer_poll(
    consumer: *const klx_push_consumer_t,
    max: u32,
    wait_ms: u64,
    batch: *mut *mut klx_batch_t,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("push_consumer_poll", err, {
        let out = ptr::out_object(batch, "batch")?;
        let consumer = &ptr::required(consumer, "consumer")?.0;
        let received = block("push_consumer_poll", -1, || consumer.poll(max, wait_ms))?;
        out.give(received.into());
        Ok(())
    })
}

/// As klx_push_consumer_poll, without waiting: when this returns KLX_OK, the callback is called once, later.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_push_consumer_poll_async(
    consumer: *const klx_push_consumer_t,
    max: u32,
    wait_ms: u64,
    callback: klx_poll_callback_t,
    user_data: *mut c_void,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("push_consumer_poll_async", err, {
        let consumer = &ptr::required(consumer, "consumer")?.0;
        report("push_consumer_poll_async", callback, user_data, || {
            consumer.poll(max, wait_ms)
        })
    })
}

/// Says what became of a delivery. Never blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_push_consumer_complete(
    consumer: *const klx_push_consumer_t,
    delivery_id: u64,
    verdict: klx_verdict_t,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("push_consumer_complete", err, {
        let consumer = &ptr::required(consumer, "consumer")?.0;
        Ok(consumer.complete(delivery_id, self::verdict(verdict)?)?)
    })
}

/// Says what became of many deliveries, all of them even if one is not known. Never blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_push_consumer_complete_batch(
    consumer: *const klx_push_consumer_t,
    completions: *const klx_completion_t,
    count: usize,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("push_consumer_complete_batch", err, {
        let consumer = &ptr::required(consumer, "consumer")?.0;
        let convert = |done: &klx_completion_t| Ok((done.delivery_id, verdict(done.verdict)?));
        let completions = ptr::array(completions, count, "completions")?
            .iter()
            .map(convert);
        Ok(consumer.complete_batch(&completions.collect::<Outcome<Vec<_>>>()?)?)
    })
}

/// The queues that this member of the group has now. Free the list with klx_queues_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_push_consumer_assigned(
    consumer: *const klx_push_consumer_t,
    queues: *mut *mut klx_queues_t,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("push_consumer_assigned", err, {
        let out = ptr::out_object(queues, "queues")?;
        out.give(klx_queues_t(
            ptr::required(consumer, "consumer")?.0.assigned(),
        ));
        Ok(())
    })
}

/// Leaves the group: waits for outstanding deliveries for a while, stores the offsets, then lets the queues go.
///
/// A poll that waits ends with KLX_ERR_CLOSED. May be called twice. The consumer still has to be freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_push_consumer_close(
    consumer: *const klx_push_consumer_t,
    timeout_ms: i64,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("push_consumer_close", err, {
        let consumer = &ptr::required(consumer, "consumer")?.0;
        block("push_consumer_close", timeout_ms, || consumer.close())
    })
}

/// Closes the consumer, waiting at most ten seconds, and frees it. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_push_consumer_free(consumer: *mut klx_push_consumer_t) {
    let err = null_mut();
    let _ok = entry!("push_consumer_free", err, {
        if let Some(consumer) = ptr::take(consumer) {
            finish(consumer.0.close(), Duration::from_secs(10));
        }
        Ok(())
    });
}

fn verdict(verdict: klx_verdict_t) -> Outcome<Verdict> {
    match verdict {
        KLX_VERDICT_SUCCESS => Ok(Verdict::Success),
        KLX_VERDICT_LATER => Ok(Verdict::Later),
        other => Err(Fail::Argument(format!(
            "verdict is {other}, allowed is KLX_VERDICT_SUCCESS or KLX_VERDICT_LATER"
        ))),
    }
}

pub(crate) fn report<T: Send + 'static>(
    operation: &'static str,
    callback: klx_poll_callback_t,
    user_data: *mut c_void,
    start: impl FnOnce() -> Call<T>,
) -> Outcome<()>
where
    klx_batch_t: From<T>,
{
    let callback = callback.ok_or(Fail::Null("callback"))?;
    let user_data = UserData(user_data);
    notify(operation, start(), move |result: Result<T>| {
        let UserData(user_data) = { user_data };
        let (status, batch, err) = match result {
            Ok(received) => (KLX_OK, ptr::give(klx_batch_t::from(received)), null_mut()),
            Err(error) => {
                let (status, err) = parts(error);
                (status, null_mut(), err)
            }
        };
        // SAFETY: the header says what a callback gets; both pointers are now its own.
        unsafe { callback(user_data, status, batch, err) };
    });
    Ok(())
}
