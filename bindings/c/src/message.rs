// SPDX-License-Identifier: Apache-2.0
//! What is sent, and what became of it.

use std::ffi::c_char;

use bytes::Bytes;
use kerolox_client::facade::{Message, SendResult};

use crate::convert::klx_str_t;
use crate::error::{Outcome, entry, klx_error_t, klx_status_t, read};
use crate::ptr;

/// A message to send. Sending does not use it up: it may be changed and sent again.
pub struct klx_message_t(Message);

/// A new message; topic and body are copied. Free it with klx_message_free.
///
/// Never NULL: what is not allowed as a topic or body is reported when the message is sent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_message_new(topic: klx_str_t, body: klx_str_t) -> *mut klx_message_t {
    // SAFETY: the caller vouches for pointers and lengths.
    let (topic, body) = unsafe { (topic.bytes("topic"), body.bytes("body")) };
    // Bytes that are no text become a character that no topic may have, so that sending names the mistake.
    let topic = topic.map_or_else(
        |_null| String::new(),
        |topic| String::from_utf8_lossy(topic).into_owned(),
    );
    let body = body.map_or_else(|_null| Bytes::new(), Bytes::copy_from_slice);
    ptr::give(klx_message_t(Message::new(topic, body)))
}

/// Frees a message. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_message_free(message: *mut klx_message_t) {
    // SAFETY: NULL or a message that has not been freed.
    drop(unsafe { ptr::take(message) });
}

/// Sets the tag, which consumers filter by.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_message_set_tag(
    message: *mut klx_message_t,
    tag: klx_str_t,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("message_set_tag", err, {
        ptr::exclusive(message, "message")?.0.tag = Some(tag.text("tag")?.to_owned());
        Ok(())
    })
}

/// Adds a key, which the message can be found by later.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_message_add_key(
    message: *mut klx_message_t,
    key: klx_str_t,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("message_add_key", err, {
        let keys = &mut ptr::exclusive(message, "message")?.0.keys;
        keys.push(key.text("key")?.to_owned());
        Ok(())
    })
}

/// Sets a property; names that the protocol reserves are refused when the message is sent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_message_set_property(
    message: *mut klx_message_t,
    name: klx_str_t,
    value: klx_str_t,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("message_set_property", err, {
        let properties = &mut ptr::exclusive(message, "message")?.0.properties;
        let (name, value) = (name.text("name")?, value.text("value")?);
        properties.retain(|(known, _)| known != name);
        properties.push((name.to_owned(), value.to_owned()));
        Ok(())
    })
}

/// Sets a number of the application's own, carried as it is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_message_set_flag(
    message: *mut klx_message_t,
    flag: i32,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("message_set_flag", err, {
        ptr::exclusive(message, "message")?.0.flag = flag;
        Ok(())
    })
}

/// Sets the delay level, 1 to 18 (1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h); 0 = at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_message_set_delay_level(
    message: *mut klx_message_t,
    delay_level: i32,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("message_set_delay_level", err, {
        ptr::exclusive(message, "message")?.0.delay_level = delay_level;
        Ok(())
    })
}

pub(crate) unsafe fn message(message: *const klx_message_t) -> Outcome<Message> {
    // SAFETY: the caller vouches for the pointer.
    Ok(unsafe { ptr::required(message, "message") }?.0.clone())
}

pub(crate) unsafe fn messages(
    messages: *const *const klx_message_t,
    count: usize,
) -> Outcome<Vec<Message>> {
    // SAFETY: the caller vouches for the array and each pointer in it.
    unsafe {
        let pointers = ptr::array(messages, count, "messages")?;
        pointers.iter().map(|pointer| message(*pointer)).collect()
    }
}

/// How a broker stored a message: one of KLX_SEND_*. All of them mean that it is stored.
pub type klx_send_status_t = i32;

/// Stored as the broker's configuration asks for.
pub const KLX_SEND_OK: klx_send_status_t = 0;
/// Stored, but not on disk in time (synchronous flush).
pub const KLX_SEND_FLUSH_DISK_TIMEOUT: klx_send_status_t = 1;
/// Stored, but not copied to a slave in time (synchronous replication).
pub const KLX_SEND_FLUSH_SLAVE_TIMEOUT: klx_send_status_t = 2;
/// Stored, but no slave was there to copy to (synchronous replication).
pub const KLX_SEND_SLAVE_NOT_AVAILABLE: klx_send_status_t = 3;

/// What became of a message that was sent. Free it with klx_send_result_free.
pub struct klx_send_result_t(pub(crate) SendResult);

/// How it was stored; -1 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_send_result_status(
    result: *const klx_send_result_t,
) -> klx_send_status_t {
    read!(result, -1, |result| Some(result.0.status.number().into()))
}

/// The reference's name of a send status, "SEND_OK"; "UNKNOWN" for a number that is none. Static, ends with NUL.
#[unsafe(no_mangle)]
pub extern "C" fn klx_send_status_name(status: klx_send_status_t) -> *const c_char {
    let name = match status {
        KLX_SEND_OK => c"SEND_OK",
        KLX_SEND_FLUSH_DISK_TIMEOUT => c"FLUSH_DISK_TIMEOUT",
        KLX_SEND_FLUSH_SLAVE_TIMEOUT => c"FLUSH_SLAVE_TIMEOUT",
        KLX_SEND_SLAVE_NOT_AVAILABLE => c"SLAVE_NOT_AVAILABLE",
        _ => c"UNKNOWN",
    };
    name.as_ptr()
}

/// The unique id that the client gave the message; of a batch, the ids joined by commas.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_send_result_message_id(result: *const klx_send_result_t) -> klx_str_t {
    read!(result, klx_str_t::NONE, |result| Some(klx_str_t::of(
        &result.0.message_id
    )))
}

/// The id that names its place in the broker's log; of a batch, the ids joined by commas.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_send_result_offset_message_id(
    result: *const klx_send_result_t,
) -> klx_str_t {
    read!(result, klx_str_t::NONE, |result| Some(klx_str_t::of(
        &result.0.offset_message_id
    )))
}

/// The topic.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_send_result_topic(result: *const klx_send_result_t) -> klx_str_t {
    read!(result, klx_str_t::NONE, |result| Some(klx_str_t::of(
        &result.0.topic
    )))
}

/// The broker that stored it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_send_result_broker_name(
    result: *const klx_send_result_t,
) -> klx_str_t {
    read!(result, klx_str_t::NONE, |result| Some(klx_str_t::of(
        &result.0.broker_name
    )))
}

/// The queue it is in; -1 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_send_result_queue_id(result: *const klx_send_result_t) -> i32 {
    read!(result, -1, |result| Some(result.0.queue_id))
}

/// Its offset in the queue, of a batch the first one's; -1 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_send_result_queue_offset(result: *const klx_send_result_t) -> i64 {
    read!(result, -1, |result| Some(result.0.queue_offset))
}

/// Frees a result. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_send_result_free(result: *mut klx_send_result_t) {
    // SAFETY: NULL or a result that has not been freed.
    drop(unsafe { ptr::take(result) });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    use kerolox_client::facade::SendStatus;

    #[test]
    fn send_statuses_are_those_of_the_client() {
        for status in SendStatus::ALL {
            // SAFETY: names are static.
            let name = unsafe { CStr::from_ptr(klx_send_status_name(status.number().into())) };
            assert_eq!(name.to_str(), Ok(status.name()));
        }
    }

    #[test]
    fn a_topic_that_is_no_text_is_left_to_the_client_to_refuse() {
        // SAFETY: the strings are live, the message is freed once.
        unsafe {
            let made = klx_message_new(klx_str_t::of(b"\xff\xfe"), klx_str_t::of("body"));
            let sent = message(made).ok().expect("not NULL");
            assert_eq!(
                (sent.topic.as_str(), &sent.body[..]),
                ("\u{fffd}\u{fffd}", &b"body"[..])
            );
            klx_message_free(made);
        }
    }
}
