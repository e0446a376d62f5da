// SPDX-License-Identifier: Apache-2.0
//! Finds acknowledged messages by their keys.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use kerolox_protocol::code::{RequestCode, ResponseCode};
use kerolox_protocol::command::Command;
use kerolox_protocol::header::NoHeader;
use kerolox_protocol::message::record;
use kerolox_tests::wait_for;
use kerolox_tests::wire::Connection;

use crate::ledger::{Place, show};
use crate::message::{self, TOPICS};

/// The official broker indexes in the background.
const INDEXED: Duration = Duration::from_secs(30);

/// # Errors
/// One of the messages is not found by its key in its topic, or lies somewhere else.
pub(crate) fn check(broker: SocketAddr, sample: &[(Place, u64)]) -> anyhow::Result<()> {
    let mut connection = Connection::open(broker)?;
    for &(place, number) in sample {
        let find = || find(&mut connection, place, number);
        let what = format!("message {number} by key, acknowledged at {}", show(place));
        wait_for(&what, INDEXED, retry(find))??;
    }
    Ok(())
}

/// Goes on while nothing is found; an error ends it.
fn retry(
    mut find: impl FnMut() -> anyhow::Result<bool>,
) -> impl FnMut() -> Option<anyhow::Result<()>> {
    move || match find() {
        Ok(true) => Some(Ok(())),
        Ok(false) => None,
        Err(error) => Some(Err(error)),
    }
}

fn find(connection: &mut Connection, place: Place, number: u64) -> anyhow::Result<bool> {
    let ((topic, queue), offset) = place;
    let mut request = Command::request(RequestCode::QUERY_MESSAGE, &NoHeader);
    for (name, value) in [
        ("topic", TOPICS[topic]),
        ("key", &message::key(number)),
        ("maxNum", "32"),
        ("beginTimestamp", "0"),
        ("endTimestamp", &i64::MAX.to_string()),
    ] {
        request.ext.set(name, value);
    }
    let response = connection.request(request)?;
    if response.response_code() == ResponseCode::QUERY_NOT_FOUND {
        return Ok(false);
    }
    ensure!(
        response.response_code() == ResponseCode::SUCCESS,
        "query by key answered with {}: {:?}",
        response.code,
        response.remark
    );
    // Another key may have the same hash.
    let found = record::decode_all(response.body);
    let mut found = found
        .iter()
        .filter(|found| message::number(&found.message) == Some(number));
    let Some(found) = found.next() else {
        return Ok(false);
    };
    let is_there = found.queue_id == queue && found.queue_offset == offset;
    is_there.then_some(true).with_context(|| {
        format!(
            "message {number} lies at queue {} offset {}, not at {}",
            found.queue_id,
            found.queue_offset,
            show(place)
        )
    })
}
