// SPDX-License-Identifier: Apache-2.0
//! What slaves and tools ask about timer messages: GET_TIMER_CHECK_POINT and GET_TIMER_METRICS. Source: wire.md 8.4.

use kerolox_protocol::ResponseCode;

use crate::broker::Broker;
use crate::net::{Outcome, Request};
use crate::refusal::{Refusal, answer, success};

fn check(broker: &Broker) -> Result<(), Refusal> {
    if broker.config.timer_wheel_enable {
        return Ok(());
    }
    Err(Refusal::new(
        ResponseCode::SYSTEM_ERROR,
        "this broker delivers no timer messages (timerWheelEnable=false)",
    ))
}

/// GET_TIMER_CHECK_POINT: the last checkpoint, as its file has it.
pub(crate) fn get_timer_check_point(broker: &Broker, _request: &Request<'_>) -> Outcome {
    answer(|| {
        check(broker)?;
        Ok(success().with_body(broker.timer.shown().checkpoint.encode()))
    })
}

/// GET_TIMER_METRICS: how many messages of each topic wait.
pub(crate) fn get_timer_metrics(broker: &Broker, _request: &Request<'_>) -> Outcome {
    answer(|| {
        check(broker)?;
        Ok(success().with_body(broker.timer.metrics_body()))
    })
}
