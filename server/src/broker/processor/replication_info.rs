// SPDX-License-Identifier: Apache-2.0
//! What a master without slaves says of its replication.

use kerolox_protocol::ResponseCode;
use kerolox_protocol::body;
use kerolox_protocol::body::ha::HaRuntimeInfo;
use kerolox_protocol::header::stats::ResetMasterFlushOffsetRequestHeader;

use crate::broker::Broker;
use crate::net::{Outcome, Request};
use crate::refusal::{Refusal, answer, success};

/// GET_BROKER_HA_STATUS.
pub(crate) fn get_broker_ha_status(broker: &Broker, _request: &Request<'_>) -> Outcome {
    let info = HaRuntimeInfo {
        master: true,
        master_commit_log_max_offset: broker.store.commit_log_max(),
        ..HaRuntimeInfo::default()
    };
    Outcome::Reply(success().with_body(body::encode(&info)))
}

/// RESET_MASTER_FLUSH_OFFSET: a slave's business, a master has nothing to reset.
pub(crate) fn reset_master_flush_offset(_broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let _offset: ResetMasterFlushOffsetRequestHeader = request.command.header()?;
        Ok(success())
    })
}

/// GET_BROKER_EPOCH_CACHE: there are epochs only under a controller.
pub(crate) fn get_broker_epoch_cache(_broker: &Broker, _request: &Request<'_>) -> Outcome {
    answer(|| {
        let remark = "this request only for controllerMode; this broker has no controller (enableControllerMode=false)";
        Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark))
    })
}
