// SPDX-License-Identifier: Apache-2.0
//! Keeps name servers informed: registration at start, periodically, after every change of topics, and farewell.
//!
//! One tokio task a name server holds its connection open and registers; one more turns changes of topics into
//! increments for all of them, then answers whoever waited for that, and follows changes of `namesrvAddr`. A third asks for
//! the routes that the broker wants to know. A name server that does not answer holds up
//! nobody: it is tried again after a pause and gets everything then. Facts: server.md 3.

mod bodies;
mod peer;
mod routes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::Broker;
use peer::{Job, Peer, What};

/// How long the start waits for the first registrations, and a change for name servers to learn of it.
const PATIENCE: Duration = Duration::from_secs(3);
/// Changes that a name server may be behind before it gets everything instead.
const BACKLOG: usize = 64;

/// The running registration of a broker. [`Registrar::stop`] takes the broker out of the name servers.
#[derive(Debug)]
pub struct Registrar {
    broker: Arc<Broker>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    routes: JoinHandle<()>,
}

impl Registrar {
    /// Registers at the name servers of the configuration and goes on doing so, also at those that the configuration
    /// names later. Has to be called inside a tokio runtime.
    ///
    /// Returns when every name server answered, but at the latest after three seconds.
    pub async fn start(broker: &Arc<Broker>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let changed = Arc::new(Notify::new());
        let wake = Arc::clone(&changed);
        let mut peers = Peers::default();
        drop(broker.topics().changes().take());
        peers.follow_settings(broker).await;
        broker
            .topics()
            .changes()
            .listen(Some(Box::new(move || wake.notify_one())));
        // For what changed in between.
        changed.notify_one();
        let task = tokio::spawn(follow(Arc::clone(broker), peers, changed, stopped.clone()));
        let wanted = Arc::new(Notify::new());
        let wake = Arc::clone(&wanted);
        broker
            .routes()
            .listen(Some(Box::new(move || wake.notify_one())));
        let routes = tokio::spawn(routes::follow(Arc::clone(broker), wanted, stopped));
        Self {
            broker: Arc::clone(broker),
            stop,
            task,
            routes,
        }
    }

    /// Says farewell to the name servers and ends.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for task in [self.task, self.routes] {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the registration failed");
            }
        }
        self.broker.topics().changes().listen(None);
        self.broker.routes().listen(None);
    }
}

/// The name servers that the broker registers at, by address.
#[derive(Default)]
struct Peers {
    running: BTreeMap<String, Running>,
    /// Those that say farewell.
    leaving: JoinSet<()>,
}

/// The way to one name server's task. The task says farewell and ends when `sender` is dropped.
struct Running {
    sender: mpsc::Sender<Job>,
    /// It missed a job.
    needs_full: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Peers {
    /// Registers at name servers that are new in the configuration and leaves those that it no longer names.
    async fn follow_settings(&mut self, broker: &Arc<Broker>) {
        // Checked when they were set.
        let wanted = broker.config().name_servers().unwrap_or_default();
        while self.leaving.try_join_next().is_some() {}
        for (address, running) in std::mem::take(&mut self.running) {
            if wanted.contains(&address) {
                self.running.insert(address, running);
            } else {
                self.leaving.spawn(running.end());
            }
        }
        let known = self.running.len();
        for address in wanted {
            self.running
                .entry(address.clone())
                .or_insert_with(|| Running::spawn(address, broker));
        }
        let changes = broker.topics().changes();
        changes.set_audience(!self.running.is_empty());
        if self.running.len() > known {
            self.tell(&Job::new(What::Full)).await;
        }
    }

    /// Says farewell to all of them at once: each may take as long as a name server that does not answer.
    async fn end(mut self) {
        for running in self.running.into_values() {
            self.leaving.spawn(running.end());
        }
        while self.leaving.join_next().await.is_some() {}
    }

    /// Gives a job to every name server and waits until all are done with it, or for as long as patience lasts.
    async fn tell(&self, job: &Job) {
        let (done, mut all_done) = mpsc::channel::<()>(1);
        for running in self.running.values() {
            // A full queue belongs to a name server that does not answer; it gets everything when it does.
            if running
                .sender
                .try_send(job.with_done(done.clone()))
                .is_err()
            {
                running.needs_full.store(true, Ordering::Release);
            }
        }
        drop(done);
        drop(tokio::time::timeout(PATIENCE, all_done.recv()).await);
    }
}

impl Running {
    fn spawn(address: String, broker: &Arc<Broker>) -> Self {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        let needs_full = Arc::new(AtomicBool::new(true));
        let peer = Peer::new(address, Arc::clone(broker), Arc::clone(&needs_full));
        Self {
            sender,
            needs_full,
            task: tokio::spawn(peer.run(receiver)),
        }
    }

    async fn end(self) {
        drop(self.sender);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the registration task failed");
        }
    }
}

/// Turns changes into jobs until told to stop.
async fn follow(
    broker: Arc<Broker>,
    mut peers: Peers,
    changed: Arc<Notify>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        // Cancel safety: `notified` and `changed` lose nothing when the other branch wins.
        tokio::select! {
            () = changed.notified() => {}
            _ = stopped.changed() => break,
        }
        peers.follow_settings(&broker).await;
        let changes = broker.topics().changes().take();
        let config = broker.config();
        let what = if changes.full {
            Some(What::Full)
        } else if changes.topics.is_empty() {
            None
        } else if config.enable_single_topic_register {
            Some(What::Topics(bodies::single_topics(config, &changes)))
        } else {
            Some(What::Increment(bodies::increment(config, &changes)))
        };
        if let Some(what) = what {
            peers.tell(&Job::new(what)).await;
        }
        for (session, reply) in changes.waiting {
            session.send(&reply);
        }
    }
    peers.end().await;
}

#[cfg(test)]
mod tests;
