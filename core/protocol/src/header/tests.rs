// SPDX-License-Identifier: Apache-2.0
use super::send::{SendMessageRequestHeader, SendMessageRequestHeaderV2};
use super::*;

#[test]
fn fields_are_found_in_any_order_and_the_last_duplicate_wins() {
    let mut ext = ExtFields::new();
    for (name, value) in [
        ("n", "b"),
        ("h", "3"),
        ("g", "9"),
        ("f", "0"),
        ("e", "-1"),
        ("d", "4"),
    ] {
        ext.set(name, value);
    }
    for (name, value) in [
        ("c", "TBW102"),
        ("b", "T"),
        ("a", "P"),
        ("i", "k\u{1}v\u{2}"),
    ] {
        ext.set(name, value);
    }
    let header = SendMessageRequestHeaderV2::read(&ext).unwrap();
    assert_eq!(
        (header.producer_group, header.topic, header.queue_id),
        ("P", "T", -1)
    );
    assert_eq!(header.properties, Some("k\u{1}v\u{2}"));
    assert_eq!((header.reconsume_times, header.batch), (None, None));
}

#[test]
fn long_and_short_send_headers_say_the_same() {
    let long = SendMessageRequestHeader {
        producer_group: "P",
        topic: "T",
        default_topic: "TBW102",
        queue_id: 2,
        batch: Some(true),
        ..Default::default()
    };
    let mut ext = ExtFields::new();
    long.write(&mut ext);
    assert_eq!(SendMessageRequestHeader::read(&ext).unwrap(), long);
    let short = SendMessageRequestHeaderV2::from(long);
    assert_eq!(
        (short.topic, short.queue_id, short.batch),
        ("T", 2, Some(true))
    );
}

#[test]
fn a_header_lists_its_fields() {
    use super::route::GetRouteInfoRequestHeader;
    let fields = <GetRouteInfoRequestHeader<'_> as Header<'_>>::FIELDS;
    let flat: Vec<_> = fields
        .iter()
        .map(|field| (field.name, field.kind, field.is_required))
        .collect();
    assert_eq!(
        flat,
        [
            ("topic", FieldKind::Text, true),
            ("acceptStandardJsonOnly", FieldKind::Flag, false)
        ]
    );
}
