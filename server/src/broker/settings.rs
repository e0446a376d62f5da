// SPDX-License-Identifier: Apache-2.0
//! Changes of the broker's settings while it runs.
//!
//! Most code reads `broker.config` when a request needs it. What keeps its own copy is told here.

use super::Broker;
use crate::config::BrokerConfig;
use crate::config::managed::{Change, ChangeError};
use crate::store::Retention;

impl Broker {
    /// Changes what a properties text says, all of it or nothing, and writes it into the configuration file.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing was changed.
    pub fn change_settings(&self, text: &[u8], now_ms: i64) -> Result<Change, ChangeError> {
        let change = self.config.change(text, now_ms, BrokerConfig::check)?;
        let config = self.config();
        self.topics.set_auto_create(config.auto_create_topic_enable);
        self.groups.set_auto_create(
            config.auto_create_subscription_group,
            config.enable_create_sys_group,
        );
        self.store
            .set_retention(Retention::from(&config.store_options()));
        let changed = |key: &str| change.live.iter().any(|live| live == key);
        if changed("brokerPermission") {
            // Name servers have the topics' permissions cut down to the broker's.
            self.topics.touch(now_ms);
        } else if changed("namesrvAddr") {
            self.topics.changes().wake();
        }
        Ok(change)
    }
}
