// SPDX-License-Identifier: Apache-2.0
//! How well waiting writers share flushes under SYNC_FLUSH, beside what a bare fdatasync costs on the same disk.
//!
//! `cargo run -p kerolox-server --profile dist --example group_commit [WRITERS] [SECONDS] [BODY_BYTES] [DIR]`
//!
//! Each writer appends one message, waits until it is on disk, and appends the next. As in the broker, waiting is data and
//! not a thread: one thread appends for all writers whose message a flush made safe. While one group is flushed the next one
//! gathers; at best flushes follow each other without a pause, each as short as a bare fdatasync of as many bytes. The two
//! are measured in turn, as disks vary: a fdatasync before and after each round of the store.
#![allow(clippy::print_stdout, reason = "an example prints its figures")]

use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kerolox_protocol::message::RecordFields;
use kerolox_server::store::clock::SystemClock;
use kerolox_server::store::disk::RealDisk;
use kerolox_server::store::{Flush, MessageStore, StoreOptions, StoreThread};

const ROUNDS: u32 = 8;

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
    let mut product = 1.0;
    for round in 1..=ROUNDS {
        let bytes = writers * (body_bytes + 150);
        let before = bare_sync(&dir, bytes)?;
        let (rate, group) = run(&dir.join("store"), writers, seconds, body_bytes)?;
        let sync = f64::midpoint(before, bare_sync(&dir, bytes)?);
        let of_groups = rate / (group / sync);
        product *= of_groups;
        println!(
            "round {round:>2}: fdatasync {:>7.1} us; {rate:>8.0} messages/s, {group:>4.1} a flush: {:>3.0} % of such groups, \
             {:>3.0} % of {writers} messages for each fdatasync",
            sync * 1e6,
            of_groups * 100.0,
            rate * sync / writers as f64 * 100.0
        );
        std::fs::remove_dir_all(dir.join("store"))?;
    }
    println!(
        "geometric mean {:.0} % of such groups",
        product.powf(1.0 / f64::from(ROUNDS)) * 100.0
    );
    if argument(4).is_none() {
        std::fs::remove_dir_all(&dir)?;
    }
    Ok(())
}

/// Mean seconds to sync `bytes` that were written into a file whose space was written before, as a log's is.
fn bare_sync(dir: &Path, bytes: usize) -> Result<f64, Failure> {
    const SYNCS: usize = 1000;
    let path = dir.join("bare");
    let mut file = std::fs::File::create(&path)?;
    file.write_all(&vec![0; SYNCS * bytes])?;
    file.sync_all()?;
    let block = vec![b'x'; bytes];
    let mut spent = Duration::ZERO;
    for round in 0..SYNCS {
        file.write_all_at(&block, (round * bytes) as u64)?;
        let start = Instant::now();
        file.sync_data()?;
        spent += start.elapsed();
    }
    std::fs::remove_file(path)?;
    Ok(spent.as_secs_f64() / SYNCS as f64)
}

/// Messages a second, and how many shared a flush.
fn run(dir: &Path, writers: usize, seconds: u64, body_bytes: usize) -> Result<(f64, f64), Failure> {
    let options = StoreOptions {
        flush: Flush::Sync,
        ..StoreOptions::new(dir)
    };
    let (store, _) = MessageStore::open(options, Arc::new(RealDisk::new()), Arc::new(SystemClock))?;
    let (report, reports) = std::sync::mpsc::channel();
    let thread = StoreThread::spawn(
        Arc::clone(&store),
        Box::new(move |flush| {
            // Once the measurement is over nobody listens.
            report.send(flush.flushed).unwrap_or(());
        }),
    )?;
    let body = vec![b'x'; body_bytes];
    let queues: Result<Vec<_>, _> = (0..4).map(|id| store.queue("bench", id)).collect();
    let queues = queues?;
    let mut batch = store.new_batch();
    let mut append = |writer: usize| -> Result<i64, Failure> {
        let queue = &queues[writer % queues.len()];
        batch.clear();
        batch.push(queue, &fields(queue.queue_id(), &body), 0)?;
        Ok(store.append(&mut batch).end_offset)
    };
    let start = Instant::now();
    let mut waiting = Vec::with_capacity(writers);
    for writer in 0..writers {
        waiting.push(append(writer)?);
    }
    let (mut sent, mut flushes) = (0.0, 0.0);
    while start.elapsed() < Duration::from_secs(seconds) {
        let mut flushed = reports.recv_timeout(Duration::from_secs(10))?;
        flushes += 1.0;
        for later in reports.try_iter() {
            flushed = later;
            flushes += 1.0;
        }
        for (writer, end) in waiting.iter_mut().enumerate() {
            if *end <= flushed {
                sent += 1.0;
                *end = append(writer)?;
            }
        }
    }
    let elapsed = start.elapsed().as_secs_f64();
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
        properties: &[b"UNIQ_KEY\x017F0000010001000000010000000100000001\x02"],
    }
}
