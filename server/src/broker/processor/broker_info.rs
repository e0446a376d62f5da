// SPDX-License-Identifier: Apache-2.0
//! What the broker says of its settings.

use kerolox_protocol::body;
use kerolox_protocol::header::admin::GetBrokerConfigResponseHeader;

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
