// SPDX-License-Identifier: Apache-2.0
//! Every recorded frame of the reference is decoded, encoded again and read back the same.
use std::io::Read;
use std::path::PathBuf;

use bytes::{Bytes, BytesMut};

use crate::frame::{self, Frame, SerializeType};
use crate::{Command, body};

fn base64(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => u32::from(byte - b'A'),
        b'a'..=b'z' => u32::from(byte - b'a') + 26,
        b'0'..=b'9' => u32::from(byte - b'0') + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut out = Vec::new();
    for chunk in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits =
            chunk.iter().fold(0, |bits, byte| bits << 6 | value(*byte)) << (6 * (4 - chunk.len()));
        out.extend_from_slice(&bits.to_be_bytes()[1..chunk.len()]);
    }
    out
}

struct Recorded {
    scenario: String,
    serialize_type: SerializeType,
    header: Bytes,
    body: Bytes,
}

fn recorded() -> Vec<Recorded> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/frames");
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mut text = String::new();
        let file = std::fs::File::open(&path).unwrap();
        flate2::read::GzDecoder::new(file)
            .read_to_string(&mut text)
            .unwrap();
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let header = line["header"].as_str().unwrap();
            let (serialize_type, header) = match line["ser"].as_str().unwrap() {
                "JSON" => (SerializeType::Json, Bytes::from(header.to_owned())),
                _ => (SerializeType::RocketMq, Bytes::from(base64(header))),
            };
            all.push(Recorded {
                scenario: path.file_stem().unwrap().to_string_lossy().into_owned(),
                serialize_type,
                header,
                body: base64(line["body_b64"].as_str().unwrap()).into(),
            });
        }
    }
    all
}

#[test]
fn recorded_headers_survive_decoding_and_encoding() {
    let all = recorded();
    assert!(all.len() > 800, "only {} recorded frames", all.len());
    for Recorded {
        scenario,
        serialize_type,
        header,
        body,
    } in all
    {
        let frame = Frame {
            serialize_type,
            header: header.clone(),
            body,
        };
        let command =
            Command::decode(frame).unwrap_or_else(|e| panic!("{scenario}: {e}: {header:?}"));
        let mut out = BytesMut::new();
        command.encode(&mut out);
        let again = Command::decode(frame::split(&mut out).unwrap().unwrap()).unwrap();
        assert_eq!(again, command, "{scenario}");
        if serialize_type == SerializeType::Json {
            let ours: serde_json::Value = {
                let mut out = BytesMut::new();
                command.encode(&mut out);
                serde_json::from_slice(&frame::split(&mut out).unwrap().unwrap().header).unwrap()
            };
            let mut theirs: serde_json::Value = serde_json::from_slice(&header).unwrap();
            let known = crate::LanguageCode::from_name(theirs["language"].as_str().unwrap_or(""));
            theirs["language"] = known.name().into();
            theirs["serializeTypeCurrentRPC"] = "JSON".into();
            let empty = |value: &serde_json::Value| {
                value.as_object().is_some_and(serde_json::Map::is_empty)
            };
            let members = theirs.as_object_mut().unwrap();
            members.retain(|_, value| !value.is_null() && !empty(value));
            // Some clients write numbers and booleans where the reference writes text.
            if let Some(fields) = theirs.get_mut("extFields").and_then(|f| f.as_object_mut()) {
                for value in fields.values_mut().filter(|value| !value.is_string()) {
                    *value = value.to_string().into();
                }
            }
            let mut ours = ours;
            ours.as_object_mut()
                .unwrap()
                .retain(|_, value| !empty(value));
            assert_eq!(ours, theirs, "{scenario}");
        }
    }
}

#[test]
fn recorded_json_bodies_are_read_whatever_their_dialect() {
    let mut read = 0;
    for Recorded { scenario, body, .. } in recorded() {
        if body.first() == Some(&b'{') && body.last() == Some(&b'}') {
            let value: serde_json::Value =
                body::decode(&body).unwrap_or_else(|e| panic!("{scenario}: {e}: {body:?}"));
            assert!(value.is_object());
            read += 1;
        }
    }
    assert!(read > 100, "only {read} JSON bodies");
}
