// SPDX-License-Identifier: Apache-2.0
//! The command line: exit status, lines and JSON.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::{Fixture, append_with, patch, reference};

fn command(arguments: &[&str], dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kerolox"));
    command.arg("store").args(arguments).arg(dir);
    command
}

fn run(arguments: &[&str], dir: &Path) -> Output {
    command(arguments, dir).output().unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

const SHAPE: [&str; 4] = ["--max-hash-slot-num", "500", "--max-index-num", "2000"];

#[test]
fn verify_says_clean_or_what_is_wrong() {
    let (_dir, layout) = reference("clean");
    let root = layout.root_dir.as_path();
    let arguments = [&["verify"][..], &SHAPE].concat();
    let output = run(&arguments, root);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("224 records"), "{text}");
    assert!(
        text.lines().last().unwrap().starts_with("clean, "),
        "{text}"
    );

    patch(&root.join("commitlog/00000000000000000000"), 90, |bytes| {
        bytes[0] ^= 1;
    });
    fs::write(root.join("commitlog/junk"), "").unwrap();
    let output = run(&arguments, root);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.lines().any(|line| line.starts_with("foreignFile: ")),
        "{text}"
    );
    assert!(
        text.lines()
            .any(|line| line.starts_with("damagedLog: commit log 0 to ")),
        "{text}"
    );
    let last = text.lines().last().unwrap();
    assert!(
        last.starts_with("2 findings: damagedLog 1, foreignFile 1, "),
        "{last}"
    );

    let output = run(&[&arguments[..], &["--max-findings", "1"]].concat(), root);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("\nand 1 more\n"), "{text}");

    let output = run(&[&arguments[..], &["--json"]].concat(), root);
    assert_eq!(output.status.code(), Some(1));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["isClean"], false);
    assert_eq!(json["summary"]["records"], 223);
    assert_eq!(json["counts"]["damagedLog"], 1);
    assert_eq!(json["findings"][1]["kind"], "damagedLog");
    assert_eq!(json["findings"][1]["from"], 0);
    assert!(json["seconds"].is_number());
}

#[test]
fn what_can_not_be_examined_ends_with_two() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["verify", "dump"] {
        let output = run(&[name], dir.path());
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(
            text.starts_with("error: can not examine ") && text.lines().count() == 1,
            "{text}"
        );
        for bad in [&["--nonsense"][..], &["--mapped-file-size-commit-log", "x"]] {
            let output = run(&[&[name], bad].concat(), dir.path());
            assert_eq!(output.status.code(), Some(2));
            assert!(!output.stderr.is_empty() && output.stdout.is_empty());
        }
    }
    let fixture = Fixture::filled();
    let root = fixture.options.root_dir.as_path();
    for bad in [
        &["verify", "--message-delay-level", "1s  2x"][..],
        &["verify", "--max-hash-slot-num", "0"],
        &["dump", "--from", "10", "--to", "10"],
        &["dump", "--queue", "1"],
    ] {
        let output = run(bad, root);
        assert_eq!(output.status.code(), Some(2), "{bad:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.starts_with("error: "), "{text}");
    }
}

#[test]
fn dump_prints_each_record() {
    let (_dir, layout) = reference("clean");
    let root = layout.root_dir.as_path();
    let output = run(&["dump"], root);
    assert_eq!(output.status.code(), Some(0));
    let all = lines(&output);
    assert_eq!(all.len(), 224);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.starts_with("224 of 224 records printed, 0 damaged ranges"),
        "{stderr}"
    );

    let manifest = fs::File::open(super::super::golden::golden("manifest-clean.json")).unwrap();
    let manifest: Value = serde_json::from_reader(manifest).unwrap();
    let expected = manifest["messages"].as_array().unwrap();
    let mut compared = 0;
    for expected in expected {
        let is_it = |line: &&Value| line["physicalOffset"] == expected["physicalOffset"];
        let line = all.iter().find(is_it).unwrap();
        for name in [
            "topic",
            "queueId",
            "queueOffset",
            "sysFlag",
            "flag",
            "bornTimestamp",
            "storeTimestamp",
            "reconsumeTimes",
            "preparedTransactionOffset",
            "bodyCrc",
            "properties",
        ] {
            assert_eq!(line[name], expected[name], "{name}");
        }
        assert_eq!(line["size"], expected["storeSize"]);
        assert_eq!(
            line["tags"],
            *expected["properties"].get("TAGS").unwrap_or(&Value::Null)
        );
        assert!(line["bodyText"].is_string() != line["bodyBase64"].is_string());
        compared += 1;
    }
    assert!(compared > 200);
}

#[test]
fn dump_filters_and_leaves_bodies_out() {
    let fixture = Fixture::new();
    let store = fixture.open();
    for number in 0..30 {
        let properties = format!("KEYS\u{1}k{number} all\u{2}UNIQ_KEY\u{1}id{number}\u{2}");
        let topic = if number < 20 { "a" } else { "b" };
        let body = [b'0' + number % 10, if number == 7 { 0xFF } else { b'.' }];
        append_with(&store, topic, i32::from(number % 2), &body, &properties);
    }
    store.shutdown().unwrap();
    let root = fixture.options.root_dir.as_path();
    let count = |arguments: &[&str]| {
        let output = run(&[&["dump"], arguments].concat(), root);
        assert_eq!(output.status.code(), Some(0));
        lines(&output).len()
    };
    assert_eq!(count(&["--topic", "a"]), 20);
    assert_eq!(count(&["--topic", "b", "--queue", "1"]), 5);
    assert_eq!(count(&["--key", "all"]), 30);
    assert_eq!(count(&["--key", "id3"]), 1);
    assert_eq!(count(&["--key", "id3", "--topic", "b"]), 0);
    assert_eq!(count(&["--limit", "4"]), 4);
    assert_eq!(count(&["--limit", "0"]), 0);
    let records = fixture.records();
    let (from, to) = (records[10].physical_offset + 1, records[20].physical_offset);
    let range = ["--from", &from.to_string(), "--to", &to.to_string()];
    assert_eq!(count(&range), 10, "the record at the first offset, too");

    let seventh = &lines(&run(&["dump", "--key", "k7"], root))[0];
    assert_eq!(seventh["bodyBase64"], "N/8=");
    assert_eq!(seventh["keys"], serde_json::json!(["k7", "all"]));
    assert_eq!(seventh["bornHost"], "127.0.0.1:1");
    let without = &lines(&run(&["dump", "--key", "k7", "--no-body"], root))[0];
    assert_eq!(
        (&without["bodyBase64"], &without["bodyText"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(without["bodyLength"], 2);

    let at = records[5].physical_offset.cast_unsigned();
    fixture.patch_log(at, |bytes| bytes[89] ^= 1);
    let output = run(&["dump"], root);
    assert_eq!(output.status.code(), Some(1));
    let all = lines(&output);
    assert_eq!(
        (all.len(), &all[5]["damaged"]["from"]),
        (30, &Value::from(at))
    );
    assert_eq!(all[5]["damaged"]["reason"], "the body is damaged");
}

#[test]
fn closed_pipe_ends_a_dump_quietly() {
    let (_dir, layout) = reference("clean");
    let mut child = command(&["dump"], &layout.root_dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    let mut out = BufReader::with_capacity(1, child.stdout.take().unwrap());
    out.read_line(&mut first).unwrap();
    assert!(first.starts_with('{'));
    // More than a pipe holds is still to come.
    drop(out);
    let mut errors = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut errors)
        .unwrap();
    assert_eq!(
        (child.wait().unwrap().code(), errors.as_str()),
        (Some(0), "")
    );
}
