// SPDX-License-Identifier: Apache-2.0
//! The name servers: one is chosen at random and kept until it fails; then the next is asked, within the same deadline.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kerolox_protocol::header::Header;
use kerolox_protocol::{Command, RequestCode};

use crate::error::{Error, ErrorCode, Result};
use crate::net::Pool;

/// What one name server gets at least while others are left to ask.
const SHARE: Duration = Duration::from_millis(500);

/// The name servers of a client.
pub(crate) struct NameServers {
    addresses: Vec<String>,
    chosen: AtomicUsize,
}

/// Reads a list of addresses, `host:port;host:port`; an empty one means the environment variable `NAMESRV_ADDR`.
pub(crate) fn parse(list: &str) -> Result<Vec<String>> {
    let from_environment = std::env::var("NAMESRV_ADDR").unwrap_or_default();
    let list = if list.trim().is_empty() {
        from_environment.as_str()
    } else {
        list
    };
    let mut addresses = Vec::new();
    for address in list
        .split([';', ','])
        .map(str::trim)
        .filter(|address| !address.is_empty())
    {
        let port = address
            .rsplit_once(':')
            .filter(|(host, _)| !host.is_empty());
        if port.is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
            return Err(Error::new(ErrorCode::InvalidOption, "start")
                .with_message(format!(
                    "name_servers has '{address}', allowed is host:port"
                ))
                .with_context("option", "name_servers"));
        }
        if !addresses.iter().any(|known| known == address) {
            addresses.push(address.to_owned());
        }
    }
    if addresses.is_empty() {
        return Err(Error::new(ErrorCode::NoNameServer, "start"));
    }
    Ok(addresses)
}

impl NameServers {
    /// The servers of `addresses`, which is not empty, in random order.
    pub(crate) fn new(mut addresses: Vec<String>) -> Self {
        fastrand::shuffle(&mut addresses);
        Self {
            addresses,
            chosen: AtomicUsize::new(0),
        }
    }

    /// Their addresses.
    pub(crate) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Asks the chosen server; if it can not be reached or does not answer, the next one.
    pub(crate) async fn request<'h>(
        &self,
        pool: &Pool,
        code: RequestCode,
        header: &impl Header<'h>,
        timeout: Duration,
    ) -> Result<Command> {
        let deadline = Instant::now() + timeout;
        let first = self.chosen.load(Ordering::Relaxed);
        let count = self.addresses.len();
        let mut failures = Vec::new();
        for attempt in 0..count {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let index = (first + attempt) % count;
            let Some(address) = self.addresses.get(index) else {
                break;
            };
            let others = u32::try_from(count - attempt).unwrap_or(u32::MAX);
            let share = if others == 1 {
                left
            } else {
                (left / others).max(SHARE).min(left)
            };
            match ask(pool, address, code, header, share).await {
                Ok(response) => {
                    self.chosen.store(index, Ordering::Relaxed);
                    return Ok(response);
                }
                Err(error) if error.code() == ErrorCode::Closed => return Err(error),
                Err(error) => failures.push(format!("{address}: {}", text(&error))),
            }
        }
        Err(
            Error::new(ErrorCode::NameServerUnreachable, "ask name server")
                .with_message(format!(
                    "{}: {}",
                    ErrorCode::NameServerUnreachable.doc(),
                    failures.join("; ")
                ))
                .with_context("name_servers", self.addresses.join(";")),
        )
    }
}

fn text(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{}: {source}", error.message()),
        None => error.message().to_owned(),
    }
}

async fn ask<'h>(
    pool: &Pool,
    address: &str,
    code: RequestCode,
    header: &impl Header<'h>,
    timeout: Duration,
) -> Result<Command> {
    let deadline = Instant::now() + timeout;
    let connection = pool.connection(address, timeout).await?;
    let left = deadline.saturating_duration_since(Instant::now());
    connection
        .request_typed(code, header, &Bytes::new(), left)
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_split_and_checked() {
        assert_eq!(parse("a:1; b:2 ;a:1;").expect("a list"), ["a:1", "b:2"]);
        assert_eq!(parse("[::1]:9876").expect("a list"), ["[::1]:9876"]);
        for bad in ["a", "a:", ":9876", "a:x", "a:99999"] {
            let error = parse(bad).expect_err(bad);
            assert_eq!(error.code(), ErrorCode::InvalidOption);
            assert!(error.to_string().contains(bad), "{error}");
        }
    }
}
