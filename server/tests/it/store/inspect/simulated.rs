// SPDX-License-Identifier: Apache-2.0
//! The same inspection on the simulated disk, as a checker of what recovery leaves.

use std::sync::Arc;

use kerolox_server::store::clock::{Clock, ManualClock};
use kerolox_server::store::disk::{Disk, SimDisk};
use kerolox_server::store::inspect::{self, StoreLayout};
use kerolox_server::store::{Flush, MessageStore, StoreOptions};

use super::append_with;

const SEEDS: u64 = 60;

#[test]
fn recovered_stores_are_clean() {
    let (mut units, mut keys) = (0, 0);
    for seed in 0..SEEDS {
        let mut random = fastrand::Rng::with_seed(seed);
        let options = StoreOptions {
            commit_log_file_size: 8192,
            consume_queue_file_size: 400,
            max_hash_slot_num: 16,
            max_index_num: 50,
            flush: if seed % 2 == 0 {
                Flush::Async
            } else {
                Flush::Sync
            },
            ..StoreOptions::new("/store")
        };
        let time = Arc::new(ManualClock::new(1_700_000_000_000));
        let mut disk = SimDisk::new();
        for round in 0..4 {
            let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&time);
            let shared: Arc<dyn Disk> = Arc::new(disk.clone());
            let opened = MessageStore::open(options.clone(), shared, clock);
            let (store, _) = opened.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            let layout = StoreLayout::from(&options);
            let report = inspect::verify(&disk, &layout, &mut |_| {}).unwrap();
            assert!(report.is_clean(), "seed {seed} round {round}: {report:#?}");
            units += report.summary.units;
            keys += report.summary.keys;
            for _ in 0..random.usize(1..60) {
                time.advance(random.i64(0..300));
                let body = vec![random.u8(..); random.usize(..700)];
                let topic = ["orders", "%RETRY%g"][random.usize(..2)];
                let (tag, key) = (random.u8(..5), random.u16(..));
                let tag = format!("TAGS\u{1}tag{tag}\u{2}KEYS\u{1}{key} all\u{2}");
                append_with(&store, topic, random.i32(0..3), &body, &tag);
                match random.u8(..10) {
                    0 => drop(store.flush_pass()),
                    1 => drop(store.tick(time.now_ms())),
                    _ => {}
                }
            }
            match random.u8(..3) {
                0 => {
                    store.shutdown().unwrap();
                    disk = disk.kill();
                }
                1 => disk = disk.kill(),
                _ => disk = disk.crash(|| random.u64(..)),
            }
        }
    }
    assert!(units > 1000 && keys > 1000, "{units} {keys}");
}
