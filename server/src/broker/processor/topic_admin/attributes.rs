// SPDX-License-Identifier: Apache-2.0
//! Attributes of topics: `+key=value` adds or alters, `-key` removes. Source: wire.md 2.6.

use std::collections::BTreeMap;

use super::invalid;
use crate::refusal::Refusal;

/// Kinds of messages that a topic may be for.
const MESSAGE_TYPES: &[&str] = &["UNSPECIFIED", "NORMAL", "FIFO", "DELAY", "TRANSACTION"];

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
            _ => Err(invalid(format!(
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
    for (signed, value) in changes {
        if let Some(key) = signed.strip_prefix('+') {
            check(key, value, mixed)?;
            let is_fixed = matches!(key, "queue.type" | "cleanup.policy");
            if is_fixed && before.is_some_and(|before| before.get(key) != Some(value)) {
                return Err(invalid(format!(
                    "attribute {key} can only be set when the topic is created"
                )));
            }
            attributes.insert(key.to_owned(), value.clone());
        } else if let Some(key) = signed.strip_prefix('-') {
            if before.is_none() {
                return Err(invalid(format!(
                    "attribute '-{key}': a new topic has nothing to remove"
                )));
            }
            attributes.remove(key);
        } else {
            return Err(invalid(format!(
                "attribute '{signed}', allowed: +key=value, -key"
            )));
        }
    }
    Ok(attributes)
}

fn check(key: &str, value: &str, mixed: bool) -> Result<(), Refusal> {
    let refused = |allowed: &str| {
        Err(invalid(format!(
            "attribute {key} is '{value}', allowed: {allowed}"
        )))
    };
    match key {
        "message.type" if MESSAGE_TYPES.contains(&value) || (mixed && value == "MIXED") => Ok(()),
        "message.type" => refused(&MESSAGE_TYPES.join(", ")),
        "queue.type" if value != "SimpleCQ" => refused("SimpleCQ"),
        "cleanup.policy" if value != "DELETE" => refused("DELETE"),
        "reserve.time" if value.parse::<i64>().is_err() => refused("a whole number"),
        "queue.type" | "cleanup.policy" | "reserve.time" => Ok(()),
        _ => Err(invalid(format!(
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
        ] {
            assert!(apply(None, &parse(bad).unwrap(), false).is_err(), "{bad}");
        }
        assert!(apply(None, &parse("+message.type=MIXED").unwrap(), true).is_ok());
        assert!(parse("message.type").is_err() && parse("-a=b").is_err());
    }
}
