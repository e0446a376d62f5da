// SPDX-License-Identifier: Apache-2.0
//! One store directory that brokers of both kinds open in turn, with one `broker.conf`, on one port, beside a name server of
//! ours that runs all the time.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use tempfile::TempDir;

use crate::cluster::Kind;
use crate::process::Process;
use crate::{official, ours, ports, wait_for};

/// How long ours may take to get ready; the official broker has its own deadline.
const READY: Duration = Duration::from_secs(30);
/// How long a broker may take to stop.
const STOP: Duration = Duration::from_secs(60);

/// The directory and the broker that has it open, if one has. Killed when dropped.
#[derive(Debug)]
pub struct Alternating {
    namesrv_addr: SocketAddr,
    broker_addr: SocketAddr,
    broker: Option<(Kind, Process)>,
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
            _namesrv: namesrv,
            dir,
        })
    }

    /// Starts a broker of that kind on the directory, ready when this returns.
    ///
    /// # Errors
    /// When one runs already, or it does not get ready.
    pub fn start(&mut self, kind: Kind) -> anyhow::Result<()> {
        ensure!(self.broker.is_none(), "a broker has the directory open");
        let process = match kind {
            Kind::Ours => our_program("mqbroker", "broker", &self.dir)?,
            Kind::Official => official::launch_broker(&self.dir)?,
        };
        self.broker = Some((kind, process));
        Ok(())
    }

    /// Stops the broker in an orderly way.
    ///
    /// # Errors
    /// When none runs, or it does not end in time or with another code than usual.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let (kind, mut process) = self.broker.take().context("no broker runs")?;
        process.ask_to_end()?;
        let mut knocks = 0_u32;
        let ended = wait_for("end of the broker", STOP, || {
            // Threads of the official broker look whether it ends every three seconds, or when somebody connects.
            if knocks.is_multiple_of(40) {
                drop(TcpStream::connect(self.broker_addr));
            }
            knocks += 1;
            process.try_wait()
        });
        let status = ended.inspect_err(|_| process.kill())?;
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
