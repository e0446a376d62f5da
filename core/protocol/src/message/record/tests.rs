// SPDX-License-Identifier: Apache-2.0
use proptest::prelude::*;

use super::*;
use crate::message::properties::MAX_TEXT_BYTES;

/// Worked example of store.md 2.10.
const EXAMPLE: &str = "
    00 00 00 68 DA A3 20 A7 36 10 A6 86 00 00 00 03
    00 00 00 00 00 00 00 00 00 00 00 07 00 00 00 00
    00 10 00 00 00 00 00 00 00 00 01 8B CF E5 68 00
    7F 00 00 01 00 00 C3 50 00 00 01 8B CF E5 68 01
    7F 00 00 01 00 00 2A 9F 00 00 00 00 00 00 00 00
    00 00 00 00 00 00 00 05 68 65 6C 6C 6F 01 54 00
    07 54 41 47 53 01 41 02";

fn bytes_of(hex: &str) -> Vec<u8> {
    hex.split_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

fn example_fields() -> RecordFields<'static> {
    RecordFields {
        topic: "T",
        queue_id: 3,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1_700_000_000_000,
        born_host: "127.0.0.1:50000".parse().unwrap(),
        store_host: "127.0.0.1:10911".parse().unwrap(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: b"hello",
        properties: &[b"TAGS\x01A\x02"],
    }
}

#[test]
fn worked_example_matches_byte_for_byte() {
    let mut out = Vec::new();
    assert_eq!(encode_into(&example_fields(), &mut out), Ok(104));
    assert!(patch(&mut out, 7, 1_048_576, 1_700_000_000_001));
    assert_eq!(out, bytes_of(EXAMPLE));

    let message = decode(&out).unwrap();
    assert_eq!(
        message.offset_message_id(),
        "7F00000100002A9F0000000000100000"
    );
    assert_eq!(message.message_id(), message.offset_message_id());
    assert_eq!(message.message.tag(), Some("A"));
    assert_eq!(
        (
            message.queue_id,
            message.queue_offset,
            message.physical_offset
        ),
        (3, 7, 1_048_576)
    );
    assert_eq!(
        (message.store_size, message.store_timestamp),
        (104, 1_700_000_000_001)
    );
    assert_eq!(blank(4096), *bytes_of("00 00 10 00 CB D4 31 94"));
}

#[test]
fn damage_is_told_apart() {
    let good = bytes_of(EXAMPLE);
    let damaged = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    assert!(matches!(check(&good), RecordCheck::Record(_)));
    assert!(matches!(
        check(&damaged(89)),
        RecordCheck::Damaged {
            size: Some(104),
            error: RecordError::BadBodyCrc
        }
    ));
    assert!(matches!(
        check(&damaged(5)),
        RecordCheck::Damaged {
            error: RecordError::BadMagic(_),
            ..
        }
    ));
    assert!(matches!(
        check(&damaged(87)),
        RecordCheck::Damaged {
            error: RecordError::BadLength,
            ..
        }
    ));
    assert!(matches!(
        check(&good[..103]),
        RecordCheck::Damaged {
            size: None,
            error: RecordError::Truncated
        }
    ));
    assert!(matches!(
        check(&[0; 200]),
        RecordCheck::Damaged {
            error: RecordError::BadMagic(0),
            ..
        }
    ));
    assert!(matches!(
        check(&blank(4096)),
        RecordCheck::Blank { size: 4096 }
    ));
    assert!(!patch(&mut [0; 50], 1, 2, 3));
}

#[test]
fn decode_all_stops_at_the_first_bad_record() {
    let good = bytes_of(EXAMPLE);
    let mut bytes = good.repeat(3);
    bytes[2 * 104 + 90] ^= 1;
    let messages = decode_all(bytes.into());
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[1].message.body, "hello");
}

#[test]
fn long_topics_use_version_two_and_limits_hold() {
    let mut out = Vec::new();
    let topic = "x".repeat(128);
    let fields = RecordFields {
        topic: &topic,
        ..example_fields()
    };
    assert_eq!(encode_into(&fields, &mut out), Ok(104 + 127 + 1));
    assert_eq!(out[4..8], MAGIC_V2.to_be_bytes());
    assert_eq!(decode(&out).unwrap().message.topic, topic);

    let text = "x".repeat(MAX_TEXT_BYTES + 1);
    let fields = RecordFields {
        properties: &[text.as_bytes()],
        ..example_fields()
    };
    let before = out.clone();
    assert!(matches!(
        encode_into(&fields, &mut out),
        Err(EncodeError::PropertiesTooLong { .. })
    ));
    assert_eq!(out, before);
}

#[test]
fn missing_separators_between_pieces_are_added() {
    let mut out = Vec::new();
    let fields = RecordFields {
        properties: &[b"A\x011", b"", b"B\x012\x02", b"C\x013"],
        ..example_fields()
    };
    encode_into(&fields, &mut out).unwrap();
    let view = RecordView::parse(&out).unwrap();
    assert_eq!(view.properties(), "A\u{1}1\u{2}B\u{1}2\u{2}C\u{1}3");
}

fn host() -> impl Strategy<Value = SocketAddr> {
    (any::<bool>(), any::<u128>(), any::<u16>()).prop_map(|(is_v6, bits, port)| {
        let v4 = u32::try_from(bits & 0xFFFF_FFFF).unwrap();
        let ip = if is_v6 {
            IpAddr::V6(bits.into())
        } else {
            IpAddr::V4(v4.into())
        };
        SocketAddr::new(ip, port)
    })
}

proptest! {
    #[test]
    fn records_round_trip(
        topic in "[a-zA-Z0-9%_-]{1,200}",
        numbers in (any::<i32>(), any::<i32>(), any::<i32>(), any::<i32>()),
        times in (any::<i64>(), any::<i64>(), any::<i64>(), any::<i64>(), any::<i64>()),
        (born_host, store_host) in (host(), host()),
        body in proptest::collection::vec(any::<u8>(), 0..300),
        properties in "([a-z]{1,5}\u{1}[^\u{1}\u{2}]{1,9}\u{2}){0,4}",
    ) {
        let fields = RecordFields {
            topic: &topic,
            queue_id: numbers.0,
            flag: numbers.1,
            sys_flag: numbers.2,
            born_timestamp: times.0,
            born_host,
            store_host,
            reconsume_times: numbers.3,
            prepared_transaction_offset: times.1,
            body: &body,
            properties: &[properties.as_bytes()],
        };
        let mut out = b"before".to_vec();
        let size = encode_into(&fields, &mut out).unwrap();
        prop_assert_eq!(out.len(), 6 + size);
        prop_assert!(patch(&mut out[6..], times.2, times.3, times.4));
        let message = decode(&out[6..]).unwrap();
        prop_assert_eq!(&message.message.topic, &topic);
        prop_assert_eq!(&message.message.body[..], &body[..]);
        prop_assert_eq!(&message.message.properties, &Properties::from_text(&properties));
        prop_assert_eq!((message.queue_id, message.message.flag), (numbers.0, numbers.1));
        prop_assert_eq!(message.sys_flag & !0x30, numbers.2 & !0x30);
        prop_assert_eq!((message.born_host, message.store_host), (born_host, store_host));
        prop_assert_eq!(message.born_timestamp, times.0);
        prop_assert_eq!(message.prepared_transaction_offset, times.1);
        prop_assert_eq!(
            (message.queue_offset, message.physical_offset, message.store_timestamp),
            (times.2, times.3, times.4)
        );
        for cut in 0..size {
            prop_assert!(decode(&out[6..6 + cut]).is_err());
        }
    }

    #[test]
    fn garbage_never_panics(mut garbage in proptest::collection::vec(any::<u8>(), 0..400), magic in any::<bool>()) {
        if magic && garbage.len() > 8 {
            garbage[..4].copy_from_slice(&300_i32.to_be_bytes());
            garbage[4..8].copy_from_slice(&MAGIC_V1.to_be_bytes());
        }
        let _ = check(&garbage);
        drop(decode(&garbage));
        prop_assert!(decode_all(garbage.into()).len() < 5);
    }

    #[test]
    fn flipped_bits_never_panic(at in 0_usize..104, bit in 0_u8..8) {
        let mut bytes = bytes_of(EXAMPLE);
        bytes[at] ^= 1 << bit;
        drop(decode(&bytes));
    }
}

#[test]
fn a_rewritten_record_keeps_all_but_topic_and_properties() {
    let bytes = bytes_of(EXAMPLE);
    let before = decode(&bytes).unwrap();
    let view = RecordView::parse(&bytes).unwrap();
    let topic = "t".repeat(200);
    let after = decode(&rewrite(&view, &topic, &[b"POP_CK\x01x y\x02"]).unwrap()).unwrap();
    assert_eq!(after.message.topic, topic);
    assert_eq!(after.message.properties.get("POP_CK"), Some("x y"));
    let restored = MessageExt {
        message: Message {
            topic: before.message.topic.clone(),
            properties: before.message.properties.clone(),
            ..after.message
        },
        store_size: before.store_size,
        ..after
    };
    assert_eq!(restored, before);
}
