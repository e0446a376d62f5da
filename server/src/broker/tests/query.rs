// SPDX-License-Identifier: Apache-2.0
//! QUERY_MESSAGE.

use kerolox_protocol::ext::ExtFields;
use kerolox_protocol::header::query::{
    QueryMessageRequestHeader, QueryMessageResponseHeader, index_type,
};

use super::*;

const START_MS: i64 = 1_700_000_000_000;

fn query<'a>(key: &'a str, index_type: Option<&'a str>) -> QueryMessageRequestHeader<'a> {
    QueryMessageRequestHeader {
        topic: "T",
        key,
        max_num: 64,
        begin_timestamp: 0,
        end_timestamp: i64::MAX,
        index_type,
        ..Default::default()
    }
}

/// Code and bodies of the answer.
fn ask(rig: &mut Rig, header: &QueryMessageRequestHeader<'_>) -> (ResponseCode, Vec<Vec<u8>>) {
    let reply = rig.call(Command::request(RequestCode::QUERY_MESSAGE, header));
    let messages = record::decode_all(reply.body.clone()).into_iter();
    let bodies = messages.map(|found| found.message.body.to_vec()).collect();
    let figures: QueryMessageResponseHeader = reply.header().unwrap();
    assert_eq!(
        figures.index_last_update_timestamp > 0,
        reply.response_code() == ResponseCode::SUCCESS
    );
    (reply.response_code(), bodies)
}

fn found(bodies: &[&str]) -> (ResponseCode, Vec<Vec<u8>>) {
    let bodies = bodies.iter().map(|body| body.as_bytes().to_vec());
    (ResponseCode::SUCCESS, bodies.collect())
}

fn nothing() -> (ResponseCode, Vec<Vec<u8>>) {
    (ResponseCode::QUERY_NOT_FOUND, Vec::new())
}

fn rig() -> Rig {
    let mut rig = Rig::new(crate::config::FlushDiskType::Async);
    for (properties, body) in [
        (
            "UNIQ_KEY\u{1}id1\u{2}KEYS\u{1}red blue\u{2}TAGS\u{1}tag\u{2}",
            "one",
        ),
        (
            "UNIQ_KEY\u{1}id2\u{2}KEYS\u{1}blue\u{2}TAGS\u{1}tag\u{2}",
            "two",
        ),
        ("UNIQ_KEY\u{1}tag\u{2}", "three"),
    ] {
        let reply = rig.call(send("T", properties, body));
        assert_eq!(reply.response_code(), ResponseCode::SUCCESS);
        rig.advance(10_000);
    }
    rig
}

#[test]
fn messages_are_found_by_unique_id_key_and_tag() {
    let rig = &mut rig();
    assert_eq!(
        ask(rig, &query("id1", Some(index_type::UNIQUE))),
        found(&["one"])
    );
    assert_eq!(ask(rig, &query("red", None)), found(&["one"]));
    assert_eq!(
        ask(rig, &query("blue", Some(index_type::KEY))),
        found(&["one", "two"])
    );
    assert_eq!(
        ask(rig, &query("tag", Some(index_type::TAG))),
        found(&["one", "two"])
    );
    // The flag of older clients says that it is a unique id, whatever else is said.
    let mut by_id = query("tag", Some(index_type::TAG));
    by_id.is_unique_key = Some(true);
    by_id.max_num = 0;
    assert_eq!(ask(rig, &by_id), found(&["three"]));
}

#[test]
fn queries_are_bounded_by_time_and_number() {
    let rig = &mut rig();
    let mut newest = query("blue", None);
    newest.max_num = 1;
    assert_eq!(ask(rig, &newest), found(&["two"]));
    for none in [0, -1] {
        newest.max_num = none;
        assert_eq!(ask(rig, &newest), nothing());
    }
    let mut early = query("blue", None);
    early.end_timestamp = START_MS + 5_000;
    assert_eq!(ask(rig, &early), found(&["one"]));
    early.begin_timestamp = START_MS + 2_000;
    assert_eq!(ask(rig, &early), nothing());
    assert_eq!(ask(rig, &query("green", None)), nothing());
    let mut elsewhere = query("blue", None);
    elsewhere.topic = "U";
    assert_eq!(ask(rig, &elsewhere), nothing());
}

#[test]
fn query_without_a_required_field_names_it() {
    let rig = &mut rig();
    for missing in ["topic", "key", "maxNum", "beginTimestamp", "endTimestamp"] {
        let mut command = Command::request(RequestCode::QUERY_MESSAGE, &query("blue", None));
        let mut fields = ExtFields::new();
        for (name, value) in command.ext.iter().filter(|(name, _)| *name != missing) {
            fields.set(name, value);
        }
        command.ext = fields;
        let reply = rig.call(command);
        assert_eq!(reply.response_code(), ResponseCode::SYSTEM_ERROR);
        assert!(reply.remark.unwrap().contains(missing));
    }
}
