// SPDX-License-Identifier: Apache-2.0
//! What goes when the disk fills up, what stays, and when messages are taken again.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use kerolox_server::store::clock::{Clock, ManualClock};
use kerolox_server::store::disk::{Disk, Fault, FaultKind, SimDisk};
use kerolox_server::store::{Consumed, MessageStore, StoreOptions};

use super::{append_one, open, read_all};

const GIB: u64 = 1 << 30;

struct World {
    options: StoreOptions,
    disk: SimDisk,
    clock: Arc<ManualClock>,
}

impl World {
    fn new() -> Self {
        let options = StoreOptions {
            commit_log_file_size: 16 * 1024,
            consume_queue_file_size: 400,
            max_hash_slot_num: 16,
            max_index_num: 200,
            // No hour is one for deleting.
            delete_when: String::new(),
            ..StoreOptions::new("/store")
        };
        Self {
            options,
            disk: SimDisk::new(),
            clock: Arc::new(ManualClock::new(1_700_000_000_000)),
        }
    }

    /// A store with 200 messages of 500 bytes, all on disk, modified now.
    fn filled(&self) -> Arc<MessageStore> {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&self.clock);
        let (store, _) = open(&self.options, &disk, &clock);
        for number in 0..200_u8 {
            append_one(&store, "orders", 0, &[number; 500]);
        }
        store.flush_pass().unwrap();
        for path in self.disk.files() {
            self.disk.set_modified_ms(&path, self.clock.now_ms());
        }
        self.clock.advance(61_000);
        store
    }

    fn tick(&self, store: &MessageStore, advance_ms: i64) {
        self.clock.advance(advance_ms);
        store.tick(self.clock.now_ms());
    }
}

#[test]
fn consumed_messages_go_under_pressure_and_others_stay() {
    let world = World::new();
    let store = world.filled();
    let consumed = Arc::new(AtomicI64::new(100));
    let seen = Arc::clone(&consumed);
    store.watch_consumption(Arc::new(move |topic, queue_id| {
        assert_eq!((topic, queue_id), ("orders", 0));
        Consumed::UpTo(seen.load(Ordering::Relaxed))
    }));
    world.disk.set_available(GIB / 20);
    for _ in 0..10 {
        world.tick(&store, 10_000);
    }
    let min = store.min_offset("orders", 0);
    assert!((1..=100).contains(&min), "{min}");
    assert!(
        min + 30 > 100,
        "a whole segment of consumed messages is still there: {min}"
    );
    assert_eq!(
        read_all(&store, "orders", 0).len(),
        200 - usize::try_from(min).unwrap()
    );
    assert!(store.figures().is_disk_full && !store.is_writable());
    // They go once they are consumed.
    consumed.store(150, Ordering::Relaxed);
    for _ in 0..10 {
        world.tick(&store, 10_000);
    }
    assert!((120..=150).contains(&store.min_offset("orders", 0)));
    assert_eq!(store.figures().unconsumed_removed, 0);
}

#[test]
fn messages_that_nobody_consumed_go_only_by_request_and_are_counted() {
    for is_requested in [false, true] {
        let mut world = World::new();
        world.options.clean_unconsumed_forcibly = is_requested;
        let store = world.filled();
        store.watch_consumption(Arc::new(|_, _| Consumed::Nothing));
        world.disk.set_available(GIB / 20);
        for _ in 0..10 {
            world.tick(&store, 10_000);
        }
        let min = store.min_offset("orders", 0);
        assert_eq!(min > 0, is_requested);
        assert_eq!(
            i64::try_from(store.figures().unconsumed_removed).unwrap(),
            min
        );
    }
}

#[test]
fn messages_are_taken_again_soon_after_space_returns() {
    let world = World::new();
    let store = world.filled();
    store.watch_consumption(Arc::new(|_, _| Consumed::Nothing));
    world.disk.set_available(GIB / 20);
    world.tick(&store, 1000);
    assert!(!store.is_writable());
    // Reads go on.
    assert_eq!(read_all(&store, "orders", 0).len(), 200);
    // Between the thresholds nothing changes, below them everything is as before.
    world.disk.set_available(GIB / 100 * 12);
    world.tick(&store, 1000);
    assert!(!store.is_writable());
    world.disk.set_available(GIB / 2);
    world.tick(&store, 1000);
    assert!(store.is_writable());
    append_one(&store, "orders", 0, b"again");
}

#[test]
fn a_segment_that_can_not_be_removed_is_tried_again_later() {
    let mut world = World::new();
    world.options.clean_unconsumed_forcibly = true;
    world.options.delete_file_batch_max = 1;
    let store = world.filled();
    // What else is due in the background comes first, so that the next step on the disk is the removal.
    store.tick(world.clock.now_ms());
    world.disk.set_available(GIB / 20);
    world.disk.inject(Fault {
        after: 0,
        kind: FaultKind::Io,
        is_lasting: false,
    });
    for _ in 0..11 {
        world.tick(&store, 10_000);
        assert_eq!(store.commit_log_min(), 0);
    }
    world.tick(&store, 20_000);
    assert_eq!(store.commit_log_min(), 16 * 1024);
    assert!(!store.is_poisoned());
    assert_eq!(
        read_all(&store, "orders", 0).len(),
        200 - usize::try_from(store.min_offset("orders", 0)).unwrap()
    );
}
