// SPDX-License-Identifier: Apache-2.0
//! `mqadmin` of the reference on our servers, and ours on both.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use kerolox_tests::cluster::{Cluster, Kind};
use kerolox_tests::tools::say;
use kerolox_tests::{ours, programs, tools, wait_for};

use crate::{PROGRAM, shared};

/// Whose `mqadmin`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tool {
    Official,
    Ours,
}

impl Tool {
    const fn name(self) -> &'static str {
        match self {
            Self::Official => "official mqadmin",
            Self::Ours => "our mqadmin",
        }
    }

    /// The topic it makes; the tools share servers.
    const fn topic(self) -> &'static str {
        match self {
            Self::Official => "made_by_official_mqadmin",
            Self::Ours => "made_by_our_mqadmin",
        }
    }

    /// The command line, ready for subcommand and options.
    fn command(self, home: &Path) -> anyhow::Result<Command> {
        match self {
            Self::Official => programs::official_mqadmin(home),
            Self::Ours => Ok(Command::new(ours::program("mqadmin")?)),
        }
    }
}

/// Standard output of one command, which has to end with code 0.
fn output(tool: Tool, cluster: &Cluster, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = tool.command(cluster.dir())?;
    command
        .args(arguments)
        .args(["-n", &cluster.namesrv_addr().to_string()]);
    let output = command
        .output()
        .with_context(|| format!("start {command:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{arguments:?} ended with {}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(text)
}

/// The words of the line that starts with `first`.
fn row<'a>(table: &'a str, first: &str) -> anyhow::Result<Vec<&'a str>> {
    table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|words| words.first() == Some(&first))
        .with_context(|| format!("no row {first} in\n{table}"))
}

fn check(tool: Tool, cluster: &Cluster) -> anyhow::Result<()> {
    let topic = tool.topic();
    let broker = cluster.broker_addr().to_string();
    let list = output(tool, cluster, &["clusterList"])?;
    let header: Vec<_> = list
        .lines()
        .next()
        .unwrap_or_default()
        .split("  ")
        .collect();
    let titles: Vec<_> = header
        .iter()
        .map(|t| t.trim())
        .filter(|t| !t.is_empty())
        .collect();
    ensure!(
        titles.starts_with(&["#Cluster Name", "#Broker Name", "#BID", "#Addr", "#Version"]),
        "{list}"
    );
    let cells = row(&list, "DefaultCluster")?;
    ensure!(
        cells.get(2..4) == Some(&["0", broker.as_str()]),
        "broker id and address in\n{list}"
    );

    let options = ["-c", "DefaultCluster", "-t", topic, "-r", "6", "-w", "5"];
    let made = output(tool, cluster, &[&["updateTopic"], &options[..]].concat())?;
    ensure!(
        made.contains(&format!("create topic to {broker} success.")),
        "{made}"
    );
    let config = made
        .lines()
        .find(|line| line.starts_with("TopicConfig ["))
        .context("the configuration")?;
    for part in [
        &format!("topicName={topic}"),
        "readQueueNums=6",
        "writeQueueNums=5",
        "perm=RW-",
    ] {
        ensure!(config.contains(part), "{part} in {config}");
    }

    let topics = output(tool, cluster, &["topicList"])?;
    for wanted in [topic, "TBW102", "SELF_TEST_TOPIC"] {
        ensure!(
            topics.lines().any(|line| line.trim() == topic),
            "{wanted} in\n{topics}"
        );
    }

    let route = output(tool, cluster, &["topicRoute", "-t", topic])?;
    let from = route.find('{').context("JSON")?;
    // The reference prints unquoted keys of maps; what matters has none.
    let compact: String = route[from..].split_whitespace().collect();
    for part in [
        &format!("\"{broker}\"") as &str,
        "\"cluster\":\"DefaultCluster\"",
        "\"readQueueNums\":6",
        "\"writeQueueNums\":5",
        "\"perm\":6",
    ] {
        ensure!(compact.contains(part), "{part} in\n{route}");
    }
    Ok(())
}

/// Deletes the topic; it has to be gone from the list.
fn delete(tool: Tool, cluster: &Cluster) -> anyhow::Result<()> {
    let topic = tool.topic();
    let deleted = output(
        tool,
        cluster,
        &["deleteTopic", "-c", "DefaultCluster", "-t", topic],
    )?;
    ensure!(
        deleted.contains(&format!("delete topic [{topic}]")),
        "{deleted}"
    );
    wait_for("topic list without the topic", PROGRAM, || {
        let topics = output(tool, cluster, &["topicList"]).ok()?;
        (!topics.lines().any(|line| line.trim() == topic)).then_some(())
    })
}

fn run(tool: Tool, kind: Kind, steps: &[fn(Tool, &Cluster) -> anyhow::Result<()>]) {
    let what = format!("{} on {}", tool.name(), kind.name());
    let needs_java = tool == Tool::Official || kind == Kind::Official;
    if needs_java && tools::missing(&what, &["java", "mvn"]) {
        return;
    }
    let cluster = shared(kind);
    for step in steps {
        if let Err(error) = step(tool, cluster) {
            panic!("{what}: {error:?}\n{}", cluster.logs());
        }
    }
    say(&format!("{what}: ok"));
}

#[test]
fn official_mqadmin_on_official_servers() {
    run(Tool::Official, Kind::Official, &[check, delete]);
}

#[test]
fn official_mqadmin_on_our_servers() {
    run(Tool::Official, Kind::Ours, &[check, delete]);
}

#[test]
fn our_mqadmin_on_official_servers() {
    run(Tool::Ours, Kind::Official, &[check]);
}

#[test]
fn our_mqadmin_on_our_servers() {
    run(Tool::Ours, Kind::Ours, &[check]);
}

#[test]
fn official_mqadmin_names_the_error_of_an_unknown_topic() {
    let what = "official mqadmin and an unknown topic";
    if tools::missing(what, &["java", "mvn"]) {
        return;
    }
    let cluster = shared(Kind::Ours);
    let text = unknown_topic(cluster, cluster.namesrv_addr()).expect("the tool runs");
    assert!(text.contains("CODE: 17"), "{text}");
    say(&format!("{what}: ok"));
}

/// Everything the tool prints when it asks for the route of a topic that is not there.
fn unknown_topic(cluster: &Cluster, namesrv: SocketAddr) -> anyhow::Result<String> {
    let mut command = programs::official_mqadmin(cluster.dir())?;
    command.args([
        "topicRoute",
        "-t",
        "no_such_topic",
        "-n",
        &namesrv.to_string(),
    ]);
    let output = command.output()?;
    Ok(format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    ))
}
