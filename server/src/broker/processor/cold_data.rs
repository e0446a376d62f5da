// SPDX-License-Identifier: Apache-2.0
//! How the commit log is read, and limits of reading old messages (server.md 15).
//!
//! The limits are kept and shown as the reference does while its flow control is off, which is the default; they hold
//! nothing back.

use std::collections::BTreeMap;

use kerolox_protocol::ResponseCode;
use kerolox_protocol::header::stats::SetCommitLogReadModeRequestHeader;
use parking_lot::Mutex;

use crate::broker::Broker;
use crate::config::properties;
use crate::net::{Outcome, Request};
use crate::refusal::{Refusal, answer, success};

/// Bytes of old messages that a group may read, if nobody says otherwise (`cgColdReadThreshold`).
const GROUP_THRESHOLD: i64 = 3 << 20;
/// As above of all groups together (`globalColdReadThreshold`).
const GLOBAL_THRESHOLD: i64 = 100 << 20;
/// Most groups with a limit of their own.
const MAX_GROUPS: usize = 10_000;

/// Limits by group.
#[derive(Debug, Default)]
pub(in crate::broker) struct ColdReadLimits(Mutex<BTreeMap<String, i64>>);

/// UPDATE_COLD_DATA_FLOW_CTR_CONFIG: `group=bytes` lines.
pub(crate) fn update_cold_data_flow_ctr_config(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let text = text(request)?;
        let mut limits = broker.cold_reads.0.lock();
        for (group, value) in properties::parse(&text) {
            // As in the reference one bad line does not keep the others out.
            let Ok(bytes) = value.trim().parse::<i64>() else {
                tracing::warn!(
                    group,
                    value,
                    "threshold of cold reads is no number of bytes"
                );
                continue;
            };
            if limits.len() >= MAX_GROUPS && !limits.contains_key(&group) {
                let remark = format!("there are limits for {MAX_GROUPS} groups already");
                return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark));
            }
            limits.insert(group, bytes);
        }
        Ok(success())
    })
}

/// REMOVE_COLD_DATA_FLOW_CTR_CONFIG: the body is the group's name.
pub(crate) fn remove_cold_data_flow_ctr_config(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let group = text(request)?;
        broker.cold_reads.0.lock().remove(group.trim());
        Ok(success())
    })
}

fn text(request: &Request<'_>) -> Result<String, Refusal> {
    String::from_utf8(request.command.body.to_vec()).map_err(|_| {
        let remark = "the body is not UTF-8 text";
        Refusal::new(ResponseCode::SYSTEM_ERROR, remark)
    })
}

/// GET_COLD_DATA_FLOW_CTR_INFO.
pub(crate) fn get_cold_data_flow_ctr_info(broker: &Broker, _request: &Request<'_>) -> Outcome {
    let limits = broker.cold_reads.0.lock().clone();
    let info = serde_json::json!({
        "runtimeTable": {},
        "configTable": limits,
        "cgColdReadThreshold": GROUP_THRESHOLD,
        "globalColdReadThreshold": GLOBAL_THRESHOLD,
        "globalAcc": 0,
    });
    Outcome::Reply(success().with_body(info.to_string()))
}

/// SET_COMMITLOG_READ_MODE: whether the system reads the commit log's files ahead.
pub(crate) fn set_commitlog_read_mode(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: SetCommitLogReadModeRequestHeader<'_> = request.command.header()?;
        let is_random = match wanted.read_ahead_mode.trim().parse::<i64>() {
            Ok(0) => false,
            Ok(1) => true,
            number => {
                let code = match number {
                    Ok(_) => ResponseCode::INVALID_PARAMETER,
                    Err(_) => ResponseCode::SYSTEM_ERROR,
                };
                let remark = format!(
                    "READ_AHEAD_MODE is '{}', allowed: 0 (read ahead), 1 (random)",
                    wanted.read_ahead_mode
                );
                return Err(Refusal::new(code, remark));
            }
        };
        broker.store.expect_random_reads(is_random);
        let mode = i32::from(is_random);
        let remark = format!("set commitlog readahead mode success, mode: {mode}");
        Ok(success().with_remark(remark))
    })
}
