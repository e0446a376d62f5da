// SPDX-License-Identifier: Apache-2.0
//! A broker with its listener, its store's thread, its clock and its registration.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::ServeError;
use super::ticker::Ticker;
use crate::broker::Broker;
use crate::broker::registration::Registrar;
use crate::config::BrokerConfig;
use crate::net::{Listener, ListenerOptions, Service, Workers};
use crate::store::StoreThread;
use crate::store::clock::{Clock, SystemClock};
use crate::store::disk::RealDisk;

/// Precision of everything that the broker does by time.
const TICK: Duration = Duration::from_millis(100);

/// A broker that serves connections and is registered at its name servers.
pub struct RunningBroker {
    broker: Arc<Broker>,
    listener: Listener,
    registrar: Registrar,
    ticker: Ticker,
    store_thread: StoreThread,
}

impl RunningBroker {
    /// Recovers the store, listens, serves and registers. `listen_key` and `directory_key` are what errors call the
    /// address and the directory, `worker_threads` how many threads serve its connections. Has to be called inside a tokio
    /// runtime; the recovery blocks it.
    ///
    /// Returns when every name server answered, but at the latest after three seconds.
    ///
    /// # Errors
    /// [`ServeError`]: a setting, the address or the directory.
    pub async fn start(
        mut config: BrokerConfig,
        listen_key: &'static str,
        directory_key: &'static str,
        worker_threads: usize,
    ) -> Result<Self, ServeError> {
        config.check()?;
        let address = config.listen_address();
        let refused = |source| ServeError::Listen {
            key: listen_key,
            address,
            source,
        };
        // Bound first: a port in use is found before anything on disk is touched.
        let socket = Listener::bind(address).map_err(refused)?;
        config.listen_port = socket.local_addr()?.port();
        let store_host = SocketAddr::new(config.advertised_ip(), config.listen_port);
        let idle = Duration::from_secs(config.server_channel_max_idle_time_seconds.max(1));
        let root = config.store_path_root_dir.clone();
        let disk = Arc::new(RealDisk::new());
        let (broker, recovery) = Broker::open(config, store_host, disk, Arc::new(SystemClock))
            .map_err(|error| ServeError::from_open(error, directory_key, &root))?;
        if recovery.is_after_crash || !recovery.damaged.is_empty() {
            tracing::warn!(
                records = recovery.records,
                end = recovery.end,
                damaged = ?recovery.damaged,
                rebuilt_queues = recovery.rebuilt_queues.len(),
                "the store was not shut down, it has been recovered"
            );
        }
        let flushed = Arc::clone(&broker);
        let on_flushed = Box::new(move |report: &_| flushed.flushed(report));
        let store_thread = StoreThread::spawn(Arc::clone(broker.store()), on_flushed)
            .map_err(std::io::Error::other)?;
        let ticking = Arc::clone(&broker);
        let ticker = Ticker::spawn("kerolox-broker", TICK, move || {
            ticking.tick(SystemClock.now_ms());
        })?;
        let workers = Workers::start(worker_threads)?;
        let options = ListenerOptions {
            idle,
            ..ListenerOptions::default()
        };
        let service: Arc<dyn Service> = Arc::<Broker>::clone(&broker);
        let listener = Listener::start(socket, service, options, Some(workers))?;
        let registrar = Registrar::start(&broker).await;
        Ok(Self {
            broker,
            listener,
            registrar,
            ticker,
            store_thread,
        })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.listener.local()
    }

    /// The broker.
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// Leaves the name servers, closes all connections and writes everything to disk.
    pub async fn stop(self) {
        self.registrar.stop().await;
        self.listener.shutdown().await;
        drop(self.ticker);
        self.store_thread.stop();
        self.broker.persist();
        if let Err(error) = self.broker.store().shutdown() {
            tracing::error!(%error, "the store could not be shut down cleanly; it will be recovered at the next start");
        }
    }
}

impl std::fmt::Debug for RunningBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunningBroker")
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}
