// SPDX-License-Identifier: Apache-2.0
//! What a sender keeps of a timer message to take it back later (wire.md 5.12).
//!
//! URL-safe base64 with padding of `v1 <topic> <brokerName> <timestampMs> <uniqueId>`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;

use thiserror::Error;

const VERSION: &str = "v1";
/// Longest handle that is looked at: a topic, a broker name and an id of 255 bytes each, and room to spare.
const MAX_BYTES: usize = 4096;

/// A handle with borrowed parts; see [`RecallHandle::decode`] for reading one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecallHandle<'a> {
    /// Topic of the message.
    pub topic: &'a str,
    /// Broker that it waits on.
    pub broker_name: &'a str,
    /// When it will be delivered, Unix milliseconds: a moment within its slot.
    pub deliver_ms: i64,
    /// Its unique key.
    pub unique_id: &'a str,
}

/// The text inside a handle; [`HandleText::parts`] reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandleText(String);

/// Why a text is no handle.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecallHandleError {
    /// It is empty or absurdly long.
    #[error("the recall handle is empty or longer than {MAX_BYTES} bytes")]
    Length,
    /// It is not base64 of text.
    #[error("the recall handle is not URL-safe base64 of a text")]
    Encoding,
    /// The text does not have the five parts of version 1.
    #[error("the recall handle is not 'v1', topic, broker name, time and message id")]
    Parts,
}

impl RecallHandle<'_> {
    /// The handle as text.
    pub fn encode(&self) -> String {
        let Self {
            topic,
            broker_name,
            deliver_ms,
            unique_id,
        } = self;
        URL_SAFE.encode(format!(
            "{VERSION} {topic} {broker_name} {deliver_ms} {unique_id}"
        ))
    }
}

impl RecallHandle<'static> {
    /// Reads a handle; its parts borrow from the text returned.
    ///
    /// # Errors
    /// It is no handle of version 1.
    pub fn decode(handle: &str) -> Result<HandleText, RecallHandleError> {
        if handle.is_empty() || handle.len() > MAX_BYTES {
            return Err(RecallHandleError::Length);
        }
        // The reference's client takes handles without padding, too.
        let padded = handle.trim_end_matches('=');
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(padded)
            .map_err(|_| RecallHandleError::Encoding)?;
        let text = String::from_utf8(bytes).map_err(|_| RecallHandleError::Encoding)?;
        let text = HandleText(text);
        text.try_parts().ok_or(RecallHandleError::Parts)?;
        Ok(text)
    }
}

impl HandleText {
    fn try_parts(&self) -> Option<RecallHandle<'_>> {
        let mut parts = self.0.split(' ');
        if parts.next()? != VERSION {
            return None;
        }
        let (topic, broker_name) = (parts.next()?, parts.next()?);
        // A time that is no number is one that is over.
        let deliver_ms = parts.next()?.parse().unwrap_or(-1);
        let unique_id = parts.next()?;
        Some(RecallHandle {
            topic,
            broker_name,
            deliver_ms,
            unique_id,
        })
    }

    /// The parts.
    pub fn parts(&self) -> RecallHandle<'_> {
        self.try_parts().unwrap_or(RecallHandle {
            topic: "",
            broker_name: "",
            deliver_ms: -1,
            unique_id: "",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_as_the_reference_makes_them() {
        let handle = RecallHandle {
            topic: "T1",
            broker_name: "broker-a",
            deliver_ms: 1_700_000_000_001,
            unique_id: "0A0000010001000000010000000A0000",
        };
        let text = handle.encode();
        assert_eq!(
            text,
            "djEgVDEgYnJva2VyLWEgMTcwMDAwMDAwMDAwMSAwQTAwMDAwMTAwMDEwMDAwMDAwMTAwMDAwMDBBMDAwMA=="
        );
        assert_eq!(RecallHandle::decode(&text).unwrap().parts(), handle);
        assert_eq!(
            RecallHandle::decode(text.trim_end_matches('='))
                .unwrap()
                .parts(),
            handle
        );
    }

    #[test]
    fn everything_else_is_refused() {
        let encode = |text: &str| URL_SAFE.encode(text);
        for (handle, error) in [
            (String::new(), RecallHandleError::Length),
            ("A".repeat(5000), RecallHandleError::Length),
            ("%%%".to_owned(), RecallHandleError::Encoding),
            (URL_SAFE.encode([0xFF, 0xFE]), RecallHandleError::Encoding),
            (encode("v2 T b 1 id"), RecallHandleError::Parts),
            (encode("v1 T b 1"), RecallHandleError::Parts),
            (encode(""), RecallHandleError::Length),
        ] {
            assert_eq!(RecallHandle::decode(&handle), Err(error), "{handle}");
        }
        let text = RecallHandle::decode(&encode("v1 T b soon id")).unwrap();
        assert_eq!(text.parts().deliver_ms, -1);
    }
}
