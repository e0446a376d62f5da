// SPDX-License-Identifier: Apache-2.0
//! What changed in the topics since name servers were told, and who waits for them to know.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kerolox_protocol::Command;
use kerolox_protocol::body::topic::{DataVersion, TopicConfig};
use parking_lot::Mutex;

use crate::net::Session;

type Listener = Box<dyn Fn() + Send + Sync>;

/// Collects changes for the registration task.
#[derive(Default)]
pub struct TopicChanges {
    state: Mutex<Changes>,
    listener: Mutex<Option<Listener>>,
    /// There are name servers that learn of changes.
    has_audience: AtomicBool,
}

/// Changes taken together.
#[derive(Debug, Default)]
pub struct Changes {
    /// Topics that are new or different, by name.
    pub topics: BTreeMap<String, Arc<TopicConfig>>,
    /// Version of the table with the last of them.
    pub version: DataVersion,
    /// A topic was removed: everything has to be sent.
    pub full: bool,
    /// Replies to send once name servers know.
    pub waiting: Vec<(Arc<Session>, Command)>,
}

impl TopicChanges {
    /// Sets who is woken by changes; `None` when registration ends. Nobody has to wait then.
    pub fn listen(&self, listener: Option<Listener>) {
        *self.listener.lock() = listener;
        if self.listener.lock().is_none() {
            for (session, reply) in self.take().waiting {
                session.send(&reply);
            }
        }
    }

    /// Sets whether there are name servers that learn of changes; nobody waits for them otherwise.
    pub fn set_audience(&self, has_audience: bool) {
        self.has_audience.store(has_audience, Ordering::Release);
    }

    pub(super) fn add(
        &self,
        configs: impl IntoIterator<Item = Arc<TopicConfig>>,
        version: DataVersion,
    ) {
        let named = configs
            .into_iter()
            .map(|config| (config.topic_name.clone(), config));
        let mut state = self.state.lock();
        state.topics.extend(named);
        state.version = version;
        drop(state);
        self.wake();
    }

    pub(super) fn add_full(&self) {
        self.state.lock().full = true;
        self.wake();
    }

    /// Keeps a reply until name servers know the changes made so far. Gives it back if nobody tells them.
    pub fn reply_when_known(&self, session: &Arc<Session>, reply: Command) -> Option<Command> {
        let listener = self.listener.lock();
        let has_audience = self.has_audience.load(Ordering::Acquire);
        let Some(wake) = listener.as_ref().filter(|_| has_audience) else {
            return Some(reply);
        };
        self.state.lock().waiting.push((Arc::clone(session), reply));
        wake();
        None
    }

    /// Takes what was collected.
    pub fn take(&self) -> Changes {
        std::mem::take(&mut *self.state.lock())
    }

    /// Wakes who listens, even if no topic changed: something else that it looks at has.
    pub fn wake(&self) {
        if let Some(wake) = self.listener.lock().as_ref() {
            wake();
        }
    }
}

impl std::fmt::Debug for TopicChanges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TopicChanges")
            .field("state", &self.state.lock())
            .finish_non_exhaustive()
    }
}
