// SPDX-License-Identifier: Apache-2.0
use super::*;

#[test]
fn numbers_and_names_are_unique_and_ascend() {
    for pair in ErrorCode::ALL.windows(2) {
        assert!(
            pair[0].number < pair[1].number,
            "{} before {}",
            pair[0].name,
            pair[1].name
        );
    }
    let mut names: Vec<_> = ErrorCode::ALL.iter().map(|info| info.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), ErrorCode::ALL.len());
}

#[test]
fn numbers_lie_in_the_range_of_their_category() {
    for info in ErrorCode::ALL {
        let expected = match info.number {
            1..=99 => Category::Usage,
            100..=199 => Category::Connect,
            200..=299 => Category::Broker,
            300..=399 => Category::Flow,
            400..=499 => Category::Auth,
            900..=999 => Category::Internal,
            other => panic!("{other} lies in no range"),
        };
        assert_eq!(info.category, expected, "{}", info.name);
        assert_eq!(ErrorCode::from_number(info.number), Some(info.code));
        assert_eq!(info.code.info().name, info.name);
    }
}

#[test]
fn an_error_is_one_pointer_wide() {
    assert_eq!(size_of::<Error>(), size_of::<usize>());
}

#[test]
fn display_is_one_line_with_context_and_broker_code() {
    let error = Error::from_response("send", 17, Some("topic[T] not exist"))
        .with_context("topic", "T")
        .with_context("broker", "broker-a");
    assert_eq!(
        error.to_string(),
        "send: the broker does not know the topic: topic[T] not exist (broker code 17) [topic=T, broker=broker-a]"
    );
    assert_eq!(error.code(), ErrorCode::TopicNotExist);
    assert_eq!(error.retry(), Retry::OtherBroker);
    assert!(format!("{error:?}").contains("hint: create the topic"));
}

#[test]
fn the_first_context_of_a_name_wins() {
    let error = Error::new(ErrorCode::Timeout, "send")
        .with_context("topic", "a")
        .with_context("topic", "b");
    assert_eq!(error.context(), [("topic", "a".to_owned())]);
}
