// SPDX-License-Identifier: Apache-2.0
//! How fast the store appends and reads on this machine, without network and broker.
//!
//! `cargo run -p kerolox-server --profile dist --example store_append [MESSAGES] [BODY_BYTES] [BATCH] [DIR]`
//!
//! Each append holds the lock once for BATCH messages that go to four queues in turn. "store part" is the append alone;
//! "with encoding" includes building and summing the record, which happens outside the lock.
#![allow(clippy::print_stdout, reason = "an example prints its figures")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use kerolox_protocol::message::RecordFields;
use kerolox_server::store::clock::SystemClock;
use kerolox_server::store::disk::RealDisk;
use kerolox_server::store::{MessageStore, StoreOptions, StoreThread};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let argument = |index: usize| std::env::args().nth(index);
    let messages: usize = argument(1).map_or(Ok(4_000_000), |text| text.parse())?;
    let body_bytes: usize = argument(2).map_or(Ok(128), |text| text.parse())?;
    let batch_len: usize = argument(3).map_or(Ok(32), |text| text.parse())?;
    let dir = match argument(4) {
        Some(dir) => std::path::PathBuf::from(dir),
        None => std::env::temp_dir().join(format!("store_append-{}", std::process::id())),
    };

    let options = StoreOptions::new(&dir);
    let (store, _) = MessageStore::open(options, Arc::new(RealDisk::new()), Arc::new(SystemClock))?;
    let thread = StoreThread::spawn(Arc::clone(&store), Box::new(|_| {}))?;
    let queues = (0..4)
        .map(|id| store.queue("bench", id))
        .collect::<Result<Vec<_>, _>>()?;
    let body = vec![b'x'; body_bytes];
    let properties =
        ["UNIQ_KEY\u{1}7F0000010001000000010000000100000001\u{2}WAIT\u{1}true\u{2}".as_bytes()];

    let mut batch = store.new_batch();
    let mut in_append = Duration::ZERO;
    let start = Instant::now();
    let cpu_start = thread_cpu();
    let mut sent = 0;
    let mut steady = 0;
    while sent < messages {
        // What comes first makes files and buffers; then the append path should fault no page.
        if sent <= messages / 4 && sent + batch_len > messages / 4 {
            steady = minor_faults();
        }
        batch.clear();
        for number in 0..batch_len {
            let queue = &queues[(sent + number) % queues.len()];
            let fields = RecordFields {
                topic: "bench",
                queue_id: queue.queue_id(),
                flag: 0,
                sys_flag: 0,
                born_timestamp: 1_700_000_000_000,
                born_host: ([127, 0, 0, 1], 5000).into(),
                store_host: ([127, 0, 0, 1], 10911).into(),
                reconsume_times: 0,
                prepared_transaction_offset: 0,
                body: &body,
                properties: &properties,
            };
            batch.push(queue, &fields, 0)?;
        }
        let before = Instant::now();
        let outcome = store.append(&mut batch);
        in_append += before.elapsed();
        if outcome.appended != batch_len {
            return Err(format!("refused: {:?}", batch.results()).into());
        }
        sent += batch_len;
    }
    let (elapsed, cpu) = (start.elapsed(), thread_cpu() - cpu_start);
    report("with encoding", sent, elapsed);
    report("with encoding, CPU of the thread", sent, cpu);
    report("store part", sent, in_append);
    println!(
        "{:<34} {:>10} in the last {} messages",
        "page faults of the thread",
        minor_faults() - steady,
        messages - messages / 4
    );

    let start = Instant::now();
    let (mut read, mut calls) = (0, 0_usize);
    for queue in &queues {
        let mut offset = 0;
        while offset < queue.max_offset() {
            let result = store.get_from(queue, offset, 32, 1 << 20, &mut |_| true);
            offset = result.next_offset;
            read += result.count;
            calls += 1;
        }
    }
    let elapsed = start.elapsed();
    report("read", read, elapsed);
    println!(
        "{:<34} {:>10.0} calls/s",
        "read",
        calls as f64 / elapsed.as_secs_f64()
    );

    thread.stop();
    store.shutdown()?;
    drop((queues, store));
    let start = Instant::now();
    let (store, _) = MessageStore::open(
        StoreOptions::new(&dir),
        Arc::new(RealDisk::new()),
        Arc::new(SystemClock),
    )?;
    println!(
        "{:<34} {:>10.1} ms",
        "reopen after a clean stop",
        start.elapsed().as_secs_f64() * 1e3
    );
    store.shutdown()?;
    if argument(4).is_none() {
        std::fs::remove_dir_all(&dir)?;
    }
    Ok(())
}

fn report(what: &str, count: usize, time: Duration) {
    let seconds = time.as_secs_f64();
    let each = seconds * 1e9 / count as f64;
    println!(
        "{what:<34} {:>10.0} messages/s {each:>8.1} ns each",
        count as f64 / seconds
    );
}

/// CPU time of this thread; 0 where the kernel does not tell.
fn thread_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text
        .split_whitespace()
        .next()
        .and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// Page faults of this thread so far that needed no disk; 0 where the kernel does not tell.
fn minor_faults() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/stat").unwrap_or_default();
    // The fields after the name in brackets, which may hold anything: state is the first, minflt the eighth.
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
    let field = fields.split_whitespace().nth(7);
    field.and_then(|text| text.parse().ok()).unwrap_or(0)
}
