// SPDX-License-Identifier: Apache-2.0
//! What the broker says of itself: its settings and its figures.

use std::collections::BTreeMap;

use kerolox_protocol::body;
use kerolox_protocol::body::register::KvTable;
use kerolox_protocol::header::admin::GetBrokerConfigResponseHeader;
use kerolox_protocol::version;

use crate::broker::Broker;
use crate::net::{Outcome, Request};
use crate::refusal::{answer, refuse_change, success};

/// GET_BROKER_CONFIG: the settings as properties text.
pub(crate) fn get_broker_config(broker: &Broker, _request: &Request<'_>) -> Outcome {
    let (text, version) = broker.config.text();
    let version = body::encode(&version);
    let version = String::from_utf8_lossy(&version);
    let header = GetBrokerConfigResponseHeader { version: &version };
    Outcome::Reply(success().with_header(&header).with_body(text.into_bytes()))
}

/// UPDATE_BROKER_CONFIG: properties text, all of which is taken or nothing.
pub(crate) fn update_broker_config(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let change = broker
            .change_settings(&request.command.body, request.now_ms)
            .map_err(refuse_change)?;
        tracing::info!(
            by = request.session.peer_text(),
            live = ?change.live,
            at_restart = ?change.at_restart,
            inert = ?change.inert,
            "settings changed"
        );
        Ok(match change.remark() {
            Some(remark) => success().with_remark(remark),
            None => success(),
        })
    })
}

/// GET_BROKER_RUNTIME_INFO: figures under the reference's names. There are no thread pools and no queues of requests
/// here, so those are empty; everything else is measured.
pub(crate) fn get_broker_runtime_info(broker: &Broker, request: &Request<'_>) -> Outcome {
    let figures = broker.store.figures();
    let rates = broker.rates.at(&broker.store, request.now_ms);
    let mut table = BTreeMap::new();
    let mut put = |key: &str, value: String| {
        table.insert(key.to_owned(), value);
    };
    put("brokerActive", figures.is_writable.to_string());
    put("brokerVersion", version::CURRENT.to_string());
    put("brokerVersionDesc", version::description(version::CURRENT));
    put("bootTimestamp", rates.boot_ms.to_string());
    put(
        "runtime",
        uptime(request.now_ms.saturating_sub(rates.boot_ms)),
    );
    put("putTps", rates.put_tps());
    put("msgPutTotalTodayNow", rates.put_total.to_string());
    put("msgPutTotalTodayMorning", rates.put_at_midnight.to_string());
    put(
        "msgPutTotalYesterdayMorning",
        rates.put_at_midnight_before.to_string(),
    );
    put("commitLogMinOffset", figures.commit_log_min.to_string());
    put("commitLogMaxOffset", figures.commit_log_max.to_string());
    let behind = figures.commit_log_max.saturating_sub(figures.flushed);
    put("remainHowManyDataToFlush", format!("{behind} B"));
    put("dispatchBehindBytes", "0".to_owned());
    let first = broker.store.record_at(figures.commit_log_min);
    let first = first.and_then(|record| {
        kerolox_protocol::message::RecordView::parse(&record)
            .ok()
            .map(|record| record.store_timestamp)
    });
    put("earliestMessageTimeStamp", first.unwrap_or(-1).to_string());
    let accepts_from = broker.config.start_accept_send_request_time_stamp;
    put("startAcceptSendRequestTimeStamp", accepts_from.to_string());
    // Zeros while the wheel is off.
    let timer = broker.timer.shown();
    put("timerReadBehind", (timer.read_behind_ms / 1000).to_string());
    put("timerOffsetBehind", timer.offset_behind.to_string());
    put("timerCongestNum", broker.timer.waiting().to_string());
    put("timerEnqueueTps", format!("{:.1}", timer.enqueue_tps));
    put("timerDequeueTps", format!("{:.1}", timer.dequeue_tps));
    // What mqadmin reads and cannot do without. Requests are run where they arrive: nothing waits in a pool.
    for pool in ["send", "pull", "litePull", "query", "ack"] {
        put(&format!("{pool}ThreadPoolQueueSize"), "0".to_owned());
        put(
            &format!("{pool}ThreadPoolQueueHeadWaitTimeMills"),
            "0".to_owned(),
        );
    }
    put("EndTransactionQueueSize", "0".to_owned());
    put("pageCacheLockTimeMills", "0".to_owned());
    Outcome::Reply(success().with_body(body::encode(&KvTable { table })))
}

fn uptime(ms: i64) -> String {
    let seconds = ms / 1000;
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    format!("[ {days} days, {hours} hours, {minutes} minutes, {seconds} seconds ]")
}
