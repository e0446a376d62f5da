// SPDX-License-Identifier: Apache-2.0
//! Step "reply" of the data's way: collects the answers of one read for one vectored write.
//!
//! Before it: the processors. After it: [`super::session`], which writes them. Heads and small
//! bodies share one buffer; larger bodies stay where they are (a mapped file, usually) and are not copied.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};
use kerolox_protocol::Command;
use kerolox_protocol::command::{ResponseHead, encode_response};
use kerolox_protocol::header::Header;

/// Bodies up to this size are copied behind their head: an extra segment of a vectored write costs about as much.
const COPIED_BODY: usize = 512;

/// Slices that one write call takes at most.
const SLICES: usize = 64;

/// Answers on their way to a socket.
#[derive(Debug, Default)]
pub struct Replies {
    head: BytesMut,
    segments: VecDeque<Bytes>,
}

impl Replies {
    /// No answers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the answer to `request`, under its opaque id and in its header encoding; nothing if it is one-way.
    pub fn push(&mut self, request: &Command, mut reply: Command) {
        if request.is_oneway() {
            return;
        }
        reply.opaque = request.opaque;
        reply.serialize_type = request.serialize_type;
        self.command(&reply);
    }

    /// Appends a command as it is.
    pub fn command(&mut self, command: &Command) {
        command.encode_head(&mut self.head);
        self.body(command.body.clone());
    }

    /// Appends a response from a typed header; `body_length` bytes have to follow through [`Replies::body`].
    pub fn response<'h>(
        &mut self,
        head: &ResponseHead<'_>,
        header: &impl Header<'h>,
        body_length: usize,
    ) {
        encode_response(&mut self.head, head, header, body_length);
    }

    /// Appends a piece of the body of the last response.
    pub fn body(&mut self, body: Bytes) {
        if body.len() <= COPIED_BODY {
            self.head.extend_from_slice(&body);
        } else {
            self.seal();
            self.segments.push_back(body);
        }
    }

    /// Appends bytes that are frames already.
    pub fn frames(&mut self, frames: Bytes) {
        self.body(frames);
    }

    fn seal(&mut self) {
        if !self.head.is_empty() {
            self.segments.push_back(self.head.split().freeze());
        }
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.head.is_empty() && self.segments.is_empty()
    }

    /// Takes everything as one list of segments.
    pub fn take(&mut self) -> Vec<Bytes> {
        self.seal();
        self.segments.drain(..).collect()
    }

    /// The segments of the next write call.
    pub(super) fn slices(&mut self) -> smallvec::SmallVec<[IoSlice<'_>; SLICES]> {
        self.seal();
        self.segments
            .iter()
            .take(SLICES)
            .map(|segment| IoSlice::new(segment))
            .collect()
    }

    /// Drops the first `written` bytes.
    pub(super) fn advance(&mut self, mut written: usize) {
        while let Some(first) = self.segments.front_mut() {
            if first.len() > written {
                first.advance(written);
                return;
            }
            written -= first.len();
            self.segments.pop_front();
        }
    }

    /// Gives memory back that a burst needed.
    pub(super) fn shrink(&mut self, capacity: usize) {
        if self.is_empty() && self.head.capacity() > capacity {
            self.head = BytesMut::new();
        }
    }
}
