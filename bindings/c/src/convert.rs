// SPDX-License-Identifier: Apache-2.0
//! Between C's view and the façade's: strings, options, queues, lists.

use std::ffi::c_char;
use std::ptr::null;

use kerolox_client::facade::{Queue, Result, Subscription, Value};

use crate::error::{Fail, Outcome, entry, klx_error_t, klx_status_t, read};
use crate::ptr;

/// Text (UTF-8) or bytes: a pointer and a length, no NUL at the end. {NULL, 0} means absent.
///
/// As an argument it is read before the function returns. As a result it is borrowed from the object that it was asked
/// of, and valid until that object is freed. Make one with KLX_STR("literal") or klx_str(c_string).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct klx_str_t {
    /// First byte; may be NULL when len is 0.
    pub ptr: *const c_char,
    /// Number of bytes.
    pub len: usize,
}

impl klx_str_t {
    pub(crate) const NONE: Self = Self {
        ptr: null(),
        len: 0,
    };

    pub(crate) fn of(bytes: &(impl AsRef<[u8]> + ?Sized)) -> Self {
        let bytes = bytes.as_ref();
        Self {
            ptr: bytes.as_ptr().cast(),
            len: bytes.len(),
        }
    }

    pub(crate) unsafe fn bytes<'a>(self, name: &'static str) -> Outcome<&'a [u8]> {
        // SAFETY: the caller vouches for pointer and length.
        unsafe { ptr::array(self.ptr.cast::<u8>(), self.len, name) }
    }

    pub(crate) unsafe fn text<'a>(self, name: &'static str) -> Outcome<&'a str> {
        // SAFETY: passed on.
        let bytes = unsafe { self.bytes(name) }?;
        std::str::from_utf8(bytes)
            .map_err(|error| Fail::Argument(format!("{name} is not UTF-8: {error}")))
    }
}

/// A set of options by name, for the *_start functions, which refuse names and values that they do not know.
pub struct klx_options_t(Vec<(String, Value)>);

/// New, empty options: everything has its default. Free them with klx_options_free.
#[unsafe(no_mangle)]
pub extern "C" fn klx_options_new() -> *mut klx_options_t {
    ptr::give(klx_options_t(Vec::new()))
}

/// Frees options. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_options_free(options: *mut klx_options_t) {
    // SAFETY: NULL or options that have not been freed.
    drop(unsafe { ptr::take(options) });
}

/// Sets an option that takes text or one of several names.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_options_set_str(
    options: *mut klx_options_t,
    name: klx_str_t,
    value: klx_str_t,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("options_set_str", err, {
        let value = value.text("value")?.into();
        ptr::exclusive(options, "options")?.set(name.text("name")?, value);
        Ok(())
    })
}

/// Sets an option that takes a whole number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_options_set_int(
    options: *mut klx_options_t,
    name: klx_str_t,
    value: i64,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("options_set_int", err, {
        ptr::exclusive(options, "options")?.set(name.text("name")?, value.into());
        Ok(())
    })
}

/// Sets an option that is on or off.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_options_set_bool(
    options: *mut klx_options_t,
    name: klx_str_t,
    value: bool,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("options_set_bool", err, {
        ptr::exclusive(options, "options")?.set(name.text("name")?, value.into());
        Ok(())
    })
}

impl klx_options_t {
    fn set(&mut self, name: &str, value: Value) {
        self.0.push((name.to_owned(), value));
    }
}

/// Feeds options, if there are any, to the setter of an option table.
pub(crate) unsafe fn apply(
    options: *const klx_options_t,
    mut set: impl FnMut(&str, Value) -> Result<()>,
) -> Outcome<()> {
    // SAFETY: the caller vouches for the pointer.
    if let Some(options) = unsafe { ptr::optional(options) } {
        for (name, value) in &options.0 {
            set(name, value.clone())?;
        }
    }
    Ok(())
}

/// One queue of a topic on one broker.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct klx_queue_t {
    /// Its topic.
    pub topic: klx_str_t,
    /// The broker that holds it.
    pub broker_name: klx_str_t,
    /// Its number on that broker, from 0.
    pub queue_id: i32,
}

impl klx_queue_t {
    const NONE: Self = Self {
        topic: klx_str_t::NONE,
        broker_name: klx_str_t::NONE,
        queue_id: -1,
    };

    unsafe fn to_queue(self) -> Outcome<Queue> {
        // SAFETY: the caller vouches for the strings.
        let (topic, broker_name) = unsafe {
            (
                self.topic.text("topic")?,
                self.broker_name.text("broker_name")?,
            )
        };
        Ok(Queue {
            topic: topic.to_owned(),
            broker_name: broker_name.to_owned(),
            queue_id: self.queue_id,
        })
    }
}

pub(crate) unsafe fn queue(queue: *const klx_queue_t) -> Outcome<Queue> {
    // SAFETY: the caller vouches for the pointer and what it points to.
    unsafe { ptr::required(queue, "queue")?.to_queue() }
}

pub(crate) unsafe fn queues(queues: *const klx_queue_t, count: usize) -> Outcome<Vec<Queue>> {
    // SAFETY: the caller vouches for pointer, count and strings.
    unsafe {
        let queues = ptr::array(queues, count, "queues")?;
        queues.iter().map(|queue| queue.to_queue()).collect()
    }
}

/// A list of queues. Free it with klx_queues_free.
pub struct klx_queues_t(pub(crate) Vec<Queue>);

/// Number of queues; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_queues_count(queues: *const klx_queues_t) -> usize {
    read!(queues, 0, |queues| Some(queues.0.len()))
}

/// A queue of the list; its queue_id is -1 when the index is out of range. The strings are borrowed from the list.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_queues_at(queues: *const klx_queues_t, index: usize) -> klx_queue_t {
    read!(queues, klx_queue_t::NONE, |queues| {
        queues.0.get(index).map(|queue| klx_queue_t {
            topic: klx_str_t::of(&queue.topic),
            broker_name: klx_str_t::of(&queue.broker_name),
            queue_id: queue.queue_id,
        })
    })
}

/// Frees a list of queues. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_queues_free(queues: *mut klx_queues_t) {
    // SAFETY: NULL or a list that has not been freed.
    drop(unsafe { ptr::take(queues) });
}

/// A list of strings. Free it with klx_strings_free.
pub struct klx_strings_t(pub(crate) Vec<String>);

/// Number of strings; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_strings_count(strings: *const klx_strings_t) -> usize {
    read!(strings, 0, |strings| Some(strings.0.len()))
}

/// A string of the list, borrowed from it; absent when the index is out of range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_strings_at(strings: *const klx_strings_t, index: usize) -> klx_str_t {
    read!(strings, klx_str_t::NONE, |strings| {
        strings.0.get(index).map(klx_str_t::of)
    })
}

/// Frees a list of strings. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_strings_free(strings: *mut klx_strings_t) {
    // SAFETY: NULL or a list that has not been freed.
    drop(unsafe { ptr::take(strings) });
}

/// What a push consumer wants of a topic.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct klx_subscription_t {
    /// The topic.
    pub topic: klx_str_t,
    /// "*" for everything, or tags joined by "||".
    pub expression: klx_str_t,
}

pub(crate) unsafe fn subscriptions(
    subscriptions: *const klx_subscription_t,
    count: usize,
) -> Outcome<Vec<Subscription>> {
    // SAFETY: the caller vouches for pointer, count and strings.
    unsafe {
        let subscriptions = ptr::array(subscriptions, count, "subscriptions")?;
        let convert = |wanted: &klx_subscription_t| {
            let (topic, expression) = (
                wanted.topic.text("topic")?,
                wanted.expression.text("expression")?,
            );
            Ok(Subscription::new(topic, expression))
        };
        subscriptions.iter().map(convert).collect()
    }
}
