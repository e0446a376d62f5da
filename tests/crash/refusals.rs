// SPDX-License-Identifier: Apache-2.0
//! What the servers refuse to start with: one line that names the cause, and an exit code that is not 0.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use kerolox_tests::process::Process;
use kerolox_tests::{our_server, ours};
use tempfile::TempDir;

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Runs one of our programs, which has to end by itself with a code that is not 0, and returns the one line it wrote to
/// standard error.
fn refusal(program: &str, dir: &TempDir, arguments: &[&str]) -> String {
    let mut command = Command::new(ours::program(program).expect("our programs build"));
    command.args(arguments).current_dir(dir.path());
    let mut process = Process::spawn("refused", dir, &mut command).expect("starts");
    let status = process
        .wait(Duration::from_secs(20))
        .expect("ends by itself");
    assert!(
        status.code().is_some_and(|code| code != 0),
        "{arguments:?} ended with {status}\n{}",
        process.logs()
    );
    let text = process.stderr();
    let lines: Vec<_> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    assert_eq!(lines.len(), 1, "one line:\n{}", process.logs());
    lines[0].to_owned()
}

fn serve(dir: &TempDir, data: &Path, namesrv: SocketAddr, broker: SocketAddr) -> String {
    let data = data.to_str().expect("a plain path");
    let (namesrv, broker) = (namesrv.to_string(), broker.to_string());
    let arguments = [
        "serve",
        "--data-dir",
        data,
        "--namesrv-listen",
        &namesrv,
        "--broker-listen",
        &broker,
    ];
    refusal("kerolox", dir, &arguments)
}

fn assert_names(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "{part:?} is not named in {line:?}");
    }
}

fn temp_dir() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

#[test]
fn second_server_on_the_same_data_is_refused_with_the_holders_pid() {
    let mut first = our_server().expect("the first starts");
    let data = first.dir().join("data");
    let dir = temp_dir();
    let line = serve(&dir, &data, ANY, ANY);
    let pid = first.broker_pid().expect("it runs").to_string();
    assert_names(&line, &[&pid, data.to_str().expect("a plain path")]);
    // The first is unharmed, and once it is gone the directory is free.
    first
        .create_topic("still_there", 1)
        .expect("the first goes on");
    first.kill();
    first
        .start_again()
        .expect("a killed holder leaves no lock behind");
    first.stop().expect("stops in order");
}

#[test]
fn port_in_use_is_named() {
    let taken = TcpListener::bind(ANY).expect("a port");
    let addr = taken.local_addr().expect("its address");
    let dir = temp_dir();
    let data = dir.path().join("data");
    assert_names(
        &serve(&dir, &data, ANY, addr),
        &[&addr.to_string(), "in use"],
    );
    let dir = temp_dir();
    assert_names(
        &serve(&dir, &data, addr, ANY),
        &[&addr.to_string(), "in use"],
    );
}

#[test]
fn unwritable_directory_is_named() {
    let dir = temp_dir();
    // A file where the directory should be: not even root can write there.
    let file = dir.path().join("file");
    fs::write(&file, "").expect("a file");
    let data = file.join("data");
    assert_names(
        &serve(&dir, &data, ANY, ANY),
        &[data.to_str().expect("a plain path")],
    );
}

/// `mqbroker -c` with one setting of interest.
fn broker_refusal(setting: &str) -> String {
    let dir = temp_dir();
    let conf = dir.path().join("broker.conf");
    let store = dir.path().join("store");
    let text = format!(
        "listenPort=0\nbindAddress=127.0.0.1\nstorePathRootDir={}\n{setting}\n",
        store.display()
    );
    fs::write(&conf, text).expect("a configuration file");
    refusal(
        "mqbroker",
        &dir,
        &["-c", conf.to_str().expect("a plain path")],
    )
}

#[test]
fn unknown_flush_type_is_refused_with_what_is_allowed() {
    let line = broker_refusal("flushDiskType=SOMETIMES");
    assert_names(
        &line,
        &["flushDiskType", "SOMETIMES", "ASYNC_FLUSH", "SYNC_FLUSH"],
    );
}

#[test]
fn unknown_role_is_refused_with_what_is_allowed() {
    let line = broker_refusal("brokerRole=KING");
    assert_names(&line, &["brokerRole", "KING", "ASYNC_MASTER"]);
}

#[test]
fn port_that_is_no_number_is_refused() {
    let line = broker_refusal("listenPort=many");
    assert_names(&line, &["listenPort", "many"]);
}

#[test]
fn missing_configuration_file_is_named() {
    for program in ["mqbroker", "mqnamesrv"] {
        let dir = temp_dir();
        let conf = dir.path().join("no-such.conf");
        let conf = conf.to_str().expect("a plain path");
        assert_names(&refusal(program, &dir, &["-c", conf]), &[conf]);
    }
}
