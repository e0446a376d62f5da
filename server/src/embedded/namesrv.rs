// SPDX-License-Identifier: Apache-2.0
//! A name server with its listener and its clock.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::ServeError;
use super::ticker::Ticker;
use crate::config::NamesrvConfig;
use crate::namesrv::NameServer;
use crate::net::{Listener, ListenerOptions, Service};
use crate::store::clock::{Clock, SystemClock};
use crate::store::disk::RealDisk;

/// A name server that serves connections.
#[derive(Debug)]
pub struct RunningNamesrv {
    listener: Listener,
    _ticker: Ticker,
}

impl RunningNamesrv {
    /// Listens and serves. `listen_key` and `directory_key` are what errors call the address and the directory of the
    /// key-value configuration. Has to be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`ServeError`]: the address or the directory of the key-value configuration.
    pub async fn start(
        config: NamesrvConfig,
        listen_key: &'static str,
        directory_key: &'static str,
    ) -> Result<Self, ServeError> {
        let address = config.listen_address();
        let socket = Listener::bind(address).map_err(|source| ServeError::Listen {
            key: listen_key,
            address,
            source,
        })?;
        let kv_path: PathBuf = config.kv_config_path.clone().unwrap_or_default();
        let idle = Duration::from_secs(config.server_channel_max_idle_time_seconds.max(1));
        let clock = Arc::new(SystemClock);
        let server =
            NameServer::open(config, Arc::new(RealDisk::new()), clock).map_err(|error| {
                let reason = error.to_string();
                ServeError::Directory {
                    key: directory_key,
                    path: kv_path,
                    reason,
                }
            })?;
        let server = Arc::new(server);
        let ticking = Arc::clone(&server);
        let tick = move || ticking.tick(SystemClock.now_ms());
        let ticker = Ticker::spawn("kerolox-namesrv", Duration::from_secs(1), tick)?;
        let options = ListenerOptions {
            idle,
            ..ListenerOptions::default()
        };
        let service: Arc<dyn Service> = server;
        Ok(Self {
            listener: Listener::start(socket, service, options)?,
            _ticker: ticker,
        })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.listener.local()
    }

    /// Closes all connections.
    pub async fn stop(self) {
        self.listener.shutdown().await;
    }
}
