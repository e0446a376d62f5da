// SPDX-License-Identifier: Apache-2.0
//! GET_BROKER_RUNTIME_INFO: the broker's figures under the reference's names (wire.md 4.9).

use std::collections::BTreeMap;
use std::path::Path;

use kerolox_protocol::body;
use kerolox_protocol::body::register::KvTable;
use kerolox_protocol::message::RecordView;
use kerolox_protocol::version;

use crate::broker::Broker;
use crate::net::{Outcome, Request};
use crate::refusal::success;
use crate::store::disk::Space;

/// The pools of the reference whose figures its tools read.
const POOLS: [&str; 5] = ["send", "pull", "litePull", "query", "ack"];

/// The figures, as they are collected.
struct Figures(BTreeMap<String, String>);

impl Figures {
    fn put(&mut self, name: &str, value: impl ToString) {
        self.0.insert(name.to_owned(), value.to_string());
    }
}

/// GET_BROKER_RUNTIME_INFO. There are no thread pools and no queues of requests here, so those are empty; everything else
/// is measured.
pub(crate) fn get_broker_runtime_info(broker: &Broker, request: &Request<'_>) -> Outcome {
    let mut figures = Figures(BTreeMap::new());
    put_broker(broker, &mut figures);
    put_rates(broker, request.now_ms, &mut figures);
    put_store(broker, &mut figures);
    put_disks(broker, &mut figures);
    put_delays(broker, &mut figures);
    put_pools(&mut figures);
    let body = KvTable { table: figures.0 };
    Outcome::Reply(success().with_body(body::encode(&body)))
}

fn put_broker(broker: &Broker, figures: &mut Figures) {
    figures.put("brokerActive", broker.store.is_writable());
    figures.put("brokerVersion", version::CURRENT);
    figures.put("brokerVersionDesc", version::description(version::CURRENT));
    let accepts_from = broker.config.start_accept_send_request_time_stamp;
    figures.put("startAcceptSendRequestTimeStamp", accepts_from);
}

fn put_rates(broker: &Broker, now_ms: i64, figures: &mut Figures) {
    let now = broker.stats.overview(&broker.store, now_ms);
    figures.put("bootTimestamp", now.boot_ms);
    figures.put("runtime", uptime(now_ms.saturating_sub(now.boot_ms)));
    figures.put("putTps", now.put_tps);
    figures.put("getFoundTps", now.found_tps);
    figures.put("getMissTps", now.missed_tps);
    figures.put("getTotalTps", now.read_tps);
    // The first spelling is that of brokers before 5.
    figures.put("getTransferedTps", &now.transferred_tps);
    figures.put("getTransferredTps", &now.transferred_tps);
    let [today, yesterday] = now.mornings;
    figures.put("msgPutTotalTodayNow", now.today.put);
    figures.put("msgPutTotalTodayMorning", today.put);
    figures.put("msgPutTotalYesterdayMorning", yesterday.put);
    figures.put("msgGetTotalTodayNow", now.today.got);
    figures.put("msgGetTotalTodayMorning", today.got);
    figures.put("msgGetTotalYesterdayMorning", yesterday.got);
}

#[expect(
    clippy::cast_precision_loss,
    reason = "an average for people needs no more than 52 bits"
)]
fn put_store(broker: &Broker, figures: &mut Figures) {
    let store = &broker.store;
    let puts = store.puts();
    figures.put("putMessageTimesTotal", puts.messages.max(1));
    figures.put("putMessageFailedTimes", store.failed_puts());
    figures.put("putMessageSizeTotal", puts.bytes);
    let average = puts.bytes as f64 / puts.messages.max(1) as f64;
    figures.put("putMessageAverageSize", format!("{average:?}"));
    let durations = store.put_durations();
    figures.put("putMessageEntireTimeMax", durations.max_ms);
    figures.put("putMessageDistributeTime", durations.text());
    for (name, share) in [("putLatency99", 0.99), ("putLatency999", 0.999)] {
        figures.put(name, format!("{:.2}", durations.percentile(share)));
    }
    figures.put("getMessageEntireTimeMax", broker.stats.longest_read_ms());

    let now = store.figures();
    figures.put("commitLogMinOffset", now.commit_log_min);
    figures.put("commitLogMaxOffset", now.commit_log_max);
    let committed = store.committed_offset();
    let to_flush = committed.saturating_sub(now.flushed);
    figures.put("remainHowManyDataToFlush", readable(to_flush));
    let free_buffers = store.free_buffers();
    if free_buffers.is_some() {
        let to_commit = now.commit_log_max.saturating_sub(committed);
        figures.put("remainHowManyDataToCommit", readable(to_commit));
    }
    // Without a pool the reference says the highest number.
    let free_buffers = free_buffers.and_then(|free| i32::try_from(free).ok());
    figures.put(
        "remainTransientStoreBufferNumbs",
        free_buffers.unwrap_or(i32::MAX),
    );
    // Units are written with their records: dispatch is never behind, and keeps nothing in memory.
    figures.put("dispatchBehindBytes", 0);
    figures.put("dispatchMaxBuffer", 0);
    // The append lock is held for microseconds; the reference says so with a time below its threshold.
    figures.put("pageCacheLockTimeMills", 0);
    let first = store.record_at(now.commit_log_min);
    let first = first.and_then(|record| {
        let record = RecordView::parse(&record).ok()?;
        Some(record.store_timestamp)
    });
    figures.put("earliestMessageTimeStamp", first.unwrap_or(-1));
}

fn put_disks(broker: &Broker, figures: &mut Figures) {
    let disks = broker.store.disk_use();
    let log_dir = broker.store.options().commit_log_dir();
    put_ratio(figures, "commitLogDiskRatio", disks.log, Some(&log_dir));
    put_ratio(figures, "consumeQueueDiskRatio", disks.queues, None);
    if let Some(space) = disks.log {
        let size = |bytes: u64| readable(i64::try_from(bytes).unwrap_or(i64::MAX));
        let total = size(space.used.saturating_add(space.available));
        let free = size(space.available);
        figures.put(
            "commitLogDirCapacity",
            format!("Total : {total}, Free : {free}."),
        );
    }
}

/// The used share of a partition, or -1; with a directory also under its name.
#[expect(
    clippy::cast_precision_loss,
    reason = "a share for people needs no more than 52 bits"
)]
fn put_ratio(figures: &mut Figures, name: &str, space: Option<Space>, dir: Option<&Path>) {
    let ratio = space.map_or(-1.0, |space| {
        let total = space.used.saturating_add(space.available);
        space.used as f64 / total.max(1) as f64
    });
    figures.put(name, format!("{ratio:?}"));
    if let Some(dir) = dir {
        figures.put(&format!("{name}_{}", dir.display()), format!("{ratio:?}"));
    }
}

fn put_delays(broker: &Broker, figures: &mut Figures) {
    for (level, delivered, end) in broker.schedule.progress(&broker.store) {
        let name = format!("scheduleMessageOffset_{level}");
        figures.put(&name, format!("{delivered},{end}"));
    }
    // Zeros while the wheel is off.
    let timer = broker.timer.shown();
    figures.put("timerReadBehind", timer.read_behind_ms / 1000);
    figures.put("timerOffsetBehind", timer.offset_behind);
    figures.put("timerCongestNum", broker.timer.waiting());
    figures.put("timerEnqueueTps", format!("{:.1}", timer.enqueue_tps));
    figures.put("timerDequeueTps", format!("{:.1}", timer.dequeue_tps));
}

/// Requests are run where they arrive: nothing waits in a pool, and none has a capacity.
fn put_pools(figures: &mut Figures) {
    for pool in POOLS {
        for figure in ["QueueSize", "QueueCapacity", "QueueHeadWaitTimeMills"] {
            figures.put(&format!("{pool}ThreadPool{figure}"), 0);
        }
    }
    figures.put("EndTransactionQueueSize", 0);
    figures.put("EndTransactionThreadPoolQueueCapacity", 0);
}

fn uptime(ms: i64) -> String {
    let seconds = ms / 1000;
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    format!("[ {days} days, {hours} hours, {minutes} minutes, {seconds} seconds ]")
}

/// Bytes with a unit: `17 B`, `1.5 KiB`.
#[expect(
    clippy::cast_precision_loss,
    reason = "a size for people needs no more than 52 bits"
)]
fn readable(bytes: i64) -> String {
    let mut size = bytes as f64;
    let mut unit = None;
    for name in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        if size < 1024.0 {
            break;
        }
        size /= 1024.0;
        unit = Some(name);
    }
    match unit {
        None => format!("{bytes} B"),
        Some(unit) => format!("{size:.1} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_read_like_the_reference_s() {
        assert_eq!(readable(0), "0 B");
        assert_eq!(readable(1023), "1023 B");
        assert_eq!(readable(1536), "1.5 KiB");
        assert_eq!(readable(5 << 30), "5.0 GiB");
        assert_eq!(
            uptime(90_061_000),
            "[ 1 days, 1 hours, 1 minutes, 1 seconds ]"
        );
    }
}
