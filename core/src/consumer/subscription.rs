// SPDX-License-Identifier: Apache-2.0
//! Subscriptions: what a group wants of a topic, and the exact check of tags that the broker's hashes need.

use kerolox_protocol::body::heartbeat::SubscriptionData;
use kerolox_protocol::message::{name, properties};

use crate::error::{Error, ErrorCode, Result};

/// Reads an expression, `*` or tags joined by `||`. `version` is the time it was made; brokers compare it.
pub(super) fn parse(
    operation: &'static str,
    topic: &str,
    expression: &str,
    version: i64,
) -> Result<SubscriptionData> {
    if let Err(error) = name::check_topic(topic) {
        return Err(Error::new(ErrorCode::InvalidTopic, operation)
            .with_message(format!("the topic name '{topic}' is not allowed: {error}"))
            .with_context("topic", topic));
    }
    let data = SubscriptionData::tags(topic, expression, version);
    let is_all = data.sub_string == "*";
    let bad_tag = data.tags_set.iter().find(|tag| !properties::is_legal(tag));
    if (!is_all && data.tags_set.is_empty()) || bad_tag.is_some() {
        return Err(Error::new(ErrorCode::InvalidSubscription, operation)
            .with_message(format!(
                "the expression '{}' is not usable, allowed is * or tags joined by ||",
                expression.escape_debug()
            ))
            .with_context("topic", topic));
    }
    Ok(data)
}

/// Whether a message with `tag` is wanted; the broker compared hashes only.
pub(super) fn wants(subscription: &SubscriptionData, tag: Option<&str>) -> bool {
    subscription.tags_set.is_empty() || tag.is_some_and(|tag| subscription.tags_set.contains(tag))
}

/// Checks the name of a consumer group.
pub(super) fn check_group(group: &str) -> Result<()> {
    let invalid = |what: String| {
        Err(Error::new(ErrorCode::InvalidGroup, "start")
            .with_message(what)
            .with_context("group", group))
    };
    match name::check_group(group) {
        Err(error) => invalid(format!("the group name '{group}' is not allowed: {error}")),
        Ok(()) if group == "DEFAULT_CONSUMER" => {
            invalid("the group name DEFAULT_CONSUMER is reserved".to_owned())
        }
        Ok(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_tags_or_everything() {
        let all = parse("test", "t", " * ", 1).expect("usable");
        assert!(wants(&all, None) && wants(&all, Some("x")));
        let some = parse("test", "t", "a || b||", 1).expect("usable");
        assert!(wants(&some, Some("a")) && wants(&some, Some("b")));
        assert!(!wants(&some, Some("c")) && !wants(&some, None));
        for bad in ["||", " || ", "a||b\u{1}"] {
            let error = parse("test", "t", bad, 1).expect_err(bad);
            assert_eq!(error.code(), ErrorCode::InvalidSubscription);
        }
        assert_eq!(
            parse("test", "a b", "*", 1).expect_err("topic").code(),
            ErrorCode::InvalidTopic
        );
    }

    #[test]
    fn groups_are_checked() {
        assert!(check_group("g").is_ok());
        for bad in ["", "DEFAULT_CONSUMER", "a/b"] {
            assert_eq!(
                check_group(bad).expect_err(bad).code(),
                ErrorCode::InvalidGroup
            );
        }
    }
}
