// SPDX-License-Identifier: Apache-2.0
//! Operations that fail on command.

use std::io::{self, ErrorKind};

/// What an injected fault looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The device fails.
    Io,
    /// The disk is full: what needs space fails, everything else goes on.
    NoSpace,
    /// As [`FaultKind::Io`], but of a write this share of the bytes arrives: the process dies in the middle of a copy.
    Short {
        /// How much, percent; rounded down to words of 8 bytes. Of 24 bytes and less, nothing.
        percent: u8,
    },
}

/// A fault that is waiting to happen.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Which writing operation fails, counted from the next one as 0.
    pub after: u64,
    /// How.
    pub kind: FaultKind,
    /// Whether all later operations fail too.
    pub is_lasting: bool,
}

/// Counts the operations and knows which of them fail.
#[derive(Default)]
pub(super) struct Faults {
    pub(super) steps: u64,
    pub(super) next: Option<(u64, FaultKind, bool)>,
    /// Whether a fault has happened.
    pub(super) has_struck: bool,
    /// Writes to mapped pages without space on a full disk: a real process would have been killed.
    pub(super) bus_errors: u64,
}

impl Faults {
    /// Counts an operation; tells which fault it meets.
    pub(super) fn step(&mut self) -> Option<FaultKind> {
        let step = self.steps;
        self.steps += 1;
        match self.next {
            Some((at, kind, is_lasting)) if step == at || (is_lasting && step > at) => {
                self.has_struck = true;
                Some(kind)
            }
            _ => None,
        }
    }

    /// As [`Faults::step`], of an operation that needs no space.
    pub(super) fn step_in_place(&mut self) -> io::Result<()> {
        match self.step() {
            None | Some(FaultKind::NoSpace) => Ok(()),
            Some(_) => Err(ErrorKind::Other.into()),
        }
    }

    /// As [`Faults::step`], of an operation that needs space.
    pub(super) fn step_with_space(&mut self) -> io::Result<()> {
        match self.step() {
            None => Ok(()),
            Some(FaultKind::NoSpace) => Err(ErrorKind::StorageFull.into()),
            Some(_) => Err(ErrorKind::Other.into()),
        }
    }
}
