// SPDX-License-Identifier: Apache-2.0
//! Headers of taking a timer message back: code 370. Source: wire.md 2.1, 5.12.

use super::header;

header! {
    /// RECALL_MESSAGE.
    pub struct RecallMessageRequestHeader<'a> {
        /// Producer group.
        "producerGroup" producer_group: Option<&'a str>,
        /// Topic of the message.
        "topic" topic: &'a str,
        /// What the answer to the send said; see [`crate::message::recall_handle`].
        "recallHandle" recall_handle: &'a str,
        /// Broker name.
        "bname" broker_name: Option<&'a str>,
    }
}

header! {
    /// Answer of RECALL_MESSAGE.
    pub struct RecallMessageResponseHeader<'a> {
        /// Unique key of the message that was taken back.
        "msgId" msg_id: &'a str,
        /// Region of the broker.
        "MSG_REGION" region: Option<&'a str>,
    }
}
