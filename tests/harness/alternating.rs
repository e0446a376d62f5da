// SPDX-License-Identifier: Apache-2.0
//! One store directory that brokers of both kinds open in turn, with one `broker.conf`, on one port, beside a name server of
//! ours that runs all the time.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::fs::{FlockOperation, fcntl_lock};
use tempfile::TempDir;

use crate::cluster::Kind;
use crate::process::Process;
use crate::{official, ours, ports, wait_for};

/// How long ours may take to get ready; the official broker has its own deadline.
const READY: Duration = Duration::from_secs(30);
/// How long a broker may take to stop.
const STOP: Duration = Duration::from_secs(60);
/// Connections that are closed one by one while a broker stops.
const IDLE: usize = 16;

/// The directory and the broker that has it open, if one has. Killed when dropped.
#[derive(Debug)]
pub struct Alternating {
    namesrv_addr: SocketAddr,
    broker_addr: SocketAddr,
    broker: Option<(Kind, Process)>,
    /// Has let go of the directory.
    ending: Option<(Kind, Process)>,
    // After the broker and before the directory.
    _namesrv: Process,
    dir: TempDir,
}

impl Alternating {
    /// Starts the name server; `settings` go into `broker.conf` besides names and addresses.
    ///
    /// # Errors
    /// When our programs can not be built or the name server does not get ready.
    pub fn new(settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let namesrv_addr = at(ports::free_with(&[0]));
        // The official broker takes the port two below and the next one, too.
        let broker_addr = at(ports::free_with(&[-2, 0, 1]));
        let dir = tempfile::Builder::new().prefix("exchange-").tempdir()?;
        let namesrv_conf = format!(
            "listenPort={}\nbindAddress=127.0.0.1\n",
            namesrv_addr.port()
        );
        fs::write(dir.path().join("namesrv.conf"), namesrv_conf)?;
        let mut broker_conf = format!(
            "brokerClusterName=DefaultCluster\nbrokerName=broker-a\nbrokerId=0\nbrokerIP1=127.0.0.1\n\
             bindAddress=127.0.0.1\nlistenPort={port}\nhaListenPort={ha}\nnamesrvAddr={namesrv_addr}\n\
             storePathRootDir={store}\nstorePathCommitLog={store}/commitlog\n",
            port = broker_addr.port(),
            ha = broker_addr.port() + 1,
            store = dir.path().join("store").display(),
        );
        for (key, value) in settings {
            writeln!(broker_conf, "{key}={value}")?;
        }
        fs::write(dir.path().join("broker.conf"), broker_conf)?;
        let namesrv = our_program("mqnamesrv", "namesrv", &dir)?;
        Ok(Self {
            namesrv_addr,
            broker_addr,
            broker: None,
            ending: None,
            _namesrv: namesrv,
            dir,
        })
    }

    /// Starts a broker of that kind on the directory, ready when this returns.
    ///
    /// # Errors
    /// When one runs already, it does not get ready, or the one that was stopped before did not end as it should.
    pub fn start(&mut self, kind: Kind) -> anyhow::Result<()> {
        ensure!(self.broker.is_none(), "a broker has the directory open");
        let process = match kind {
            Kind::Ours => our_program("mqbroker", "broker", &self.dir)?,
            Kind::Official => {
                self.finish()?;
                official::launch_broker(&self.dir)?
            }
        };
        self.broker = Some((kind, process));
        Ok(())
    }

    /// Stops the broker in an orderly way; the directory is free when this returns. The official broker goes on for some
    /// seconds then with ending its connections; [`Alternating::finish`] waits for that.
    ///
    /// # Errors
    /// When none runs, or it does not let go of the directory in time.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.finish()?;
        let (kind, mut process) = self.broker.take().context("no broker runs")?;
        // A thread of the official broker looks whether it is to end every three seconds, or when a connection goes.
        let mut idle: Vec<_> = (0..IDLE)
            .filter_map(|_| TcpStream::connect(self.broker_addr).ok())
            .collect();
        process.ask_to_end()?;
        let mut polls = 0_u32;
        let stopped = wait_for("free directory", STOP, || {
            polls += 1;
            if polls.is_multiple_of(20) {
                idle.pop();
            }
            let is_free = process.try_wait().is_some() || is_free(&self.store());
            is_free.then_some(())
        });
        if let Err(error) = stopped {
            process.kill();
            return Err(error.context(process.logs()));
        }
        self.ending = Some((kind, process));
        match kind {
            Kind::Ours => self.finish(),
            Kind::Official => Ok(()),
        }
    }

    /// Waits until the broker that was stopped last has ended.
    ///
    /// # Errors
    /// When it does not end in time or with another code than usual.
    pub fn finish(&mut self) -> anyhow::Result<()> {
        let Some((kind, mut process)) = self.ending.take() else {
            return Ok(());
        };
        let status = process.wait(STOP).inspect_err(|_| process.kill())?;
        ensure!(
            status.code() == Some(kind.exit_code()),
            "ended with {status}\n{}",
            process.logs()
        );
        Ok(())
    }

    /// Kills the broker (SIGKILL).
    pub fn kill(&mut self) {
        self.broker = None;
    }

    /// The store directory.
    pub fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// Room for files of the test.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Address of the name server.
    pub fn namesrv_addr(&self) -> SocketAddr {
        self.namesrv_addr
    }

    /// Address of the broker, whose ever it is.
    pub fn broker_addr(&self) -> SocketAddr {
        self.broker_addr
    }

    /// The end of the broker's output.
    pub fn logs(&self) -> String {
        self.broker
            .as_ref()
            .map(|(_, process)| process.logs())
            .unwrap_or_default()
    }
}

/// Starts one of our programs with its configuration file and waits until it says that it is ready.
fn our_program(program: &str, name: &str, dir: &TempDir) -> anyhow::Result<Process> {
    let mut command = Command::new(ours::program(program)?);
    command
        .arg("-c")
        .arg(dir.path().join(format!("{name}.conf")));
    let out = dir.path().join(format!("{name}.out"));
    let from = fs::metadata(out).map_or(0, |file| file.len());
    let mut process = Process::spawn(name, dir, &mut command)?;
    process.wait_for_line(usize::try_from(from)?, READY, |line| {
        line.contains("boot success").then_some(())
    })?;
    Ok(process)
}

/// Whether a broker that was asked to stop is done with its store: the mark of a running one is gone, and so is its lock.
fn is_free(store: &Path) -> bool {
    let can_be_locked = || -> std::io::Result<()> {
        let lock = File::options().write(true).open(store.join("lock"))?;
        Ok(fcntl_lock(lock, FlockOperation::NonBlockingLockExclusive)?)
    };
    !store.join("abort").exists() && can_be_locked().is_ok()
}
