// SPDX-License-Identifier: Apache-2.0
//! Headers of transactions: codes 37, 39, 323. Source: wire.md 2.1, 2.3, 5.9.

use super::header;

header! {
    /// END_TRANSACTION.
    pub struct EndTransactionRequestHeader<'a> {
        /// Topic that the message was sent to.
        "topic" topic: Option<&'a str>,
        /// Producer group of the half message.
        "producerGroup" producer_group: &'a str,
        /// Offset of the half message in its queue.
        "tranStateTableOffset" tran_state_table_offset: i64,
        /// Commit-log offset of the half message.
        "commitLogOffset" commit_log_offset: i64,
        /// Bits of `sys_flag`: 0 undecided, 8 commit, 12 rollback.
        "commitOrRollback" commit_or_rollback: i32,
        /// This answers a check of the broker.
        "fromTransactionCheck" from_transaction_check: Option<bool>,
        /// Unique id of the message.
        "msgId" msg_id: &'a str,
        /// Transaction id, the same.
        "transactionId" transaction_id: Option<&'a str>,
    }
}

header! {
    /// CHECK_TRANSACTION_STATE, one-way from broker to producer.
    pub struct CheckTransactionStateRequestHeader<'a> {
        /// Topic of the half messages.
        "topic" topic: Option<&'a str>,
        /// Offset of the half message in its queue.
        "tranStateTableOffset" tran_state_table_offset: i64,
        /// Commit-log offset of the half message.
        "commitLogOffset" commit_log_offset: i64,
        /// Unique id of the message.
        "msgId" msg_id: Option<&'a str>,
        /// Transaction id, the same.
        "transactionId" transaction_id: Option<&'a str>,
        /// Offset message id of the half message.
        "offsetMsgId" offset_msg_id: Option<&'a str>,
        /// Broker name.
        "bname" broker_name: Option<&'a str>,
    }
}

header! {
    /// RESUME_CHECK_HALF_MESSAGE.
    pub struct ResumeCheckHalfMessageRequestHeader<'a> {
        /// Topic of the message.
        "topic" topic: Option<&'a str>,
        /// Offset message id of the half message, or of its copy among those checked too often.
        "msgId" msg_id: Option<&'a str>,
    }
}
