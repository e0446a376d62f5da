// SPDX-License-Identifier: Apache-2.0
//! Keeps name servers informed: registration at start, periodically, after every change of topics, and farewell.
//!
//! One tokio task a name server holds its connection open and registers; one more turns changes of topics into
//! increments for all of them and then answers whoever waited for that. A third asks for the routes that the broker wants
//! to know. A name server that does not answer holds up
//! nobody: it is tried again after a pause and gets everything then. Facts: server.md 3.

mod bodies;
mod peer;
mod routes;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;

use super::Broker;
use peer::{Job, Peer};

/// How long the start waits for the first registrations, and a change for name servers to learn of it.
const PATIENCE: Duration = Duration::from_secs(3);
/// Changes that a name server may be behind before it gets everything instead.
const BACKLOG: usize = 64;

/// The running registration of a broker. [`Registrar::stop`] takes the broker out of the name servers.
#[derive(Debug)]
pub struct Registrar {
    broker: Arc<Broker>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Registrar {
    /// Registers at `name_servers` (`host:port` each) and goes on doing so. Has to be called inside a tokio runtime.
    ///
    /// Returns when every name server answered, but at the latest after three seconds.
    pub async fn start(broker: &Arc<Broker>, name_servers: Vec<String>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = Vec::new();
        let mut jobs = Vec::new();
        for address in name_servers.clone() {
            let (sender, receiver) = mpsc::channel(BACKLOG);
            let needs_full = Arc::new(AtomicBool::new(true));
            let peer = Peer::new(address, Arc::clone(broker), Arc::clone(&needs_full));
            tasks.push(tokio::spawn(peer.run(receiver, stopped.clone())));
            jobs.push(Jobs { sender, needs_full });
        }
        if !jobs.is_empty() {
            drop(broker.topics().changes().take());
            tell(&jobs, &Job::full()).await;
            let changed = Arc::new(Notify::new());
            let wake = Arc::clone(&changed);
            broker
                .topics()
                .changes()
                .listen(Some(Box::new(move || wake.notify_one())));
            changed.notify_one();
            tasks.push(tokio::spawn(follow(
                Arc::clone(broker),
                jobs,
                changed,
                stopped.clone(),
            )));
            let wanted = Arc::new(Notify::new());
            let wake = Arc::clone(&wanted);
            broker
                .routes()
                .listen(Some(Box::new(move || wake.notify_one())));
            tasks.push(tokio::spawn(routes::follow(
                Arc::clone(broker),
                name_servers,
                wanted,
                stopped,
            )));
        }
        Self {
            broker: Arc::clone(broker),
            stop,
            tasks,
        }
    }

    /// Says farewell to the name servers and ends.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "the registration task failed");
            }
        }
        self.broker.topics().changes().listen(None);
        self.broker.routes().listen(None);
    }
}

/// The way to one name server's task.
struct Jobs {
    sender: mpsc::Sender<Job>,
    /// It missed a job.
    needs_full: Arc<AtomicBool>,
}

/// Turns changes into jobs until told to stop.
async fn follow(
    broker: Arc<Broker>,
    jobs: Vec<Jobs>,
    changed: Arc<Notify>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        // Cancel safety: `notified` and `changed` lose nothing when the other branch wins.
        tokio::select! {
            () = changed.notified() => {}
            _ = stopped.changed() => return,
        }
        let changes = broker.topics().changes().take();
        if changes.full {
            tell(&jobs, &Job::full()).await;
        } else if !changes.topics.is_empty() {
            tell(
                &jobs,
                &Job::increment(bodies::increment(broker.config(), &changes)),
            )
            .await;
        }
        for (session, reply) in changes.waiting {
            session.send(&reply);
        }
    }
}

/// Gives a job to every name server and waits until all are done with it, or for as long as patience lasts.
async fn tell(jobs: &[Jobs], job: &Job) {
    let (done, mut all_done) = mpsc::channel::<()>(1);
    for Jobs { sender, needs_full } in jobs {
        // A full queue belongs to a name server that does not answer; it gets everything when it does.
        if sender.try_send(job.with_done(done.clone())).is_err() {
            needs_full.store(true, Ordering::Release);
        }
    }
    drop(done);
    drop(tokio::time::timeout(PATIENCE, all_done.recv()).await);
}

#[cfg(test)]
mod tests;
