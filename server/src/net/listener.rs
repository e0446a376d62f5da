// SPDX-License-Identifier: Apache-2.0
//! Accepts connections and runs a [`super::session`] for each.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::service::Service;
use super::session::{self, Session, SessionId};
use super::workers::Workers;

/// How long a shutdown waits for sessions to write what they have.
const DRAIN: Duration = Duration::from_secs(3);

static NEXT_SESSION: AtomicU64 = AtomicU64::new(1);

/// Settings of a listener.
#[derive(Clone, Copy, Debug)]
pub struct ListenerOptions {
    /// A connection without traffic for this long is closed (`serverChannelMaxIdleTimeSeconds`).
    pub idle: Duration,
    /// Connections at once; further ones are closed at once with a log line.
    pub max_connections: usize,
}

impl Default for ListenerOptions {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(120),
            max_connections: 20_000,
        }
    }
}

type Sessions = Arc<Mutex<HashMap<SessionId, Weak<Session>>>>;

/// A listening socket with its connections. [`Listener::shutdown`] ends both.
#[derive(Debug)]
pub struct Listener {
    local: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Listener {
    /// Binds `address` (port 0 takes a free port) without accepting yet.
    ///
    /// # Errors
    /// What the system says, for example that the address is in use.
    pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
        let domain = if address.is_ipv4() {
            socket2::Domain::IPV4
        } else {
            socket2::Domain::IPV6
        };
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(1024)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    }

    /// Starts accepting on a bound socket; has to be called inside a tokio runtime. That runs the connections, too, unless
    /// there are `workers` for them.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(
        socket: std::net::TcpListener,
        service: Arc<dyn Service>,
        options: ListenerOptions,
        workers: Option<Workers>,
    ) -> io::Result<Self> {
        let local = socket.local_addr()?;
        let socket = TcpListener::from_std(socket)?;
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(accept(socket, service, options, workers, stopped));
        Ok(Self { local, stop, task })
    }

    /// The address that it listens on.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Stops accepting, ends every session and waits for them, at most three seconds.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the listener task failed");
        }
    }
}

async fn accept(
    socket: TcpListener,
    service: Arc<dyn Service>,
    options: ListenerOptions,
    workers: Option<Workers>,
    mut stopped: watch::Receiver<bool>,
) {
    let sessions = Sessions::default();
    let mut tasks = JoinSet::new();
    loop {
        // Cancel safety: `accept`, `join_next` and `changed` lose nothing when another branch wins.
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((stream, peer)) if tasks.len() < options.max_connections => {
                    let (service, sessions) = (Arc::clone(&service), Arc::clone(&sessions));
                    let Ok(stream) = stream.into_std() else { continue };
                    let connection = connection(stream, peer, service, options, sessions);
                    match &workers {
                        Some(workers) => workers.spawn(&mut tasks, connection),
                        None => drop(tasks.spawn(connection)),
                    }
                }
                Ok((_, peer)) => {
                    tracing::warn!(%peer, max = options.max_connections, "too many connections, refused");
                }
                Err(error) => {
                    // Out of file descriptors, most likely: give others the time to close theirs.
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = tasks.join_next() => {}
            _ = stopped.changed() => break,
        }
    }
    drop(socket);
    for session in sessions.lock().values().filter_map(Weak::upgrade) {
        session.close();
    }
    let drained = tokio::time::timeout(DRAIN, async { while tasks.join_next().await.is_some() {} });
    if drained.await.is_err() {
        tasks.abort_all();
    }
}

async fn connection(
    stream: std::net::TcpStream,
    peer: SocketAddr,
    service: Arc<dyn Service>,
    options: ListenerOptions,
    sessions: Sessions,
) {
    // Here, so that the event loop of this thread watches it.
    let Ok(stream) = TcpStream::from_std(stream) else {
        return;
    };
    let Ok(local) = stream.local_addr() else {
        return;
    };
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "TCP_NODELAY could not be set");
    }
    let id = SessionId(NEXT_SESSION.fetch_add(1, Ordering::Relaxed));
    let session = Arc::new(Session::new(id, peer, local));
    sessions.lock().insert(id, Arc::downgrade(&session));
    session::run(stream, session, service, options.idle).await;
    sessions.lock().remove(&id);
}
