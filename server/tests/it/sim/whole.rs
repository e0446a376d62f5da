// SPDX-License-Identifier: Apache-2.0
//! Whole-store runs: everything that a store does, on a disk that fails, with stops, kills and power cuts at any step.
//!
//! `KEROLOX_SEEDS=0..100000 cargo test -p kerolox-server --test it whole_store` runs as many as wanted; a failure prints
//! the seed and the command that repeats it.

use std::path::PathBuf;
use std::sync::Arc;

use kerolox_server::store::MessageStore;
use kerolox_server::store::disk::{Disk, Fault, FaultKind};

use super::seeds;
use super::world::{End, Run};

/// Runs one seed to its end.
pub(super) fn run(seed: u64) {
    let mut run = Run::new(seed);
    println!("{:?}, pool {}", run.options.flush, run.has_pool());
    let rounds = run.random.usize(2..6);
    for round in 0..rounds {
        let store = run.open();
        let steps = run.random.usize(1..60);
        if round > 0 && run.random.bool() || run.random.u8(..4) == 0 {
            run.plan_fault(150);
        }
        for _ in 0..steps {
            run.step(&store);
        }
        run.finish(store);
        if run.random.u8(..5) == 0 {
            run.damage_derived();
        }
        if run.random.u8(..10) == 0 && run.end <= End::Killed && !run.is_derived_damaged {
            run.flip();
            let (store, report) = run.try_open().unwrap();
            println!("open after {:?} with flipped bits: {report:?}", run.end);
            run.check_opened(&store, &report);
            run.check_flipped(&store);
            return;
        }
    }
    drop(run.open());
}

impl Run {
    /// Opens the store, perhaps after attempts that fail, and checks it.
    fn open(&mut self) -> Arc<MessageStore> {
        while self.random.u8(..4) == 0 {
            self.plan_fault(40);
            let opened = self.try_open();
            match &opened {
                // As good as a kill right after the start.
                Ok((_, report)) => println!("open, with a fault to come: {report:?}"),
                Err(error) => println!("not open: {error}"),
            }
            drop(opened);
            self.has_tried = true;
            self.die();
            println!("{:?}", self.end);
        }
        let (store, report) = self.try_open().unwrap();
        println!(
            "open after {:?}, safe {}, floor {}: {report:?}",
            self.end, self.safe, self.floor
        );
        self.check_opened(&store, &report);
        self.end = End::Fresh;
        self.was_stopped = false;
        self.is_derived_damaged = false;
        self.has_no_checkpoint = false;
        self.has_tried = false;
        store
    }

    fn plan_fault(&mut self, within: u64) {
        let random = &mut self.random;
        let kind = match random.u8(..5) {
            0 | 1 => FaultKind::Io,
            2 => FaultKind::NoSpace,
            _ => FaultKind::Short {
                percent: random.u8(..100),
            },
        };
        let fault = Fault {
            after: random.u64(..within),
            kind,
            is_lasting: random.bool(),
        };
        println!("{fault:?}");
        self.fault = Some(kind);
        self.disk.inject(fault);
    }

    /// Ends a run of the store: with a clean stop, a kill or a power cut.
    fn finish(&mut self, store: Arc<MessageStore>) {
        if self.random.u8(..3) == 0 && !self.disk.has_struck() {
            self.disk.heal();
            store.shutdown().unwrap();
            self.end = End::Stopped;
            self.was_stopped = true;
            self.safe = store.commit_log_max();
            self.floor = self.safe;
            drop(store);
            // All is on disk.
            if self.random.bool() {
                self.cut_power();
                self.end = End::Stopped;
            }
            return;
        }
        self.die();
        drop(store);
    }

    fn die(&mut self) {
        if self.random.bool() || self.has_no_checkpoint {
            self.kill();
        } else {
            self.cut_power();
        }
    }

    /// Somebody removes, cuts or overwrites a file that can be made again.
    fn damage_derived(&mut self) {
        let is_derived = |path: &PathBuf| {
            let is_checkpoint = path.ends_with("checkpoint") && self.end != End::PowerCut;
            is_checkpoint
                || path.starts_with("/store/consumequeue")
                || path.starts_with("/store/index")
        };
        let files: Vec<_> = self.disk.files().into_iter().filter(is_derived).collect();
        if files.is_empty() {
            return;
        }
        self.is_derived_damaged = true;
        self.was_damaged = true;
        let path = &files[self.random.usize(..files.len())];
        println!("damage {}", path.display());
        self.has_no_checkpoint = path.ends_with("checkpoint");
        let mut content = self.disk.read(path).unwrap();
        match self.random.u8(..5) {
            0 => self.disk.remove_file(path).unwrap(),
            1 if !path.ends_with("checkpoint") => {
                self.disk.remove_dir_all(path.parent().unwrap()).unwrap();
            }
            2 => {
                content.truncate(self.random.usize(..content.len().max(1)));
                self.disk.put(path, &content);
            }
            3 => {
                content.fill_with(|| self.random.u8(..));
                self.disk.put(path, &content);
            }
            _ => {
                content.fill(0);
                self.disk.put(path, &content);
            }
        }
    }
}

#[test]
fn whole_store() {
    seeds::run("whole_store", seeds::chosen(0..1000), run);
}

/// Seeds that failed once: of deleted topics that came back, of a first record whose loss was not reported, of a damaged
/// checkpoint after a sync that failed, of a queue offset that no file can hold, and of expectations that were wrong.
#[test]
fn whole_store_of_seeds_that_failed() {
    for seed in [
        20_325, 20_335, 20_865, 30_091, 31_674, 33_296, 36_717, 37_035, 80_439,
    ] {
        seeds::run("whole_store", seed..seed + 1, run);
    }
}
