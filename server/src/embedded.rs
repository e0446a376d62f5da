// SPDX-License-Identifier: Apache-2.0
//! Servers inside a process: [`Server`] is a name server and a broker for tests and for `kerolox serve`,
//! [`RunningNamesrv`] and [`RunningBroker`] are the parts that the other programs run one of.
//!
//! ```no_run
//! use kerolox_server::embedded::{Server, ServerOptions};
//!
//! let server = Server::start(ServerOptions::default())?;
//! println!("name server at {}", server.namesrv_addr());
//! server.stop();
//! # Ok::<(), kerolox_server::embedded::ServeError>(())
//! ```

mod broker;
mod namesrv;
mod ticker;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::broker::OpenError;
use crate::config::{BrokerConfig, ConfigError, NamesrvConfig, Settings};
use crate::store::StoreError;

pub use broker::RunningBroker;
pub use namesrv::RunningNamesrv;

/// How long a stop waits for threads that do not end.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// Why a server can not start. One line, fit for a terminal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A setting does not fit.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address can not be listened on.
    #[error(
        "{key} is '{address}', which can not be listened on: {source}; allowed: {}",
        listenable(source)
    )]
    Listen {
        /// The setting that names the address.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The directory can not be used.
    #[error("{key} is '{}', which can not be used: {reason}; allowed: a directory that this user may write to and no other server uses", path.display())]
    Directory {
        /// The setting that names the directory.
        key: &'static str,
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system did not give threads or sockets.
    #[error("the system refused: {0}")]
    System(#[from] std::io::Error),
}

fn listenable(source: &std::io::Error) -> &'static str {
    match source.kind() {
        std::io::ErrorKind::AddrInUse => "a port that is free, or 0 to take any",
        std::io::ErrorKind::PermissionDenied => "a port from 1024, or 0 to take any",
        _ => "an address of this machine",
    }
}

impl ServeError {
    /// The error of opening a broker whose directory `key` names.
    fn from_open(error: OpenError, key: &'static str, path: &Path) -> Self {
        if let OpenError::Store(StoreError::Option {
            key,
            value,
            allowed,
        }) = error
        {
            return ConfigError::invalid(key, value.to_string(), allowed).into();
        }
        Self::Directory {
            key,
            path: path.to_owned(),
            reason: error.to_string(),
        }
    }
}

/// What an embedded server is started with.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Where data is kept; `None` is a fresh directory that is removed at the stop.
    pub data_dir: Option<PathBuf>,
    /// `address:port` of the name server, port 0 takes a free one.
    pub namesrv_listen: String,
    /// `address:port` of the broker, port 0 takes a free one.
    pub broker_listen: String,
    /// Further settings of the broker under the reference's keys, such as `("brokerName", "broker-b")`.
    pub broker_settings: Vec<(String, String)>,
    /// Threads that serve the broker's connections, at least 1; 2 unless said otherwise.
    pub worker_threads: usize,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            data_dir: None,
            namesrv_listen: "127.0.0.1:0".to_owned(),
            broker_listen: "127.0.0.1:0".to_owned(),
            broker_settings: Vec::new(),
            worker_threads: 2,
        }
    }
}

/// A name server and a broker in this process, on their own threads. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    parts: Option<Parts>,
    namesrv_addr: SocketAddr,
    broker_addr: SocketAddr,
    data_dir: PathBuf,
    /// Removed with its content when dropped.
    _temporary: Option<tempfile::TempDir>,
}

#[derive(Debug)]
struct Parts {
    runtime: Runtime,
    broker: RunningBroker,
    namesrv: RunningNamesrv,
}

impl Server {
    /// Starts both and returns when the broker is registered at the name server. Blocks for some milliseconds, longer
    /// if a store has to be recovered.
    ///
    /// # Errors
    /// [`ServeError`]: a setting, an address or the directory.
    pub fn start(options: ServerOptions) -> Result<Self, ServeError> {
        let temporary = match options.data_dir {
            Some(_) => None,
            None => Some(tempfile::Builder::new().prefix("kerolox-").tempdir()?),
        };
        let data_dir = match (&options.data_dir, &temporary) {
            (Some(dir), _) => dir.clone(),
            (None, Some(dir)) => dir.path().to_owned(),
            (None, None) => PathBuf::new(),
        };
        std::fs::create_dir_all(&data_dir).map_err(|error| ServeError::Directory {
            key: "--data-dir",
            path: data_dir.clone(),
            reason: error.to_string(),
        })?;
        let mut config = BrokerConfig {
            store_path_root_dir: data_dir.join("store"),
            namesrv_addr: String::new(),
            ..BrokerConfig::default()
        };
        for (key, value) in &options.broker_settings {
            if !config.set(key, value)? {
                tracing::warn!(key, "this setting has no effect in this server");
            }
        }
        let listen = parse("--broker-listen", &options.broker_listen)?;
        (config.bind_address, config.listen_port) = (Some(listen.ip()), listen.port());
        let listen = parse("--namesrv-listen", &options.namesrv_listen)?;
        let namesrv_config = NamesrvConfig {
            bind_address: Some(listen.ip()),
            listen_port: listen.port(),
            kv_config_path: Some(data_dir.join("namesrv").join("kvConfig.json")),
            ..NamesrvConfig::default()
        };
        let worker_threads = options.worker_threads;
        let runtime = runtime(1)?;
        let start = async {
            let namesrv =
                RunningNamesrv::start(namesrv_config, "--namesrv-listen", "--data-dir").await?;
            if config.namesrv_addr.is_empty() {
                config.namesrv_addr = reachable(namesrv.address()).to_string();
            }
            match RunningBroker::start(config, "--broker-listen", "--data-dir", worker_threads)
                .await
            {
                Ok(broker) => Ok((namesrv, broker)),
                Err(error) => {
                    namesrv.stop().await;
                    Err(error)
                }
            }
        };
        let (namesrv, broker) = match apart(|| runtime.block_on(start)) {
            Ok(parts) => parts,
            Err(error) => {
                runtime.shutdown_background();
                return Err(error);
            }
        };
        Ok(Self {
            namesrv_addr: reachable(namesrv.address()),
            broker_addr: reachable(broker.address()),
            parts: Some(Parts {
                runtime,
                broker,
                namesrv,
            }),
            data_dir,
            _temporary: temporary,
        })
    }

    /// Address of the name server, for clients of this machine.
    pub fn namesrv_addr(&self) -> SocketAddr {
        self.namesrv_addr
    }

    /// Address of the broker, for clients of this machine.
    pub fn broker_addr(&self) -> SocketAddr {
        self.broker_addr
    }

    /// Where data is kept.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Stops gracefully: leaves the name server, closes connections, writes everything to disk.
    pub fn stop(mut self) {
        self.shut_down();
    }

    fn shut_down(&mut self) {
        let Some(Parts {
            runtime,
            broker,
            namesrv,
        }) = self.parts.take()
        else {
            return;
        };
        let stop = async {
            broker.stop().await;
            namesrv.stop().await;
        };
        apart(|| {
            runtime.block_on(stop);
            runtime.shutdown_timeout(STOP_TIMEOUT);
        });
    }
}

/// Runs `work` on a thread of its own: the caller may be on another runtime's thread, where blocking would panic.
fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// How many threads serve the connections of a broker that has the machine to itself: one for each processor, at least 2.
pub fn worker_threads() -> usize {
    std::thread::available_parallelism().map_or(2, |count| count.get().max(2))
}

/// The runtime that a server process runs on; a broker's connections have [`crate::net::Workers`].
///
/// # Errors
/// The system gives no threads.
pub fn runtime(worker_threads: usize) -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(worker_threads.max(1))
        .thread_name("kerolox-server")
        .thread_stack_size(1 << 20)
        .enable_all()
        .build()
}

fn parse(key: &str, text: &str) -> Result<SocketAddr, ConfigError> {
    let allowed = "address:port, such as 127.0.0.1:0";
    text.parse()
        .map_err(|_| ConfigError::invalid(key, text, allowed))
}

/// An address that connects to a listener: loopback if it listens everywhere.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

#[cfg(test)]
mod tests;
