// SPDX-License-Identifier: Apache-2.0
//! A name server with its listener, its clock and its notices to brokers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kerolox::net::{ConnectOptions, Connection};
use kerolox_protocol::Command;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::ServeError;
use super::ticker::Ticker;
use crate::config::NamesrvConfig;
use crate::namesrv::NameServer;
use crate::net::{Listener, ListenerOptions, Service};
use crate::store::clock::{Clock, SystemClock};
use crate::store::disk::RealDisk;

/// How long a notice to a broker may take.
const NOTICE_TIMEOUT: Duration = Duration::from_millis(300);

/// A name server that serves connections.
#[derive(Debug)]
pub struct RunningNamesrv {
    listener: Listener,
    notifier: JoinHandle<()>,
    _ticker: Ticker,
}

impl RunningNamesrv {
    /// Listens and serves. `listen_key` and `directory_key` are what errors call the address and the directory of the
    /// key-value configuration. Has to be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`ServeError`]: the address or the directory of the key-value configuration.
    pub async fn start(
        mut config: NamesrvConfig,
        listen_key: &'static str,
        directory_key: &'static str,
    ) -> Result<Self, ServeError> {
        config.check()?;
        let address = config.listen_address();
        let socket = Listener::bind(address).map_err(|source| ServeError::Listen {
            key: listen_key,
            address,
            source,
        })?;
        config.listen_port = socket.local_addr()?.port();
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
        let due = Arc::new(Notify::new());
        let wake = Arc::clone(&due);
        server.notices().listen(Box::new(move || wake.notify_one()));
        let notifier = tokio::spawn(notify(Arc::clone(&server), due));
        let options = ListenerOptions {
            idle,
            ..ListenerOptions::default()
        };
        let service: Arc<dyn Service> = server;
        Ok(Self {
            listener: Listener::start(socket, service, options, None)?,
            notifier,
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
        self.notifier.abort();
        // It was cancelled, which is no error.
        drop(self.notifier.await);
    }
}

/// Sends notices as they come. Brokers take them where they listen, not where they registered from.
async fn notify(server: Arc<NameServer>, due: Arc<Notify>) {
    loop {
        due.notified().await;
        for notice in server.notices().take() {
            let told = notice.recipients.iter().map(|address| {
                let (address, command) = (address.clone(), notice.command());
                tokio::spawn(async move { tell(&address, command).await })
            });
            // One after the other: a broker should hear of the newest state last.
            for told in told.collect::<Vec<_>>() {
                drop(told.await);
            }
        }
    }
}

async fn tell(address: &str, command: Command) {
    let options = ConnectOptions {
        timeout: NOTICE_TIMEOUT,
        ..ConnectOptions::default()
    };
    let told = async {
        let connection = Connection::connect(address, options).await?;
        connection.oneway(command, NOTICE_TIMEOUT).await
    };
    if let Err(error) = told.await {
        tracing::info!(address, %error, "a broker was not told of the new smallest id");
    }
}
