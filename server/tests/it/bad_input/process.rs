// SPDX-License-Identifier: Apache-2.0
//! `kerolox serve` as a process of its own: it must survive what the test does to it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kerolox_protocol::header::admin::CreateTopicRequestHeader;
use kerolox_protocol::{RequestCode, ResponseCode};

use super::peer::{Answer, Peer};
use super::requests::TOPIC;

const STOP: Duration = Duration::from_secs(30);

pub(super) struct ServerProcess {
    child: Child,
    pub(super) namesrv: SocketAddr,
    pub(super) broker: SocketAddr,
    dir: tempfile::TempDir,
}

impl ServerProcess {
    pub(super) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let errors = std::fs::File::create(dir.path().join("stderr")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_kerolox"));
        command
            .arg("serve")
            .arg("--data-dir")
            .arg(dir.path().join("data"));
        command.args([
            "--namesrv-listen",
            "127.0.0.1:0",
            "--broker-listen",
            "127.0.0.1:0",
        ]);
        command.args(["--set", "mappedFileSizeCommitLog=33554432"]);
        let child = command.stdout(Stdio::piped()).stderr(errors).spawn();
        let mut child = child.unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let word = |after: &str| {
            let mut words = line.split_whitespace();
            words.find(|word| *word == after);
            words
                .next()
                .and_then(|word| word.parse().ok())
                .unwrap_or_else(|| panic!("{line:?}"))
        };
        Self {
            namesrv: word("namesrv"),
            broker: word("broker"),
            child,
            dir,
        }
    }

    /// What sound values of the requests name.
    pub(super) fn prepare(&self) {
        let header = CreateTopicRequestHeader {
            topic: TOPIC,
            read_queue_nums: 4,
            write_queue_nums: 4,
            perm: 6,
            ..CreateTopicRequestHeader::default()
        };
        let create =
            kerolox_protocol::Command::request(RequestCode::UPDATE_AND_CREATE_TOPIC, &header);
        let made = Peer::new(self.broker).ask(create, false);
        assert!(
            matches!(made, Answer::Reply(ResponseCode::SUCCESS, _)),
            "{made:?}"
        );
    }

    /// Memory that is its own: what it wrote to mapped files is the files'.
    pub(super) fn private_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap() << 10
    }

    /// Ends it as an operator would and returns what it logged.
    pub(super) fn stop(&mut self) -> String {
        let log = || std::fs::read_to_string(self.dir.path().join("stderr")).unwrap();
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("the server ended by itself: {status}\n{}", log());
        }
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let deadline = Instant::now() + STOP;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "does not stop\n{}", log());
            std::thread::sleep(Duration::from_millis(5));
        };
        assert!(status.success(), "{status}\n{}", log());
        log()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // It has ended in all but failed tests.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
