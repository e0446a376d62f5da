// SPDX-License-Identifier: Apache-2.0
//! Requests about tables in RocksDB, which this broker has none of: they are answered as the reference answers with its
//! tables in JSON files.

use kerolox_protocol::ResponseCode;
use kerolox_protocol::header::stats::ExportRocksDbConfigRequestHeader;

use crate::broker::Broker;
use crate::net::{Outcome, Request};
use crate::refusal::{Refusal, answer, success};

/// Tables that can be named.
const TABLES: [&str; 3] = ["topics", "subscriptionGroups", "consumerOffsets"];

/// EXPORT_ROCKSDB_CONFIG_TO_JSON: the tables are JSON files already.
pub(crate) fn export_rocksdb_config_to_json(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: ExportRocksDbConfigRequestHeader<'_> = request.command.header()?;
        for table in wanted
            .config_type
            .split(';')
            .filter(|name| !name.is_empty())
        {
            if !TABLES.iter().any(|known| known.eq_ignore_ascii_case(table)) {
                let remark = format!("configType is '{table}', allowed: {}", TABLES.join(", "));
                return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark));
            }
        }
        // So that the files hold what the caller sees.
        broker.persist();
        Ok(success().with_remark("export done."))
    })
}

/// CHECK_ROCKSDB_CQ_WRITE_PROGRESS: there is one kind of consume queues, so nothing can differ.
pub(crate) fn check_rocksdb_cq_write_progress(_broker: &Broker, _request: &Request<'_>) -> Outcome {
    let result = serde_json::json!({
        "checkResult": "this broker has file consume queues only, no need check",
        "checkStatus": 0,
    });
    Outcome::Reply(success().with_body(result.to_string()))
}

/// POP_ROLLBACK: pop records are in no key-value store, so none have to be moved out of it.
pub(crate) fn pop_rollback(_broker: &Broker, _request: &Request<'_>) -> Outcome {
    Outcome::Reply(success())
}
