// SPDX-License-Identifier: Apache-2.0
//! The option table of the administration client.

use crate::options::options;

options! {
    /// Options of an administration client.
    pub struct AdminOptions {
        /// Addresses of the name servers, `host:port;host:port`. Empty: environment variable `NAMESRV_ADDR`.
        name_servers: String = "",
        /// Deadline of an operation.
        timeout_ms: u64 = 5000u64,
    }
}
