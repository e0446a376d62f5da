// SPDX-License-Identifier: Apache-2.0
//! `mqbroker -c FILE` alone, without a name server: for tests that configure it, kill it and start it again.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tempfile::TempDir;

use crate::ours;
use crate::process::Process;

/// How long it may take to get ready; it says how long it took, this is for a machine under load.
const READY: Duration = Duration::from_secs(300);
const STOP: Duration = Duration::from_secs(60);
/// What the broker says about a setting that it does not follow.
const NO_EFFECT: [&str; 2] = ["has no effect", "unknown key"];

/// A broker on a free loopback port. Killed when dropped.
#[derive(Debug)]
pub struct Broker {
    // Before `dir`: the process ends before its files go.
    process: Option<Process>,
    addr: Option<SocketAddr>,
    store: PathBuf,
    open_files: Option<u32>,
    dir: TempDir,
}

impl Broker {
    /// A broker that is not started yet, with its store in a temporary directory.
    ///
    /// `settings` are lines of `broker.conf`. One that the broker does not follow makes the start fail: a test must not
    /// pass because it tested something else.
    ///
    /// # Errors
    /// Files can not be written.
    pub fn new(settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("kerolox-").tempdir()?;
        let store = dir.path().join("store");
        Self::with_store(settings, dir, store)
    }

    /// As [`Broker::new`], with the store in `store`, and logs and configuration in `dir`.
    ///
    /// # Errors
    /// Files can not be written.
    pub fn with_store(
        settings: &[(&str, &str)],
        dir: TempDir,
        store: PathBuf,
    ) -> anyhow::Result<Self> {
        let mut text = format!(
            "brokerClusterName=DefaultCluster\nbrokerName=broker-a\nbindAddress=127.0.0.1\nlistenPort=0\n\
             storePathRootDir={}\n",
            store.display()
        );
        for (key, value) in settings {
            writeln!(text, "{key}={value}")?;
        }
        fs::write(dir.path().join("broker.conf"), text)?;
        Ok(Self {
            process: None,
            addr: None,
            store,
            open_files: None,
            dir,
        })
    }

    /// Starts it from now on with that limit of open files.
    pub fn limit_open_files(&mut self, limit: u32) {
        self.open_files = Some(limit);
    }

    /// Starts it, after a stop or a kill on the same store, and returns how long it took to get ready.
    ///
    /// # Errors
    /// When it does not get ready, or does not follow a setting.
    pub fn start(&mut self) -> anyhow::Result<Duration> {
        let (out, err) = (self.log_len("out"), self.log_len("err"));
        let start = Instant::now();
        let process = self.spawn()?;
        let process = self.process.insert(process);
        let addr = process.wait_for_line(out, READY, parse_ready)?;
        let ready = start.elapsed();
        self.addr = Some(addr);
        let remarks = process.stderr().split_off(err) + &process.stdout().split_off(out);
        let ignored = remarks
            .lines()
            .find(|line| NO_EFFECT.iter().any(|what| line.contains(what)));
        ensure!(ignored.is_none(), "a setting is not followed: {ignored:?}");
        Ok(ready)
    }

    /// Starts it and kills it that much later, ready or not.
    ///
    /// # Errors
    /// When it can not be started, or has ended by itself.
    pub fn start_and_kill_after(&mut self, delay: Duration) -> anyhow::Result<()> {
        let mut process = self.spawn()?;
        // Not to wait for something: the moment of the kill is what the test chose at random.
        std::thread::sleep(delay);
        let ended = process.try_wait();
        process.kill();
        ensure!(
            ended.is_none(),
            "ended by itself with {ended:?}\n{}",
            process.logs()
        );
        Ok(())
    }

    fn spawn(&mut self) -> anyhow::Result<Process> {
        self.process = None;
        let program = ours::program("mqbroker")?;
        let mut command = match self.open_files {
            Some(limit) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", r#"ulimit -n "$1" && shift && exec "$@""#, "sh"]);
                shell.arg(limit.to_string()).arg(program);
                shell
            }
            None => Command::new(program),
        };
        command.arg("-c").arg(self.dir.path().join("broker.conf"));
        Process::spawn("broker", &self.dir, &mut command)
    }

    fn log_len(&self, kind: &str) -> usize {
        let file = self.dir.path().join(format!("broker.{kind}"));
        fs::metadata(file).map_or(0, |file| usize::try_from(file.len()).unwrap_or(usize::MAX))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When it was never ready.
    pub fn addr(&self) -> anyhow::Result<SocketAddr> {
        self.addr.context("the broker was not started")
    }

    /// Its process id, if it was started.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Whether the process runs.
    pub fn is_running(&mut self) -> bool {
        self.process
            .as_mut()
            .is_some_and(|process| process.try_wait().is_none())
    }

    /// Directory of the store.
    pub fn store(&self) -> &Path {
        &self.store
    }

    /// Kills it (SIGKILL).
    pub fn kill(&mut self) {
        if let Some(process) = &mut self.process {
            process.kill();
        }
    }

    /// Stops it in an orderly way.
    ///
    /// # Errors
    /// When it does not end in time or with another code than 0.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let process = self.process.as_mut().context("the broker does not run")?;
        let status = process.terminate(STOP)?;
        ensure!(status.success(), "ended with {status}\n{}", process.logs());
        Ok(())
    }

    /// The ends of its logs.
    pub fn logs(&self) -> String {
        self.process.as_ref().map(Process::logs).unwrap_or_default()
    }
}

/// Reads `The broker[NAME, ADDR] boot success. …`.
fn parse_ready(line: &str) -> Option<SocketAddr> {
    let (name_and_addr, _) = line
        .strip_prefix("The broker[")?
        .split_once("] boot success")?;
    name_and_addr.rsplit_once(", ")?.1.parse().ok()
}
