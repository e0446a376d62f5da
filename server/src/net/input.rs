// SPDX-License-Identifier: Apache-2.0
//! What a connection reads into.
//!
//! A quiet connection has a small buffer of its own. One that fills it is busy: it reads into the large buffer of the thread
//! that runs it, which all busy connections of the thread use in turn, always from its beginning, so that it stays in the
//! processor's cache. Only the beginning of a frame that is not there as a whole is kept from one read to the next.
//!
//! Requests are slices of these buffers. Who keeps one for longer keeps its buffer, and the next read gets another.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use kerolox_protocol::frame::{self, Frame, FrameError};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Buffer of a quiet connection.
const QUIET_BUFFER: usize = 4 * 1024;
/// Buffer of the busy connections of a thread, and the most that is made ready for the rest of a large frame before it comes.
const BUSY_BUFFER: usize = 256 * 1024;
/// The beginning of a frame that is longer stays where it is until the rest has come; a shorter one is copied by each read.
const SHORT_REST: usize = 16 * 1024;
/// A busy connection that reads less is quiet.
const LITTLE: usize = QUIET_BUFFER / 4;

thread_local! {
    static SHARED: Cell<BytesMut> = Cell::default();
}

/// The input of one connection.
#[derive(Debug, Default)]
pub(crate) struct Input {
    bytes: BytesMut,
    is_busy: bool,
    /// Whether `bytes` is the thread's buffer, from a read until [`Input::settle`].
    is_shared: bool,
}

impl Input {
    /// Reads once; 0 is the end of the stream. After that, on the same thread, the frames have to be [`Input::split`] off and
    /// the input [`Input::settle`]d.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut (impl AsyncRead + Unpin),
    ) -> Poll<io::Result<usize>> {
        let missing = match frame::needed(&self.bytes) {
            Ok(Some(needed)) => needed.saturating_sub(self.bytes.len()).max(1),
            _ => 1,
        };
        let is_short = self.bytes.len() <= SHORT_REST && missing <= BUSY_BUFFER - SHORT_REST;
        if self.is_busy && is_short {
            return self.poll_shared(cx, reader);
        }
        let wanted = missing.min(BUSY_BUFFER);
        if self.bytes.capacity() - self.bytes.len() < wanted.max(LITTLE) {
            self.bytes.reserve(wanted.max(QUIET_BUFFER));
        }
        let room = self.bytes.capacity() - self.bytes.len();
        let read = pin!(reader.read_buf(&mut self.bytes)).poll(cx);
        if let Poll::Ready(Ok(read)) = read {
            self.is_busy = read >= room;
        }
        read
    }

    fn poll_shared(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut (impl AsyncRead + Unpin),
    ) -> Poll<io::Result<usize>> {
        let mut shared = SHARED.take();
        shared.reserve(BUSY_BUFFER);
        shared.extend_from_slice(&self.bytes);
        let read = pin!(reader.read_buf(&mut shared)).poll(cx);
        if let Poll::Ready(Ok(read)) = read {
            self.is_busy = read >= LITTLE;
            self.is_shared = true;
            self.bytes = shared;
        } else {
            give_back(shared);
        }
        read
    }

    /// Takes the next whole frame off.
    pub(crate) fn split(&mut self) -> Result<Option<Frame>, FrameError> {
        frame::split(&mut self.bytes)
    }

    /// Ends what began with a read; the frames are dropped, if nobody keeps them.
    pub(crate) fn settle(&mut self) {
        if std::mem::take(&mut self.is_shared) {
            let rest = BytesMut::from(&self.bytes[..]);
            give_back(std::mem::replace(&mut self.bytes, rest));
        }
    }

    /// Gives back the memory of a burst once a connection has been quiet.
    pub(super) fn shrink(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = BytesMut::new();
        }
    }
}

/// Returns the thread's buffer for the next read, unless somebody keeps frames in it.
fn give_back(mut shared: BytesMut) {
    shared.clear();
    if shared.try_reclaim(BUSY_BUFFER) {
        SHARED.set(shared);
    }
}

#[cfg(test)]
mod tests {
    use kerolox_protocol::{Command, RequestCode};

    use super::*;

    fn frames(sizes: &[usize]) -> BytesMut {
        let mut out = BytesMut::new();
        for size in sizes {
            let command = kerolox_protocol::command::request(RequestCode::HEART_BEAT);
            command.with_body(vec![7; *size]).encode(&mut out);
        }
        out
    }

    /// Reads once of `source`, which has something, and returns the bodies of the frames.
    fn read(input: &mut Input, source: &mut &[u8]) -> Vec<bytes::Bytes> {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let Poll::Ready(read) = input.poll_read(&mut cx, source) else {
            panic!("a slice is always ready");
        };
        assert!(read.unwrap() > 0);
        let mut bodies = Vec::new();
        while let Some(frame) = input.split().unwrap() {
            bodies.push(Command::decode(frame).unwrap().body);
        }
        bodies
    }

    #[test]
    fn frames_of_all_sizes_come_out_whole_and_nothing_is_kept_after_them() {
        let sizes = [10, 5_000, 300_000, 0, 100_000, 200_000, 20, 1_000_000, 3];
        let bytes = frames(&sizes);
        let (mut source, mut input, mut found) = (&bytes[..], Input::default(), Vec::new());
        while !source.is_empty() {
            found.extend(read(&mut input, &mut source).iter().map(|body| body.len()));
            input.settle();
            assert!(input.bytes.capacity() <= 1_000_000 + BUSY_BUFFER);
        }
        assert_eq!(found, sizes);
        input.shrink();
        assert_eq!(input.bytes.capacity(), 0);
    }

    #[test]
    fn a_large_frame_that_comes_in_small_parts_is_not_copied_by_each() {
        let bytes = frames(&[200_000]);
        let mut input = Input {
            is_busy: true,
            ..Input::default()
        };
        let mut places = std::collections::HashSet::new();
        let mut found = Vec::new();
        for mut part in bytes.chunks(1_400) {
            found.extend(read(&mut input, &mut part));
            input.settle();
            places.insert(input.bytes.as_ptr());
        }
        assert_eq!(found.len(), 1);
        assert!(places.len() < 20, "{}", places.len());
    }

    #[test]
    fn a_busy_connection_reads_to_the_same_place_again_and_a_quiet_one_has_little() {
        let mut input = Input::default();
        let bytes = frames(&[10_000]);
        let mut places = Vec::new();
        for _ in 0..3 {
            let mut source = &bytes[..];
            while !source.is_empty() {
                let bodies = read(&mut input, &mut source);
                places.extend(bodies.first().map(|body| body.as_ptr()));
                drop(bodies);
                input.settle();
            }
        }
        assert_eq!(places.len(), 3);
        assert!(input.is_busy && places[1] == places[2]);
        let mut source = &frames(&[10])[..];
        assert_eq!(read(&mut input, &mut source).len(), 1);
        input.settle();
        assert!(!input.is_busy);
        let mut source = &frames(&[10])[..];
        assert_eq!(read(&mut input, &mut source).len(), 1);
        assert!(input.bytes.capacity() <= QUIET_BUFFER);
    }

    #[test]
    fn what_somebody_keeps_is_not_written_over() {
        let mut input = Input {
            is_busy: true,
            ..Input::default()
        };
        let bytes = frames(&[2_000, 2_000]);
        let kept = read(&mut input, &mut &bytes[..]);
        input.settle();
        let zeros = vec![0; bytes.len()];
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(input.poll_read(&mut cx, &mut &zeros[..]).is_ready());
        input.settle();
        assert_eq!(kept.len(), 2);
        assert!(kept.iter().all(|body| body.iter().all(|byte| *byte == 7)));
    }
}
