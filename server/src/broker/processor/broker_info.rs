// SPDX-License-Identifier: Apache-2.0
//! What the broker says of its settings.

use kerolox_protocol::body;
use kerolox_protocol::header::admin::GetBrokerConfigResponseHeader;

use crate::broker::Broker;
use crate::config::properties;
use crate::net::{Outcome, Request};
use crate::refusal::success;

/// GET_BROKER_CONFIG: the settings as properties text.
pub(crate) fn get_broker_config(broker: &Broker, _request: &Request<'_>) -> Outcome {
    let text = properties::write(broker.config.entries());
    let version = body::encode(&kerolox_protocol::body::topic::DataVersion::default());
    let version = String::from_utf8_lossy(&version);
    let header = GetBrokerConfigResponseHeader { version: &version };
    Outcome::Reply(success().with_header(&header).with_body(text.into_bytes()))
}
