// SPDX-License-Identifier: Apache-2.0
//! Step "connection" of the client's way: opaque id, waiter, deadline, back-pressure.
//!
//! Before it: [`super::pool`], which finds the connection of an address (the instance's routes found the address).
//! After it: [`super::frame_io`], which moves the bytes.
//!
//! Back-pressure: callers wait, within their deadline, while too many requests are outstanding or too many bytes are
//! queued. Requests of the peer go to a bounded channel; when its owner does not keep up they are refused, and the
//! responses behind them still arrive. A connection that stays silent for a whole time-out is closed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use kerolox_protocol::command::{FLAG_ONEWAY, encode_request};
use kerolox_protocol::header::Header;
use kerolox_protocol::{Command, LanguageCode, RequestCode, ResponseCode, SerializeType};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::frame_io::{self, Outbox, ReadEnd};
use super::waiters::{Failure, Waiters};
use crate::error::{Error, ErrorCode, Result};

/// A time-out shorter than this says nothing about the health of a silent connection.
const SILENCE_MS: u64 = 1000;
/// How long a closed connection may take to write what is queued.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How a connection is made and what it carries.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// Deadline of the connect.
    pub timeout: Duration,
    /// Requests that may be outstanding; more have to wait.
    pub max_in_flight: usize,
    /// Where requests of the peer go; without it they are refused.
    pub requests: Option<mpsc::Sender<PeerRequest>>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(3),
            max_in_flight: 65_535,
            requests: None,
        }
    }
}

/// A request that the peer sent; answer it by [`Connection::reply`] unless it is one-way.
#[derive(Debug)]
pub struct PeerRequest {
    /// Where it came from.
    pub connection: Connection,
    /// The request.
    pub command: Command,
}

/// A connection to a server. Clones share it; it closes when the last one is dropped.
#[derive(Clone)]
pub struct Connection {
    shared: Arc<Shared>,
    /// Never read: it closes the connection with the last clone.
    _owner: Arc<CloseOnDrop>,
}

struct Shared {
    address: Arc<str>,
    waiters: Waiters,
    outbox: Outbox,
    in_flight: Arc<Semaphore>,
    closed: watch::Sender<bool>,
    started: Instant,
    /// When something was last received, in milliseconds since `started`.
    received_ms: AtomicU64,
    requests: Option<mpsc::Sender<PeerRequest>>,
}

struct CloseOnDrop(Arc<Shared>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0
            .close(Failure::Lost("the connection was closed here".to_owned()));
    }
}

impl Connection {
    /// Connects to `address`, `host:port`. Its tasks run on the current tokio runtime.
    ///
    /// # Errors
    /// [`ErrorCode::ConnectFailed`] naming the address and what failed; [`ErrorCode::Timeout`].
    pub async fn connect(address: &str, options: ConnectOptions) -> Result<Self> {
        let failed = |code| Error::new(code, "connect").with_context("address", address);
        let connecting = TcpStream::connect(address);
        let socket = match tokio::time::timeout(options.timeout, connecting).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(error)) => return Err(failed(ErrorCode::ConnectFailed).with_source(error)),
            Err(_elapsed) => {
                return Err(failed(ErrorCode::Timeout).with_message(format!(
                    "no connection within {} ms",
                    options.timeout.as_millis()
                )));
            }
        };
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(address, %error, "no TCP_NODELAY");
        }
        Ok(Self::over(socket, address, options))
    }

    fn over(socket: TcpStream, address: &str, options: ConnectOptions) -> Self {
        let shared = Arc::new(Shared {
            address: address.into(),
            waiters: Waiters::new(),
            outbox: Outbox::new(),
            in_flight: Arc::new(Semaphore::new(options.max_in_flight.max(1))),
            closed: watch::Sender::new(false),
            started: Instant::now(),
            received_ms: AtomicU64::new(0),
            requests: options.requests,
        });
        let owner = Arc::new(CloseOnDrop(Arc::clone(&shared)));
        let (mut reading, mut writing) = socket.into_split();

        let writer = Arc::clone(&shared);
        tokio::spawn(async move {
            tokio::select! {
                written = frame_io::write_loop(&writer.outbox, &mut writing) => {
                    if let Err(error) = written {
                        writer.close(Failure::Lost(format!("writing failed: {error}")));
                    }
                }
                () = writer.last_words_said() => {}
            }
        });
        let reader = Arc::clone(&shared);
        let weak_owner = Arc::downgrade(&owner);
        tokio::spawn(async move {
            let mut closed = reader.closed.subscribe();
            let failure = tokio::select! {
                end = frame_io::read_loop(&mut reading, |commands| reader.received(commands, &weak_owner)) => {
                    match end {
                        ReadEnd::Eof => Failure::Lost("the peer closed the connection".to_owned()),
                        ReadEnd::Io(error) => Failure::Lost(format!("reading failed: {error}")),
                        ReadEnd::Protocol(what) => Failure::Protocol(what),
                    }
                }
                _ = closed.wait_for(|closed| *closed) => return,
                () = reader.waiters.watch_deadlines(|since| reader.expired(since)) => return,
            };
            reader.close(failure);
        });
        Self {
            shared,
            _owner: owner,
        }
    }

    /// The address that was connected to.
    pub fn address(&self) -> &str {
        &self.shared.address
    }

    /// Sends a request and waits for its response, which may say that it failed.
    ///
    /// Cancel-safe: dropping the future forgets the waiter; the request may have been sent.
    ///
    /// # Errors
    /// [`ErrorCode::Timeout`], [`ErrorCode::ConnectionLost`], [`ErrorCode::Protocol`].
    pub async fn request(&self, mut command: Command, timeout: Duration) -> Result<Command> {
        command.language = LanguageCode::Other;
        self.submit(timeout, |opaque, out| {
            command.opaque = opaque;
            command.encode(out);
        })
        .await
    }

    /// As [`Connection::request`], straight from a typed header: the hot path.
    ///
    /// # Errors
    /// As [`Connection::request`].
    pub async fn request_typed<'h>(
        &self,
        code: RequestCode,
        header: &impl Header<'h>,
        body: &Bytes,
        timeout: Duration,
    ) -> Result<Command> {
        self.submit(timeout, |opaque, out| {
            encode_request(
                out,
                SerializeType::Json,
                code,
                opaque,
                0,
                header,
                body.len(),
            );
            out.extend_from_slice(body);
        })
        .await
    }

    /// Sends a request without asking for a response; done when it is queued.
    ///
    /// # Errors
    /// [`ErrorCode::ConnectionLost`], [`ErrorCode::Timeout`] when there is no room for `timeout`.
    pub async fn oneway(&self, command: Command, timeout: Duration) -> Result<()> {
        self.wait_for_room(Instant::now() + timeout).await?;
        let mut command = command.oneway();
        command.language = LanguageCode::Other;
        command.opaque = self.shared.waiters.opaque();
        self.shared.outbox.push(|out| command.encode(out));
        Ok(())
    }

    /// As [`Connection::oneway`], straight from a typed header.
    ///
    /// # Errors
    /// As [`Connection::oneway`].
    pub async fn oneway_typed<'h>(
        &self,
        code: RequestCode,
        header: &impl Header<'h>,
        body: &Bytes,
        timeout: Duration,
    ) -> Result<()> {
        self.wait_for_room(Instant::now() + timeout).await?;
        let opaque = self.shared.waiters.opaque();
        self.shared.outbox.push(|out| {
            let length = body.len();
            encode_request(
                out,
                SerializeType::Json,
                code,
                opaque,
                FLAG_ONEWAY,
                header,
                length,
            );
            out.extend_from_slice(body);
        });
        Ok(())
    }

    /// Sends a response to a request of the peer. Never waits; on a closed connection it goes nowhere.
    pub fn reply(&self, response: &Command) {
        self.shared.outbox.push(|out| response.encode(out));
    }

    /// Whether both are clones of one connection.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Number of requests without a response so far.
    pub fn in_flight(&self) -> usize {
        self.shared.waiters.len()
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        *self.shared.closed.borrow()
    }

    /// Waits until the connection has ended.
    pub async fn closed(&self) {
        let mut closed = self.shared.closed.subscribe();
        // The sender lives in `shared`, so this ends only by the value.
        drop(closed.wait_for(|closed| *closed).await);
    }

    /// Ends the connection: what is queued is still written, outstanding requests fail.
    pub fn close(&self) {
        self.shared
            .close(Failure::Lost("the connection was closed here".to_owned()));
    }

    async fn submit(
        &self,
        timeout: Duration,
        encode: impl FnOnce(i32, &mut BytesMut),
    ) -> Result<Command> {
        let deadline = Instant::now() + timeout;
        let shared = &self.shared;
        if !shared.outbox.has_room() {
            self.wait_for_room(deadline).await?;
        }
        let in_flight = Arc::clone(&shared.in_flight);
        let permit = match Arc::clone(&in_flight).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_none_free) => {
                match tokio::time::timeout_at(deadline.into(), in_flight.acquire_owned()).await {
                    Ok(Ok(permit)) => permit,
                    Ok(Err(_)) | Err(_) => {
                        return Err(Error::new(ErrorCode::TooManyRequests, "request")
                            .with_context("address", self.address()));
                    }
                }
            }
        };
        let (opaque, receiver) = shared
            .waiters
            .add(deadline, permit)
            .map_err(|failure| self.error(failure, timeout))?;
        let mut reply = Reply {
            waiters: &shared.waiters,
            opaque,
            receiver: Some(receiver),
        };
        shared.outbox.push(|out| encode(opaque, out));
        let outcome = match &mut reply.receiver {
            Some(receiver) => receiver.await,
            None => return Err(Error::new(ErrorCode::Internal, "request")),
        };
        reply.receiver = None;
        match outcome {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(failure)) => Err(self.error(failure, timeout)),
            Err(_dropped) => {
                let lost = Failure::Lost("the connection's task ended".to_owned());
                Err(self.error(lost, timeout))
            }
        }
    }

    async fn wait_for_room(&self, deadline: Instant) -> Result<()> {
        if self.is_closed() {
            let lost = Failure::Lost("the connection was closed".to_owned());
            return Err(self.error(lost, Duration::ZERO));
        }
        tokio::time::timeout_at(deadline.into(), self.shared.outbox.room())
            .await
            .map_err(|_| {
                Error::new(ErrorCode::Timeout, "request")
                    .with_message("the peer does not read what is sent to it")
                    .with_context("address", self.address())
            })
    }

    fn error(&self, failure: Failure, timeout: Duration) -> Error {
        let error = |code| Error::new(code, "request").with_context("address", self.address());
        match failure {
            Failure::Timeout => error(ErrorCode::Timeout)
                .with_message(format!("no answer within {} ms", timeout.as_millis())),
            Failure::Lost(why) => error(ErrorCode::ConnectionLost).with_message(why),
            Failure::Protocol(what) => error(ErrorCode::Protocol)
                .with_message(format!("{}: {what}", ErrorCode::Protocol.doc())),
        }
    }
}

/// Forgets the waiter when the caller goes away before the response comes.
struct Reply<'a> {
    waiters: &'a Waiters,
    opaque: i32,
    receiver: Option<oneshot::Receiver<std::result::Result<Command, Failure>>>,
}

impl Drop for Reply<'_> {
    fn drop(&mut self) {
        if self.receiver.is_some() {
            self.waiters.forget(self.opaque);
        }
    }
}

impl Shared {
    fn received(self: &Arc<Self>, commands: &mut Vec<Command>, owner: &Weak<CloseOnDrop>) {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.received_ms.store(elapsed, Ordering::Relaxed);
        if commands.iter().all(Command::is_response) {
            self.waiters.complete(commands);
            return;
        }
        let (mut responses, requests): (Vec<Command>, Vec<Command>) =
            commands.drain(..).partition(Command::is_response);
        self.waiters.complete(&mut responses);
        for command in requests {
            self.hand_over(command, owner);
        }
    }

    fn hand_over(self: &Arc<Self>, command: Command, owner: &Weak<CloseOnDrop>) {
        // Without an owner the connection is about to close.
        let Some(owner) = owner.upgrade() else { return };
        let connection = Connection {
            shared: Arc::clone(self),
            _owner: owner,
        };
        let code = command.code;
        let refused = match &self.requests {
            None => (
                command,
                connection,
                ResponseCode::REQUEST_CODE_NOT_SUPPORTED,
            ),
            Some(requests) => match requests.try_send(PeerRequest {
                connection,
                command,
            }) {
                Ok(()) => return,
                Err(error) => {
                    let request = error.into_inner();
                    (
                        request.command,
                        request.connection,
                        ResponseCode::SYSTEM_BUSY,
                    )
                }
            },
        };
        let (command, connection, answer) = refused;
        tracing::warn!(address = %self.address, code, "a request of the peer was refused");
        if !command.is_oneway() {
            let remark = format!("request type {code} not supported");
            connection.reply(&Command::reply_to(&command, answer).with_remark(remark));
        }
    }

    /// Requests have expired. If nothing at all was received since the oldest of them, the peer is gone.
    fn expired(&self, since: Instant) {
        let now = Instant::now();
        let received =
            self.started + Duration::from_millis(self.received_ms.load(Ordering::Relaxed));
        let waited = now.saturating_duration_since(since);
        if received < since && waited >= Duration::from_millis(SILENCE_MS) {
            self.close(Failure::Lost(format!(
                "the peer has been silent for {} ms",
                waited.as_millis()
            )));
        }
    }

    /// Ends some time after the connection was closed: a peer that does not read must not keep the writer.
    async fn last_words_said(&self) {
        let mut closed = self.closed.subscribe();
        drop(closed.wait_for(|closed| *closed).await);
        tokio::time::sleep(LAST_WORDS).await;
    }

    fn close(&self, failure: Failure) {
        if !self.closed.send_replace(true) {
            tracing::debug!(address = %self.address, ?failure, "connection ended");
        }
        self.waiters.end(failure);
        self.outbox.close();
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("address", &self.shared.address)
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
