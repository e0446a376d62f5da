// SPDX-License-Identifier: Apache-2.0
use kerolox_protocol::message::Properties;

use super::*;

const LIMITS: Limits = Limits {
    max_message_bytes: 100,
    compress_over_bytes: 50,
};

fn refused(message: &Message) -> Error {
    match prepare("send", message, "ID".to_owned(), LIMITS) {
        Ok(_) => panic!("{message:?} was accepted"),
        Err(error) => error,
    }
}

#[test]
fn properties_hold_tag_keys_and_the_unique_id() {
    let mut message = Message::new("t", "x")
        .with_tag("a")
        .with_key("k1")
        .with_key("k2")
        .with_property("p", "v");
    message.delay_level = 3;
    let outgoing = prepare("send", &message, "ID".to_owned(), LIMITS).expect("accepted");
    let properties = Properties::from_text(&outgoing.properties);
    let found: Vec<_> = properties.iter().collect();
    assert_eq!(
        found,
        [
            ("p", "v"),
            ("KEYS", "k1 k2"),
            ("TAGS", "a"),
            ("DELAY", "3"),
            ("UNIQ_KEY", "ID"),
            ("WAIT", "true")
        ]
    );
    assert_eq!((outgoing.sys_flag, &outgoing.body[..]), (0, &b"x"[..]));
}

#[test]
fn long_bodies_are_compressed_if_that_helps() {
    let message = Message::new("t", vec![7; 100]);
    let outgoing = prepare("send", &message, "ID".to_owned(), LIMITS).expect("accepted");
    assert_eq!(outgoing.sys_flag, 0x301);
    assert!(outgoing.body.len() < 100);
    let random: Vec<u8> = (0..100).map(|_| fastrand::u8(..)).collect();
    let message = Message::new("t", random.clone());
    let outgoing = prepare("send", &message, "ID".to_owned(), LIMITS).expect("accepted");
    assert_eq!((outgoing.sys_flag, &outgoing.body[..]), (0, &random[..]));
}

#[test]
fn sizes_are_checked_and_named() {
    let error = refused(&Message::new("t", vec![0; 101]));
    assert_eq!(error.code(), ErrorCode::MessageTooLarge);
    assert!(
        error.to_string().contains("101 bytes, allowed are 100"),
        "{error}"
    );
    assert!(
        error.hint().contains("max_message_bytes"),
        "{}",
        error.hint()
    );
    assert_eq!(refused(&Message::new("t", "")).code(), ErrorCode::EmptyBody);
    let long = Message::new("t", "x").with_property("p", "v".repeat(40_000));
    let error = refused(&long);
    assert_eq!(error.code(), ErrorCode::InvalidMessage);
    assert!(error.to_string().contains("32767"), "{error}");
}

#[test]
fn names_that_can_not_be_sent_are_refused() {
    for topic in ["", "a b", "../x", "RMQ_SYS_TRANS_HALF_TOPIC"] {
        assert_eq!(
            refused(&Message::new(topic, "x")).code(),
            ErrorCode::InvalidTopic,
            "{topic}"
        );
    }
    for message in [
        Message::new("t", "x").with_property("UNIQ_KEY", "v"),
        Message::new("t", "x").with_property("", "v"),
        Message::new("t", "x").with_property("p", ""),
        Message::new("t", "x").with_property("p", "a\u{1}b"),
        Message::new("t", "x").with_key("a b"),
        Message::new("t", "x").with_tag(""),
        Message {
            delay_level: -1,
            ..Message::new("t", "x")
        },
    ] {
        assert_eq!(
            refused(&message).code(),
            ErrorCode::InvalidMessage,
            "{message:?}"
        );
    }
}
