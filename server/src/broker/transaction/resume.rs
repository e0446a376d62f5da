// SPDX-License-Identifier: Apache-2.0
//! RESUME_CHECK_HALF_MESSAGE: an administrator wants a half message asked about again that was given up.

use kerolox_protocol::ResponseCode;
use kerolox_protocol::header::transaction::ResumeCheckHalfMessageRequestHeader;
use kerolox_protocol::message::{id, name, property, record};

use crate::broker::Broker;
use crate::broker::draft::Draft;
use crate::broker::processor::send::not_stored;
use crate::net::{Outcome, Request};
use crate::refusal::{Refusal, answer, success};

/// Puts the message back among the half messages, as one that was never asked about.
pub(in crate::broker) fn resume_check_half_message(
    broker: &Broker,
    request: &Request<'_>,
) -> Outcome {
    answer(|| {
        let header: ResumeCheckHalfMessageRequestHeader<'_> = request.command.header()?;
        let msg_id = header.msg_id.unwrap_or_default();
        let found = id::parse_offset_id(msg_id)
            .and_then(|(_, offset)| broker.store.record_at(offset))
            .and_then(|bytes| record::decode(&bytes).ok())
            .filter(|message| {
                let topic = message.message.topic.as_str();
                topic == name::HALF_TOPIC || topic == name::TRANS_CHECK_MAX_TIME_TOPIC
            });
        let message = found.ok_or_else(|| {
            let remark = format!(
                "the header field msgId is '{msg_id}', expected the offset message id of a message in {} or {}",
                name::HALF_TOPIC,
                name::TRANS_CHECK_MAX_TIME_TOPIC
            );
            Refusal::new(ResponseCode::SYSTEM_ERROR, remark)
        })?;
        let mut draft = Draft::copy_of(&message).to(name::HALF_TOPIC, 0);
        draft.properties.set(property::TRANSACTION_CHECK_TIMES, "0");
        let stored = broker.put(&draft);
        stored.map_err(|error| not_stored(broker, &error))?;
        Ok(success())
    })
}
