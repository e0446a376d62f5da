// SPDX-License-Identifier: Apache-2.0
use proptest::prelude::*;

use super::*;
use crate::header::pull::PullMessageRequestHeader;
use crate::header::route::GetRouteInfoRequestHeader;

fn round_trip(command: &Command) -> Command {
    let mut out = BytesMut::new();
    command.encode(&mut out);
    let frame = frame::split(&mut out).unwrap().unwrap();
    assert!(out.is_empty());
    Command::decode(frame).unwrap()
}

/// The worked example of the binary header in wire.md 1.3.
#[test]
fn binary_route_request_has_the_bytes_of_the_reference() {
    let header = GetRouteInfoRequestHeader {
        topic: "T1",
        ..Default::default()
    };
    let mut command = Command::request(RequestCode::GET_ROUTEINFO_BY_TOPIC, &header);
    command.opaque = 1;
    command.version = 479;
    command.language = LanguageCode::Rust;
    command.serialize_type = SerializeType::RocketMq;
    let mut out = BytesMut::new();
    command.encode(&mut out);
    let hex: String = out.iter().map(|byte| format!("{byte:02X}")).collect();
    assert_eq!(
        hex,
        "000000260100002200690C01DF0000000100000000000000000000000D0005746F706963000000025431"
    );
    assert_eq!(round_trip(&command), command);
}

#[test]
fn json_request_has_the_members_of_the_reference_in_its_order() {
    let header = GetRouteInfoRequestHeader {
        topic: "T1",
        ..Default::default()
    };
    let mut command = Command::request(RequestCode::GET_ROUTEINFO_BY_TOPIC, &header);
    command.opaque = 7;
    command.version = 479;
    let mut out = BytesMut::new();
    command.encode(&mut out);
    let text = std::str::from_utf8(&out[8..]).unwrap();
    assert_eq!(
        text,
        r#"{"code":105,"extFields":{"topic":"T1"},"flag":0,"language":"JAVA","opaque":7,"serializeTypeCurrentRPC":"JSON","version":479}"#
    );
}

#[test]
fn codes_over_sixteen_bits_fall_back_to_json() {
    let mut command = request(RequestCode::POP_MESSAGE);
    command.serialize_type = SerializeType::RocketMq;
    let decoded = round_trip(&command);
    assert_eq!(decoded.serialize_type, SerializeType::Json);
    assert_eq!(decoded.code, RequestCode::POP_MESSAGE.0);
}

#[test]
fn a_missing_field_is_named() {
    let command = request(RequestCode::PULL_MESSAGE);
    let error = command
        .header::<PullMessageRequestHeader<'_>>()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the header field consumerGroup is missing"
    );
}

#[test]
fn a_malformed_field_names_its_value() {
    let mut command = request(RequestCode::GET_MAX_OFFSET);
    command.ext.set("topic", "T");
    command.ext.set("queueId", "x");
    let error = command
        .header::<crate::header::offset::QueueRequestHeader<'_>>()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the header field queueId is 'x', expected a 32-bit whole number"
    );
}

/// Lengths over 127 hold bytes that are no UTF-8; they are not text either.
#[test]
fn binary_fields_of_any_length_are_read() {
    for length in [1, 127, 128, 160, 255, 256, 32_767, 70_000] {
        let mut command = request(RequestCode::SEND_MESSAGE_V2);
        command.ext.set("i", &"x".repeat(length));
        command.serialize_type = SerializeType::RocketMq;
        assert_eq!(round_trip(&command), command, "{length}");
    }
}

fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<char>(), 0..300).prop_map(|chars| chars.into_iter().collect())
}

prop_compose! {
    fn command()(
        code in any::<i16>(),
        opaque in any::<i32>(),
        flag in 0..4i32,
        version in any::<i16>(),
        remark in proptest::option::of(text()),
        fields in proptest::collection::btree_map("[a-zA-Z]{1,8}", text(), 0..6),
        body in proptest::collection::vec(any::<u8>(), 0..64),
        binary in any::<bool>(),
    ) -> Command {
        let mut ext = ExtFields::new();
        for (name, value) in &fields {
            if !(binary && value.is_empty()) {
                ext.set(name, value);
            }
        }
        Command {
            code: code.into(),
            language: LanguageCode::Go,
            version: version.into(),
            opaque,
            flag,
            remark: remark.filter(|remark| !(binary && remark.is_empty())),
            ext,
            body: body.into(),
            serialize_type: if binary { SerializeType::RocketMq } else { SerializeType::Json },
        }
    }
}

proptest! {
    #[test]
    fn every_command_survives_both_encodings(command in command()) {
        prop_assert_eq!(round_trip(&command), command);
    }

    #[test]
    fn any_header_is_decoded_or_refused(header in proptest::collection::vec(any::<u8>(), 0..96), binary in any::<bool>()) {
        let serialize_type = if binary { SerializeType::RocketMq } else { SerializeType::Json };
        drop(Command::decode(Frame { serialize_type, header: header.into(), body: Bytes::new() }));
    }

    #[test]
    fn any_json_like_text_is_decoded_or_refused(header in r#"[\{\}\[\]",:\\un0-9a-f \-]{0,64}"#) {
        let frame = Frame { serialize_type: SerializeType::Json, header: header.into(), body: Bytes::new() };
        drop(Command::decode(frame));
    }
}
