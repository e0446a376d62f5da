// SPDX-License-Identifier: Apache-2.0
//! Handles after a fork. Each case runs in a process of its own, because a fork makes every handle stale.

use std::process::Command;
use std::time::Duration;

use kerolox::ErrorCode;
use kerolox::facade::{Call, Message, Producer, ProducerOptions};

const LONG: Option<Duration> = Some(Duration::from_secs(10));

fn start() -> Producer {
    let options = ProducerOptions {
        name_servers: "127.0.0.1:1".to_owned(),
        ..ProducerOptions::default()
    };
    Producer::start(options)
        .wait(LONG)
        .expect("in time")
        .expect("started")
}

#[test]
fn handles_of_the_parent_are_refused_in_the_child() {
    let program = std::env::current_exe().expect("this program");
    let case = ["--exact", "fork::in_a_process_of_its_own", "--ignored"];
    let output = Command::new(program).args(case).output().expect("it runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

#[test]
#[ignore = "run by handles_of_the_parent_are_refused_in_the_child"]
fn in_a_process_of_its_own() {
    let producer = start();
    let waiting = Call::<()>::spawn("test", std::future::pending());
    kerolox::runtime::pretend_fork_for_tests();

    let error = producer
        .send(Message::new("t", "x"))
        .wait(LONG)
        .expect("at once");
    assert_eq!(error.expect_err("stale").code(), ErrorCode::Forked);
    let error = waiting.wait(LONG).expect("at once").expect_err("stale");
    assert_eq!(error.code(), ErrorCode::Forked);
    producer
        .close()
        .wait(LONG)
        .expect("at once")
        .expect("closing a stale handle is silent");
    drop((producer, waiting));

    // A new handle gets a new runtime.
    let producer = start();
    let error = producer
        .send(Message::new("t", "x"))
        .wait(LONG)
        .expect("in time");
    assert_eq!(
        error.expect_err("nobody listens").code(),
        ErrorCode::NameServerUnreachable
    );
    producer
        .close()
        .wait(LONG)
        .expect("in time")
        .expect("closed");
}
