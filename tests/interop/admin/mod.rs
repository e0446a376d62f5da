// SPDX-License-Identifier: Apache-2.0
//! Every sub-command of the official `mqadmin` that applies, on official and on our servers with the same data: the output
//! has the same shape.
//!
//! One JVM for each side runs all of them (`AdminTool.java`): a start for each command would take minutes.

mod commands;
mod shape;

use std::fmt::Write as _;
use std::fs;

use anyhow::ensure;
use kerolox_tests::cluster::{Cluster, Kind};
use kerolox_tests::programs::{self, Report};
use kerolox_tests::tools::{self, say};

use crate::start;
use commands::{NOT_APPLICABLE, STEPS};

/// How long all commands may take on one side.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(400);

/// Topics and groups for the commands that read files.
const TOPICS: &str = r#"[{"topicName":"listed_one","readQueueNums":2,"writeQueueNums":2,"perm":6,"order":false},
 {"topicName":"listed_two","readQueueNums":3,"writeQueueNums":3,"perm":6,"order":false}]"#;
const GROUPS: &str = r#"[{"groupName":"listed_group","retryQueueNums":1,"retryMaxTimes":5}]"#;

fn run(cluster: &Cluster) -> anyhow::Result<Vec<Report>> {
    let home = cluster.dir().join("mqadmin");
    fs::create_dir_all(&home)?;
    fs::write(home.join("topics.json"), TOPICS)?;
    fs::write(home.join("groups.json"), GROUPS)?;
    let mut lines = String::new();
    for (number, step) in STEPS.iter().enumerate() {
        writeln!(
            lines,
            "{number}\t{}\t-n\t{{namesrv}}",
            step.line.replace(' ', "\t")
        )?;
    }
    let commands = home.join("commands");
    fs::write(&commands, lines)?;
    let mut java = programs::java_client("5.5.0", &home)?;
    java.arg("AdminTool")
        .arg(cluster.namesrv_addr().to_string())
        .arg(&commands);
    let reports = programs::run(&mut java, &home, DEADLINE, |_| Ok(()))?;
    ensure!(
        reports.len() == STEPS.len(),
        "{} of {} commands ran",
        reports.len(),
        STEPS.len()
    );
    Ok(reports)
}

/// Starts servers of a kind, runs all commands and returns what they printed, without where the files lie.
fn outputs(kind: Kind) -> Vec<Report> {
    let cluster = start(kind);
    let reports = run(&cluster).unwrap_or_else(|error| {
        panic!("mqadmin on {}: {error:?}\n{}", kind.name(), cluster.logs())
    });
    let dir = cluster.dir().display().to_string();
    let broker = cluster.broker_addr().to_string();
    let namesrv = cluster.namesrv_addr().to_string();
    reports
        .into_iter()
        .map(|report| Report {
            detail: report
                .detail
                .replace(&dir, "DIR")
                .replace(&broker, "BROKER")
                .replace(&namesrv, "NAMESRV"),
            ..report
        })
        .collect()
}

#[test]
fn mqadmin_prints_the_same_on_official_and_on_our_servers() {
    let what = "all of mqadmin on both servers";
    if tools::missing(what, &["java", "javac", "mvn"]) {
        return;
    }
    let official = outputs(Kind::Official);
    let ours = outputs(Kind::Ours);
    let mut failed = Vec::new();
    let mut table = String::new();
    for ((step, official), ours) in STEPS.iter().zip(&official).zip(&ours) {
        let is_official_odd = !official.ok;
        let mut difference = step.shape.difference(&official.detail, &ours.detail);
        if !ours.ok {
            difference = Some("did not end".to_owned());
        }
        let state = match difference {
            _ if is_official_odd => "the official side did not end",
            None => "ok",
            Some(_) => "FAILED",
        };
        writeln!(table, "  {:<5} {:<70} {state}", ours.ms, step.line).expect("text");
        if let Some(difference) = difference {
            failed.push(format!("{}:\n  {difference}", step.line));
        }
    }
    for (command, why) in NOT_APPLICABLE {
        writeln!(table, "  -     {command:<70} does not apply: {why}").expect("text");
    }
    say(&format!("{what} (ms, command, outcome):\n{table}"));
    assert!(
        failed.is_empty(),
        "{} differ:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

#[test]
fn every_command_of_the_tool_is_run_or_said_not_to_apply() {
    let what = "list of mqadmin's commands";
    if tools::missing(what, &["java", "mvn"]) {
        return;
    }
    let home = tempfile::tempdir().expect("a directory");
    let mut command = programs::official_mqadmin(home.path()).expect("the tool");
    let output = command.output().expect("the tool runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let listed: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(listed.len() > 80, "{text}");
    let run = STEPS.iter().filter_map(|step| step.line.split(' ').next());
    let known: Vec<&str> = run
        .chain(NOT_APPLICABLE.iter().map(|(name, _)| *name))
        .collect();
    let missing: Vec<_> = listed
        .iter()
        .filter(|name| !known.iter().any(|known| known.eq_ignore_ascii_case(name)))
        .collect();
    assert!(missing.is_empty(), "neither run nor excused: {missing:?}");
}
