// SPDX-License-Identifier: Apache-2.0
//! The producer.

use std::ffi::c_void;
use std::ptr::null_mut;
use std::time::Duration;

use kerolox_client::facade::{Call, Producer, ProducerOptions, Result, SendResult};

use crate::completion::{block, finish, notify};
use crate::convert::{self, klx_options_t, klx_queue_t, klx_queues_t, klx_str_t};
use crate::error::{Outcome, entry, klx_error_t, klx_status_t, parts};
use crate::message::{klx_message_t, klx_send_result_t, message, messages};
use crate::ptr::{self, UserData};

/// Sends messages. May be used by several threads at once. Free it with klx_producer_free.
pub struct klx_producer_t(Producer);

/// Called once with what became of a send: KLX_OK and a result, or a status and an error, the other being NULL.
///
/// Result and error belong to the callback, which frees them. It runs on a kerolox-io thread and must not block.
pub type klx_send_callback_t = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        status: klx_status_t,
        result: *mut klx_send_result_t,
        err: *mut klx_error_t,
    ),
>;

/// Starts a producer with options of "ProducerOptions", NULL for the defaults.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_producer_start(
    options: *const klx_options_t,
    timeout_ms: i64,
    producer: *mut *mut klx_producer_t,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("producer_start", err, {
        let out = ptr::out_object(producer, "producer")?;
        let mut wanted = ProducerOptions::default();
        convert::apply(options, |name, value| wanted.set(name, value))?;
        let started = block("producer_start", timeout_ms, || Producer::start(wanted))?;
        out.give(klx_producer_t(started));
        Ok(())
    })
}

/// Sends a message and waits until it is stored. result may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_producer_send(
    producer: *const klx_producer_t,
    message: *const klx_message_t,
    timeout_ms: i64,
    result: *mut *mut klx_send_result_t,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("producer_send", err, {
        send("producer_send", producer, timeout_ms, result, |producer| {
            let message = self::message(message)?;
            Ok(move || producer.send(message))
        })
    })
}

/// Sends a message to one queue, once, and waits until it is stored. result may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_producer_send_to_queue(
    producer: *const klx_producer_t,
    message: *const klx_message_t,
    queue: *const klx_queue_t,
    timeout_ms: i64,
    result: *mut *mut klx_send_result_t,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("producer_send_to_queue", err, {
        send(
            "producer_send_to_queue",
            producer,
            timeout_ms,
            result,
            |producer| {
                let (message, queue) = (self::message(message)?, convert::queue(queue)?);
                Ok(move || producer.send_to_queue(message, queue))
            },
        )
    })
}

/// Sends messages of one topic as one request; they are stored next to each other, all or none. result may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_producer_send_batch(
    producer: *const klx_producer_t,
    messages: *const *const klx_message_t,
    count: usize,
    timeout_ms: i64,
    result: *mut *mut klx_send_result_t,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("producer_send_batch", err, {
        send(
            "producer_send_batch",
            producer,
            timeout_ms,
            result,
            |producer| {
                let messages = self::messages(messages, count)?;
                Ok(move || producer.send_batch(messages))
            },
        )
    })
}

/// As klx_producer_send, without waiting: when this returns KLX_OK, the callback is called once, later.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_producer_send_async(
    producer: *const klx_producer_t,
    message: *const klx_message_t,
    callback: klx_send_callback_t,
    user_data: *mut c_void,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("producer_send_async", err, {
        let producer = &ptr::required(producer, "producer")?.0;
        let message = self::message(message)?;
        report(callback, user_data, || producer.send(message))
    })
}

/// As klx_producer_send_to_queue, without waiting: when this returns KLX_OK, the callback is called once, later.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_producer_send_to_queue_async(
    producer: *const klx_producer_t,
    message: *const klx_message_t,
    queue: *const klx_queue_t,
    callback: klx_send_callback_t,
    user_data: *mut c_void,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("producer_send_to_queue_async", err, {
        let producer = &ptr::required(producer, "producer")?.0;
        let (message, queue) = (self::message(message)?, convert::queue(queue)?);
        report(callback, user_data, || {
            producer.send_to_queue(message, queue)
        })
    })
}

/// As klx_producer_send_batch, without waiting: when this returns KLX_OK, the callback is called once, later.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_producer_send_batch_async(
    producer: *const klx_producer_t,
    messages: *const *const klx_message_t,
    count: usize,
    callback: klx_send_callback_t,
    user_data: *mut c_void,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("producer_send_batch_async", err, {
        let producer = &ptr::required(producer, "producer")?.0;
        let messages = self::messages(messages, count)?;
        report(callback, user_data, || producer.send_batch(messages))
    })
}

/// Sends a message without an answer; returns when it has been handed to the connection.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_producer_send_oneway(
    producer: *const klx_producer_t,
    message: *const klx_message_t,
    timeout_ms: i64,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("producer_send_oneway", err, {
        let producer = &ptr::required(producer, "producer")?.0;
        let message = self::message(message)?;
        block("producer_send_oneway", timeout_ms, || {
            producer.send_oneway(message)
        })
    })
}

/// The queues that messages of the topic are sent to. Free the list with klx_queues_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_producer_queues(
    producer: *const klx_producer_t,
    topic: klx_str_t,
    timeout_ms: i64,
    queues: *mut *mut klx_queues_t,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("producer_queues", err, {
        let out = ptr::out_object(queues, "queues")?;
        let producer = &ptr::required(producer, "producer")?.0;
        let topic = topic.text("topic")?;
        let found = block("producer_queues", timeout_ms, || producer.queues(topic))?;
        out.give(klx_queues_t(found));
        Ok(())
    })
}

/// Ends the producer after the sends that are outstanding. May be called twice. It still has to be freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_producer_close(
    producer: *const klx_producer_t,
    timeout_ms: i64,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("producer_close", err, {
        let producer = &ptr::required(producer, "producer")?.0;
        block("producer_close", timeout_ms, || producer.close())
    })
}

/// Closes the producer, waiting at most five seconds, and frees it. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_producer_free(producer: *mut klx_producer_t) {
    let err = null_mut();
    let _ok = entry!("producer_free", err, {
        if let Some(producer) = ptr::take(producer) {
            finish(producer.0.close(), Duration::from_secs(5));
        }
        Ok(())
    });
}

unsafe fn send<'a, S: FnOnce() -> Call<SendResult>>(
    operation: &'static str,
    producer: *const klx_producer_t,
    timeout_ms: i64,
    result: *mut *mut klx_send_result_t,
    prepare: impl FnOnce(&'a Producer) -> Outcome<S>,
) -> Outcome<()> {
    // SAFETY: the entry point's caller vouches for the pointers.
    let (out, producer) = unsafe {
        (
            ptr::optional_out(result, null_mut()),
            ptr::required(producer, "producer")?,
        )
    };
    let sent = block(operation, timeout_ms, prepare(&producer.0)?)?;
    if let Some(out) = out {
        out.give(klx_send_result_t(sent));
    }
    Ok(())
}

fn report(
    callback: klx_send_callback_t,
    user_data: *mut c_void,
    start: impl FnOnce() -> Call<SendResult>,
) -> Outcome<()> {
    let callback = callback.ok_or(crate::error::Fail::Null("callback"))?;
    let user_data = UserData(user_data);
    notify(
        "producer_send_async",
        start(),
        move |result: Result<SendResult>| {
            let UserData(user_data) = { user_data };
            let (status, result, err) = match result {
                Ok(sent) => (
                    crate::error::KLX_OK,
                    ptr::give(klx_send_result_t(sent)),
                    null_mut(),
                ),
                Err(error) => {
                    let (status, err) = parts(error);
                    (status, null_mut(), err)
                }
            };
            // SAFETY: the header says what a callback gets; both pointers are now its own.
            unsafe { callback(user_data, status, result, err) };
        },
    );
    Ok(())
}
