// SPDX-License-Identifier: Apache-2.0
//! A name server and a broker inside this process, for tests (`kerolox/testing`).
//!
//! Starting and stopping block, so both run on a thread of their own.

use kerolox::facade::{Error, ErrorCode};
use kerolox_server::embedded::{Server, ServerOptions};
use napi::Env;
use napi_derive::napi;
use parking_lot::Mutex;

use crate::completion::blocking;
use crate::convert::{JsValue, pairs};

/// Where the server listens and keeps its files; by default free ports and a fresh directory.
#[napi(object, object_to_js = false)]
pub struct TestServerOptions {
    pub data_dir: Option<String>,
    pub namesrv_listen: Option<String>,
    pub broker_listen: Option<String>,
    pub broker_settings: Vec<String>,
}

/// A running server; stops when it is collected, at the latest.
#[napi]
pub struct TestServer {
    server: Mutex<Option<Server>>,
    namesrv: String,
    broker: String,
    data_dir: String,
}

#[napi]
impl TestServer {
    #[napi]
    pub fn start(env: Env, options: TestServerOptions) -> napi::Result<JsValue> {
        let mut server = ServerOptions {
            data_dir: options.data_dir.map(Into::into),
            broker_settings: pairs(options.broker_settings).collect(),
            ..ServerOptions::default()
        };
        if let Some(address) = options.namesrv_listen {
            server.namesrv_listen = address;
        }
        if let Some(address) = options.broker_listen {
            server.broker_listen = address;
        }
        let start = || {
            Server::start(server).map_err(|error| {
                Error::new(ErrorCode::Io, "start server").with_message(error.to_string())
            })
        };
        blocking(&env, start, |_, js, server| {
            js.value(Self {
                namesrv: server.namesrv_addr().to_string(),
                broker: server.broker_addr().to_string(),
                data_dir: server.data_dir().display().to_string(),
                server: Mutex::new(Some(server)),
            })
        })
    }

    #[napi(getter)]
    pub fn name_servers(&self) -> &str {
        &self.namesrv
    }

    #[napi(getter)]
    pub fn broker_addr(&self) -> &str {
        &self.broker
    }

    #[napi(getter)]
    pub fn data_dir(&self) -> &str {
        &self.data_dir
    }

    /// May be called twice.
    #[napi]
    pub fn stop(&self, env: Env) -> napi::Result<JsValue> {
        let server = self.server.lock().take();
        let stop = move || {
            if let Some(server) = server {
                server.stop();
            }
            Ok(())
        };
        blocking(&env, stop, |_, js, ()| js.undefined())
    }
}
