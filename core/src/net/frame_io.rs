// SPDX-License-Identifier: Apache-2.0
//! Step "frame" of the client's way: bytes of the socket to commands, and queued bytes to the socket.
//!
//! Before it: [`super::connection`], which puts encoded frames into the [`Outbox`]. After it: the socket, and on the way
//! back [`super::waiters`], which completes the waiter that a response belongs to.
//!
//! Any number of callers append to the outbox; one writer task empties it. A lone request is written as soon as
//! the writer gets to run; requests that are made while others run are written together, with one system call.

use std::io;

use bytes::BytesMut;
use kerolox_protocol::{Command, frame};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;

/// What a read buffer has at least, and keeps when it is idle.
const READ_BUFFER_BYTES: usize = 16 * 1024;
/// An emptied outbox larger than this is given back to the allocator.
const KEPT_OUTBOX_BYTES: usize = 1024 * 1024;
/// Callers wait while the outbox holds more than this.
pub(super) const FULL_OUTBOX_BYTES: usize = 8 * 1024 * 1024;

/// Encoded frames that wait for the writer.
pub(super) struct Outbox {
    state: Mutex<OutboxState>,
    /// Wakes the writer.
    filled: Notify,
    /// Wakes callers that wait for room.
    drained: Notify,
}

struct OutboxState {
    bytes: BytesMut,
    is_closed: bool,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(OutboxState {
                bytes: BytesMut::new(),
                is_closed: false,
            }),
            filled: Notify::new(),
            drained: Notify::new(),
        }
    }

    /// Appends what `encode` writes. `false`: the outbox is full, wait for [`Outbox::drained`].
    /// After [`Outbox::close`] the bytes go nowhere.
    pub(super) fn push(&self, encode: impl FnOnce(&mut BytesMut)) {
        let was_empty = {
            let mut state = self.state.lock();
            if state.is_closed {
                return;
            }
            let was_empty = state.bytes.is_empty();
            encode(&mut state.bytes);
            was_empty
        };
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// Waits until there is room.
    pub(super) async fn room(&self) {
        loop {
            let drained = self.drained.notified();
            if self.has_room() {
                return;
            }
            drained.await;
        }
    }

    pub(super) fn has_room(&self) -> bool {
        let state = self.state.lock();
        state.is_closed || state.bytes.len() < FULL_OUTBOX_BYTES
    }

    /// Refuses further bytes; the writer sends what there is and ends.
    pub(super) fn close(&self) {
        self.state.lock().is_closed = true;
        self.filled.notify_one();
        self.drained.notify_waiters();
    }

    /// Takes everything, leaving `spare` to be filled. `Err` means closed and empty.
    fn take(&self, spare: &mut BytesMut) -> Result<(), ()> {
        let mut state = self.state.lock();
        if state.bytes.is_empty() && state.is_closed {
            return Err(());
        }
        std::mem::swap(&mut state.bytes, spare);
        Ok(())
    }
}

/// Writes the outbox to the socket until it is closed or the socket breaks.
pub(super) async fn write_loop(outbox: &Outbox, socket: &mut OwnedWriteHalf) -> io::Result<()> {
    let mut bytes = BytesMut::new();
    loop {
        outbox.filled.notified().await;
        // Let everything that is ready to run add its frames first: one system call for all of them. On an idle
        // runtime this returns at once.
        tokio::task::yield_now().await;
        loop {
            if outbox.take(&mut bytes).is_err() {
                return socket.shutdown().await;
            }
            if bytes.is_empty() {
                break;
            }
            socket.write_all(&bytes).await?;
            bytes.clear();
            if bytes.capacity() > KEPT_OUTBOX_BYTES {
                bytes = BytesMut::new();
            }
            outbox.drained.notify_waiters();
        }
    }
}

/// Why reading ended.
pub(super) enum ReadEnd {
    /// The peer closed the connection.
    Eof,
    /// The socket broke.
    Io(io::Error),
    /// What came is not the protocol.
    Protocol(String),
}

/// Reads commands and hands over all that one read brought at a time, until the connection ends.
pub(super) async fn read_loop(
    socket: &mut OwnedReadHalf,
    mut on_commands: impl FnMut(&mut Vec<Command>),
) -> ReadEnd {
    let mut buffer = BytesMut::with_capacity(READ_BUFFER_BYTES);
    let mut commands = Vec::new();
    loop {
        match socket.read_buf(&mut buffer).await {
            Ok(0) if buffer.is_empty() => return ReadEnd::Eof,
            Ok(0) => return ReadEnd::Protocol("the connection ended inside a frame".to_owned()),
            Ok(_) => {}
            Err(error) => return ReadEnd::Io(error),
        }
        loop {
            match frame::split(&mut buffer) {
                Ok(Some(frame)) => match Command::decode(frame) {
                    Ok(command) => commands.push(command),
                    Err(error) => return ReadEnd::Protocol(error.to_string()),
                },
                Ok(None) => break,
                Err(error) => return ReadEnd::Protocol(error.to_string()),
            }
        }
        if !commands.is_empty() {
            on_commands(&mut commands);
            commands.clear();
        }
        // The length word has been checked by split, so this is at most one frame.
        let needed = frame::needed(&buffer).ok().flatten().unwrap_or(0);
        let missing = needed.saturating_sub(buffer.len()).max(READ_BUFFER_BYTES);
        // Grow with what arrives, not with what a length word claims.
        buffer.reserve(missing.min(buffer.len().max(READ_BUFFER_BYTES)));
    }
}
