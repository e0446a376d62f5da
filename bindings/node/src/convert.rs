// SPDX-License-Identifier: Apache-2.0
//! JavaScript values to the façade's plain data and back. The only module of the binding with unsafe code.
//!
//! `arguments.js` has checked and normalised what comes in; lists of names and values come flat (`[name, value, …]`).
//! Bodies are copied once in each direction: memory that JavaScript and Rust share costs two to three times as much.
//!
//! Safety rules that every block below relies on: a [`Js`] and its [`JsValue`]s are made from the environment of the
//! call that is running, are used on its thread only and not after it has returned (they are neither `Send` nor kept
//! anywhere), so environment and values are alive; and every call into Node-API checks its status.

use std::ffi::c_void;
use std::ptr;

use bytes::Bytes;
use kerolox::facade::{self, Delivery, Error, ReceivedMessage, Result, Value};
use napi::bindgen_prelude::{BufferSlice, FromNapiValue, Function, FunctionRef, ToNapiValue};
use napi::{Env, JsValue as _, Status, Unknown, sys};
use napi_derive::napi;

use crate::completion::{Bridge, Wake};
use crate::error::js_spelling;

/// A JavaScript value of the running call.
#[derive(Clone, Copy)]
pub struct JsValue(sys::napi_value);

impl ToNapiValue for JsValue {
    unsafe fn to_napi_value(_env: sys::napi_env, value: Self) -> napi::Result<sys::napi_value> {
        Ok(value.0)
    }
}

impl FromNapiValue for JsValue {
    unsafe fn from_napi_value(_env: sys::napi_env, value: sys::napi_value) -> napi::Result<Self> {
        Ok(Self(value))
    }
}

/// A function of the JavaScript side that makes objects.
pub(crate) type Factory<'env> = Function<'env, JsValue, JsValue>;

/// A [`Factory`] that is kept.
pub(crate) type FactoryRef = FunctionRef<JsValue, JsValue>;

fn check(status: sys::napi_status) -> napi::Result<()> {
    match Status::from(status) {
        Status::Ok => Ok(()),
        failed => Err(napi::Error::new(failed, "Node-API refused a conversion")),
    }
}

/// The environment of the running call; makes values.
#[derive(Clone, Copy)]
pub(crate) struct Js(sys::napi_env);

/// Calls a Node-API function that answers with one value.
macro_rules! make {
    ($function:ident($($argument:expr),*)) => {{
        let mut value = ptr::null_mut();
        // SAFETY: environment and arguments are alive (see the module); `value` is a place for the answer.
        check(unsafe { sys::$function($($argument,)* &mut value) })?;
        Ok(JsValue(value))
    }};
}

impl Js {
    pub(crate) fn new(env: &Env) -> Self {
        Self(env.raw())
    }

    pub(crate) fn undefined(self) -> napi::Result<JsValue> {
        make!(napi_get_undefined(self.0))
    }

    pub(crate) fn number(self, value: i64) -> napi::Result<JsValue> {
        make!(napi_create_int64(self.0, value))
    }

    pub(crate) fn text(self, text: &str) -> napi::Result<JsValue> {
        make!(napi_create_string_utf8(
            self.0,
            text.as_ptr().cast(),
            text.len() as isize
        ))
    }

    pub(crate) fn buffer(self, bytes: &[u8]) -> napi::Result<JsValue> {
        let data: *const c_void = bytes.as_ptr().cast();
        make!(napi_create_buffer_copy(
            self.0,
            bytes.len(),
            data,
            ptr::null_mut()
        ))
    }

    pub(crate) fn array(
        self,
        values: impl IntoIterator<Item = napi::Result<JsValue>>,
    ) -> napi::Result<JsValue> {
        let array: napi::Result<JsValue> = make!(napi_create_array(self.0));
        let array = array?;
        for (index, value) in (0u32..).zip(values) {
            // SAFETY: see the module.
            check(unsafe { sys::napi_set_element(self.0, array.0, index, value?.0) })?;
        }
        Ok(array)
    }

    /// A value of a type that is declared to napi: a class instance, a plain object.
    pub(crate) fn value<T: ToNapiValue>(self, value: T) -> napi::Result<JsValue> {
        // SAFETY: see the module.
        unsafe { T::to_napi_value(self.0, value) }.map(JsValue)
    }

    /// Calls a function that is kept.
    pub(crate) fn call(self, function: &FactoryRef, argument: JsValue) -> napi::Result<JsValue> {
        function.borrow_back(&Env::from_raw(self.0))?.call(argument)
    }

    /// What throws exactly `value` when a method returns it.
    pub(crate) fn exception(self, value: JsValue) -> napi::Error {
        // SAFETY: see the module.
        napi::Error::from(unsafe { Unknown::from_raw_unchecked(self.0, value.0) })
    }

    /// Whether the wake-up keeps the process alive.
    pub(crate) fn set_referenced(self, wake: &Wake, referenced: bool) {
        wake.handle.with_read_aborted(|aborted| {
            if !aborted {
                // SAFETY: not aborted, so the threadsafe function exists; this is the thread of its environment. It can
                // only fail while the environment is closing, when it has no effect anyway.
                let _status = unsafe {
                    match referenced {
                        true => sys::napi_ref_threadsafe_function(self.0, wake.raw()),
                        false => sys::napi_unref_threadsafe_function(self.0, wake.raw()),
                    }
                };
            }
        });
    }

    /// A promise, and what settles it.
    pub(crate) fn deferred(self) -> napi::Result<(Deferred, JsValue)> {
        let (mut deferred, mut promise) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: see the module; both are places for answers.
        check(unsafe { sys::napi_create_promise(self.0, &mut deferred, &mut promise) })?;
        Ok((Deferred(deferred), JsValue(promise)))
    }
}

/// Settles one promise, once; each method takes it by value.
pub(crate) struct Deferred(sys::napi_deferred);

// SAFETY: an opaque pointer that other threads only carry; it is used with a `Js`, so on the thread of the environment.
// One whose environment has closed is dropped unused.
unsafe impl Send for Deferred {}

impl Deferred {
    pub(crate) fn resolve(self, js: Js, value: JsValue) {
        // SAFETY: see the module; the deferred is unused, as this consumes it. Failing, it leaves nothing to do.
        let _status = unsafe { sys::napi_resolve_deferred(js.0, self.0, value.0) };
    }

    pub(crate) fn reject(self, js: Js, error: JsValue) {
        // SAFETY: as in `resolve`.
        let _status = unsafe { sys::napi_reject_deferred(js.0, self.0, error.0) };
    }

    /// Rejects with what a conversion failed with.
    pub(crate) fn reject_with(self, js: Js, failure: napi::Error) {
        // SAFETY: see the module.
        match unsafe { napi::Error::to_napi_value(js.0, failure) } {
            Ok(error) => self.reject(js, JsValue(error)),
            Err(_environment_is_closing) => {}
        }
    }
}

/// Plain data of the façade as a JavaScript value.
pub(crate) trait ToJs {
    fn to_js(self, js: Js) -> napi::Result<JsValue>;
}

impl ToJs for () {
    fn to_js(self, js: Js) -> napi::Result<JsValue> {
        js.undefined()
    }
}

impl ToJs for i64 {
    fn to_js(self, js: Js) -> napi::Result<JsValue> {
        js.number(self)
    }
}

impl ToJs for Option<i64> {
    fn to_js(self, js: Js) -> napi::Result<JsValue> {
        self.map_or_else(|| js.undefined(), |number| js.number(number))
    }
}

impl ToJs for Vec<String> {
    fn to_js(self, js: Js) -> napi::Result<JsValue> {
        js.array(self.iter().map(|text| js.text(text)))
    }
}

impl ToJs for Vec<ReceivedMessage> {
    fn to_js(self, js: Js) -> napi::Result<JsValue> {
        let env = Env::from_raw(js.0);
        let bridge = Bridge::of(&env)?;
        let mut writer = MessageWriter::new(js, &env, &bridge)?;
        js.array(self.iter().map(|message| writer.message(message)))
    }
}

/// `[id, message, id, message, …]`: flat, as `push-consumer.js` makes the delivery objects.
impl ToJs for Vec<Delivery> {
    fn to_js(self, js: Js) -> napi::Result<JsValue> {
        let env = Env::from_raw(js.0);
        let bridge = Bridge::of(&env)?;
        let mut writer = MessageWriter::new(js, &env, &bridge)?;
        js.array(self.iter().flat_map(|delivery| {
            // Numbered from 1 up in each consumer: far below 2^53.
            let id = js.number(delivery.id as i64);
            [id, writer.message(&delivery.message)]
        }))
    }
}

/// Makes the messages of one poll by the factory of `messages.js`: one call a message is faster than setting its fields
/// one by one, and strings that messages share (topic, addresses, names of properties) are made once.
struct MessageWriter<'a> {
    js: Js,
    factory: Factory<'a>,
    shared: Vec<(&'a str, JsValue)>,
    arguments: Vec<sys::napi_value>,
}

impl<'a> MessageWriter<'a> {
    /// Strings that are looked for among the shared ones; more would cost more than they save.
    const MOST_SHARED: usize = 24;

    fn new(js: Js, env: &'a Env, bridge: &'a Bridge) -> napi::Result<Self> {
        Ok(Self {
            js,
            factory: bridge.message_factory(env)?,
            shared: Vec::new(),
            arguments: Vec::new(),
        })
    }

    fn shared(&mut self, text: &'a str) -> napi::Result<JsValue> {
        if let Some((_, value)) = self.shared.iter().find(|(known, _)| *known == text) {
            return Ok(*value);
        }
        let value = self.js.text(text)?;
        if self.shared.len() < Self::MOST_SHARED {
            self.shared.push((text, value));
        }
        Ok(value)
    }

    /// The order is that of the factory's parameters.
    fn message(&mut self, message: &'a ReceivedMessage) -> napi::Result<JsValue> {
        let js = self.js;
        let fields = [
            self.shared(&message.topic)?,
            js.buffer(&message.body)?,
            match &message.tag {
                Some(tag) => self.shared(tag)?,
                None => js.undefined()?,
            },
            js.array(message.keys.iter().map(|key| js.text(key)))?,
            js.text(&message.message_id)?,
            js.text(&message.offset_message_id)?,
            self.shared(&message.broker_name)?,
            js.number(i64::from(message.queue_id))?,
            js.number(message.queue_offset)?,
            js.number(i64::from(message.reconsume_times))?,
            js.number(message.born_timestamp_ms)?,
            js.number(message.store_timestamp_ms)?,
            self.shared(&message.born_host)?,
            self.shared(&message.store_host)?,
            js.number(i64::from(message.flag))?,
            js.number(message.physical_offset)?,
        ];
        self.arguments.clear();
        self.arguments.extend(fields.map(|field| field.0));
        for (name, value) in &message.properties {
            let pair = [self.shared(name)?, js.text(value)?];
            self.arguments.extend(pair.map(|text| text.0));
        }
        let (this, arguments) = (js.undefined()?, &self.arguments);
        make!(napi_call_function(
            js.0,
            this.0,
            self.factory.raw(),
            arguments.len(),
            arguments.as_ptr()
        ))
    }
}

/// The bytes of a `Buffer` or another `Uint8Array`.
pub struct Body(Bytes);

impl FromNapiValue for Body {
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> napi::Result<Self> {
        // SAFETY: see the module; the slice is copied before any JavaScript can run.
        let slice = unsafe { BufferSlice::from_napi_value(env, value) }?;
        Ok(Self(Bytes::copy_from_slice(&slice)))
    }
}

/// A message to send.
#[napi(object, object_to_js = false)]
pub struct Message {
    pub topic: String,
    #[napi(ts_type = "Uint8Array")]
    pub body: Body,
    pub tag: Option<String>,
    pub keys: Vec<String>,
    pub properties: Vec<String>,
    pub flag: i32,
    pub delay_level: i32,
}

impl From<Message> for facade::Message {
    fn from(message: Message) -> Self {
        Self {
            topic: message.topic,
            body: message.body.0,
            tag: message.tag,
            keys: message.keys,
            flag: message.flag,
            delay_level: message.delay_level,
            properties: pairs(message.properties).collect(),
        }
    }
}

/// One queue of a topic on one broker.
#[napi(object)]
pub struct Queue {
    pub topic: String,
    pub broker_name: String,
    pub queue_id: i32,
}

impl From<Queue> for facade::Queue {
    fn from(queue: Queue) -> Self {
        Self {
            topic: queue.topic,
            broker_name: queue.broker_name,
            queue_id: queue.queue_id,
        }
    }
}

impl ToJs for Vec<facade::Queue> {
    fn to_js(self, js: Js) -> napi::Result<JsValue> {
        js.array(self.into_iter().map(|queue| {
            js.value(Queue {
                topic: queue.topic,
                broker_name: queue.broker_name,
                queue_id: queue.queue_id,
            })
        }))
    }
}

/// What became of a message that was sent.
#[napi(object, object_from_js = false)]
pub(crate) struct SendResult {
    pub status: &'static str,
    pub message_id: String,
    pub offset_message_id: String,
    pub topic: String,
    pub broker_name: String,
    pub queue_id: i32,
    pub queue_offset: i64,
    pub transaction_id: Option<String>,
    pub region: Option<String>,
}

impl ToJs for facade::SendResult {
    fn to_js(self, js: Js) -> napi::Result<JsValue> {
        js.value(SendResult {
            status: self.status.name(),
            message_id: self.message_id,
            offset_message_id: self.offset_message_id,
            topic: self.topic,
            broker_name: self.broker_name,
            queue_id: self.queue_id,
            queue_offset: self.queue_offset,
            transaction_id: self.transaction_id,
            region: self.region,
        })
    }
}

/// Names and values of a flat list.
pub(crate) fn pairs(flat: Vec<String>) -> impl Iterator<Item = (String, String)> {
    let mut flat = flat.into_iter();
    std::iter::from_fn(move || Some((flat.next()?, flat.next()?)))
}

/// Feeds options to the `set` of their table. They come as `[name as written, name of the table, value, …]`.
pub(crate) fn set_options(
    operation: &'static str,
    flat: Vec<String>,
    mut set: impl FnMut(&str, Value) -> Result<()>,
) -> Result<()> {
    let mut flat = flat.into_iter();
    while let (Some(written), Some(name), Some(value)) = (flat.next(), flat.next(), flat.next()) {
        set(&name, Value::Str(value)).map_err(|error| {
            let message = error
                .message()
                .replace(&format!("'{name}'"), &format!("'{written}'"));
            Error::new(error.code(), operation)
                .with_message(js_spelling(&message))
                .with_context("option", written)
        })?;
    }
    Ok(())
}
