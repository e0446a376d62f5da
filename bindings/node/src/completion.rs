// SPDX-License-Identifier: Apache-2.0
//! How results reach JavaScript: one queue and one wake-up for each environment.
//!
//! A `kerolox-io` thread puts a finished call into the queue; when the queue was empty it wakes the JavaScript thread
//! once, which then settles everything that is there. A threadsafe function for every call would cost more than the call.
//!
//! The wake-up keeps the process alive only while a call is outstanding or a push consumer is open.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kerolox::facade::{Call, Error, Result};
use napi::bindgen_prelude::FunctionCallContext;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Status};
use parking_lot::Mutex;

use crate::convert::{Deferred, Factory, FactoryRef, Js, JsValue, ToJs};
use crate::error;

/// Calls the drain function; weak: does not keep the process alive by itself.
pub(crate) type Wake = ThreadsafeFunction<(), (), (), Status, false, true, 0>;

type Settle = Box<dyn FnOnce(&Bridge, Js) + Send>;

/// What finished calls are put into, on any thread.
#[derive(Default)]
struct Queue {
    ready: Mutex<Vec<Settle>>,
    wake: OnceLock<Wake>,
}

impl Queue {
    fn push(&self, settle: Settle) {
        let was_empty = {
            let mut ready = self.ready.lock();
            ready.push(settle);
            ready.len() == 1
        };
        if was_empty && let Some(wake) = self.wake.get() {
            // The only other answer is that the environment is closing; then nobody waits any more.
            let _status = wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }
}

/// Our state of one environment: the main thread's or a worker's. It stays on the thread of that environment.
pub(crate) struct Bridge {
    queue: Arc<Queue>,
    errors: FactoryRef,
    messages: FactoryRef,
    /// Reasons to keep the process alive.
    holds: Cell<usize>,
}

impl Bridge {
    /// Makes the state of `env`.
    pub(crate) fn install(
        env: &Env,
        errors: Factory<'_>,
        messages: Factory<'_>,
    ) -> napi::Result<()> {
        let queue = Arc::new(Queue::default());
        let bridge = Rc::new(Self {
            queue: Arc::clone(&queue),
            errors: errors.create_ref()?,
            messages: messages.create_ref()?,
            holds: Cell::new(0),
        });
        let drain = env.create_function_from_closure::<(), (), _>("kerolox drain", {
            let bridge = Rc::downgrade(&bridge);
            move |context: FunctionCallContext<'_>| {
                if let Some(bridge) = bridge.upgrade() {
                    bridge.drain(Js::new(context.env));
                }
                Ok(())
            }
        })?;
        let wake = drain
            .build_threadsafe_function::<()>()
            .callee_handled::<false>()
            .weak::<true>()
            .build_callback(|_| Ok(()))?;
        if queue.wake.set(wake).is_err() {
            return Err(napi::Error::from_reason("the wake-up is set twice"));
        }
        env.set_instance_data(bridge, (), |_| {})
    }

    /// The state of `env`.
    pub(crate) fn of(env: &Env) -> napi::Result<Rc<Self>> {
        env.get_instance_data::<Rc<Self>>()?
            .map(|bridge| Rc::clone(bridge))
            .ok_or_else(|| {
                napi::Error::from_reason("load this library through the kerolox package")
            })
    }

    /// Keeps the process alive until [`Bridge::release`].
    pub(crate) fn hold(&self, js: Js) {
        self.holds.set(self.holds.get() + 1);
        if self.holds.get() == 1
            && let Some(wake) = self.queue.wake.get()
        {
            js.set_referenced(wake, true);
        }
    }

    /// Takes one [`Bridge::hold`] back.
    pub(crate) fn release(&self, js: Js) {
        self.holds.set(self.holds.get().saturating_sub(1));
        if self.holds.get() == 0
            && let Some(wake) = self.queue.wake.get()
        {
            js.set_referenced(wake, false);
        }
    }

    /// The object that JavaScript gets for `error`.
    pub(crate) fn error(&self, js: Js, error: &Error) -> napi::Result<JsValue> {
        error::to_js(js, &self.errors, error)
    }

    /// Makes the objects of received messages.
    pub(crate) fn message_factory<'a>(&self, env: &'a Env) -> napi::Result<Factory<'a>> {
        self.messages.borrow_back(env)
    }

    fn drain(&self, js: Js) {
        let ready = std::mem::take(&mut *self.queue.ready.lock());
        for settle in ready {
            settle(self, js);
        }
    }

    fn settle<T>(
        &self,
        js: Js,
        deferred: Deferred,
        result: Result<T>,
        convert: impl FnOnce(&Self, Js, T) -> napi::Result<JsValue>,
    ) {
        let outcome = match result {
            Ok(value) => convert(self, js, value),
            Err(error) => match self.error(js, &error) {
                Ok(error) => return deferred.reject(js, error),
                Err(failure) => Err(failure),
            },
        };
        match outcome {
            Ok(value) => deferred.resolve(js, value),
            Err(failure) => deferred.reject_with(js, failure),
        }
    }
}

/// A promise of the call's result.
pub(crate) fn promise<T: ToJs + Send + 'static>(env: &Env, call: Call<T>) -> napi::Result<JsValue> {
    promise_with(env, Ok(call), |_, js, value| value.to_js(js))
}

/// As [`promise`], with a conversion of its own, which runs on the JavaScript thread. `call` is an error when the options
/// already are wrong.
pub(crate) fn promise_with<T: Send + 'static>(
    env: &Env,
    call: Result<Call<T>>,
    convert: impl FnOnce(&Bridge, Js, T) -> napi::Result<JsValue> + Send + 'static,
) -> napi::Result<JsValue> {
    let (js, bridge) = (Js::new(env), Bridge::of(env)?);
    let (deferred, promise) = js.deferred()?;
    let ready = match &call {
        Ok(call) if call.is_done() => call.wait(Some(Duration::ZERO)),
        _ => None,
    };
    match (ready, call) {
        (Some(result), _) => bridge.settle(js, deferred, result, convert),
        (None, Err(error)) => bridge.settle(js, deferred, Err(error), convert),
        (None, Ok(call)) => {
            let done = later(&bridge, js, deferred, convert);
            call.on_done(done);
        }
    }
    Ok(promise)
}

/// A promise of what a blocking function returns; it runs on a thread of its own.
pub(crate) fn blocking<T: Send + 'static>(
    env: &Env,
    work: impl FnOnce() -> Result<T> + Send + 'static,
    convert: impl FnOnce(&Bridge, Js, T) -> napi::Result<JsValue> + Send + 'static,
) -> napi::Result<JsValue> {
    let (js, bridge) = (Js::new(env), Bridge::of(env)?);
    let (deferred, promise) = js.deferred()?;
    let done = later(&bridge, js, deferred, convert);
    std::thread::Builder::new()
        .name("kerolox-node".to_owned())
        .spawn(move || done(work()))
        .map_err(|error| {
            napi::Error::from_reason(format!("no thread could be started: {error}"))
        })?;
    Ok(promise)
}

/// What hands a result over to the JavaScript thread. The process stays alive until it has arrived there.
fn later<T: Send + 'static>(
    bridge: &Bridge,
    js: Js,
    deferred: Deferred,
    convert: impl FnOnce(&Bridge, Js, T) -> napi::Result<JsValue> + Send + 'static,
) -> impl FnOnce(Result<T>) + Send + 'static {
    bridge.hold(js);
    let queue = Arc::clone(&bridge.queue);
    move |result| {
        queue.push(Box::new(move |bridge, js| {
            bridge.release(js);
            bridge.settle(js, deferred, result, convert);
        }));
    }
}

/// Turns the result of an operation that does not wait into a return value or an exception.
pub(crate) fn now<T>(env: &Env, result: Result<T>) -> napi::Result<T> {
    result.or_else(|error| {
        let js = Js::new(env);
        Err(js.exception(Bridge::of(env)?.error(js, &error)?))
    })
}
