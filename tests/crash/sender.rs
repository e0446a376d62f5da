// SPDX-License-Identifier: Apache-2.0
//! Sends numbered messages over a pipelined connection until it breaks, and notes what was acknowledged.

use std::collections::HashMap;
use std::sync::Mutex;

use anyhow::{Context, bail};
use kerolox_protocol::code::ResponseCode;
use kerolox_protocol::command::Command;
use kerolox_protocol::header::send::SendMessageResponseHeader;
use kerolox_tests::wire::Connection;

use crate::ledger::Ledger;
use crate::message;

/// How many requests a sender has on the way.
const IN_FLIGHT: usize = 32;

/// The ledger that several senders write to.
pub(crate) type Shared = Mutex<Ledger>;

/// Does something with the ledger.
pub(crate) fn with<T>(ledger: &Shared, work: impl FnOnce(&mut Ledger) -> T) -> T {
    work(&mut ledger.lock().expect("no sender panics with it"))
}

/// Sends the given requests until the connection breaks.
///
/// # Errors
/// The broker answers something else than that the message is stored.
pub(crate) fn send_until_broken(
    mut connection: Connection,
    requests: impl IntoIterator<Item = u64>,
    ledger: &Shared,
) -> anyhow::Result<()> {
    let mut waiting = HashMap::new();
    for request in requests {
        with(ledger, |ledger| ledger.send(request));
        let Ok(opaque) = connection.send(message::request(request)?) else {
            return Ok(());
        };
        waiting.insert(opaque, request);
        if waiting.len() < IN_FLIGHT {
            continue;
        }
        let Ok(response) = connection.receive() else {
            return Ok(());
        };
        let request = waiting
            .remove(&response.opaque)
            .context("answer to nothing")?;
        match response.response_code() {
            ResponseCode::SUCCESS => {
                let header: SendMessageResponseHeader<'_> = response.header()?;
                with(ledger, |ledger| {
                    ledger.acknowledge(request, header.queue_offset)
                })?;
            }
            // Stored, but nobody promises that it is on disk.
            ResponseCode::FLUSH_DISK_TIMEOUT => {}
            // Commits of the transient store pool are put off here, so a fast sender fills its buffers.
            ResponseCode::SYSTEM_BUSY if is_about_the_pool(&response) => {}
            _ => bail!(
                "request {request} answered with {}: {:?}",
                response.code,
                response.remark
            ),
        }
    }
    Ok(())
}

fn is_about_the_pool(response: &Command) -> bool {
    let remark = response.remark.as_deref().unwrap_or_default();
    remark.contains("transientStorePoolSize")
}
