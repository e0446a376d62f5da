// SPDX-License-Identifier: Apache-2.0
//! Settings that change while they are read.

use std::ops::Deref;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Different settings that a process can have had.
const MOST: usize = 4096;

/// The present settings behind a plain reference: whoever holds one may go on reading it, and sees the settings of the
/// moment when it was taken.
///
/// Reading costs two atomic loads, no lock and no count, because requests read settings more often than they do
/// anything else. For that, settings that were replaced stay in memory; those that come back are not kept twice. A
/// process that had 4096 different ones takes no more.
#[derive(Debug)]
pub struct Live<T> {
    first: T,
    /// Boxed one by one: most are never filled.
    later: Box<[OnceLock<Box<T>>]>,
    /// 0 is `first`, 1 the first of `later`.
    current: AtomicUsize,
    replacing: Mutex<()>,
}

/// A process had so many different settings that it keeps no more; a restart helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the settings were changed {MOST} times since the start: restart the server")]
pub struct TooManyChanges;

impl<T: PartialEq> Live<T> {
    /// The settings of a start.
    pub fn new(first: T) -> Self {
        Self {
            first,
            later: (1..MOST).map(|_| OnceLock::new()).collect(),
            current: AtomicUsize::new(0),
            replacing: Mutex::new(()),
        }
    }

    /// Lets reads from now on see `settings`.
    ///
    /// # Errors
    /// [`TooManyChanges`]; nothing changes.
    pub fn replace(&self, settings: T) -> Result<(), TooManyChanges> {
        let _turn = self.replacing.lock();
        if self.first == settings {
            self.current.store(0, Ordering::Release);
            return Ok(());
        }
        let free_or_equal =
            |slot: &OnceLock<Box<T>>| slot.get().is_none_or(|kept| **kept == settings);
        let at = self.later.iter().position(free_or_equal);
        let slot = at.and_then(|at| self.later.get(at));
        let (Some(at), Some(slot)) = (at, slot) else {
            return Err(TooManyChanges);
        };
        slot.get_or_init(|| Box::new(settings));
        self.current.store(at + 1, Ordering::Release);
        Ok(())
    }
}

impl<T> Deref for Live<T> {
    type Target = T;

    fn deref(&self) -> &T {
        let later = self.current.load(Ordering::Acquire).checked_sub(1);
        later
            .and_then(|at| self.later.get(at)?.get().map(Box::as_ref))
            .unwrap_or(&self.first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_see_changes_and_keep_what_they_took() {
        let live = Live::new("a".to_owned());
        let before: &String = &live;
        live.replace("b".to_owned()).unwrap();
        assert_eq!((before.as_str(), live.as_str()), ("a", "b"));
        live.replace("a".to_owned()).unwrap();
        assert_eq!(live.as_str(), "a");
        live.replace("b".to_owned()).unwrap();
        assert_eq!(live.as_str(), "b");
        assert_eq!(
            live.later
                .iter()
                .filter(|slot| slot.get().is_some())
                .count(),
            1
        );
    }

    #[test]
    fn the_number_of_different_settings_is_bounded() {
        let live = Live::new(0);
        for settings in 1..MOST {
            live.replace(settings).unwrap();
        }
        assert_eq!(live.replace(MOST), Err(TooManyChanges));
        assert_eq!(*live, MOST - 1);
        live.replace(7).unwrap();
        assert_eq!(*live, 7);
    }
}
