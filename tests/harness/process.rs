// SPDX-License-Identifier: Apache-2.0
//! A child process whose output goes to files.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::wait_for;

/// How much of a log is printed when a test fails.
const TAIL_BYTES: usize = 8_000;

/// What the guardian of a process runs: it waits until its standard input ends, which only the end of the test
/// program brings about, whatever ended that, and clears away what is left.
const GUARDIAN: &str = r#"read -r _; kill -9 "$1"; rm -rf "$2""#;

/// A started program. Killed when dropped; its output is printed then if the thread is panicking.
///
/// It does not outlive the test program either when that is killed or keeps it in a static.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    guardian: Option<Child>,
    status: Option<ExitStatus>,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Starts `command` with its output in `<dir>/<name>.out` and `<dir>/<name>.err` (appended to).
    ///
    /// # Errors
    /// When the program can not be started.
    pub fn spawn(name: &str, dir: &TempDir, command: &mut Command) -> anyhow::Result<Self> {
        let stdout = dir.path().join(format!("{name}.out"));
        let stderr = dir.path().join(format!("{name}.err"));
        let open = |path: &Path| File::options().create(true).append(true).open(path);
        let child = command
            .stdin(Stdio::null())
            .stdout(open(&stdout)?)
            .stderr(open(&stderr)?)
            .spawn()
            .with_context(|| format!("start {name}: {command:?}"))?;
        let guardian = Command::new("sh")
            .args(["-c", GUARDIAN, "guardian", &child.id().to_string()])
            .arg(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok();
        Ok(Self {
            name: name.to_owned(),
            child,
            guardian,
            status: None,
            stdout,
            stderr,
        })
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it wrote to standard output so far.
    pub fn stdout(&self) -> String {
        read_lossy(&self.stdout)
    }

    /// Everything it wrote to standard error so far.
    pub fn stderr(&self) -> String {
        read_lossy(&self.stderr)
    }

    /// Waits for a line of standard output, among those from byte `from` on, that `wanted` accepts.
    ///
    /// # Errors
    /// With the output when the process ends or the deadline passes first.
    pub fn wait_for_line<T>(
        &mut self,
        from: usize,
        deadline: Duration,
        wanted: impl Fn(&str) -> Option<T>,
    ) -> anyhow::Result<T> {
        let what = format!("expected line of {}", self.name);
        let found = wait_for(&what, deadline, || {
            let ended = self.try_wait();
            let text = self.stdout();
            let new = text.get(from..).unwrap_or_default();
            // Only whole lines count: the last one may still be on its way.
            let whole = &new[..new.rfind('\n').map_or(0, |at| at + 1)];
            match whole.lines().find_map(&wanted) {
                Some(value) => Some(Ok(value)),
                None => ended.map(Err),
            }
        });
        match found {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(status)) => bail!("{} ended with {status}\n{}", self.name, self.logs()),
            Err(error) => Err(error.context(self.logs())),
        }
    }

    /// Its exit status if it has ended.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
        }
        self.status
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When the deadline passes; it is not killed then.
    pub fn wait(&mut self, deadline: Duration) -> anyhow::Result<ExitStatus> {
        let what = format!("end of {}", self.name);
        wait_for(&what, deadline, || self.try_wait()).map_err(|error| error.context(self.logs()))
    }

    /// Asks it to end (SIGTERM) and waits for that.
    ///
    /// # Errors
    /// When it does not end in time; it is killed then.
    pub fn terminate(&mut self, deadline: Duration) -> anyhow::Result<ExitStatus> {
        self.ask_to_end()?;
        self.wait(deadline).inspect_err(|_| self.kill())
    }

    /// Asks it to end (SIGTERM).
    ///
    /// # Errors
    /// When the signal can not be sent.
    pub fn ask_to_end(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Sends it that signal unless it has ended.
    ///
    /// # Errors
    /// When the signal can not be sent.
    pub fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        if self.try_wait().is_none() {
            let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
            kill_process(pid.context("process id")?, signal)?;
        }
        Ok(())
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    pub fn kill(&mut self) {
        if self.try_wait().is_none() {
            // It may have ended by itself in between: then there is nothing to kill.
            drop(self.child.kill());
            self.status = self.child.wait().ok();
        }
    }

    /// The ends of its output, for messages.
    pub fn logs(&self) -> String {
        format!(
            "--- {0} standard output\n{1}\n--- {0} standard error\n{2}",
            self.name,
            tail(&self.stdout()),
            tail(&self.stderr())
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut guardian) = self.guardian.take() {
            // First of all: once the process is gone, its id may become another's.
            drop(guardian.kill());
            drop(guardian.wait());
        }
        self.kill();
        if std::thread::panicking() {
            // Not eprintln!, whose output the test harness may hold back with the panicking thread's.
            drop(writeln!(std::io::stderr(), "{}", self.logs()));
        }
    }
}

fn read_lossy(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

fn tail(text: &str) -> &str {
    let mut from = text.len().saturating_sub(TAIL_BYTES);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}
