// SPDX-License-Identifier: Apache-2.0
//! A running name server and broker, ours or the official ones, behind one face.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::Process;
use crate::{official, ours, wire};

/// How long our servers may take to stop.
const STOP: Duration = Duration::from_secs(30);

/// Settings of the brokers of both kinds: open transactions are asked about soon and often, and there are light queues.
pub(crate) const SETTINGS: &[(&str, &str)] = &[
    ("transactionTimeOut", "2000"),
    ("transactionCheckInterval", "2000"),
    ("transactionCheckMax", "6"),
    ("transactionOpBatchInterval", "100"),
    ("enablePropertyFilter", "true"),
    ("recallMessageEnable", "true"),
    ("enableLmq", "true"),
    ("enableMultiDispatch", "true"),
];

/// Whose servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `kerolox serve`.
    Ours,
    /// The name server and broker of Apache RocketMQ 5.5.0.
    Official,
}

impl Kind {
    /// Both, for tests that run against each.
    pub const ALL: [Self; 2] = [Self::Official, Self::Ours];

    /// Asks a server of this kind to end (SIGTERM) and waits for that.
    pub(crate) fn stop(self, process: &mut Process) -> anyhow::Result<ExitStatus> {
        match self {
            Self::Ours => process.terminate(STOP),
            Self::Official => official::stop(process),
        }
    }

    /// Starts one.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start(self) -> anyhow::Result<Cluster> {
        match self {
            Self::Ours => ours::our_server(),
            Self::Official => official::official_cluster(),
        }
    }

    /// With what a server answers SIGTERM: 0 (ours) or 143 (a JVM).
    pub(crate) const fn exit_code(self) -> i32 {
        match self {
            Self::Ours => 0,
            Self::Official => 143,
        }
    }

    /// For messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Official => "official 5.5.0",
        }
    }
}

/// A name server and a broker on loopback, with their data in a temporary directory. Killed when dropped.
#[derive(Debug)]
pub struct Cluster {
    pub(crate) kind: Kind,
    pub(crate) namesrv: SocketAddr,
    pub(crate) broker: SocketAddr,
    // Before `dir`: the processes end before their files go.
    pub(crate) processes: Vec<Process>,
    pub(crate) dir: TempDir,
}

impl Cluster {
    /// Address of the name server.
    pub fn namesrv_addr(&self) -> SocketAddr {
        self.namesrv
    }

    /// Address of the broker.
    pub fn broker_addr(&self) -> SocketAddr {
        self.broker
    }

    /// Where its data and logs lie; room for files of the test, too.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Process id of the broker.
    pub fn broker_pid(&self) -> Option<u32> {
        self.processes.last().map(Process::id)
    }

    /// What a client program needs in its environment.
    pub fn env(&self) -> [(&'static str, String); 2] {
        [
            ("NAMESRV_ADDR", self.namesrv.to_string()),
            ("KEROLOX_TEST_BROKER_ADDR", self.broker.to_string()),
        ]
    }

    /// Creates a topic and waits until it has a route.
    ///
    /// # Errors
    /// As [`wire::create_topic`].
    pub fn create_topic(&self, topic: &str, queues: i32) -> anyhow::Result<()> {
        wire::create_topic(self.namesrv, self.broker, topic, queues)
    }

    /// Stops it in an orderly way.
    ///
    /// # Errors
    /// When a process does not end in time or ends with another code than servers of its kind do.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        for process in self.processes.iter_mut().rev() {
            let status = self.kind.stop(process)?;
            let expected = self.kind.exit_code();
            anyhow::ensure!(
                status.code() == Some(expected),
                "ended with {status}, expected {expected}\n{}",
                process.logs()
            );
        }
        Ok(())
    }

    /// Kills it (SIGKILL).
    pub fn kill(&mut self) {
        for process in &mut self.processes {
            process.kill();
        }
    }

    /// Starts it again on the same data and ports after [`Cluster::stop`] or [`Cluster::kill`].
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        self.kill();
        self.processes.clear();
        match self.kind {
            Kind::Ours => ours::launch(self),
            Kind::Official => official::launch(self),
        }
    }

    /// The ends of all logs.
    pub fn logs(&self) -> String {
        self.processes.iter().map(Process::logs).collect()
    }
}
