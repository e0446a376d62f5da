// SPDX-License-Identifier: Apache-2.0
//! The one tokio runtime of the process, and what a fork does to it.
//!
//! It is built by the first client that starts: [`io_threads`] threads named `kerolox-io-N`. Nothing else in the
//! project builds one, except servers, which pass their own.
//!
//! Threads do not survive `fork`. A `pthread_atfork` hook raises a generation in the child; every handle remembers the
//! generation it was made in, and a stale one answers [`ErrorCode::Forked`]. The parent's runtime is leaked in the
//! child, because dropping it would wait for threads that are not there; the first new handle builds a fresh one.
//!
//! This is the only file of the crate that may contain `unsafe`. The slot is an atomic pointer and no lock, since a
//! lock could be held by another thread at the moment of the fork.
#![allow(
    unsafe_code,
    reason = "pthread_atfork, and a pointer that is never freed"
)]

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Once, Weak};

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::error::{Error, ErrorCode, Result};

static GENERATION: AtomicU64 = AtomicU64::new(1);
static SLOT: AtomicPtr<Slot> = AtomicPtr::new(std::ptr::null_mut());
static HOOK: Once = Once::new();
static IO_THREADS: AtomicUsize = AtomicUsize::new(2);
static THREAD_NUMBER: AtomicUsize = AtomicUsize::new(0);

const THREAD_NAME: &str = "kerolox-io";

/// Things that are shared inside one process by name: the client instances.
///
/// The table belongs to the runtime's slot, so that a forked child starts with an empty one and an unlocked lock.
pub(crate) type Registry = Mutex<HashMap<String, Weak<dyn Any + Send + Sync>>>;

struct Slot {
    generation: u64,
    runtime: Runtime,
    registry: Registry,
}

extern "C" fn in_child_after_fork() {
    GENERATION.fetch_add(1, Ordering::SeqCst);
}

fn install_fork_hook() {
    #[cfg(unix)]
    HOOK.call_once(|| {
        // SAFETY: the hook only adds to an atomic, which is allowed between fork and exec in a child of a
        // process with threads, and it lives as long as the library.
        unsafe { libc::pthread_atfork(None, None, Some(in_child_after_fork)) };
    });
    #[cfg(not(unix))]
    {
        let _ = (&HOOK, in_child_after_fork as extern "C" fn());
    }
}

/// The number of forks between the first process and this one, plus one.
pub fn generation() -> u64 {
    GENERATION.load(Ordering::SeqCst)
}

/// Number of threads that the runtime has, or will have when it is built.
pub fn io_threads() -> usize {
    IO_THREADS.load(Ordering::Relaxed)
}

/// Sets the number of threads; without effect once a client has been started.
pub fn set_io_threads(threads: usize) {
    IO_THREADS.store(threads.clamp(1, 256), Ordering::Relaxed);
}

/// Whether the calling thread belongs to a runtime of this crate. A blocking wait there could wait for itself.
pub fn is_io_thread() -> bool {
    std::thread::current()
        .name()
        .is_some_and(|name| name.starts_with(THREAD_NAME))
}

/// The handle of this process's runtime, which is built if there is none yet.
///
/// # Errors
/// [`ErrorCode::Runtime`] when the threads can not be started.
pub fn handle() -> Result<&'static Handle> {
    Ok(slot()?.runtime.handle())
}

/// What is shared by name in this process.
pub(crate) fn registry() -> Result<&'static Registry> {
    Ok(&slot()?.registry)
}

fn slot() -> Result<&'static Slot> {
    install_fork_hook();
    let generation = generation();
    let current = SLOT.load(Ordering::Acquire);
    // SAFETY: a pointer in SLOT came from Box::leak and is never freed.
    if let Some(slot) = unsafe { current.as_ref() }
        && slot.generation == generation
    {
        return Ok(slot);
    }
    let registry = Registry::default();
    let fresh = Box::into_raw(Box::new(Slot {
        generation,
        runtime: build()?,
        registry,
    }));
    match SLOT.compare_exchange(current, fresh, Ordering::AcqRel, Ordering::Acquire) {
        // SAFETY: just made by Box::into_raw and published; from here on it is never freed.
        Ok(_) => Ok(unsafe { &*fresh }),
        Err(winner) => {
            // SAFETY: `fresh` was not published, so this is its only owner.
            let lost = unsafe { Box::from_raw(fresh) };
            lost.runtime.shutdown_background();
            // SAFETY: another thread published `winner`, which is never freed.
            Ok(unsafe { &*winner })
        }
    }
}

fn build() -> Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(io_threads())
        .thread_name_fn(|| {
            let number = THREAD_NUMBER.fetch_add(1, Ordering::Relaxed);
            format!("{THREAD_NAME}-{number}")
        })
        .enable_all()
        .build()
        .map_err(|error| Error::new(ErrorCode::Runtime, "start").with_source(error))
}

/// Pretends that the process has forked, for tests: every handle made so far becomes stale.
#[doc(hidden)]
pub fn pretend_fork_for_tests() {
    in_child_after_fork();
}
