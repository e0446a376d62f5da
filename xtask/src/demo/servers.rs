// SPDX-License-Identifier: Apache-2.0
//! `kerolox serve` on free ports with a data directory of its own, for the time of one demo.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::workspace::{self, Workspace};

pub struct Servers {
    child: Child,
    data_dir: PathBuf,
    pub name_server: String,
    pub broker: String,
}

const READY_WITHIN: Duration = Duration::from_secs(10);
const STOPS_WITHIN: Duration = Duration::from_secs(10);

impl Servers {
    pub fn start(workspace: &Workspace) -> Result<Self> {
        let data_dir = workspace
            .scratch("demo")?
            .join(format!("data-{}", std::process::id()));
        let mut command = workspace.command(workspace.built("kerolox"));
        command.args([
            "serve",
            "--namesrv-listen",
            "127.0.0.1:0",
            "--broker-listen",
            "127.0.0.1:0",
            "--data-dir",
        ]);
        command
            .arg(&data_dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        let mut servers = Self {
            child,
            data_dir,
            name_server: String::new(),
            broker: String::new(),
        };

        let (ready, line) = mpsc::channel();
        thread::spawn(move || {
            // Reads on after the first line: a full pipe must not stop the server.
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                drop(ready.send(line));
            }
        });
        let line = line
            .recv_timeout(READY_WITHIN)
            .context("`kerolox serve` did not say that it is ready")?;
        (servers.name_server, servers.broker) =
            addresses(&line).with_context(|| format!("unexpected ready line: {line}"))?;
        Ok(servers)
    }

    pub fn create_topic(&self, workspace: &Workspace, topic: &str, queues: usize) -> Result<()> {
        let queues = queues.to_string();
        let mut command = workspace.command(workspace.built("mqadmin"));
        command.args([
            "updateTopic",
            "-n",
            &self.name_server,
            "-b",
            &self.broker,
            "-t",
            topic,
        ]);
        command.args(["-r", &queues, "-w", &queues]);
        workspace::quietly(&mut command).map(drop)
    }

    /// Stops as an operator would, and expects a clean end.
    pub fn stop(mut self) -> Result<()> {
        terminate(&self.child)?;
        let deadline = Instant::now() + STOPS_WITHIN;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            ensure!(
                Instant::now() < deadline,
                "the servers did not stop within {STOPS_WITHIN:?}"
            );
            thread::sleep(Duration::from_millis(10));
        };
        ensure!(status.success(), "the servers ended with {status}");
        Ok(())
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(fs::remove_dir_all(&self.data_dir));
    }
}

fn terminate(child: &Child) -> Result<()> {
    let status = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status()
        .context("starting kill")?;
    ensure!(status.success(), "kill -TERM {}: {status}", child.id());
    Ok(())
}

/// Reads `kerolox ready: namesrv A broker B data D`.
fn addresses(line: &str) -> Option<(String, String)> {
    let mut words = line.strip_prefix("kerolox ready: ")?.split_whitespace();
    let mut value = |name: &str| {
        words
            .next()
            .filter(|w| *w == name)
            .and_then(|_| words.next())
            .map(str::to_owned)
    };
    Some((value("namesrv")?, value("broker")?))
}

#[cfg(test)]
mod tests {
    use super::addresses;

    #[test]
    fn the_ready_line_is_read() {
        let line = "kerolox ready: namesrv 127.0.0.1:9876 broker 127.0.0.1:10911 data /tmp/x y";
        assert_eq!(
            addresses(line),
            Some(("127.0.0.1:9876".to_owned(), "127.0.0.1:10911".to_owned()))
        );
        assert_eq!(addresses("kerolox ready: broker x"), None);
    }
}
