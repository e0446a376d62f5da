// SPDX-License-Identifier: Apache-2.0
//! What the servers print about their settings, and what they say about a file that is not right.

use std::process::{Command, Output};

const BROKER: &str = env!("CARGO_BIN_EXE_mqbroker");
const NAME_SERVER: &str = env!("CARGO_BIN_EXE_mqnamesrv");

fn run(program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).env_remove("NAMESRV_ADDR");
    command.output().unwrap()
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
