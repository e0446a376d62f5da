// SPDX-License-Identifier: Apache-2.0
//! Both consumers, deliveries, and the loop over deliveries that acknowledges as it goes.
//!
//! A poll whose caller has gone (a cancelled task, an interrupt) may still end with messages. They are kept as
//! unclaimed and are the first ones of the next poll: nothing that the core has handed out is lost on the way.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kerolox::facade::{self, Call, Subscription, Verdict};
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::completion::{Completions, ToPython, finish, handle};
use crate::convert::{Queue, ReceivedMessage};
use crate::error::checked;

/// How long one poll of a loop over deliveries waits; the loop polls again.
const LOOP_POLL: Duration = Duration::from_secs(60);

/// A consumer of the façade, and what was polled for a caller who had gone.
pub(crate) struct State<C, T> {
    consumer: C,
    unclaimed: Mutex<VecDeque<T>>,
}

type PushState = State<facade::PushConsumer, facade::Delivery>;
type PullState = State<facade::PullConsumer, facade::ReceivedMessage>;

impl<C: Send + Sync + 'static, T: Send + 'static> State<C, T> {
    fn new(consumer: C) -> Arc<Self> {
        let unclaimed = Mutex::new(VecDeque::new());
        Arc::new(Self {
            consumer,
            unclaimed,
        })
    }

    /// Unclaimed ones if there are any, else what `poll` brings.
    fn poll(
        self: &Arc<Self>,
        py: Python<'_>,
        max: u32,
        into: Option<&Bound<'_, Completions>>,
        poll: impl FnOnce(&C) -> Call<Vec<T>>,
    ) -> PyResult<Py<PyAny>>
    where
        Polled<C, T>: ToPython,
    {
        let kept: Vec<T> = {
            let mut unclaimed = self.unclaimed.lock();
            let count = unclaimed.len().min(max as usize);
            unclaimed.drain(..count).collect()
        };
        let call = match kept.is_empty() {
            true => poll(&self.consumer),
            false => Call::ready("poll", Ok(kept)),
        };
        let state = Arc::clone(self);
        finish(py, call, into, |items| Polled { state, items })
    }
}

/// What a poll brought.
struct Polled<C, T> {
    state: Arc<State<C, T>>,
    items: Vec<T>,
}

impl<C, T> Deref for State<C, T> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.consumer
    }
}

/// Receives the messages of its share of the group's queues.
#[pyclass(frozen, module = "kerolox._native")]
pub(crate) struct PushConsumer(pub(crate) Arc<PushState>);

handle! {
    impl PushConsumer(
        |consumer| Self(State::new(consumer)),
        PushConsumerOptions,
        subscriptions: Vec<(String, String)> => subscriptions
            .into_iter()
            .map(|(topic, expression)| Subscription { topic, expression })
            .collect()
    ) {
        close();
    }

    #[pyo3(signature = (max, wait_ms, into=None))]
    fn poll(
        &self,
        py: Python<'_>,
        max: u32,
        wait_ms: u64,
        into: Option<&Bound<'_, Completions>>,
    ) -> PyResult<Py<PyAny>> {
        self.0.poll(py, max, into, |consumer| consumer.poll(max, wait_ms))
    }

    fn complete(&self, py: Python<'_>, id: u64, success: bool) -> PyResult<()> {
        checked(py, self.0.complete(id, verdict(success)))
    }

    fn complete_batch(&self, py: Python<'_>, verdicts: Vec<(u64, bool)>) -> PyResult<()> {
        let verdicts = verdicts.into_iter().map(|(id, success)| (id, verdict(success)));
        checked(py, self.0.complete_batch(&verdicts.collect::<Vec<_>>()))
    }

    fn assigned(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.0.assigned().to_python(py)
    }
}

fn verdict(success: bool) -> Verdict {
    if success {
        Verdict::Success
    } else {
        Verdict::Later
    }
}

impl ToPython for Polled<facade::PushConsumer, facade::Delivery> {
    fn to_python(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let list = PyList::empty(py);
        for facade::Delivery { id, message } in self.items {
            let consumer = self.state.consumer.clone();
            let completed = AtomicBool::new(false);
            let delivery = Delivery {
                id,
                consumer,
                completed,
            };
            let class = PyClassInitializer::from(ReceivedMessage(message)).add_subclass(delivery);
            list.append(Bound::new(py, class)?)?;
        }
        Ok(list.into_any().unbind())
    }

    fn unclaimed(self) {
        self.state.unclaimed.lock().extend(self.items);
    }
}

/// A received message that has to be completed: `ack` when it has been dealt with, `later` to get it again.
#[pyclass(frozen, extends = ReceivedMessage, module = "kerolox._native")]
pub(crate) struct Delivery {
    id: u64,
    consumer: facade::PushConsumer,
    completed: AtomicBool,
}

#[pymethods]
impl Delivery {
    #[getter]
    fn id(&self) -> u64 {
        self.id
    }

    /// Whether `ack` or `later` has been called.
    #[getter]
    fn completed(&self) -> bool {
        self.completed.load(Ordering::Relaxed)
    }

    /// It has been dealt with.
    fn ack(&self, py: Python<'_>) -> PyResult<()> {
        self.complete(py, Verdict::Success)
    }

    /// Deliver it again later.
    fn later(&self, py: Python<'_>) -> PyResult<()> {
        self.complete(py, Verdict::Later)
    }
}

impl Delivery {
    fn complete(&self, py: Python<'_>, verdict: Verdict) -> PyResult<()> {
        self.completed.store(true, Ordering::Relaxed);
        checked(py, self.consumer.complete(self.id, verdict))
    }
}

/// A loop over deliveries, for `for` and `async for`.
///
/// It holds the delivery that the loop's body works on. Asking for the next one acknowledges it. When the loop is left
/// in the middle, the interpreter drops this object while it unwinds: an exception on its way out means that the body
/// failed (`later`), none means `break` or `return` (acknowledged).
#[pyclass(frozen, module = "kerolox._native")]
pub(crate) struct Deliveries {
    state: Arc<PushState>,
    idle: Option<Duration>,
    held: Mutex<Option<Py<Delivery>>>,
}

#[pymethods]
impl Deliveries {
    /// `idle_ms`: the loop ends when nothing has come for so long; None = only when the consumer is closed.
    #[new]
    #[pyo3(signature = (consumer, idle_ms=None))]
    fn new(consumer: &Bound<'_, PushConsumer>, idle_ms: Option<u64>) -> Self {
        Self {
            state: Arc::clone(&consumer.get().0),
            idle: idle_ms.map(Duration::from_millis),
            held: Mutex::new(None),
        }
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, Delivery>>> {
        self.hold(None);
        let start = Instant::now();
        loop {
            let idle = self.idle.map(|idle| idle.saturating_sub(start.elapsed()));
            let wait = idle.unwrap_or(LOOP_POLL).min(LOOP_POLL);
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            let poll = |consumer: &facade::PushConsumer| consumer.poll(1, wait_ms);
            match self.state.poll(py, 1, None, poll) {
                Ok(polled) => {
                    if let Ok(first) = polled.bind(py).get_item(0) {
                        let delivery = first.cast_into::<Delivery>()?;
                        self.hold(Some(delivery.clone().unbind()));
                        return Ok(Some(delivery));
                    }
                }
                Err(error) if is_closed(py, &error) => return Ok(None),
                Err(error) => return Err(error),
            }
            if wait_ms == 0 {
                return Ok(None);
            }
        }
    }

    /// Acknowledges the delivery held, unless it has been completed, and holds `next` instead.
    #[pyo3(signature = (next=None))]
    fn hold(&self, next: Option<Py<Delivery>>) {
        let before = std::mem::replace(&mut *self.held.lock(), next);
        complete_unless_done(before, Verdict::Success);
    }
}

impl Drop for Deliveries {
    fn drop(&mut self) {
        let held = self.held.get_mut().take();
        if held.is_some() {
            let failed = Python::try_attach(PyErr::occurred).unwrap_or(true);
            complete_unless_done(held, verdict(!failed));
        }
    }
}

/// Errors have nobody to go to: a consumer that is closed or was forked takes its deliveries with it.
fn complete_unless_done(delivery: Option<Py<Delivery>>, verdict: Verdict) {
    if let Some(delivery) = &delivery {
        let delivery = delivery.get();
        if !delivery.completed.swap(true, Ordering::Relaxed) {
            drop(delivery.consumer.complete(delivery.id, verdict));
        }
    }
}

fn is_closed(py: Python<'_>, error: &PyErr) -> bool {
    let code = error.value(py).getattr("code");
    code.is_ok_and(|code| code.extract().ok() == Some(facade::ErrorCode::Closed.number()))
}

/// Seeking drops the unclaimed messages of a queue: they belong to its old position.
impl PullState {
    fn forget(&self, queue: &facade::Queue) {
        let mut unclaimed = self.unclaimed.lock();
        unclaimed.retain(|message| message.queue() != *queue);
    }

    fn seek(&self, queue: facade::Queue, offset: i64) -> Call<()> {
        self.forget(&queue);
        self.consumer.seek(queue, offset)
    }

    fn seek_to_begin(&self, queue: facade::Queue) -> Call<()> {
        self.forget(&queue);
        self.consumer.seek_to_begin(queue)
    }

    fn seek_to_end(&self, queue: facade::Queue) -> Call<()> {
        self.forget(&queue);
        self.consumer.seek_to_end(queue)
    }
}

/// Reads queues of the application's choice, at offsets of its choice.
#[pyclass(frozen, module = "kerolox._native")]
pub(crate) struct PullConsumer(pub(crate) Arc<PullState>);

handle! {
    impl PullConsumer(|consumer| Self(State::new(consumer)), PullConsumerOptions) {
        queues(topic: String => topic);
        seek(queue: Queue => queue.0, offset: i64 => offset);
        seek_to_begin(queue: Queue => queue.0);
        seek_to_end(queue: Queue => queue.0);
        commit();
        committed(queue: Queue => queue.0);
        min_offset(queue: Queue => queue.0);
        max_offset(queue: Queue => queue.0);
        offset_by_time(queue: Queue => queue.0, timestamp_ms: i64 => timestamp_ms);
        close();
    }

    fn assign(&self, py: Python<'_>, queues: Vec<Queue>) -> PyResult<()> {
        let queues: Vec<facade::Queue> = queues.into_iter().map(|queue| queue.0).collect();
        let is_assigned = |message: &facade::ReceivedMessage| queues.contains(&message.queue());
        self.0.unclaimed.lock().retain(is_assigned);
        checked(py, self.0.assign(queues))
    }

    fn filter(&self, py: Python<'_>, topic: &str, expression: &str) -> PyResult<()> {
        checked(py, self.0.filter(topic, expression))
    }

    #[pyo3(signature = (max, wait_ms, into=None))]
    fn poll(
        &self,
        py: Python<'_>,
        max: u32,
        wait_ms: u64,
        into: Option<&Bound<'_, Completions>>,
    ) -> PyResult<Py<PyAny>> {
        self.0.poll(py, max, into, |consumer| consumer.poll(max, wait_ms))
    }
}

impl ToPython for Polled<facade::PullConsumer, facade::ReceivedMessage> {
    fn to_python(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let list = PyList::empty(py);
        for message in self.items {
            list.append(Bound::new(py, ReceivedMessage(message))?)?;
        }
        Ok(list.into_any().unbind())
    }

    fn unclaimed(self) {
        self.state.unclaimed.lock().extend(self.items);
    }
}
