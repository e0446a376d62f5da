// SPDX-License-Identifier: Apache-2.0
//! Name servers alone, and name servers of either kind with a broker of each kind.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use tempfile::TempDir;

use crate::broker::Broker;
use crate::cluster::Kind;
use crate::process::Process;
use crate::{official, ours, ports, wait_for, wire};

/// How long ours may take to get ready; the official ones have their own deadline.
const READY: Duration = Duration::from_secs(30);

/// A name server. Killed when dropped.
#[derive(Debug)]
pub struct NameServer {
    kind: Kind,
    addr: SocketAddr,
    // Before `dir`: the process ends before its files go.
    process: Option<Process>,
    dir: TempDir,
}

impl NameServer {
    /// Starts one on a free loopback port; `settings` are further lines of its file.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start(kind: Kind, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("namesrv-").tempdir()?;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free_with(&[0])));
        let mut text = format!(
            "listenPort={}\nbindAddress=127.0.0.1\nkvConfigPath={}\n",
            addr.port(),
            dir.path().join("kvConfig.json").display()
        );
        for (key, value) in settings {
            writeln!(text, "{key}={value}")?;
        }
        fs::write(dir.path().join("namesrv.conf"), text)?;
        let mut server = Self {
            kind,
            addr,
            process: None,
            dir,
        };
        server.launch()?;
        Ok(server)
    }

    fn launch(&mut self) -> anyhow::Result<()> {
        self.process = Some(match self.kind {
            Kind::Official => official::launch_namesrv(&self.dir)?,
            Kind::Ours => {
                let mut command = Command::new(ours::program("mqnamesrv")?);
                command.arg("-c").arg(self.dir.path().join("namesrv.conf"));
                let out = self.dir.path().join("namesrv.out");
                let from = fs::metadata(out).map_or(0, |file| file.len());
                let mut process = Process::spawn("namesrv", &self.dir, &mut command)?;
                process.wait_for_line(usize::try_from(from)?, READY, |line| {
                    line.contains("boot success").then_some(())
                })?;
                process
            }
        });
        Ok(())
    }

    /// Stops it and starts one of the given kind on its port, settings and files.
    ///
    /// # Errors
    /// When one does not stop or the other does not get ready.
    pub fn hand_over_to(&mut self, kind: Kind) -> anyhow::Result<()> {
        if let Some(mut process) = self.process.take() {
            let status = self.kind.stop(&mut process)?;
            let expected = Some(self.kind.exit_code());
            ensure!(
                status.code() == expected,
                "ended with {status}\n{}",
                process.logs()
            );
        }
        self.kind = kind;
        self.launch()
    }

    /// Kills it (SIGKILL).
    pub fn kill(&mut self) {
        if let Some(process) = &mut self.process {
            process.kill();
        }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where its files lie.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The ends of its logs.
    pub fn logs(&self) -> String {
        self.process.as_ref().map(Process::logs).unwrap_or_default()
    }
}

fn joined(namesrvs: &[NameServer]) -> String {
    let addrs: Vec<_> = namesrvs.iter().map(|one| one.addr().to_string()).collect();
    addrs.join(";")
}

/// Name servers with our broker `broker-ours` and the official one, `broker-official`, in one cluster.
#[derive(Debug)]
pub struct Mixed {
    /// The name servers; both brokers register at all of them.
    pub namesrvs: Vec<NameServer>,
    /// Ours.
    pub ours: Broker,
    official_addr: SocketAddr,
    official: Process,
    dir: TempDir,
}

impl Mixed {
    /// Starts a name server of each of these kinds, and the brokers, which are registered when this returns.
    ///
    /// # Errors
    /// When one does not get ready.
    pub fn start(kinds: &[Kind]) -> anyhow::Result<Self> {
        let namesrvs: Vec<_> = kinds
            .iter()
            .map(|kind| NameServer::start(*kind, &[]))
            .collect::<anyhow::Result<_>>()?;
        let addr = joined(&namesrvs);
        let mut ours = Broker::new(&[("brokerName", "broker-ours"), ("namesrvAddr", &addr)])?;
        ours.start()?;
        let dir = tempfile::Builder::new().prefix("rocketmq-").tempdir()?;
        // Besides its own it takes the port two below and the next one.
        let port = ports::free_with(&[-2, 0, 1]);
        let store = dir.path().join("store");
        let text = format!(
            "brokerClusterName=DefaultCluster\nbrokerName=broker-official\nbrokerId=0\nbrokerIP1=127.0.0.1\n\
             bindAddress=127.0.0.1\nlistenPort={port}\nhaListenPort={}\nnamesrvAddr={addr}\n\
             storePathRootDir={store}\nstorePathCommitLog={store}/commitlog\nmappedFileSizeCommitLog=134217728\n\
             waitTimeMillsInSendQueue=60000\nosPageCacheBusyTimeOutMills=60000\n",
            port + 1,
            store = store.display(),
        );
        fs::write(dir.path().join("broker.conf"), text)?;
        let official = official::launch_broker(&dir)?;
        let cluster = Self {
            namesrvs,
            ours,
            official_addr: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            official,
            dir,
        };
        let names = ["broker-ours", "broker-official"];
        for namesrv in &cluster.namesrvs {
            wait_for("both brokers at the name server", READY, || {
                let text = wire::cluster_info(namesrv.addr()).ok()?;
                names.iter().all(|name| text.contains(name)).then_some(())
            })?;
        }
        Ok(cluster)
    }

    /// Addresses of the name servers, `;` between them.
    pub fn namesrv_addrs(&self) -> String {
        joined(&self.namesrvs)
    }

    /// Addresses of both brokers, ours first.
    ///
    /// # Errors
    /// When ours was never ready.
    pub fn brokers(&self) -> anyhow::Result<[SocketAddr; 2]> {
        Ok([self.ours.addr()?, self.official_addr])
    }

    /// Creates a topic on both brokers and waits until every name server routes to both.
    ///
    /// # Errors
    /// When a broker refuses it or no route comes up.
    pub fn create_topic(&self, topic: &str, queues: i32) -> anyhow::Result<()> {
        for broker in self.brokers()? {
            wire::create_topic_at(broker, topic, queues)?;
        }
        self.namesrvs.iter().try_for_each(|namesrv| {
            wait_for("a route to both brokers", READY, || {
                let route = wire::route(namesrv.addr(), topic).ok()?;
                (route.matches("\"writeQueueNums\"").count() == 2).then_some(())
            })
        })
    }

    /// Room for files of the test.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The ends of all logs.
    pub fn logs(&self) -> String {
        let namesrvs: String = self.namesrvs.iter().map(NameServer::logs).collect();
        [namesrvs, self.ours.logs(), self.official.logs()].concat()
    }
}
