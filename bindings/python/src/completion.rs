// SPDX-License-Identifier: Apache-2.0
//! From a [`Call`] to its result in Python: a blocking wait, or an asyncio future.
//!
//! Asyncio: one [`Completions`] per event loop. Threads of the core push results and, when the queue was empty, write
//! one byte to a pipe that the loop watches; the loop then settles everything that has piled up. So the core never
//! attaches to the interpreter, and one wake-up serves many results. `drain` reads the byte first and takes the queue
//! after it: a result pushed in between is taken now, and one pushed later finds the queue empty and writes again.
//!
//! The queue's lock is a leaf: it is held to push or to take, and nothing else happens meanwhile on either side.

use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use kerolox::facade::{Call, Canceller, Result};
use parking_lot::Mutex;
use pyo3::IntoPyObjectExt;
use pyo3::intern;
use pyo3::prelude::*;

use crate::error::to_exception;

/// How often a blocking call looks for signals.
const SIGNAL_STEP: Duration = Duration::from_millis(100);

/// A result that becomes a Python object.
pub(crate) trait ToPython: Send + Sized + 'static {
    /// Makes the object.
    fn to_python(self, py: Python<'_>) -> PyResult<Py<PyAny>>;

    /// Called instead when the waiting had been given up before the result came.
    fn unclaimed(self) {}
}

macro_rules! plain_results {
    ($($kind:ty),*) => {$(
        impl ToPython for $kind {
            fn to_python(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                self.into_py_any(py)
            }
        }
    )*};
}

plain_results!((), i64, Option<i64>, Vec<String>);

/// Writes the methods of a handle that wait for their result, or answer a future when `into` is given: `start`, those
/// that are listed as `name(argument: type => plain data)`, and then the ones that are written out.
macro_rules! handle {
    (
        impl $handle:ident($wrap:expr, $options:ident $(, $more:ident: $more_kind:ty => $more_plain:expr)?) {
            $($name:ident($($arg:ident: $kind:ty => $plain:expr),*);)*
        }
        $($written_out:tt)*
    ) => {
        #[pymethods]
        impl $handle {
            #[staticmethod]
            #[pyo3(signature = (options, $($more,)? into=None))]
            fn start(
                py: Python<'_>,
                options: &Bound<'_, pyo3::types::PyDict>,
                $($more: $more_kind,)?
                into: Option<&Bound<'_, Completions>>,
            ) -> PyResult<Py<PyAny>> {
                let options = crate::convert::options(options, facade::$options::set)?;
                let call = facade::$handle::start(options $(, $more_plain)?);
                finish(py, call, into, $wrap)
            }

            $(#[pyo3(signature = ($($arg,)* into=None))]
            fn $name(
                &self,
                py: Python<'_>,
                $($arg: $kind,)*
                into: Option<&Bound<'_, Completions>>,
            ) -> PyResult<Py<PyAny>> {
                finish(py, self.0.$name($($plain),*), into, |value| value)
            })*

            $($written_out)*
        }

        impl ToPython for $handle {
            fn to_python(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                pyo3::IntoPyObjectExt::into_py_any(self, py)
            }

            fn unclaimed(self) {
                self.0.close().on_done(drop);
            }
        }
    };
}

pub(crate) use handle;

/// Gives the result of `call`: waits for it, or answers a future of the loop that `into` belongs to.
pub(crate) fn finish<T: Send + 'static, U: ToPython>(
    py: Python<'_>,
    call: Call<T>,
    into: Option<&Bound<'_, Completions>>,
    convert: impl FnOnce(T) -> U + Send + 'static,
) -> PyResult<Py<PyAny>> {
    match into {
        None => wait(py, call, convert),
        Some(completions) => completions.get().future(py, call, convert),
    }
}

fn wait<T: Send + 'static, U: ToPython>(
    py: Python<'_>,
    call: Call<T>,
    convert: impl FnOnce(T) -> U + Send + 'static,
) -> PyResult<Py<PyAny>> {
    loop {
        let step = || call.wait(Some(SIGNAL_STEP));
        let result = match call.is_done() {
            true => step(),
            false => py.detach(step),
        };
        match result {
            Some(Ok(value)) => return convert(value).to_python(py),
            Some(Err(error)) => return Err(to_exception(py, &error)),
            None => {}
        }
        if let Err(interrupt) = py.check_signals() {
            call.cancel();
            call.on_done(move |result| {
                if let Ok(value) = result {
                    convert(value).unclaimed();
                }
            });
            return Err(interrupt);
        }
    }
}

/// A result, erased: its object or exception. If it is not wanted any more, it goes back to where it came from.
type Outcome = Box<dyn FnOnce(Python<'_>, bool) -> PyResult<Py<PyAny>> + Send>;

fn outcome<U: ToPython>(result: Result<U>) -> Outcome {
    Box::new(move |py, is_wanted| match result {
        Ok(value) if is_wanted => value.to_python(py),
        Ok(value) => {
            value.unclaimed();
            Ok(py.None())
        }
        Err(error) => Err(to_exception(py, &error)),
    })
}

struct Finished {
    future: Py<PyAny>,
    cancel: Py<CancelCall>,
    outcome: Outcome,
}

impl Finished {
    fn settle(self, py: Python<'_>) -> PyResult<()> {
        let future = self.future.bind(py);
        if future.call_method0(intern!(py, "done"))?.is_truthy()? {
            (self.outcome)(py, false).ok();
            return Ok(());
        }
        future.call_method1(intern!(py, "remove_done_callback"), (self.cancel,))?;
        settle(future, self.outcome)
    }
}

struct Shared {
    finished: Mutex<Vec<Finished>>,
    reader: PipeReader,
    writer: PipeWriter,
}

impl Shared {
    fn push(&self, finished: Finished) {
        let is_first = {
            let mut queue = self.finished.lock();
            queue.push(finished);
            queue.len() == 1
        };
        if is_first {
            // At most one byte is in the pipe at a time, so this does not block; both ends live in `self`.
            drop((&self.writer).write(&[1]));
        }
    }
}

/// Where the results of one event loop arrive.
#[pyclass(frozen, module = "kerolox._native")]
pub(crate) struct Completions {
    shared: Arc<Shared>,
    create_future: Py<PyAny>,
}

#[pymethods]
impl Completions {
    #[new]
    fn new(event_loop: &Bound<'_, PyAny>) -> PyResult<Self> {
        let (reader, writer) = std::io::pipe()?;
        Ok(Self {
            shared: Arc::new(Shared {
                finished: Mutex::new(Vec::new()),
                reader,
                writer,
            }),
            create_future: event_loop.getattr("create_future")?.unbind(),
        })
    }

    /// The file descriptor that is readable when `drain` has something to do.
    fn fileno(&self) -> i32 {
        self.shared.reader.as_raw_fd()
    }

    /// Settles the futures of all results that have arrived. The loop calls it when the descriptor is readable.
    fn drain(&self, py: Python<'_>) -> PyResult<()> {
        (&self.shared.reader).read_exact(&mut [0])?;
        let finished = std::mem::take(&mut *self.shared.finished.lock());
        for finished in finished {
            // One future that can not be settled must not keep the others waiting.
            if let Err(error) = finished.settle(py) {
                error.write_unraisable(py, None);
            }
        }
        Ok(())
    }
}

impl Completions {
    fn future<T: Send + 'static, U: ToPython>(
        &self,
        py: Python<'_>,
        call: Call<T>,
        convert: impl FnOnce(T) -> U + Send + 'static,
    ) -> PyResult<Py<PyAny>> {
        let future = self.create_future.bind(py).call0()?;
        if call.is_done()
            && let Some(result) = call.wait(Some(Duration::ZERO))
        {
            settle(&future, outcome(result.map(convert)))?;
            return Ok(future.unbind());
        }
        let cancel = Bound::new(py, CancelCall(call.canceller()))?;
        future.call_method1(intern!(py, "add_done_callback"), (&cancel,))?;
        let shared = Arc::clone(&self.shared);
        let (answer, cancel) = (future.clone().unbind(), cancel.unbind());
        call.on_done(move |result| {
            shared.push(Finished {
                future: answer,
                cancel,
                outcome: outcome(result.map(convert)),
            });
        });
        Ok(future.unbind())
    }
}

fn settle(future: &Bound<'_, PyAny>, outcome: Outcome) -> PyResult<()> {
    let py = future.py();
    match outcome(py, true) {
        Ok(value) => future.call_method1(intern!(py, "set_result"), (value,))?,
        Err(error) => future.call_method1(intern!(py, "set_exception"), (error.value(py),))?,
    };
    Ok(())
}

/// Done-callback of a future: a cancelled future cancels its call.
#[pyclass(frozen)]
struct CancelCall(Canceller);

#[pymethods]
impl CancelCall {
    fn __call__(&self, future: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = future.py();
        if future.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
            self.0.cancel();
        }
        Ok(())
    }
}
