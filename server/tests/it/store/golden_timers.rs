// SPDX-License-Identifier: Apache-2.0
//! A broker of ours goes on with the timer messages of stores that the reference's broker wrote.

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::Arc;

use kerolox_protocol::message::{MessageExt, property, record};
use kerolox_server::broker::Broker;
use kerolox_server::config::BrokerConfig;
use kerolox_server::store::clock::ManualClock;
use kerolox_server::store::disk::RealDisk;
use serde_json::Value;

use super::golden::{golden, unpacked};

const TOPIC: &str = "golden_mixed";

/// All messages of the topic whose timer is over.
fn delivered(broker: &Broker) -> Vec<MessageExt> {
    let mut found = Vec::new();
    for queue_id in 0..8 {
        let mut offset = 0;
        loop {
            let read = broker
                .store()
                .get(TOPIC, queue_id, offset, 32, 1 << 20, &mut |_| true);
            for slice in &read.slices {
                found.extend(record::decode_all(slice.clone()));
            }
            if read.next_offset <= offset {
                break;
            }
            offset = read.next_offset;
        }
    }
    found.retain(|message| {
        let properties = &message.message.properties;
        properties.get(property::TIMER_DEQUEUE_MS).is_some()
    });
    found
}

fn unique(message: &MessageExt) -> String {
    message
        .message
        .properties
        .get(property::UNIQ_KEY)
        .unwrap()
        .to_owned()
}

#[test]
fn timer_messages_of_the_reference_are_delivered_when_they_are_due() {
    for kind in ["clean", "killed"] {
        let (dir, options) = unpacked(kind);
        let manifest = File::open(golden(&format!("manifest-{kind}.json"))).unwrap();
        let manifest: Value = serde_json::from_reader(manifest).unwrap();
        let messages = manifest["messages"].as_array().unwrap();
        let times = messages.iter().map(|message| &message["storeTimestamp"]);
        let last_ms = times.filter_map(Value::as_i64).max().unwrap();
        let pending: Vec<(String, i64)> = messages
            .iter()
            .filter(|message| message["topic"] == "rmq_sys_wheel_timer")
            .filter_map(|message| {
                let properties = &message["properties"];
                let out_ms = properties["TIMER_OUT_MS"].as_str()?.parse().ok()?;
                let key = properties["UNIQ_KEY"].as_str()?.to_owned();
                (out_ms > last_ms + 3_600_000).then_some((key, out_ms))
            })
            .collect();
        assert!(!pending.is_empty());

        let config = BrokerConfig {
            store_path_root_dir: dir.path().join("store"),
            mapped_file_size_commit_log: options.commit_log_file_size,
            mapped_file_size_consume_queue: options.consume_queue_file_size,
            mapped_file_size_timer_log: 1_048_576,
            max_hash_slot_num: 500,
            max_index_num: 2000,
            ..BrokerConfig::default()
        };
        let clock = Arc::new(ManualClock::new(last_ms + 2_000));
        let host = "127.0.0.1:10911".parse().unwrap();
        let (broker, _) = Broker::open(
            config,
            host,
            Arc::new(RealDisk::new()),
            Arc::clone(&clock) as _,
        )
        .unwrap();
        broker.tick(last_ms + 2_100);
        let before: BTreeSet<String> = delivered(&broker).iter().map(unique).collect();
        for (key, out_ms) in &pending {
            assert!(!before.contains(key), "{kind}");
            clock.set(*out_ms);
            broker.tick(*out_ms);
            assert!(!delivered(&broker).iter().any(|found| unique(found) == *key));
            clock.set(out_ms + 1_000);
            broker.tick(out_ms + 1_000);
            let found = delivered(&broker);
            let found: Vec<_> = found.iter().filter(|found| unique(found) == *key).collect();
            assert_eq!(found.len(), 1, "{kind}");
            assert_eq!(found[0].message.topic, TOPIC);
            assert_eq!(found[0].message.tag(), Some("TagTimer"));
        }
        // What the reference delivered before does not come again after a clean stop.
        let all: Vec<_> = delivered(&broker).iter().map(unique).collect();
        let distinct: BTreeSet<_> = all.iter().collect();
        assert!(kind == "killed" || all.len() == distinct.len(), "{all:?}");
        broker.store().shutdown().unwrap();
    }
}
