// SPDX-License-Identifier: Apache-2.0
//! Step "bytes" of the data's way: one connection, run to completion on one task.
//!
//! A session reads once, splits every complete frame ([`kerolox_protocol::frame`]), hands all of them to the
//! [`Service`] together, and writes all answers with one vectored write. While a write waits nothing is read, so a
//! peer that does not take its answers is slowed down by its own socket. Answers that come later (held pulls,
//! notices to clients) are queued by [`Session::send`] from any thread and written by the same task.
//!
//! Frames that can not be read end the connection with one log line; the other connections go on.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kerolox_protocol::Command;
use kerolox_protocol::frame::FrameError;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::WriteHalf;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::input::Input;
use super::replies::Replies;
use super::service::{ConnectionEvent, Service};

/// Memory that a quiet connection keeps for its answers.
const QUIET_REPLIES: usize = 4 * 1024;

/// Number of a session, unique in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// One connection as the processors see it. All methods can be called from any thread and none blocks.
#[derive(Debug)]
pub struct Session {
    id: SessionId,
    peer: SocketAddr,
    local: SocketAddr,
    peer_text: String,
    outbound: Mutex<Vec<Bytes>>,
    wake: Notify,
    closed: AtomicBool,
}

impl Session {
    /// A session between these two addresses. Tests use it without a socket: what was sent is [`Session::drain`]ed.
    pub fn new(id: SessionId, peer: SocketAddr, local: SocketAddr) -> Self {
        Self {
            id,
            peer,
            local,
            peer_text: peer.to_string(),
            outbound: Mutex::new(Vec::new()),
            wake: Notify::new(),
            closed: AtomicBool::new(false),
        }
    }

    /// Its number.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Address of the peer.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Address of the peer as text, `host:port`.
    pub fn peer_text(&self) -> &str {
        &self.peer_text
    }

    /// Our address of this connection.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Queues a command to the peer; dropped if the connection is gone.
    pub fn send(&self, command: &Command) {
        let mut frame = BytesMut::new();
        command.encode(&mut frame);
        self.send_frames([frame.freeze()]);
    }

    /// Queues bytes that are whole frames together; dropped if the connection is gone.
    pub fn send_frames(&self, frames: impl IntoIterator<Item = Bytes>) {
        if self.is_closed() {
            return;
        }
        self.outbound.lock().extend(frames);
        self.wake.notify_one();
    }

    /// Takes what was queued.
    pub fn drain(&self) -> Vec<Bytes> {
        std::mem::take(&mut *self.outbound.lock())
    }

    /// Ends the connection.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Whether the connection ended or is about to.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

/// Serves one connection until it ends.
pub(super) async fn run(
    mut stream: TcpStream,
    session: Arc<Session>,
    service: Arc<dyn Service>,
    idle: Duration,
) {
    service.connection(ConnectionEvent::Opened);
    if let Err(reason) = serve(&mut stream, &session, service.as_ref(), idle).await {
        tracing::warn!(peer = session.peer_text(), %reason, "connection closed");
        service.connection(match reason {
            Reason::Idle(_) => ConnectionEvent::Idle,
            _ => ConnectionEvent::Failed,
        });
    }
    session.close();
    service.closed(&session);
    service.connection(ConnectionEvent::Closed);
}

/// Why a connection was ended by this side or failed; a peer that leaves is no reason.
#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Header(#[from] kerolox_protocol::command::DecodeError),
    #[error("no traffic for {0:?}")]
    Idle(Duration),
}

async fn serve(
    stream: &mut TcpStream,
    session: &Arc<Session>,
    service: &dyn Service,
    idle: Duration,
) -> Result<(), Reason> {
    let (mut reader, mut writer) = stream.split();
    let mut input = Input::default();
    let mut requests: Vec<Command> = Vec::new();
    let mut replies = Replies::new();
    let mut active = Instant::now();
    let expiry = tokio::time::sleep_until(active + idle);
    tokio::pin!(expiry);
    loop {
        // Cancel safety: a read and `notified` lose nothing when another branch wins.
        tokio::select! {
            biased;
            read = poll_fn(|cx| input.poll_read(cx, &mut reader)) => {
                if read? == 0 {
                    return Ok(());
                }
                while let Some(frame) = input.split()? {
                    requests.push(Command::decode(frame)?);
                }
                service.handle(session, &mut requests, &mut replies);
                requests.clear();
                input.settle();
            }
            () = session.wake.notified() => {
                if session.is_closed() {
                    return Ok(());
                }
            }
            () = &mut expiry => {
                if active.elapsed() >= idle {
                    return Err(Reason::Idle(idle));
                }
                expiry.as_mut().reset(active + idle);
                // It has been quiet: the memory of a burst goes.
                input.shrink();
                replies.shrink(QUIET_REPLIES);
                requests.shrink_to(16);
                continue;
            }
        }
        for frames in session.drain() {
            replies.frames(frames);
        }
        write(&mut writer, &mut replies).await?;
        active = Instant::now();
    }
}

async fn write(writer: &mut WriteHalf<'_>, replies: &mut Replies) -> std::io::Result<()> {
    while !replies.is_empty() {
        let slices = replies.slices();
        let written = writer.write_vectored(&slices).await?;
        drop(slices);
        if written == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        replies.advance(written);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
