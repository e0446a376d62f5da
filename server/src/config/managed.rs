// SPDX-License-Identifier: Apache-2.0
//! Settings of a running server: read by requests, changed over the network, written back to their file.
//!
//! What a change may reach is said beside each key (`keys`): most take effect at the next start, some at once, and
//! those that name files, addresses or the server itself are for whoever can edit the file. Facts: server.md 1.8, 23.

use std::collections::BTreeMap;
use std::io;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use kerolox_protocol::body::topic::DataVersion;
use parking_lot::Mutex;

use super::live::{Live, TooManyChanges};
use super::{ConfigError, Settings, properties, reference_keys};
use crate::store::disk::Disk;

/// What a change of a key over the network reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Takes effect at once.
    Live,
    /// Goes into the file and takes effect at the next start.
    Restart,
    /// Refused: only in the file.
    Local,
}

/// Why settings can not be changed over the network. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// The text is not UTF-8.
    #[error("the settings are not UTF-8 text: {0}")]
    Text(#[from] std::str::Utf8Error),
    /// The key is on the black list.
    #[error(
        "{0} can not be changed remotely, it is in the black list (configBlackList): edit the file and restart"
    )]
    Blacklisted(String),
    /// The key is for the file only.
    #[error("{0} can not be changed remotely: edit the file and restart")]
    Local(String),
    /// No such key.
    #[error("{0}")]
    Unknown(String),
    /// A value does not fit.
    #[error(transparent)]
    Value(#[from] ConfigError),
    /// The key takes effect at a start only, and nothing would remember it until then.
    #[error(
        "{0} takes effect at a start only, and this server was started without a configuration file to keep it in (-c)"
    )]
    NoFile(String),
    /// The file can not be written.
    #[error("the configuration file {} can not be written: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There were too many changes.
    #[error(transparent)]
    TooMany(#[from] TooManyChanges),
}

impl ChangeError {
    /// Whether nobody may change that key, whatever the value.
    pub const fn is_forbidden(&self) -> bool {
        matches!(self, Self::Blacklisted(_) | Self::Local(_))
    }
}

/// What a change did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Keys with a new value in effect.
    pub live: Vec<String>,
    /// Keys whose new value takes effect at the next start.
    pub at_restart: Vec<String>,
    /// Keys of the reference that have no effect in this server.
    pub inert: Vec<String>,
}

impl Change {
    /// What the sender has to know, if anything.
    pub fn remark(&self) -> Option<String> {
        let mut parts = Vec::new();
        if !self.at_restart.is_empty() {
            parts.push(format!("at the next start: {}", self.at_restart.join(", ")));
        }
        if !self.inert.is_empty() {
            parts.push(format!(
                "without effect in this server: {}",
                self.inert.join(", ")
            ));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// Settings in effect, and as the file has them. Derefs to those in effect.
pub struct Managed<T> {
    running: Live<T>,
    disk: Arc<dyn Disk>,
    path: Option<PathBuf>,
    black_list: Vec<String>,
    stored: Mutex<Stored<T>>,
}

struct Stored<T> {
    /// As in effect after a restart.
    settings: T,
    /// Further lines of the file.
    further: BTreeMap<String, String>,
    version: DataVersion,
}

impl<T: Settings + Clone + PartialEq> Managed<T> {
    /// Settings that were read from `path`, if there is a file. `black_list` are keys, `;` between them, that can not
    /// be changed over the network.
    pub fn new(
        settings: T,
        disk: Arc<dyn Disk>,
        path: Option<PathBuf>,
        black_list: &str,
        now_ms: i64,
    ) -> Self {
        let keys = settings.keys();
        let text = path.as_ref().and_then(|path| disk.read(path).ok());
        let text = text.map(|text| String::from_utf8_lossy(&text).into_owned());
        let further = properties::parse(&text.unwrap_or_default())
            .into_iter()
            .filter(|(key, _)| !keys.contains(&key.as_str()))
            .collect();
        let black_list = black_list.split(';').map(|key| key.trim().to_owned());
        Self {
            running: Live::new(settings.clone()),
            disk,
            path,
            black_list: black_list.filter(|key| !key.is_empty()).collect(),
            stored: Mutex::new(Stored {
                settings,
                further,
                version: DataVersion {
                    timestamp: now_ms,
                    ..DataVersion::default()
                },
            }),
        }
    }

    /// All settings as properties text, with what waits for a restart and what else the file has, and their version.
    pub fn text(&self) -> (String, DataVersion) {
        let stored = self.stored.lock();
        let mut pairs = stored.further.clone();
        let entries = stored.settings.entries().into_iter();
        pairs.extend(entries.map(|(key, value)| (key.to_owned(), value)));
        (properties::write(pairs), stored.version)
    }

    /// Changes what a properties text says, all of it or nothing; `check` looks at the whole.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing was changed.
    pub fn change(
        &self,
        text: &[u8],
        now_ms: i64,
        check: impl Fn(&T) -> Result<(), ConfigError>,
    ) -> Result<Change, ChangeError> {
        let pairs = properties::parse(std::str::from_utf8(text)?);
        let mut stored = self.stored.lock();
        let mut wanted = stored.settings.clone();
        let mut running = T::clone(&self.running);
        let mut change = Change::default();
        // Each key once: a long text is mostly the same key again, or does not get far.
        let mut accepted = BTreeMap::new();
        for (key, value) in &pairs {
            let value = value.trim();
            if self.black_list.contains(key) {
                return Err(ChangeError::Blacklisted(key.clone()));
            }
            let keys = match wanted.reach(key) {
                Some(Reach::Local) => return Err(ChangeError::Local(key.clone())),
                Some(Reach::Restart) if self.path.is_none() => {
                    return Err(ChangeError::NoFile(key.clone()));
                }
                Some(Reach::Live) => {
                    running.set(key, value)?;
                    &mut change.live
                }
                Some(Reach::Restart) => &mut change.at_restart,
                None if reference_keys::is_inert(key) => &mut change.inert,
                None => {
                    let known = wanted.keys().iter();
                    return Err(ChangeError::Unknown(super::unknown_key(key, known)));
                }
            };
            wanted.set(key, value)?;
            if accepted.insert(key.clone(), value.to_owned()).is_none() {
                keys.push(key.clone());
            }
        }
        let accepted: Vec<_> = accepted.into_iter().collect();
        check(&wanted)?;
        self.write(&accepted)?;
        self.running.replace(running)?;
        let inert = accepted
            .into_iter()
            .filter(|(key, _)| change.inert.contains(key));
        stored.further.extend(inert);
        stored.settings = wanted;
        stored.version.next(now_ms);
        Ok(change)
    }

    /// Writes the pairs into the file, which keeps everything else.
    fn write(&self, pairs: &[(String, String)]) -> Result<(), ChangeError> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let refused = |source| ChangeError::File {
            path: path.clone(),
            source,
        };
        let before = match self.disk.read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(refused(error)),
        };
        let before = String::from_utf8_lossy(&before);
        let after = properties::edit(&before, pairs);
        self.disk
            .write_atomic(path, after.as_bytes())
            .map_err(refused)
    }
}

impl<T> Deref for Managed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.running
    }
}

impl<T> std::fmt::Debug for Managed<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Managed")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
