// SPDX-License-Identifier: Apache-2.0
//! The plain data of the façade as frozen Python classes, and keyword arguments as options.

use bytes::Bytes;
use kerolox::facade::{self, OptionKind, Value};
use pyo3::IntoPyObjectExt;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyInt, PyList, PyString, PyTuple};

use crate::completion::ToPython;
use crate::error::checked;

impl ToPython for Vec<facade::Queue> {
    fn to_python(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let queues: Vec<Queue> = self.into_iter().map(Queue).collect();
        queues.into_py_any(py)
    }
}

/// Writes the methods of a class around plain data: getters of fields, then those that are written out.
macro_rules! class {
    (
        impl $class:ident($plain:ty) {
            $($field:ident: $kind:ty = |$data:ident| $read:expr;)*
        }
        $($written_out:tt)*
    ) => {
        #[pymethods]
        impl $class {
            $(#[getter]
            fn $field(&self) -> $kind {
                let $data: &$plain = &self.0;
                $read
            })*

            $($written_out)*
        }
    };
}

/// A message to send.
#[pyclass(frozen, from_py_object, module = "kerolox._native")]
#[derive(Clone)]
pub(crate) struct Message(pub(crate) facade::Message);

class! {
    impl Message(facade::Message) {
        topic: &str = |message| message.topic.as_str();
        tag: Option<&str> = |message| message.tag.as_deref();
        keys: &[String] = |message| message.keys.as_slice();
        flag: i32 = |message| message.flag;
        delay_level: i32 = |message| message.delay_level;
    }

    #[new]
    #[pyo3(signature = (topic, body, *, tag=None, keys=None, properties=None, flag=0, delay_level=0))]
    fn new(
        topic: String,
        body: &Bound<'_, PyAny>,
        tag: Option<String>,
        keys: Option<Vec<String>>,
        properties: Option<&Bound<'_, PyDict>>,
        flag: i32,
        delay_level: i32,
    ) -> PyResult<Self> {
        let mut pairs = Vec::new();
        for (name, value) in properties.into_iter().flatten() {
            pairs.push((name.extract()?, value.extract()?));
        }
        Ok(Self(facade::Message {
            topic,
            body: bytes(body)?,
            tag,
            keys: keys.unwrap_or_default(),
            flag,
            delay_level,
            properties: pairs,
        }))
    }

    #[getter]
    fn body<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.body)
    }

    #[getter]
    fn properties<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        dict(py, &self.0.properties)
    }

    fn __repr__(&self) -> String {
        let facade::Message { topic, body, tag, keys, .. } = &self.0;
        let tag = tag.as_ref().map_or("None".to_owned(), |tag| format!("{tag:?}"));
        format!("Message({topic:?}, <{} bytes>, tag={tag}, keys={keys:?})", body.len())
    }
}

fn bytes(body: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    if let Ok(body) = body.cast::<PyBytes>() {
        return Ok(Bytes::copy_from_slice(body.as_bytes()));
    }
    if body.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err(
            "body is str, expected bytes: encode it, for example body.encode()",
        ));
    }
    Ok(PyBuffer::<u8>::get(body)?.to_vec(body.py())?.into())
}

fn dict<'py>(py: Python<'py>, pairs: &[(String, String)]) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, value) in pairs {
        dict.set_item(name, value)?;
    }
    Ok(dict)
}

/// One queue of a topic on one broker.
#[pyclass(frozen, eq, ord, hash, from_py_object, module = "kerolox._native")]
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Queue(pub(crate) facade::Queue);

class! {
    impl Queue(facade::Queue) {
        topic: &str = |queue| queue.topic.as_str();
        broker_name: &str = |queue| queue.broker_name.as_str();
        queue_id: i32 = |queue| queue.queue_id;
    }

    #[new]
    fn new(topic: String, broker_name: String, queue_id: i32) -> Self {
        Self(facade::Queue { topic, broker_name, queue_id })
    }

    fn __getnewargs__(&self) -> (&str, &str, i32) {
        (&self.0.topic, &self.0.broker_name, self.0.queue_id)
    }

    fn __repr__(&self) -> String {
        let facade::Queue { topic, broker_name, queue_id } = &self.0;
        format!("Queue({topic:?}, {broker_name:?}, {queue_id})")
    }
}

/// How a broker stored a message. All four mean that it is stored.
#[pyclass(
    frozen,
    eq,
    hash,
    rename_all = "SCREAMING_SNAKE_CASE",
    module = "kerolox._native"
)]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SendStatus {
    SendOk,
    FlushDiskTimeout,
    FlushSlaveTimeout,
    SlaveNotAvailable,
}

#[pymethods]
impl SendStatus {
    /// The reference's spelling: `SEND_OK`.
    #[getter]
    fn name(&self) -> &'static str {
        let status = facade::SendStatus::ALL.get(*self as usize);
        status.map_or("", |status| status.name())
    }
}

impl From<facade::SendStatus> for SendStatus {
    fn from(status: facade::SendStatus) -> Self {
        match status {
            facade::SendStatus::SendOk => Self::SendOk,
            facade::SendStatus::FlushDiskTimeout => Self::FlushDiskTimeout,
            facade::SendStatus::FlushSlaveTimeout => Self::FlushSlaveTimeout,
            facade::SendStatus::SlaveNotAvailable => Self::SlaveNotAvailable,
        }
    }
}

/// What became of a message that was sent.
#[pyclass(frozen, module = "kerolox._native")]
pub(crate) struct SendResult(facade::SendResult);

class! {
    impl SendResult(facade::SendResult) {
        status: SendStatus = |result| SendStatus::from(result.status);
        message_id: &str = |result| result.message_id.as_str();
        offset_message_id: &str = |result| result.offset_message_id.as_str();
        topic: &str = |result| result.topic.as_str();
        broker_name: &str = |result| result.broker_name.as_str();
        queue_id: i32 = |result| result.queue_id;
        queue_offset: i64 = |result| result.queue_offset;
        transaction_id: Option<&str> = |result| result.transaction_id.as_deref();
        region: Option<&str> = |result| result.region.as_deref();
        queue: Queue = |result| Queue(result.queue());
    }

    fn __repr__(&self) -> String {
        let facade::SendResult { status, message_id, queue_offset, .. } = &self.0;
        let (status, queue) = (status.name(), self.0.queue());
        format!("SendResult({status}, {message_id:?}, {queue}, offset {queue_offset})")
    }
}

impl ToPython for facade::SendResult {
    fn to_python(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        SendResult(self).into_py_any(py)
    }
}

/// A message that was received. Attributes are converted when they are read.
#[pyclass(frozen, subclass, module = "kerolox._native")]
pub(crate) struct ReceivedMessage(pub(crate) facade::ReceivedMessage);

class! {
    impl ReceivedMessage(facade::ReceivedMessage) {
        topic: &str = |message| message.topic.as_str();
        tag: Option<&str> = |message| message.tag.as_deref();
        keys: &[String] = |message| message.keys.as_slice();
        message_id: &str = |message| message.message_id.as_str();
        offset_message_id: &str = |message| message.offset_message_id.as_str();
        broker_name: &str = |message| message.broker_name.as_str();
        queue_id: i32 = |message| message.queue_id;
        queue_offset: i64 = |message| message.queue_offset;
        reconsume_times: i32 = |message| message.reconsume_times;
        born_timestamp_ms: i64 = |message| message.born_timestamp_ms;
        store_timestamp_ms: i64 = |message| message.store_timestamp_ms;
        born_host: &str = |message| message.born_host.as_str();
        store_host: &str = |message| message.store_host.as_str();
        flag: i32 = |message| message.flag;
        physical_offset: i64 = |message| message.physical_offset;
        queue: Queue = |message| Queue(message.queue());
    }

    #[getter]
    fn body<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.body)
    }

    #[getter]
    fn properties<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        dict(py, &self.0.properties)
    }

    /// The value of a property, or None.
    fn property(&self, name: &str) -> Option<&str> {
        self.0.property(name)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let facade::ReceivedMessage { message_id, body, queue_offset, .. } = &slf.get().0;
        let (class, queue) = (slf.get_type().name()?, slf.get().0.queue());
        let size = body.len();
        Ok(format!("{class}({message_id:?}, {queue}, offset {queue_offset}, <{size} bytes>)"))
    }
}

/// Keyword arguments as options. `None` leaves the default; a list of text is joined by `;`.
pub(crate) fn options<T: Default>(
    arguments: &Bound<'_, PyDict>,
    set: impl Fn(&mut T, &str, Value) -> facade::Result<()>,
) -> PyResult<T> {
    let mut options = T::default();
    for (name, value) in arguments {
        if value.is_none() {
            continue;
        }
        let name: String = name.extract()?;
        let value = if value.is_instance_of::<PyBool>() {
            Value::Bool(value.extract()?)
        } else if let (true, Ok(number)) = (value.is_instance_of::<PyInt>(), value.extract()) {
            Value::Int(number)
        } else if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
            Value::Str(value.extract::<Vec<String>>()?.join(";"))
        } else {
            Value::Str(value.str()?.extract()?)
        };
        checked(arguments.py(), set(&mut options, &name, value))?;
    }
    Ok(options)
}

/// Every option as (name, kind, default, doc) by table: what `kerolox._options` has to agree with.
#[pyfunction]
pub(crate) fn option_tables(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let tables = PyDict::new(py);
    for (table, fields) in facade::options::TABLES {
        let rows = PyList::empty(py);
        for field in *fields {
            let kind = match field.kind {
                OptionKind::Str => "str".to_owned(),
                OptionKind::Int => "int".to_owned(),
                OptionKind::Bool => "bool".to_owned(),
                OptionKind::Choice(names) => names.join("|"),
            };
            let default = match (field.default)() {
                Value::Str(text) => text.into_py_any(py)?,
                Value::Int(number) => number.into_py_any(py)?,
                Value::Bool(flag) => flag.into_py_any(py)?,
            };
            rows.append((field.name, kind, default, field.doc))?;
        }
        tables.set_item(table, rows)?;
    }
    Ok(tables)
}
