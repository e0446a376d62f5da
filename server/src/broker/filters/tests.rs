// SPDX-License-Identifier: Apache-2.0
use kerolox_protocol::body;

use super::*;
use crate::store::disk::RealDisk;

fn sql(topic: &str, expression: &str, version: i64) -> SubscriptionData {
    SubscriptionData {
        topic: topic.to_owned(),
        sub_string: expression.to_owned(),
        expression_type: SQL92.to_owned(),
        sub_version: version,
        ..SubscriptionData::default()
    }
}

fn open(dir: &Path, now_ms: i64) -> FilterTable {
    let disk = Arc::new(RealDisk::new());
    FilterTable::open(&BrokerConfig::default(), dir, disk, false, now_ms).unwrap()
}

fn expression(table: &FilterTable) -> Option<String> {
    table
        .get("T", "g")
        .map(|filter| filter.expression.to_string())
}

#[test]
fn newer_versions_replace_and_what_does_not_compile_goes() {
    let dir = tempfile::tempdir().unwrap();
    let table = open(dir.path(), 0);
    table.register("g", &[sql("T", "a = 1", 5)], 10_000);
    let first = table.get("T", "g").unwrap();
    assert_eq!(
        (first.version, first.born_ms, first.dead_ms),
        (5, 11_000, 0)
    );
    table.register("g", &[sql("T", "a = 2", 5)], 20_000);
    table.register("g", &[sql("T", "a = 2", 4)], 20_000);
    assert_eq!(expression(&table).as_deref(), Some("a = 1"));
    table.register("g", &[sql("T", "a = 1", 6)], 20_000);
    let same = table.get("T", "g").unwrap();
    assert_eq!((same.version, same.born_ms), (6, 11_000));
    table.register("g", &[sql("T", "a = 2", 7)], 30_000);
    let other = table.get("T", "g").unwrap();
    assert_eq!(
        (expression(&table).as_deref(), other.born_ms),
        (Some("a = 2"), 31_000)
    );
    table.register("g", &[sql("T", "a ==", 8)], 40_000);
    assert!(table.get("T", "g").is_none());

    table.register(
        "g",
        &[SubscriptionData::tags("T", "a", 9), sql("T", "", 9)],
        0,
    );
    let unknown = SubscriptionData {
        expression_type: "SQL93".to_owned(),
        ..sql("T", "a = 1", 9)
    };
    table.register("g", &[unknown], 0);
    assert!(table.get("T", "g").is_none());
}

#[test]
fn filters_die_with_their_group_and_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let table = open(dir.path(), 0);
    table.register("g", &[sql("T", "a = 1", 5), sql("U", "a = 1", 5)], 10_000);
    table.register("g", &[sql("T", "a = 1", 5)], 20_000);
    assert_eq!(table.get("U", "g").unwrap().dead_ms, 20_000);
    table.unregister("g", 10_001);
    let dead = table.get("T", "g").unwrap();
    assert!(
        dead.is_dead() && dead.dead_ms == 11_000,
        "not before it was born"
    );
    table.register("g", &[sql("T", "a = 1", 5)], 30_000);
    assert!(!table.get("T", "g").unwrap().is_dead());

    table.tick(20_000 + 86_400_000 - 1);
    assert!(table.get("U", "g").is_some());
    table.tick(20_000 + 86_400_000 + 10_000);
    assert!(table.get("U", "g").is_none() && table.get("T", "g").is_some());
}

#[test]
fn file_is_the_references_and_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let table = open(dir.path(), 0);
    table.register("g1", &[sql("OrderEvents", "a > 1", 7)], 1_700_000_000_000);
    let path = dir.path().join("consumerFilter.json");
    let written = std::fs::read_to_string(&path).unwrap();
    let bits = Bloom::new(20, 32).of("g1", "OrderEvents").bit_pos;
    let expected = format!(
        "{{\n\t\"filterDataByTopic\":{{\n\t\t\"OrderEvents\":{{\n\t\t\t\"groupFilterData\":{{\n\t\t\t\t\"g1\":{{\n\
         \t\t\t\t\t\"bloomFilterData\":{{\n\t\t\t\t\t\t\"bitNum\":112,\n\t\t\t\t\t\t\"bitPos\":[{},{},{}]\n\t\t\t\t\t}},\n\
         \t\t\t\t\t\"bornTime\":1700000001000,\n\t\t\t\t\t\"clientVersion\":7,\n\t\t\t\t\t\"consumerGroup\":\"g1\",\n\
         \t\t\t\t\t\"dead\":false,\n\t\t\t\t\t\"deadTime\":0,\n\t\t\t\t\t\"expression\":\"a > 1\",\n\
         \t\t\t\t\t\"expressionType\":\"SQL92\",\n\t\t\t\t\t\"topic\":\"OrderEvents\"\n\t\t\t\t}}\n\t\t\t}},\n\
         \t\t\t\"topic\":\"OrderEvents\"\n\t\t}}\n\t}}\n}}",
        bits[0], bits[1], bits[2]
    );
    assert_eq!(written, expected);

    let table = open(dir.path(), 1_700_000_100_000);
    let found = table.get("OrderEvents", "g1").unwrap();
    assert_eq!((found.dead_ms, found.version), (1_700_000_070_000, 7));
    assert!(found.filter.matches("a\u{1}2\u{2}"));
    table.register("g1", &[sql("OrderEvents", "a > 1", 8)], 1_700_000_100_001);
    assert_eq!(
        table.get("OrderEvents", "g1").unwrap().born_ms,
        1_700_000_001_000
    );
    table.tick(1_700_000_110_001);
    assert!(
        std::fs::read_to_string(&path)
            .unwrap()
            .contains("\"clientVersion\":8")
    );

    let disk = Arc::new(RealDisk::new());
    let config = BrokerConfig::default();
    let crashed = FilterTable::open(&config, dir.path(), disk, true, 1_700_000_200_000).unwrap();
    let found = crashed.get("OrderEvents", "g1").unwrap();
    assert!(
        found.is_dead() && found.born_ms == 1_700_000_200_000,
        "older bits do not count"
    );

    // Other bits than this shape has: everything is dropped.
    let mut other: ConsumerFilterTable = body::decode(written.as_bytes()).unwrap();
    let topic = other.filter_data_by_topic.get_mut("OrderEvents").unwrap();
    let data = topic.group_filter_data.get_mut("g1").unwrap();
    data.bloom_filter_data.as_mut().unwrap().bit_num = 120;
    std::fs::write(&path, body::encode(&other)).unwrap();
    assert!(open(dir.path(), 0).get("OrderEvents", "g1").is_none());
}

#[test]
fn bits_spare_messages_that_did_not_pass_and_never_others() {
    let dir = tempfile::tempdir().unwrap();
    let table = open(dir.path(), 0);
    assert_eq!(table.bits("T", &[b"a\x011\x02"]), None);
    table.register("g", &[sql("T", "a = 1", 5)], 10_000);
    let filter = table.get("T", "g").unwrap();
    let stored = |bits: &[u8], store_timestamp| StoredBits {
        store_timestamp,
        bits: bits.into(),
    };
    let matching = table.bits("T", &[b"x\x01y\x02", b"a\x011\x02"]).unwrap();
    let other = table.bits("T", &[b"a\x012\x02"]).unwrap();
    assert!(filter.may_pass(&stored(&matching, 11_001)));
    assert!(!filter.may_pass(&stored(&other, 11_001)));
    assert!(filter.may_pass(&stored(&other, 11_000)), "stored before");
    assert!(filter.may_pass(&stored(&[], 11_001)), "no bits");
    assert!(filter.may_pass(&stored(&other[1..], 11_001)), "other shape");
}
