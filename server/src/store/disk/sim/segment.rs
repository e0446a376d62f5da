// SPDX-License-Identifier: Apache-2.0
//! Segments and files of the simulated disk.

use std::borrow::Cow;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::content::Content;
use super::faults::{FaultKind, Faults};
use crate::store::disk::{ReadAt, Segment, SegmentWriter};

const PAGE: u64 = 4096;
const PAGE_LEN: usize = 4096;
/// Bytes that a processor copies at once.
const WORD: usize = 8;
/// Longest write that is not torn by the death of a process: two or three instructions.
const AT_ONCE: usize = 24;

pub(super) struct SimFile {
    pub(super) content: Arc<Mutex<Content>>,
}

impl ReadAt for SimFile {
    fn len(&self) -> u64 {
        self.content.lock().seen.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let content = self.content.lock();
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = content.seen.get(from..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..len), rest.get(..len)) {
            to.copy_from_slice(from);
        }
        Ok(len)
    }
}

pub(super) struct SimSegment {
    pub(super) content: Arc<Mutex<Content>>,
    pub(super) len: u64,
    pub(super) readable: AtomicU64,
    pub(super) faults: Arc<Mutex<Faults>>,
    pub(super) now_ms: Arc<AtomicI64>,
}

impl SimSegment {
    fn copy(&self, offset: u64, len: usize) -> Option<Vec<u8>> {
        if offset.checked_add(len as u64)? > self.readable() {
            return None;
        }
        let offset = usize::try_from(offset).ok()?;
        let content = self.content.lock();
        content.seen.get(offset..offset + len).map(<[u8]>::to_vec)
    }

    fn write(&self, offset: u64, bytes: &[u8], is_mapped: bool) -> io::Result<()> {
        let mut faults = self.faults.lock();
        let fault = faults.step();
        if offset < self.readable() {
            return Err(ErrorKind::InvalidInput.into());
        }
        let at = usize::try_from(offset).map_err(|_| ErrorKind::InvalidInput)?;
        let mut content = self.content.lock();
        let now_ms = self.now_ms.load(Ordering::Relaxed);
        match fault {
            None => {}
            Some(FaultKind::NoSpace) if content.is_placed(at..at.saturating_add(bytes.len())) => {}
            Some(FaultKind::NoSpace) => {
                faults.bus_errors += u64::from(is_mapped);
                return Err(ErrorKind::StorageFull.into());
            }
            Some(FaultKind::Io) => return Err(ErrorKind::Other.into()),
            Some(FaultKind::Short { percent }) => {
                let mut arrived = bytes.len() * usize::from(percent.min(100)) / 100 / WORD * WORD;
                if !is_mapped {
                    // The system copies page by page.
                    arrived = ((at + arrived) / PAGE_LEN * PAGE_LEN).saturating_sub(at);
                }
                if bytes.len() > AT_ONCE {
                    content.write(at, bytes.get(..arrived).unwrap_or_default(), now_ms);
                }
                return Err(ErrorKind::Other.into());
            }
        }
        let is_inside = content.write(at, bytes, now_ms);
        is_inside
            .then_some(())
            .ok_or(ErrorKind::InvalidInput.into())
    }
}

impl Segment for SimSegment {
    fn len(&self) -> u64 {
        self.len
    }

    fn readable(&self) -> u64 {
        self.readable.load(Ordering::Acquire)
    }

    fn view(&self, offset: u64, len: usize) -> Option<Cow<'_, [u8]>> {
        self.copy(offset, len).map(Cow::Owned)
    }

    fn bytes(self: Arc<Self>, offset: u64, len: usize) -> Option<Bytes> {
        self.copy(offset, len).map(Bytes::from)
    }

    fn flush(&self, from: u64, to: u64) -> io::Result<()> {
        let stepped = self.faults.lock().step_in_place();
        let to = usize::try_from(to).map_err(|_| ErrorKind::InvalidInput)?;
        let from = usize::try_from(from).map_err(|_| ErrorKind::InvalidInput)?;
        self.content.lock().sync(from..to, stepped.is_ok());
        stepped
    }

    fn reserve(&self, from: u64, to: u64) -> io::Result<()> {
        self.faults.lock().step_with_space()?;
        let to = usize::try_from(to).map_err(|_| ErrorKind::InvalidInput)?;
        let from = usize::try_from(from).map_err(|_| ErrorKind::InvalidInput)?;
        self.content.lock().place(from..to);
        Ok(())
    }

    fn prefault(&self, _: u64, _: u64, _: bool) {}

    fn begin_writing(&self, _: u64, _: u64) {}
}

pub(super) struct SimWriter {
    pub(super) segment: Arc<SimSegment>,
    pub(super) shared: Arc<dyn Segment>,
}

impl SegmentWriter for SimWriter {
    fn segment(&self) -> &Arc<dyn Segment> {
        &self.shared
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.segment.write(offset, bytes, true)
    }

    fn peek(&self, offset: u64, len: usize) -> Option<Cow<'_, [u8]>> {
        let offset = usize::try_from(offset).ok()?;
        let content = self.segment.content.lock();
        let bytes = content.seen.get(offset..offset.checked_add(len)?)?;
        Some(Cow::Owned(bytes.to_vec()))
    }

    fn publish(&mut self, to: u64) {
        self.segment
            .readable
            .fetch_max(to.min(self.segment.len), Ordering::Release);
    }

    fn write_through(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.segment.write(offset, bytes, false)
    }

    fn release(&mut self, from: u64, to: u64) {
        let (from, to) = (from.next_multiple_of(PAGE), to / PAGE * PAGE);
        if let (Ok(from), Ok(to)) = (usize::try_from(from), usize::try_from(to)) {
            self.segment.content.lock().punch(from..to);
        }
    }

    fn lock_in_memory(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn zero_from(&mut self, from: u64) -> io::Result<()> {
        self.segment.faults.lock().step_in_place()?;
        if from < self.segment.readable() {
            return Err(ErrorKind::InvalidInput.into());
        }
        let from = usize::try_from(from).map_err(|_| ErrorKind::InvalidInput)?;
        let content = &mut *self.segment.content.lock();
        let end = content.seen.len();
        content.punch(from..end);
        Ok(())
    }
}
