// SPDX-License-Identifier: Apache-2.0
//! END_TRANSACTION: a producer commits or rolls back, of its own accord or because it was asked.

use kerolox_protocol::ResponseCode;
use kerolox_protocol::header::transaction::EndTransactionRequestHeader;
use kerolox_protocol::message::{MessageExt, name, property, record, sys_flag};

use super::half::Half;
use crate::broker::Broker;
use crate::broker::processor::send::not_stored;
use crate::broker::put_status::PutStatus;
use crate::net::{Outcome, Request};
use crate::refusal::{Refusal, answer, success};

/// Ends a transaction. A producer that is not decided yet gets no answer.
pub(in crate::broker) fn end_transaction(broker: &Broker, request: &Request<'_>) -> Outcome {
    let header: EndTransactionRequestHeader<'_> = match request.command.header() {
        Ok(header) => header,
        Err(error) => return Outcome::Reply(Refusal::from(error).into_reply()),
    };
    let commits = match header.commit_or_rollback {
        sys_flag::TRANSACTION_COMMIT => true,
        sys_flag::TRANSACTION_ROLLBACK => false,
        undecided => {
            tracing::debug!(
                producer = request.session.peer_text(),
                group = header.producer_group,
                msg_id = header.msg_id,
                undecided,
                "a transaction is not decided yet"
            );
            return Outcome::None;
        }
    };
    answer(|| {
        let message = find(broker, &header)?;
        check(broker, &header, &message, request.now_ms)?;
        // Held to the end: a check of this message finds it open before or done after.
        let mut removals = broker.transactions.removals.lock();
        let half = Half(&message);
        if removals.has_ended(&half) {
            // The first end counts. This one is a second answer to a question, or an end that crossed one.
            return Ok(success());
        }
        if commits {
            commit(broker, &message, request.now_ms)?;
        }
        removals.end(broker, &half, request.now_ms);
        Ok(success())
    })
}

fn find(broker: &Broker, header: &EndTransactionRequestHeader<'_>) -> Result<MessageExt, Refusal> {
    let bytes = broker.store.record_at(header.commit_log_offset);
    let message = bytes.and_then(|bytes| record::decode(&bytes).ok());
    message
        .filter(|message| message.message.topic == name::HALF_TOPIC)
        .ok_or_else(|| {
            let remark = format!(
                "Find prepared transaction message failed: no half message at commitLogOffset {}",
                header.commit_log_offset
            );
            Refusal::new(ResponseCode::SYSTEM_ERROR, remark)
        })
}

fn check(
    broker: &Broker,
    header: &EndTransactionRequestHeader<'_>,
    message: &MessageExt,
    now_ms: i64,
) -> Result<(), Refusal> {
    let half = Half(message);
    let age_ms = now_ms.saturating_sub(message.born_timestamp);
    if header.from_transaction_check != Some(true)
        && let Some(immunity_ms) = immunity_ms(broker, &half)
        && age_ms > immunity_ms
    {
        let remark = format!(
            "the transaction ended {age_ms} ms after its birth, {} allows {immunity_ms}; wait to be asked",
            property::CHECK_IMMUNITY_TIME_IN_SECONDS
        );
        return Err(Refusal::new(ResponseCode::ILLEGAL_OPERATION, remark));
    }
    let wrong = |what: &str, got: &str, stored: &str| {
        let remark = format!("{what} wrong: it is '{got}', the half message has '{stored}'");
        Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark))
    };
    let group = half.producer_group().unwrap_or_default();
    if group != header.producer_group {
        return wrong("The producer group", header.producer_group, group);
    }
    if message.queue_offset != header.tran_state_table_offset {
        let got = header.tran_state_table_offset.to_string();
        let stored = message.queue_offset.to_string();
        return wrong("The transaction state table offset", &got, &stored);
    }
    if message.physical_offset != header.commit_log_offset {
        let got = header.commit_log_offset.to_string();
        let stored = message.physical_offset.to_string();
        return wrong("The commit log offset", &got, &stored);
    }
    Ok(())
}

/// How long after its birth a message may be ended unasked, if it limits that; never below `transactionTimeOut`.
fn immunity_ms(broker: &Broker, half: &Half<'_>) -> Option<i64> {
    let default_ms = broker.config.transaction_time_out;
    let own = half.own_immunity_ms(default_ms)?;
    Some(own.max(default_ms))
}

/// Stores the message in its real topic.
fn commit(broker: &Broker, message: &MessageExt, now_ms: i64) -> Result<(), Refusal> {
    let half = Half(message);
    let draft = half.committed().ok_or_else(|| {
        let remark = format!(
            "the half message at commitLogOffset {} does not say where it belongs ({}, {})",
            message.physical_offset,
            property::REAL_TOPIC,
            property::REAL_QID
        );
        Refusal::new(ResponseCode::SYSTEM_ERROR, remark)
    })?;
    let stored = broker.put(&draft.delayed(broker, now_ms)?);
    stored.map(drop).map_err(|error| {
        let code = PutStatus::of(&error).transaction_code();
        not_stored(broker, &error).with_code(code)
    })
}
