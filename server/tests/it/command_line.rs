// SPDX-License-Identifier: Apache-2.0
//! What the servers print about their settings, and what they say about a file that is not right.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use bytes::BytesMut;
use kerolox_protocol::{Command as Reply, RequestCode, ResponseCode, command, frame};

const BROKER: &str = env!("CARGO_BIN_EXE_mqbroker");
const NAME_SERVER: &str = env!("CARGO_BIN_EXE_mqnamesrv");

fn run(program: &str, arguments: &[&str]) -> Output {
    let mut process = Command::new(program);
    process.args(arguments).env_remove("NAMESRV_ADDR");
    process.output().unwrap()
}

/// Runs it with a file of that content.
fn run_with(program: &str, text: &str, arguments: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("server.conf");
    std::fs::write(&path, text).unwrap();
    let file = ["-c", path.to_str().unwrap()];
    run(program, &[&file[..], arguments].concat())
}

/// Keys and values of the lines, which are sorted.
fn settings(output: &Output) -> Vec<(String, String)> {
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let pairs = text.lines().map(|line| line.split_once('=').unwrap());
    let pairs: Vec<_> = pairs
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    assert!(pairs.is_sorted(), "{text}");
    pairs
}

fn value<'a>(settings: &'a [(String, String)], key: &str) -> &'a str {
    let found = settings.iter().find(|(there, _)| there == key);
    &found
        .unwrap_or_else(|| panic!("no {key} in {settings:?}"))
        .1
}

#[test]
fn the_broker_prints_all_its_settings_with_the_references_defaults() {
    let all = settings(&run(BROKER, &["-p"]));
    for (key, default) in [
        ("brokerClusterName", "DefaultCluster"),
        ("brokerId", "0"),
        ("brokerIP1", ""),
        ("brokerRole", "ASYNC_MASTER"),
        ("configBlackList", "configBlackList;brokerConfigPath"),
        ("deleteWhen", "04"),
        ("fileReservedTime", "72"),
        ("flushDiskType", "ASYNC_FLUSH"),
        ("forceRegister", "true"),
        ("listenPort", "10911"),
        ("namesrvAddr", ""),
        ("registerNameServerPeriod", "30000"),
        ("splitRegistrationSize", "800"),
    ] {
        assert_eq!(value(&all, key), default, "{key}");
    }
    let text = "brokerName = b1 \nlistenPort=7\nflushDiskType=SYNC_FLUSH\n";
    let given = settings(&run_with(BROKER, text, &["-p", "-n", "a:1;b:2"]));
    for (key, wanted) in [
        ("brokerName", "b1"),
        ("listenPort", "7"),
        ("flushDiskType", "SYNC_FLUSH"),
        ("namesrvAddr", "a:1;b:2"),
    ] {
        assert_eq!(value(&given, key), wanted);
    }
    assert!(value(&given, "brokerConfigPath").ends_with("server.conf"));
    let important = settings(&run_with(BROKER, text, &["-m"]));
    assert!(
        important.len() > 10 && important.len() < given.len() / 2,
        "{important:?}"
    );
    assert_eq!(value(&important, "brokerName"), "b1");
}

#[test]
fn the_name_server_prints_all_its_settings_with_the_references_defaults() {
    let all = settings(&run(NAME_SERVER, &["-p"]));
    for (key, default) in [
        ("listenPort", "9876"),
        ("needWaitForService", "false"),
        ("notifyMinBrokerIdChanged", "false"),
        ("scanNotActiveBrokerInterval", "5000"),
        ("unRegisterBrokerQueueCapacity", "3000"),
        ("waitSecondsForService", "45"),
    ] {
        assert_eq!(value(&all, key), default, "{key}");
    }
    let text = "listenPort=7\norderMessageEnable=true\n";
    let important = settings(&run_with(NAME_SERVER, text, &["-m"]));
    assert_eq!(value(&important, "listenPort"), "7");
    assert!(important.len() < all.len());
    assert!(value(&important, "configStorePath").ends_with("server.conf"));
}

#[test]
fn a_value_that_does_not_fit_stops_the_start_with_one_line() {
    for (program, text, line) in [
        (
            BROKER,
            "flushDiskType=SOMETIMES",
            "error: flushDiskType is 'SOMETIMES', allowed: ASYNC_FLUSH, SYNC_FLUSH\n",
        ),
        (
            BROKER,
            "brokerPermission=8",
            "error: brokerPermission is '8', allowed: whole numbers from 0 to 7\n",
        ),
        (
            NAME_SERVER,
            "listenPort=many",
            "error: listenPort is 'many', allowed: whole numbers from 0 to 65535\n",
        ),
        (
            NAME_SERVER,
            "scanNotActiveBrokerInterval=0",
            "error: scanNotActiveBrokerInterval is '0', allowed: whole numbers from 1\n",
        ),
    ] {
        let output = run_with(program, text, &["-p"]);
        assert!(!output.status.success());
        assert_eq!(String::from_utf8(output.stderr).unwrap(), line);
    }
}

/// A broker that was started with a file, and its address.
fn start(path: &Path) -> (Child, SocketAddr) {
    let mut process = Command::new(BROKER);
    process.arg("-c").arg(path).env_remove("NAMESRV_ADDR");
    process.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = process.spawn().unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    let address = line.split_once("] boot success").unwrap().0;
    let address = address.rsplit_once(", ").unwrap().1.parse().unwrap();
    (child, address)
}

fn stop(mut child: Child) {
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_broker_that_is_stopped_as_soon_as_it_is_ready_stops_cleanly() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broker.conf");
    let store = dir.path().join("store");
    let settings = format!("listenPort=0\nstorePathRootDir={}\n", store.display());
    std::fs::write(&path, settings).unwrap();
    for _ in 0..10 {
        let (child, _) = start(&path);
        stop(child);
        assert!(!store.join("abort").exists());
    }
}

fn ask(address: SocketAddr, code: RequestCode, body: &'static str) -> Reply {
    let mut out = BytesMut::new();
    let request = command::request(code).with_body(body.as_bytes());
    request.encode(&mut out);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(&out).unwrap();
    let mut input = BytesMut::new();
    loop {
        if let Some(frame) = frame::split(&mut input).unwrap() {
            return Reply::decode(frame).unwrap();
        }
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).unwrap();
        assert!(count > 0, "the connection ended");
        input.extend_from_slice(&chunk[..count]);
    }
}

#[test]
fn settings_changed_over_the_network_outlive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broker.conf");
    let store = dir.path().join("store");
    let file = format!(
        "# by hand\nlistenPort=0\nstorePathRootDir={}\nmappedFileSizeCommitLog=1048576\n",
        store.display()
    );
    std::fs::write(&path, &file).unwrap();
    let (child, address) = start(&path);
    let change = "fileReservedTime=5\nmaxIndexNum=1000\n";
    let changed = ask(address, RequestCode::UPDATE_BROKER_CONFIG, change);
    assert_eq!(
        changed.response_code(),
        ResponseCode::SUCCESS,
        "{changed:?}"
    );
    assert_eq!(
        changed.remark.as_deref(),
        Some("at the next start: maxIndexNum")
    );
    let refused = ask(
        address,
        RequestCode::UPDATE_BROKER_CONFIG,
        "storePathRootDir=/",
    );
    assert_eq!(refused.response_code(), ResponseCode::NO_PERMISSION);
    let has = |address: SocketAddr, line: &str| {
        let all = ask(address, RequestCode::GET_BROKER_CONFIG, "");
        let text = String::from_utf8(all.body.to_vec()).unwrap();
        assert!(text.lines().any(|there| there == line), "{line} in {text}");
        all.ext.get("version").unwrap().to_owned()
    };
    let version = has(address, "fileReservedTime=5");
    assert!(version.contains("\"counter\":1"), "{version}");
    has(address, "maxIndexNum=1000");
    stop(child);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), file + change);
    let (child, address) = start(&path);
    has(address, "fileReservedTime=5");
    has(address, "maxIndexNum=1000");
    stop(child);
}
