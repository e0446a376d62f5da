// SPDX-License-Identifier: Apache-2.0
//! Name server and broker inside this process, for `kerolox.testing`.

use std::path::PathBuf;

use kerolox_server::embedded;
use parking_lot::Mutex;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

/// A running name server and broker. It belongs to the process that started it: in a forked child, stopping it does
/// nothing.
#[pyclass(frozen, module = "kerolox._native")]
pub(crate) struct Server {
    running: Mutex<Option<embedded::Server>>,
    process: u32,
    namesrv_addr: String,
    broker_addr: String,
    data_dir: PathBuf,
}

#[pymethods]
impl Server {
    #[staticmethod]
    fn start(
        py: Python<'_>,
        data_dir: Option<PathBuf>,
        namesrv_listen: String,
        broker_listen: String,
        broker_settings: Vec<(String, String)>,
    ) -> PyResult<Self> {
        let options = embedded::ServerOptions {
            data_dir,
            namesrv_listen,
            broker_listen,
            broker_settings,
            ..Default::default()
        };
        let server = py
            .detach(|| embedded::Server::start(options))
            .map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        Ok(Self {
            process: std::process::id(),
            namesrv_addr: server.namesrv_addr().to_string(),
            broker_addr: server.broker_addr().to_string(),
            data_dir: PathBuf::from(server.data_dir()),
            running: Mutex::new(Some(server)),
        })
    }

    #[getter]
    fn namesrv_addr(&self) -> &str {
        &self.namesrv_addr
    }

    #[getter]
    fn broker_addr(&self) -> &str {
        &self.broker_addr
    }

    #[getter]
    fn data_dir(&self) -> PathBuf {
        self.data_dir.clone()
    }

    /// Stops both. May be called twice.
    fn stop(&self, py: Python<'_>) {
        let running = self.running.lock().take();
        if self.process != std::process::id() {
            std::mem::forget(running);
        } else if let Some(server) = running {
            py.detach(|| server.stop());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            std::mem::forget(self.running.get_mut().take());
        }
    }
}
