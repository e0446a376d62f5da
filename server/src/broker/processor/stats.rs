// SPDX-License-Identifier: Apache-2.0
//! VIEW_BROKER_STATS_DATA.

use kerolox_protocol::ResponseCode;
use kerolox_protocol::body;
use kerolox_protocol::body::stats::{BrokerStatsData, BrokerStatsItem};
use kerolox_protocol::header::stats::ViewBrokerStatsDataRequestHeader;

use crate::broker::Broker;
use crate::broker::stats::Window;
use crate::net::{Outcome, Request};
use crate::refusal::{Refusal, answer, success};

/// VIEW_BROKER_STATS_DATA: one item over the last minute, hour and day.
pub(crate) fn view_broker_stats_data(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: ViewBrokerStatsDataRequestHeader<'_> = request.command.header()?;
        let (name, key) = (wanted.stats_name, wanted.stats_key);
        let windows = broker.stats.item(&broker.store, name, key).ok_or_else(|| {
            let remark = format!("The stats <{name}> <{key}> not exist");
            Refusal::new(ResponseCode::SYSTEM_ERROR, remark)
        })?;
        let item = |window: Window| BrokerStatsItem {
            avgpt: window.average,
            sum: window.sum,
            tps: window.tps,
        };
        let body = BrokerStatsData {
            stats_day: item(windows.day),
            stats_hour: item(windows.hour),
            stats_minute: item(windows.minute),
        };
        Ok(success().with_body(body::encode(&body)))
    })
}
