// SPDX-License-Identifier: Apache-2.0
//! What was popped and what of it is acknowledged: batch acknowledgements of clients, and the check points and
//! acknowledgements that brokers keep in their revive topic. Source: wire.md 4.12, 6.6.

use serde::{Deserialize, Serialize};

/// Messages of one queue that were popped together. Every message whose bit is not set when the time is up is handed
/// out again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PopCheckPoint {
    /// Acknowledged messages by index.
    #[serde(rename = "bm")]
    pub bit_map: i32,
    /// Broker that holds the messages.
    #[serde(rename = "bn", skip_serializing_if = "Option::is_none")]
    pub broker_name: Option<String>,
    /// Consumer group.
    #[serde(rename = "c")]
    pub group: String,
    /// Distance of each message from `start_offset`; empty in old check points: then they lie next to each other.
    #[serde(rename = "d")]
    pub offset_differences: Vec<i32>,
    /// How long the messages are hidden, milliseconds from `pop_time` on.
    #[serde(rename = "it")]
    pub invisible_time: i64,
    /// Number of messages, up to 32.
    #[serde(rename = "n")]
    pub num: i8,
    /// When they were popped, milliseconds since the epoch.
    #[serde(rename = "pt")]
    pub pop_time: i64,
    /// Queue.
    #[serde(rename = "q")]
    pub queue_id: i32,
    /// Offset of this check point in the revive topic; set by who reads it.
    #[serde(rename = "ro")]
    pub revive_offset: i64,
    /// How often the check point was written again, as text.
    #[serde(rename = "rp", skip_serializing_if = "Option::is_none")]
    pub re_put_times: Option<String>,
    /// First offset.
    #[serde(rename = "so")]
    pub start_offset: i64,
    /// The consumer put the message off: it counts as no try. Releases before 5.5.0 do not know it.
    #[serde(rename = "sp")]
    pub suspend: bool,
    /// Topic that the messages lie in.
    #[serde(rename = "t")]
    pub topic: String,
}

impl PopCheckPoint {
    /// When the messages may be handed out again, milliseconds since the epoch.
    pub fn revive_time(&self) -> i64 {
        self.pop_time.saturating_add(self.invisible_time)
    }

    /// Index of the message at a queue offset.
    pub fn index_of(&self, queue_offset: i64) -> Option<u32> {
        let distance = queue_offset.checked_sub(self.start_offset)?;
        if self.offset_differences.is_empty() {
            let index = u32::try_from(distance).ok()?;
            return (i64::from(index) < i64::from(self.num)).then_some(index);
        }
        let index = self
            .offset_differences
            .iter()
            .position(|difference| i64::from(*difference) == distance)?;
        u32::try_from(index).ok()
    }

    /// Queue offset of a message.
    pub fn offset_at(&self, index: u32) -> Option<i64> {
        let distance = if self.offset_differences.is_empty() {
            i64::from(index)
        } else {
            i64::from(*self.offset_differences.get(usize::try_from(index).ok()?)?)
        };
        self.start_offset.checked_add(distance)
    }

    /// Notes that a message is acknowledged; `false` if it is none of these.
    pub fn acknowledge(&mut self, queue_offset: i64) -> bool {
        let bit = self
            .index_of(queue_offset)
            .and_then(|index| 1_i32.checked_shl(index));
        self.bit_map |= bit.unwrap_or(0);
        bit.is_some()
    }

    /// Queue offsets of the messages that are not acknowledged.
    pub fn open_offsets(&self) -> impl Iterator<Item = i64> {
        let count = u32::try_from(self.num).unwrap_or(0).min(i32::BITS);
        (0..count)
            .filter(|index| self.bit_map & (1_i32 << index) == 0)
            .filter_map(|index| self.offset_at(index))
    }

    /// How often the check point was written again; 127 if the text is no number, as the reference counts.
    pub fn re_puts(&self) -> u32 {
        self.re_put_times
            .as_ref()
            .map_or(0, |text| text.parse().unwrap_or(127))
    }
}

/// An acknowledgement in the revive topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PopAck {
    /// Queue offset of the message; -1 if there is a list.
    #[serde(rename = "ao", alias = "ackOffset")]
    pub ack_offset: i64,
    /// Queue offsets of several messages.
    #[serde(
        rename = "aol",
        alias = "ackOffsetList",
        skip_serializing_if = "Option::is_none"
    )]
    pub ack_offsets: Option<Vec<i64>>,
    /// Broker that holds the messages; absent is the one that reads this.
    #[serde(
        rename = "bn",
        alias = "brokerName",
        skip_serializing_if = "Option::is_none"
    )]
    pub broker_name: Option<String>,
    /// Consumer group.
    #[serde(rename = "c", alias = "consumerGroup")]
    pub group: String,
    /// Pop time of the check point.
    #[serde(rename = "pt", alias = "popTime")]
    pub pop_time: i64,
    /// Queue.
    #[serde(rename = "q", alias = "queueId")]
    pub queue_id: i32,
    /// First offset of the check point.
    #[serde(rename = "so", alias = "startOffset")]
    pub start_offset: i64,
    /// Topic that the messages lie in.
    #[serde(rename = "t", alias = "topic")]
    pub topic: String,
}

/// Body of BATCH_ACK_MESSAGE.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BatchAckRequest {
    /// What is acknowledged, one entry per check point.
    pub acks: Vec<BatchAck>,
    /// Broker that holds the messages.
    pub broker_name: Option<String>,
}

/// Acknowledged messages of one check point.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BatchAck {
    /// Base64 of a little-endian bit array: bit i is the message at `start_offset` + i.
    #[serde(rename = "b", alias = "bitSet")]
    pub bit_set: String,
    /// Consumer group.
    #[serde(rename = "c", alias = "consumerGroup")]
    pub group: String,
    /// How long the messages are hidden, milliseconds.
    #[serde(rename = "it", alias = "invisibleTime")]
    pub invisible_time: i64,
    /// Pop time, milliseconds since the epoch.
    #[serde(rename = "pt", alias = "popTime")]
    pub pop_time: i64,
    /// Queue.
    #[serde(rename = "q", alias = "queueId")]
    pub queue_id: i32,
    /// `0`, or which retry topic the messages lie in ([`crate::message::receipt::RetryMark`]).
    #[serde(rename = "r", alias = "retry")]
    pub retry: String,
    /// Queue of the revive topic; 999 is an ordered pop.
    #[serde(rename = "rq", alias = "reviveQueueId")]
    pub revive_queue_id: i32,
    /// First offset of the check point.
    #[serde(rename = "so", alias = "startOffset")]
    pub start_offset: i64,
    /// Topic that was popped, never a retry topic.
    #[serde(rename = "t", alias = "topic")]
    pub topic: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body;

    #[test]
    fn check_points_read_and_write_like_the_references() {
        // What release 5.5.0 writes; it has the sum of the two times besides, and older ones have no "sp".
        let written = r#"{"bm":5,"bn":"broker-a","c":"g","d":[0,1,3],"it":60000,"n":3,"pt":1700000000000,"q":2,"reviveTime":1700000060000,"ro":0,"so":100,"sp":false,"t":"T"}"#;
        let mut point: PopCheckPoint = body::decode(written.as_bytes()).unwrap();
        let text = written.replace("\"reviveTime\":1700000060000,", "");
        assert_eq!(body::encode(&point), text.as_bytes());
        let old = text.replace("\"sp\":false,", "");
        assert_eq!(
            body::decode::<PopCheckPoint>(old.as_bytes()).unwrap(),
            point
        );
        assert_eq!(point.revive_time(), 1_700_000_060_000);
        assert_eq!((point.index_of(103), point.index_of(102)), (Some(2), None));
        assert_eq!(point.open_offsets().collect::<Vec<_>>(), [101]);
        assert!(point.acknowledge(101) && !point.acknowledge(99));
        assert_eq!(point.open_offsets().count(), 0);
        assert_eq!(point.re_puts(), 0);
    }

    #[test]
    fn old_check_points_have_no_differences() {
        let mut point = PopCheckPoint {
            num: 32,
            start_offset: 7,
            re_put_times: Some("x".to_owned()),
            ..PopCheckPoint::default()
        };
        assert_eq!((point.index_of(38), point.index_of(39)), (Some(31), None));
        assert_eq!(point.index_of(i64::MIN), None);
        for offset in 7..39 {
            assert!(point.acknowledge(offset), "{offset}");
        }
        assert_eq!((point.bit_map, point.re_puts()), (-1, 127));
        point.num = i8::MIN;
        point.bit_map = 0;
        assert_eq!(point.open_offsets().count(), 0);
    }

    #[test]
    fn acknowledgements_have_long_and_short_names() {
        let short = br#"{"ao":101,"bn":"b","c":"g","pt":9,"q":2,"so":100,"t":"T"}"#;
        let ack: PopAck = body::decode(short).unwrap();
        assert_eq!(body::encode(&ack), short);
        let long = br#"{"ackOffset":101,"brokerName":"b","consumerGroup":"g","popTime":9,"queueId":2,"startOffset":100,"topic":"T"}"#;
        assert_eq!(body::decode::<PopAck>(long).unwrap(), ack);
        let golden = br#"{"acks":[{"b":"BA==","c":"g_pop_raw","it":20000,"pt":1795379832796,"q":0,"r":"0","rq":0,"so":0,"t":"g_pop"}],"brokerName":"broker-a"}"#;
        let batch: BatchAckRequest = body::decode(golden).unwrap();
        assert_eq!(body::encode(&batch), golden);
    }
}
