// SPDX-License-Identifier: Apache-2.0
//! Attributes of topics: `+key=value` adds or alters, `-key` removes. Source: wire.md 2.6.

use std::collections::{BTreeMap, BTreeSet};

use kerolox_protocol::ResponseCode;

use super::invalid;
use crate::refusal::Refusal;

/// Kinds of messages that a topic may be for.
const MESSAGE_TYPES: &[&str] = &["UNSPECIFIED", "NORMAL", "FIFO", "DELAY", "TRANSACTION"];

fn refused(remark: impl Into<String>) -> Refusal {
    Refusal::new(ResponseCode::SYSTEM_ERROR, remark)
}

/// Parses the text of a header into signed keys and values.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>, Refusal> {
    let parts = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    parts
        .map(|part| match (part.split_once('='), part.starts_with('-')) {
            (Some((key, value)), false) => Ok((key.trim().to_owned(), value.trim().to_owned())),
            (None, true) => Ok((part.to_owned(), String::new())),
            _ => Err(refused(format!(
                "attribute '{part}', allowed: +key=value, -key"
            ))),
        })
        .collect()
}

/// The attributes after a change request; `before` are those of an existing topic.
pub(super) fn apply(
    before: Option<&BTreeMap<String, String>>,
    changes: &[(String, String)],
    mixed: bool,
) -> Result<BTreeMap<String, String>, Refusal> {
    let mut attributes = before.cloned().unwrap_or_default();
    let mut changed = BTreeSet::new();
    for (signed, value) in changes {
        if !changed.insert(signed.trim_start_matches(['+', '-'])) {
            return Err(refused(format!("attribute '{signed}' is named twice")));
        }
        if let Some(key) = signed.strip_prefix('+') {
            check(key, value, mixed)?;
            if is_fixed(key) && before.is_some_and(|before| before.get(key) != Some(value)) {
                return Err(refused(format!(
                    "attribute {key} can only be set when the topic is created"
                )));
            }
            attributes.insert(key.to_owned(), value.clone());
        } else if let Some(key) = signed.strip_prefix('-') {
            if before.is_none() {
                return Err(refused(format!(
                    "attribute '-{key}': a new topic has nothing to remove"
                )));
            }
            if is_fixed(key) {
                return Err(refused(format!("attribute {key} can not be removed")));
            }
            if attributes.remove(key).is_none() {
                return Err(refused(format!(
                    "attribute '-{key}': the topic has no attribute {key}"
                )));
            }
        } else {
            return Err(refused(format!(
                "attribute '{signed}', allowed: +key=value, -key"
            )));
        }
    }
    Ok(attributes)
}

/// Whether an attribute stays as it was when the topic was made.
fn is_fixed(key: &str) -> bool {
    matches!(key, "queue.type" | "cleanup.policy")
}

fn check(key: &str, value: &str, mixed: bool) -> Result<(), Refusal> {
    let refused_value = |allowed: &str| {
        Err(refused(format!(
            "attribute {key} is '{value}', allowed: {allowed}"
        )))
    };
    match key {
        "message.type" if MESSAGE_TYPES.contains(&value) || (mixed && value == "MIXED") => Ok(()),
        "message.type" if value == "MIXED" => Err(invalid(format!(
            "attribute message.type is MIXED, which enableMixedMessageType=false does not allow; allowed: {}",
            MESSAGE_TYPES.join(", ")
        ))),
        "message.type" => refused_value(&MESSAGE_TYPES.join(", ")),
        "queue.type" if value != "SimpleCQ" => refused_value("SimpleCQ"),
        "cleanup.policy" if value != "DELETE" => refused_value("DELETE"),
        "reserve.time" if value.parse::<i64>().is_ok_and(|time| time >= -1) => Ok(()),
        "reserve.time" => refused_value("whole numbers from -1"),
        "queue.type" | "cleanup.policy" => Ok(()),
        _ => Err(refused(format!(
            "attribute '{key}' is unknown, allowed: message.type, queue.type, cleanup.policy, reserve.time"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_added_altered_and_removed() {
        let fifo = parse("+message.type=FIFO, +reserve.time=5").unwrap();
        let before = apply(None, &fifo, false).unwrap();
        assert_eq!(before["message.type"], "FIFO");
        let after = apply(Some(&before), &parse("-message.type").unwrap(), false).unwrap();
        assert_eq!(after.keys().collect::<Vec<_>>(), ["reserve.time"]);
        for bad in [
            "+message.type=MIXED",
            "+x=1",
            "+queue.type=BatchCQ",
            "-message.type",
            "+reserve.time=1,+reserve.time=2",
            "+reserve.time=-2",
        ] {
            assert!(apply(None, &parse(bad).unwrap(), false).is_err(), "{bad}");
        }
        assert!(apply(Some(&after), &parse("-message.type").unwrap(), false).is_err());
        assert!(apply(None, &parse("+message.type=MIXED").unwrap(), true).is_ok());
        assert!(parse("message.type").is_err() && parse("-a=b").is_err());
    }
}
