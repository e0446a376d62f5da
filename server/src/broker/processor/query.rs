// SPDX-License-Identifier: Apache-2.0
//! Single messages: VIEW_MESSAGE_BY_ID.

use kerolox_protocol::ResponseCode;
use kerolox_protocol::header::offset::ViewMessageRequestHeader;

use crate::broker::Broker;
use crate::net::{Outcome, Request};
use crate::refusal::{Refusal, answer, success};

/// VIEW_MESSAGE_BY_ID: the record at a commit-log offset, which is what an offset message id says.
pub(crate) fn view_message_by_id(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: ViewMessageRequestHeader<'_> = request.command.header()?;
        match broker.store.record_at(wanted.offset) {
            Some(record) => Ok(success().with_body(record)),
            None => Err(Refusal::new(
                ResponseCode::SYSTEM_ERROR,
                format!("no message at commit-log offset {}", wanted.offset),
            )),
        }
    })
}
