// SPDX-License-Identifier: Apache-2.0
//! The files of a store with many queues of one message each, as a broker leaves them that was stopped in order; written
//! directly, because making them by sends would be the longest part of a test.

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::FileExt;
use std::path::Path;

use kerolox_protocol::body;
use kerolox_protocol::body::topic::{TopicConfig, TopicConfigTable};
use kerolox_protocol::message::record::{self, RecordFields};

use crate::many_queues::{QUEUES, Queue, text};

/// Lengths of files by default.
const LOG_FILE: u64 = 1 << 30;
const QUEUE_FILE: u64 = 6_000_000;
const STORED_MS: i64 = 1_700_000_000_000;

/// Writes a store in which each of `queues` has its message number 0, and the topics of `new` exist.
pub(crate) fn write(store: &Path, queues: &[Queue], new: &[Queue]) -> anyhow::Result<()> {
    let first_file = "0".repeat(20);
    let mut log = Vec::new();
    for (topic, queue_id) in queues {
        let offset = log.len();
        let size = append(&mut log, topic, *queue_id)?;
        let dir = store
            .join("consumequeue")
            .join(topic)
            .join(queue_id.to_string());
        fs::create_dir_all(&dir)?;
        let file = File::create_new(dir.join(&first_file))?;
        file.set_len(QUEUE_FILE)?;
        let mut unit = u64::try_from(offset)?.to_be_bytes().to_vec();
        unit.extend(i32::try_from(size)?.to_be_bytes());
        unit.extend(0_i64.to_be_bytes());
        file.write_all_at(&unit, 0)?;
    }
    let dir = store.join("commitlog");
    fs::create_dir_all(&dir)?;
    let mut file = File::create_new(dir.join(&first_file))?;
    file.write_all(&log)?;
    file.set_len(LOG_FILE)?;
    write_topics(store, queues.iter().chain(new))
}

/// Appends the record of a queue's message number 0 and returns its size.
fn append(log: &mut Vec<u8>, topic: &str, queue_id: i32) -> anyhow::Result<usize> {
    let offset = log.len();
    let host = SocketAddr::from((Ipv4Addr::LOCALHOST, 10_911));
    let body = text(topic, queue_id, 0);
    let fields = RecordFields {
        topic,
        queue_id,
        flag: 0,
        sys_flag: 0,
        born_timestamp: STORED_MS,
        born_host: host,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: body.as_bytes(),
        properties: &[],
    };
    record::encode_into(&fields, log)?;
    record::patch(&mut log[offset..], 0, i64::try_from(offset)?, STORED_MS);
    Ok(log.len() - offset)
}

fn write_topics<'a>(store: &Path, queues: impl Iterator<Item = &'a Queue>) -> anyhow::Result<()> {
    let mut table = TopicConfigTable::default();
    for (topic_name, _) in queues {
        let config = TopicConfig {
            read_queue_nums: QUEUES,
            write_queue_nums: QUEUES,
            topic_name: topic_name.clone(),
            ..TopicConfig::default()
        };
        table.topic_config_table.insert(topic_name.clone(), config);
    }
    let dir = store.join("config");
    fs::create_dir_all(&dir)?;
    fs::write(dir.join("topics.json"), body::encode_pretty(&table))?;
    Ok(())
}
