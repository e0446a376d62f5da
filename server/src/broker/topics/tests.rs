// SPDX-License-Identifier: Apache-2.0
use super::*;
use crate::store::disk::RealDisk;

const NOW: i64 = 1_800_000_000_000;

fn table(config: &BrokerConfig) -> (TopicTable, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (open(config, dir.path()), dir)
}

fn open(config: &BrokerConfig, dir: &Path) -> TopicTable {
    TopicTable::open(config, dir, Arc::new(RealDisk::new()), NOW).unwrap()
}

#[test]
fn new_topics_take_the_smaller_queue_number_and_do_not_inherit_inheritance() {
    let (topics, dir) = table(&BrokerConfig::default());
    let before = topics.version();
    let orders = topics
        .create_on_send("orders", "TBW102", 4, 0, NOW)
        .unwrap();
    assert_eq!(
        (orders.write_queue_nums, orders.read_queue_nums, orders.perm),
        (4, 4, 6)
    );
    let many = topics
        .create_on_send("many", "TBW102", 100, 0, NOW)
        .unwrap();
    assert_eq!(many.write_queue_nums, 8);
    assert_eq!(topics.version().counter, before.counter + 2);
    let changes = topics.changes().take();
    assert_eq!(
        changes.topics.keys().collect::<Vec<_>>(),
        ["many", "orders"]
    );

    let again = open(&BrokerConfig::default(), dir.path());
    assert_eq!(again.get("orders"), Some(orders));
    assert_eq!(again.version(), topics.version());
}

#[test]
fn topics_are_created_only_where_that_is_allowed() {
    let config = BrokerConfig {
        auto_create_topic_enable: false,
        ..BrokerConfig::default()
    };
    let (topics, _dir) = table(&config);
    assert!(
        topics
            .create_on_send("orders", "TBW102", 4, 0, NOW)
            .is_err()
    );
    // A left-over pattern topic counts for nothing.
    topics.update([TopicConfig::new("TBW102", 8, 7)], NOW);
    assert!(
        topics
            .create_on_send("orders", "TBW102", 4, 0, NOW)
            .is_err()
    );
    assert_eq!(topics.get("TBW102").unwrap().perm, 6, "demoted");
    let retry = topics
        .create_on_send("%RETRY%g", "TBW102", 4, 0, NOW)
        .unwrap();
    assert_eq!((retry.write_queue_nums, retry.perm), (1, 6));
    let (topics, _dir) = table(&BrokerConfig::default());
    for bad in ["../etc", "a/b", "", "x y"] {
        assert!(
            topics.create_on_send(bad, "TBW102", 4, 0, NOW).is_err(),
            "{bad:?}"
        );
        assert!(topics.get(bad).is_none());
    }
    let remark = topics
        .create_on_send("orders", "SELF_TEST_TOPIC", 4, 0, NOW)
        .unwrap_err();
    assert!(
        remark.contains("orders") && remark.contains("SELF_TEST_TOPIC"),
        "{remark}"
    );
}

#[test]
fn lost_tables_are_filled_from_the_store() {
    let (topics, dir) = table(&BrokerConfig::default());
    topics.update([TopicConfig::new("kept", 2, 6)], NOW);
    let stored = [
        ("kept".to_owned(), vec![0]),
        ("orders".to_owned(), vec![0, 5]),
    ];
    let intact = open(&BrokerConfig::default(), dir.path());
    intact.adopt(&stored, NOW);
    assert!(
        intact.get("orders").is_none(),
        "a complete table is believed"
    );

    std::fs::write(dir.path().join("topics.json"), "{").unwrap();
    let damaged = open(&BrokerConfig::default(), dir.path());
    damaged.adopt(&stored, NOW);
    assert_eq!(damaged.get("orders").unwrap().read_queue_nums, 6);
}

#[test]
fn large_tables_are_read_as_a_whole() {
    let (topics, dir) = table(&BrokerConfig::default());
    topics.update(
        (0..2_000).map(|n| TopicConfig::new(format!("topic-{n}"), 1, 6)),
        NOW,
    );
    let again = open(&BrokerConfig::default(), dir.path());
    assert_eq!(again.len(), topics.len());
}

#[test]
fn equal_settings_are_no_change() {
    let (topics, _dir) = table(&BrokerConfig::default());
    assert!(topics.update([TopicConfig::new("t", 2, 6)], NOW));
    let version = topics.version();
    assert!(!topics.update([TopicConfig::new("t", 2, 6)], NOW));
    assert_eq!(topics.version(), version);
    assert!(topics.remove("t", NOW) && !topics.remove("t", NOW));
    assert!(topics.changes().take().full);
}
