// SPDX-License-Identifier: Apache-2.0
//! Administration, and the closing of whatever is left at exit.

use std::time::{Duration, Instant};

use kerolox::facade;
use pyo3::prelude::*;

use crate::completion::{Completions, ToPython, finish, handle};
use crate::consumer::{PullConsumer, PushConsumer};
use crate::producer::Producer;

/// Creates, deletes and lists topics.
#[pyclass(frozen, module = "kerolox._native")]
pub(crate) struct Admin(facade::Admin);

handle! {
    impl Admin(Self, AdminOptions) {
        delete_topic(topic: String => topic);
        topics();
        close();
    }

    #[pyo3(signature = (topic, queues, on=None, into=None))]
    fn create_topic(
        &self,
        py: Python<'_>,
        topic: String,
        queues: i32,
        on: Option<String>,
        into: Option<&Bound<'_, Completions>>,
    ) -> PyResult<Py<PyAny>> {
        finish(py, self.0.create_topic(topic, queues, on), into, |()| ())
    }
}

/// Closes handles at the same time and waits for all of them, at most `wait_ms`. Errors are of no interest any more.
#[pyfunction]
pub(crate) fn close_all(py: Python<'_>, handles: Vec<Bound<'_, PyAny>>, wait_ms: u64) {
    let mut calls = Vec::new();
    for handle in &handles {
        if let Ok(producer) = handle.cast::<Producer>() {
            calls.push(producer.get().0.close());
        } else if let Ok(consumer) = handle.cast::<PushConsumer>() {
            calls.push(consumer.get().0.close());
        } else if let Ok(consumer) = handle.cast::<PullConsumer>() {
            calls.push(consumer.get().0.close());
        } else if let Ok(admin) = handle.cast::<Admin>() {
            calls.push(admin.get().0.close());
        }
    }
    py.detach(|| {
        let deadline = Instant::now() + Duration::from_millis(wait_ms);
        for call in calls {
            let left = deadline.saturating_duration_since(Instant::now());
            drop(call.wait(Some(left)));
        }
    });
}
