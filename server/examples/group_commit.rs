// SPDX-License-Identifier: Apache-2.0
//! How well waiting writers share flushes under SYNC_FLUSH, beside what a bare fdatasync costs on the same disk.
//!
//! `cargo run -p kerolox-server --profile dist --example group_commit [WRITERS] [SECONDS] [BODY_BYTES] [DIR]`
//!
//! Each writer is a thread that appends one message and waits until it is on disk. At best all of them share each flush:
//! WRITERS messages for one fdatasync of as many bytes. The two are measured in turn, three times, as disks vary.
#![allow(clippy::print_stdout, reason = "an example prints its figures")]

use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kerolox_protocol::message::RecordFields;
use kerolox_server::store::clock::SystemClock;
use kerolox_server::store::disk::RealDisk;
use kerolox_server::store::{Flush, MessageStore, StoreOptions, StoreThread};

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let argument = |index: usize| std::env::args().nth(index);
    let writers: usize = argument(1).map_or(Ok(64), |text| text.parse())?;
    let seconds: u64 = argument(2).map_or(Ok(5), |text| text.parse())?;
    let body_bytes: usize = argument(3).map_or(Ok(128), |text| text.parse())?;
    let dir = match argument(4) {
        Some(dir) => std::path::PathBuf::from(dir),
        None => std::env::temp_dir().join(format!("group_commit-{}", std::process::id())),
    };
    std::fs::create_dir_all(&dir)?;
    for round in 1..=3 {
        let sync = bare_sync(&dir, writers * (body_bytes + 150))?;
        let best = writers as f64 / sync.as_secs_f64();
        let (rate, group) = run(&dir.join("store"), writers, seconds, body_bytes)?;
        println!(
            "round {round}: fdatasync {:>7.1} us, at best {best:>8.0} messages/s; measured {rate:>8.0}, {group:.1} a flush: {:.0} %",
            sync.as_secs_f64() * 1e6,
            rate / best * 100.0
        );
        std::fs::remove_dir_all(dir.join("store"))?;
    }
    if argument(4).is_none() {
        std::fs::remove_dir_all(&dir)?;
    }
    Ok(())
}

/// Mean time to write `bytes` into a file with reserved space, where a log would, and to sync it.
fn bare_sync(dir: &Path, bytes: usize) -> Result<Duration, Failure> {
    const ROUNDS: usize = 500;
    let path = dir.join("bare");
    let mut file = std::fs::File::create(&path)?;
    file.write_all(&vec![0; ROUNDS * bytes])?;
    file.sync_all()?;
    let block = vec![b'x'; bytes];
    let mut spent = Duration::ZERO;
    for round in 0..ROUNDS {
        file.write_all_at(&block, (round * bytes) as u64)?;
        let start = Instant::now();
        file.sync_data()?;
        spent += start.elapsed();
    }
    std::fs::remove_file(path)?;
    Ok(spent / u32::try_from(ROUNDS)?)
}

/// Messages a second, and how many shared a flush.
fn run(dir: &Path, writers: usize, seconds: u64, body_bytes: usize) -> Result<(f64, f64), Failure> {
    let options = StoreOptions {
        flush: Flush::Sync,
        ..StoreOptions::new(dir)
    };
    let (store, _) = MessageStore::open(options, Arc::new(RealDisk::new()), Arc::new(SystemClock))?;
    let flushes = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&flushes);
    let thread = StoreThread::spawn(
        Arc::clone(&store),
        Box::new(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
        }),
    )?;
    let is_over = AtomicBool::new(false);
    let sent = AtomicU64::new(0);
    let start = Instant::now();
    let write = |number: usize| -> Result<(), Failure> {
        let queue = store.queue("bench", i32::try_from(number % 4)?)?;
        let body = vec![b'x'; body_bytes];
        let mut batch = store.new_batch();
        while !is_over.load(Ordering::Relaxed) {
            batch.clear();
            batch.push(&queue, &fields(queue.queue_id(), &body), 0)?;
            let end = store.append(&mut batch).end_offset;
            if !store.wait_flushed(end, Duration::from_secs(10))? {
                return Err("a flush took 10 seconds".into());
            }
            sent.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    std::thread::scope(|scope| -> Result<(), Failure> {
        let threads: Vec<_> = (0..writers)
            .map(|number| {
                let write = &write;
                scope.spawn(move || write(number))
            })
            .collect();
        std::thread::sleep(Duration::from_secs(seconds));
        is_over.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().map_err(|_| "a writer panicked")??;
        }
        Ok(())
    })?;
    let (sent, elapsed) = (sent.into_inner() as f64, start.elapsed().as_secs_f64());
    let flushes = flushes.load(Ordering::Relaxed) as f64;
    thread.stop();
    store.shutdown()?;
    Ok((sent / elapsed, sent / flushes))
}

fn fields(queue_id: i32, body: &[u8]) -> RecordFields<'_> {
    RecordFields {
        topic: "bench",
        queue_id,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1_700_000_000_000,
        born_host: ([127, 0, 0, 1], 5000).into(),
        store_host: ([127, 0, 0, 1], 10911).into(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties: &["UNIQ_KEY\u{1}7F0000010001000000010000000100000001\u{2}"],
    }
}
