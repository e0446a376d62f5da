// SPDX-License-Identifier: Apache-2.0
//! Each rule is shown a violation and the nearest thing that is allowed.

use super::source::Source;
use super::{Finding, check, imports, rules};

const HEADER: &str = "// SPDX-License-Identifier: Apache-2.0\n";

fn findings(path: &str, text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    check(&Source::new(path, text), &mut found);
    found
}

/// The rules that a Rust file with a correct first line violates.
fn rules_hit(path: &str, code: &str) -> Vec<&'static str> {
    findings(path, &format!("{HEADER}{code}"))
        .iter()
        .map(|f| f.rule)
        .collect()
}

fn caught(path: &str, code: &str) {
    assert_eq!(rules_hit(path, code), ["imports"], "{path}: {code}");
}

fn allowed(path: &str, code: &str) {
    assert_eq!(rules_hit(path, code), [] as [&str; 0], "{path}: {code}");
}

#[test]
fn protocol_is_pure() {
    let path = "core/protocol/src/frame.rs";
    caught(path, "use tokio::io::AsyncRead;");
    caught(path, "fn f() { let _ = std::fs::read(\"x\"); }");
    caught(path, "use std::{net::TcpStream};");
    caught(path, "use std::time::{Duration, SystemTime};");
    caught(path, "use kerolox::error::Error;");
    allowed(path, "use std::{net::SocketAddr, time::Duration};");
    allowed(path, "#[cfg(test)]\nmod tests { use std::fs; }");
    allowed("core/protocol/src/frame/tests.rs", "use std::fs;");
}

#[test]
fn the_client_does_not_know_the_server() {
    caught(
        "core/src/producer/send.rs",
        "use kerolox_server::embedded::Server;",
    );
    allowed(
        "tests/scenarios/main.rs",
        "use kerolox_server::embedded::Server;",
    );
}

#[test]
fn the_client_layers_look_down_only() {
    caught("core/src/net/pool.rs", "use crate::instance::Instance;");
    caught(
        "core/src/instance/route.rs",
        "use crate::producer::Producer;",
    );
    caught(
        "core/src/instance/route.rs",
        "use super::super::consumer::push;",
    );
    caught("core/src/producer/send.rs", "use crate::facade::Message;");
    allowed(
        "core/src/facade/producer.rs",
        "use crate::{producer::Producer, instance::Instance};",
    );
    allowed(
        "core/src/producer/send.rs",
        "use crate::{instance::Instance, net::Pool};",
    );
}

#[test]
fn the_server_uses_little_of_the_client() {
    caught(
        "server/src/broker/register.rs",
        "use kerolox::producer::Producer;",
    );
    caught(
        "server/src/broker/register.rs",
        "use kerolox::facade::Message;",
    );
    allowed(
        "server/src/broker/register.rs",
        "use kerolox::net::Connection;",
    );
}

#[test]
fn the_store_knows_no_protocol_and_no_runtime() {
    let path = "server/src/store/commit_log/append.rs";
    caught(path, "use crate::broker::topics::Topics;");
    caught(path, "use super::super::super::net::Session;");
    caught(path, "use kerolox_protocol::code::Anything;");
    caught(
        path,
        "use kerolox_protocol::{command::Command, message::record};",
    );
    caught(path, "async fn f() { tokio::task::yield_now().await }");
    caught(path, "fn f(code: RequestCode) {}");
    allowed(path, "use kerolox_protocol::message::record;");
    allowed(path, "use crate::store::disk::Disk;");
}

#[test]
fn a_processor_touches_no_socket() {
    let path = "server/src/broker/processor/send.rs";
    caught(path, "use tokio::net::TcpStream;");
    caught(path, "use std::net::TcpStream;");
    caught(path, "use kerolox_protocol::frame::Frame;");
    caught(path, "use crate::net::listener::Listener;");
    allowed(
        path,
        "use kerolox_protocol::command::Command; use std::net::SocketAddr; use crate::net::{Outcome, Request};",
    );
}

#[test]
fn name_server_and_broker_are_neighbours() {
    caught(
        "server/src/broker/register.rs",
        "use crate::namesrv::RouteTable;",
    );
    caught("server/src/namesrv/route.rs", "use crate::broker::Broker;");
    caught(
        "server/src/namesrv/route.rs",
        "use crate::store::MessageStore;",
    );
    allowed("server/src/namesrv/kv.rs", "use crate::store::disk::Disk;");
    caught("server/src/net/session.rs", "use crate::broker::dispatch;");
    allowed(
        "server/src/embedded.rs",
        "use crate::{broker::Broker, namesrv::NameServer};",
    );
}

#[test]
fn bindings_stay_above_the_facade() {
    caught(
        "bindings/python/src/producer.rs",
        "use kerolox::producer::Producer;",
    );
    caught(
        "bindings/node/src/lib.rs",
        "#![deny(unsafe_code)]\nuse kerolox_server::broker::Broker;",
    );
    caught(
        "bindings/python/src/producer.rs",
        "fn f() { tokio::spawn(async {}); }",
    );
    caught(
        "bindings/c/src/producer.rs",
        "use kerolox_client::net::Pool;",
    );
    allowed(
        "bindings/c/src/producer.rs",
        "use kerolox_client::facade::Producer; use kerolox_server::embedded::Server;",
    );
    allowed(
        "bindings/python/src/producer.rs",
        "use kerolox::facade::Producer;",
    );
}

#[test]
fn every_import_rule_names_something_to_forbid() {
    for rule in imports::RULES {
        assert!(!rule.forbid.is_empty() && !rule.within.is_empty() && !rule.why.is_empty());
        assert!(rule.except.iter().all(|(_, reason)| !reason.is_empty()));
    }
}

#[test]
fn a_file_over_the_cap_is_reported() {
    assert_eq!(
        rules_hit("core/src/x.rs", &"\n".repeat(rules::LINE_CAP)),
        ["size"]
    );
    allowed("core/src/x.rs", &"\n".repeat(rules::LINE_CAP - 1));
}

#[test]
fn a_missing_licence_line_is_reported() {
    for path in [
        "core/src/x.rs",
        "python/src/a.py",
        "node/index.js",
        "tests/c/a.c",
        ".ci/run",
    ] {
        let found = findings(path, "something\n");
        assert_eq!(found.len(), 1, "{path}");
        assert_eq!(found[0].rule, "licence", "{path}");
    }
    assert!(
        findings(
            "run.sh",
            "#!/bin/bash\n# SPDX-License-Identifier: Apache-2.0\n"
        )
        .is_empty()
    );
    assert!(findings("LICENSE", "something\n").is_empty());
}

#[test]
fn unsafe_stands_only_in_listed_files() {
    let code = "fn f() { unsafe { g() } }";
    assert_eq!(rules_hit("server/src/store/flush.rs", code), ["unsafe"]);
    assert_eq!(
        rules_hit("core/src/net/pool.rs", "unsafe impl Send for X {}"),
        ["unsafe"]
    );
    for (path, _) in rules::UNSAFE_FILES {
        let path = if path.ends_with('/') {
            format!("{path}ptr.rs")
        } else {
            (*path).to_owned()
        };
        allowed(&path, code);
    }
    allowed(
        "core/src/net/pool.rs",
        "// unsafe\nconst A: &str = \"unsafe\";",
    );
}

#[test]
fn a_library_forbids_unsafe_code() {
    assert_eq!(rules_hit("core/src/lib.rs", "pub mod x;"), ["unsafe"]);
    allowed("core/src/lib.rs", "#![deny(unsafe_code)]\npub mod x;");
    allowed(
        "core/protocol/src/lib.rs",
        "#![forbid(unsafe_code)]\npub mod x;",
    );
}

#[test]
fn empty_names_are_reported() {
    assert_eq!(rules_hit("core/src/net/util.rs", ""), ["names"]);
    assert_eq!(rules_hit("server/src/common/mod.rs", ""), ["names"]);
    assert_eq!(
        rules_hit("core/src/x.rs", "mod helper { fn f() {} }"),
        ["names"]
    );
    allowed("core/src/net/frame_io.rs", "impl X {}");
}

#[test]
fn leftovers_are_reported() {
    assert_eq!(rules_hit("core/src/x.rs", "fn f() { dbg!(1); }"), ["words"]);
    let mark = ["TO", "DO"].concat();
    assert_eq!(
        rules_hit("core/src/x.rs", &format!("// {mark}: later")),
        ["words"]
    );
    allowed(
        "core/src/x.rs",
        &format!("// {mark}(#12): later\nconst MASTODON: u8 = 1;"),
    );
}
