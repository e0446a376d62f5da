// SPDX-License-Identifier: Apache-2.0
//! Runs seeds one after the other, and says how to repeat the one that failed.
//!
//! `KEROLOX_SEEDS=0..100000` takes the place of the seeds of the ordinary run; `KEROLOX_SEEDS=17` runs one.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

const VARIABLE: &str = "KEROLOX_SEEDS";

/// The seeds to run: those of the environment, else `ordinary`.
pub(super) fn chosen(ordinary: Range<u64>) -> Range<u64> {
    let Ok(text) = std::env::var(VARIABLE) else {
        return ordinary;
    };
    let number = |text: &str| text.trim().parse::<u64>().unwrap();
    match text.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => number(&text)..number(&text) + 1,
    }
}

/// Shows what the store logs, for a run that is repeated.
fn show_log() {
    if std::env::var(VARIABLE).is_ok() {
        let builder = tracing_subscriber::fmt()
            .with_test_writer()
            .with_target(false);
        builder.try_init().unwrap_or(());
    }
}

/// Runs `one` with each seed; a failure prints the seed and the command that repeats it.
pub(super) fn run(test: &str, seeds: Range<u64>, one: impl Fn(u64)) {
    show_log();
    for seed in seeds {
        if let Err(failure) = catch_unwind(AssertUnwindSafe(|| one(seed))) {
            println!("seed {seed} failed; repeat it with");
            println!("    {VARIABLE}={seed} cargo test -p kerolox-server --test it {test}");
            resume_unwind(failure);
        }
    }
}

/// The first seed that fails, and what it says.
#[cfg(debug_assertions)]
pub(super) fn first_failure(mut seeds: Range<u64>, one: impl Fn(u64)) -> Option<(u64, String)> {
    seeds.find_map(|seed| {
        let failure = catch_unwind(AssertUnwindSafe(|| one(seed))).err()?;
        let text = match failure.downcast::<String>() {
            Ok(text) => *text,
            Err(other) => (*other.downcast::<&str>().unwrap()).to_owned(),
        };
        Some((seed, text))
    })
}
