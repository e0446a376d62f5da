// SPDX-License-Identifier: Apache-2.0
//! The pull consumer: queues and offsets of the application's choice.

use std::ffi::c_void;
use std::ptr::null_mut;
use std::time::Duration;

use kerolox_client::facade::{PullConsumer, PullConsumerOptions};

use crate::batch::klx_batch_t;
use crate::completion::{block, finish};
use crate::convert::{self, klx_options_t, klx_queue_t, klx_queues_t, klx_str_t};
use crate::error::{entry, klx_error_t, klx_status_t};
use crate::ptr;
use crate::push_consumer::{klx_poll_callback_t, report};

/// Reads queues of the application's choice. May be used by several threads at once.
///
/// Free it with klx_pull_consumer_free.
pub struct klx_pull_consumer_t(PullConsumer);

/// Starts a consumer with options of "PullConsumerOptions"; it reads nothing until queues are assigned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_pull_consumer_start(
    options: *const klx_options_t,
    timeout_ms: i64,
    consumer: *mut *mut klx_pull_consumer_t,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("pull_consumer_start", err, {
        let out = ptr::out_object(consumer, "consumer")?;
        let mut wanted = PullConsumerOptions::default();
        convert::apply(options, |name, value| wanted.set(name, value))?;
        let started = block("pull_consumer_start", timeout_ms, || {
            PullConsumer::start(wanted)
        })?;
        out.give(klx_pull_consumer_t(started));
        Ok(())
    })
}

/// The queues of a topic. Free the list with klx_queues_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_pull_consumer_queues(
    consumer: *const klx_pull_consumer_t,
    topic: klx_str_t,
    timeout_ms: i64,
    queues: *mut *mut klx_queues_t,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("pull_consumer_queues", err, {
        let out = ptr::out_object(queues, "queues")?;
        let consumer = &ptr::required(consumer, "consumer")?.0;
        let topic = topic.text("topic")?;
        let found = block("pull_consumer_queues", timeout_ms, || {
            consumer.queues(topic)
        })?;
        out.give(klx_queues_t(found));
        Ok(())
    })
}

/// Reads exactly these queues from now on; queues that stay keep their position. Never blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_pull_consumer_assign(
    consumer: *const klx_pull_consumer_t,
    queues: *const klx_queue_t,
    count: usize,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("pull_consumer_assign", err, {
        let consumer = &ptr::required(consumer, "consumer")?.0;
        Ok(consumer.assign(convert::queues(queues, count)?)?)
    })
}

/// Filters a topic by tags, "*" or "a || b", from the next assign or seek of each queue on. Never blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_pull_consumer_filter(
    consumer: *const klx_pull_consumer_t,
    topic: klx_str_t,
    expression: klx_str_t,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("pull_consumer_filter", err, {
        let consumer = &ptr::required(consumer, "consumer")?.0;
        Ok(consumer.filter(topic.text("topic")?, expression.text("expression")?)?)
    })
}

/// Continues a queue at this offset; what was read ahead is thrown away.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_pull_consumer_seek(
    consumer: *const klx_pull_consumer_t,
    queue: *const klx_queue_t,
    offset: i64,
    timeout_ms: i64,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("pull_consumer_seek", err, {
        let consumer = &ptr::required(consumer, "consumer")?.0;
        let queue = convert::queue(queue)?;
        block("pull_consumer_seek", timeout_ms, || {
            consumer.seek(queue, offset)
        })
    })
}

/// Continues a queue at its first message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_pull_consumer_seek_to_begin(
    consumer: *const klx_pull_consumer_t,
    queue: *const klx_queue_t,
    timeout_ms: i64,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("pull_consumer_seek_to_begin", err, {
        let consumer = &ptr::required(consumer, "consumer")?.0;
        let queue = convert::queue(queue)?;
        block("pull_consumer_seek_to_begin", timeout_ms, || {
            consumer.seek_to_begin(queue)
        })
    })
}

/// Continues a queue at its end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_pull_consumer_seek_to_end(
    consumer: *const klx_pull_consumer_t,
    queue: *const klx_queue_t,
    timeout_ms: i64,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("pull_consumer_seek_to_end", err, {
        let consumer = &ptr::required(consumer, "consumer")?.0;
        let queue = convert::queue(queue)?;
        block("pull_consumer_seek_to_end", timeout_ms, || {
            consumer.seek_to_end(queue)
        })
    })
}

/// Takes up to max messages, waiting up to wait_ms for the first; the batch is empty when none came in time.
///
/// Free the batch with klx_batch_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_pull_consumer_poll(
    consumer: *const klx_pull_consumer_t,
    max: u32,
    wait_ms: u64,
    batch: *mut *mut klx_batch_t,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("pull_consumer_poll", err, {
        let out = ptr::out_object(batch, "batch")?;
        let consumer = &ptr::required(consumer, "consumer")?.0;
        let received = block("pull_consumer_poll", -1, || consumer.poll(max, wait_ms))?;
        out.give(received.into());
        Ok(())
    })
}

/// As klx_pull_consumer_poll, without waiting: when this returns KLX_OK, the callback is called once, later.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_pull_consumer_poll_async(
    consumer: *const klx_pull_consumer_t,
    max: u32,
    wait_ms: u64,
    callback: klx_poll_callback_t,
    user_data: *mut c_void,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("pull_consumer_poll_async", err, {
        let consumer = &ptr::required(consumer, "consumer")?.0;
        report("pull_consumer_poll_async", callback, user_data, || {
            consumer.poll(max, wait_ms)
        })
    })
}

/// Stores the position behind what has been polled, and waits until the brokers have it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_pull_consumer_commit(
    consumer: *const klx_pull_consumer_t,
    timeout_ms: i64,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("pull_consumer_commit", err, {
        let consumer = &ptr::required(consumer, "consumer")?.0;
        block("pull_consumer_commit", timeout_ms, || consumer.commit())
    })
}

/// The stored position of a queue; -1 if there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_pull_consumer_committed(
    consumer: *const klx_pull_consumer_t,
    queue: *const klx_queue_t,
    timeout_ms: i64,
    offset: *mut i64,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("pull_consumer_committed", err, {
        let out = ptr::out(offset, -1, "offset")?;
        let consumer = &ptr::required(consumer, "consumer")?.0;
        let queue = convert::queue(queue)?;
        let stored = block("pull_consumer_committed", timeout_ms, || {
            consumer.committed(queue)
        })?;
        out.set(stored.unwrap_or(-1));
        Ok(())
    })
}

/// Offset of the first message of a queue.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_pull_consumer_min_offset(
    consumer: *const klx_pull_consumer_t,
    queue: *const klx_queue_t,
    timeout_ms: i64,
    offset: *mut i64,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("pull_consumer_min_offset", err, {
        let out = ptr::out(offset, -1, "offset")?;
        let consumer = &ptr::required(consumer, "consumer")?.0;
        let queue = convert::queue(queue)?;
        out.set(block("pull_consumer_min_offset", timeout_ms, || {
            consumer.min_offset(queue)
        })?);
        Ok(())
    })
}

/// Offset that the next message of a queue will get.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_pull_consumer_max_offset(
    consumer: *const klx_pull_consumer_t,
    queue: *const klx_queue_t,
    timeout_ms: i64,
    offset: *mut i64,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("pull_consumer_max_offset", err, {
        let out = ptr::out(offset, -1, "offset")?;
        let consumer = &ptr::required(consumer, "consumer")?.0;
        let queue = convert::queue(queue)?;
        out.set(block("pull_consumer_max_offset", timeout_ms, || {
            consumer.max_offset(queue)
        })?);
        Ok(())
    })
}

/// Offset of the first message stored at or after a time, in milliseconds since 1970.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_pull_consumer_offset_by_time(
    consumer: *const klx_pull_consumer_t,
    queue: *const klx_queue_t,
    timestamp_ms: i64,
    timeout_ms: i64,
    offset: *mut i64,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("pull_consumer_offset_by_time", err, {
        let out = ptr::out(offset, -1, "offset")?;
        let consumer = &ptr::required(consumer, "consumer")?.0;
        let queue = convert::queue(queue)?;
        out.set(block("pull_consumer_offset_by_time", timeout_ms, || {
            consumer.offset_by_time(queue, timestamp_ms)
        })?);
        Ok(())
    })
}

/// Ends the consumer; commits first if auto_commit is on. May be called twice. It still has to be freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_pull_consumer_close(
    consumer: *const klx_pull_consumer_t,
    timeout_ms: i64,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("pull_consumer_close", err, {
        let consumer = &ptr::required(consumer, "consumer")?.0;
        block("pull_consumer_close", timeout_ms, || consumer.close())
    })
}

/// Closes the consumer, waiting at most five seconds, and frees it. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_pull_consumer_free(consumer: *mut klx_pull_consumer_t) {
    let err = null_mut();
    let _ok = entry!("pull_consumer_free", err, {
        if let Some(consumer) = ptr::take(consumer) {
            finish(consumer.0.close(), Duration::from_secs(5));
        }
        Ok(())
    });
}
