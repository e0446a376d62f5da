// SPDX-License-Identifier: Apache-2.0
//! Settings of the servers, under the reference's keys and with its defaults.
//!
//! A table (`keys`) declares each key once: its wire spelling, type, default and meaning. Values come from a
//! properties file, then from the command line. A value that does not fit is an error of one line that names the
//! key, the value and what is allowed. Keys that the reference knows and that have no effect here are accepted with
//! a note; unknown keys get a warning that names the nearest known one.

mod broker;
mod keys;
pub mod live;
pub mod managed;
mod namesrv;
pub mod properties;
mod reference_keys;
mod value;

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

pub use broker::BrokerConfig;
pub use managed::{ChangeError, Managed, Reach};
pub use namesrv::NamesrvConfig;
pub use value::{BrokerRole, DeleteWhen, FlushDiskType, MessageRequestMode, SettingError, Value};

/// Why settings can not be used. One line, fit for a terminal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value does not fit its key.
    #[error("{key} is '{value}', allowed: {allowed}")]
    Invalid {
        /// The key.
        key: String,
        /// What was given.
        value: String,
        /// What would fit.
        allowed: String,
    },
    /// The file can not be read.
    #[error("the configuration file {} can not be read: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

impl ConfigError {
    /// An error about one key.
    pub fn invalid(
        key: impl Into<String>,
        value: impl Into<String>,
        allowed: impl Into<String>,
    ) -> Self {
        Self::Invalid {
            key: key.into(),
            value: value.into(),
            allowed: allowed.into(),
        }
    }
}

/// A set of settings that is filled key by key.
pub trait Settings {
    /// The keys that have an effect.
    fn keys(&self) -> &'static [&'static str];

    /// What a change of that key over the network reaches; `None` if the key has no effect here.
    fn reach(&self, key: &str) -> Option<Reach>;

    /// Every key with its present value as text, `None` if it is not set, in alphabetical order.
    fn all(&self) -> Vec<(&'static str, Option<String>)>;

    /// As [`Settings::all`], without those that are not set.
    fn entries(&self) -> Vec<(&'static str, String)> {
        let all = self.all().into_iter();
        all.filter_map(|(key, value)| Some((key, value?))).collect()
    }

    /// Sets one key; `Ok(false)` means that the key has no effect here.
    ///
    /// # Errors
    /// The value does not fit.
    fn set(&mut self, key: &str, value: &str) -> Result<bool, ConfigError>;

    /// Sets everything that a properties text says and returns remarks about keys without effect, one line each.
    ///
    /// # Errors
    /// A value does not fit.
    fn apply(&mut self, text: &str) -> Result<Vec<String>, ConfigError> {
        let mut remarks = Vec::new();
        for (key, value) in properties::parse(text) {
            if self.set(&key, value.trim())? {
                continue;
            }
            if reference_keys::is_inert(&key) {
                remarks.push(format!("the key {key} has no effect in this server"));
            } else {
                let known = self.keys().iter().chain(reference_keys::INERT);
                remarks.push(format!("ignored: {}", unknown_key(&key, known)));
            }
        }
        Ok(remarks)
    }

    /// As [`Settings::apply`], from a file.
    ///
    /// # Errors
    /// The file can not be read, or a value does not fit.
    fn apply_file(&mut self, path: &Path) -> Result<Vec<String>, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::File {
            path: path.to_owned(),
            source,
        })?;
        self.apply(&text)
    }
}

/// A key with nothing to go by: longer than any known one by far.
const LONGEST_KEY: usize = 128;

/// What to say about an unknown key: it, shortened, and the known key with the smallest edit distance.
fn unknown_key(key: &str, known: impl Iterator<Item = &'static &'static str>) -> String {
    if key.len() > LONGEST_KEY {
        // Comparing costs as much as both are long, and this may come over the network.
        let start: String = key.chars().take(LONGEST_KEY).collect();
        return format!("unknown key {start}... ({} bytes)", key.len());
    }
    let lower = key.to_ascii_lowercase();
    let nearest = known
        .copied()
        .min_by_key(|known| strsim::levenshtein(&lower, &known.to_ascii_lowercase()));
    match nearest {
        Some(nearest) => format!("unknown key {key}, did you mean {nearest}?"),
        None => format!("unknown key {key}"),
    }
}

/// What a listener binds to: the configured address, or loopback as long as nobody chose one.
pub fn bind_address(configured: Option<IpAddr>) -> IpAddr {
    configured.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// The line that says why a server can not be reached from other machines; `None` if somebody chose its address.
pub fn loopback_remark(configured: Option<IpAddr>, server: &str) -> Option<String> {
    configured.is_none().then(|| {
        format!(
            "no credentials are configured, so the {server} listens on 127.0.0.1 only; \
             set bindAddress (for example bindAddress=0.0.0.0) to accept other machines"
        )
    })
}

/// The address that other machines reach this one by: the first one that is not loopback, IPv4 preferred.
pub fn local_address() -> IpAddr {
    let addresses: Vec<IpAddr> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .filter(|interface| !interface.is_loopback() && !interface.is_link_local())
        .map(|interface| interface.ip())
        .collect();
    addresses
        .iter()
        .find(|address| address.is_ipv4())
        .or(addresses.first())
        .copied()
        .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

#[cfg(test)]
mod tests;
