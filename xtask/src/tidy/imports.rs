// SPDX-License-Identifier: Apache-2.0
//! Who may use whom. The table is the drawing in ARCHITECTURE.md, written so that it can fail.

use super::Finding;
use super::source::Source;

/// In files under `within`, no path may start with one of `forbid`, unless it also starts with one of `allow`.
pub struct Rule {
    pub within: &'static [&'static str],
    /// Files (or folders) under `within` to which the rule does not apply, each with its reason.
    pub except: &'static [(&'static str, &'static str)],
    pub forbid: &'static [&'static str],
    pub allow: &'static [&'static str],
    pub why: &'static str,
}

/// Addresses are plain data, not sockets: allowed everywhere.
const ADDRESSES: &[&str] = &[
    "std::net::SocketAddr",
    "std::net::SocketAddrV4",
    "std::net::SocketAddrV6",
    "std::net::IpAddr",
    "std::net::Ipv4Addr",
    "std::net::Ipv6Addr",
    "std::net::AddrParseError",
];

pub const RULES: &[Rule] = &[
    Rule {
        within: &["core/protocol/src/"],
        except: &[],
        forbid: &[
            "tokio",
            "std::net",
            "std::fs",
            "std::thread",
            "std::process",
            "std::env",
            "std::time::SystemTime",
            "std::time::Instant",
            "kerolox",
            "kerolox_server",
        ],
        allow: &[],
        why: "protocol is pure: no I/O, no clock, no sockets",
    },
    Rule {
        within: &["core/src/"],
        except: &[],
        forbid: &["kerolox_server"],
        allow: &[],
        why: "core never uses server; tests of both live in tests/",
    },
    Rule {
        within: &["core/src/net/"],
        except: &[],
        forbid: &[
            "crate::instance",
            "crate::producer",
            "crate::consumer",
            "crate::admin",
            "crate::facade",
        ],
        allow: &[],
        why: "net is the lowest layer of the client above protocol",
    },
    Rule {
        within: &["core/src/instance/"],
        except: &[],
        forbid: &[
            "crate::producer",
            "crate::consumer",
            "crate::admin",
            "crate::facade",
        ],
        allow: &[],
        why: "instance serves producers and consumers and does not know them",
    },
    Rule {
        within: &[
            "core/src/producer/",
            "core/src/consumer/",
            "core/src/admin/",
            "core/src/admin.rs",
        ],
        except: &[],
        forbid: &["crate::facade"],
        allow: &[],
        why: "facade stands on producer, consumer and admin, not the other way round",
    },
    Rule {
        within: &["server/src/"],
        except: &[],
        forbid: &["kerolox"],
        allow: &[
            "kerolox::net",
            "kerolox::admin",
            "kerolox::error",
            "kerolox::runtime",
        ],
        why: "of core, server uses only net (and the admin tool admin)",
    },
    Rule {
        within: &["server/src/store/"],
        except: &[(
            "server/src/store/inspect/tables.rs",
            "compares the broker's tables, which are JSON bodies, with the queues",
        )],
        forbid: &[
            "tokio",
            "kerolox",
            "kerolox_protocol",
            "crate::broker",
            "crate::namesrv",
            "crate::net",
            "crate::ha",
            "std::net",
        ],
        allow: &["kerolox_protocol::message"],
        why: "store gets records and returns positions: no codes, no sockets, no permissions, no runtime",
    },
    Rule {
        within: &[
            "server/src/broker/processor/",
            "server/src/namesrv/processor/",
            "server/src/namesrv/processor.rs",
        ],
        except: &[],
        forbid: &[
            "tokio",
            "std::net",
            "std::thread",
            "kerolox_protocol::frame",
            "crate::net",
            "kerolox::net",
        ],
        allow: &[
            // What a processor is given and gives back.
            "crate::net::Request",
            "crate::net::Outcome",
            "crate::net::Replies",
            "crate::net::Session",
            "crate::net::SessionId",
            // Whom a parked request is answered to.
            "crate::net::Caller",
        ],
        why: "a processor sees a request and returns an outcome; it never touches a socket or a frame",
    },
    Rule {
        within: &["server/src/net/"],
        except: &[],
        forbid: &[
            "crate::broker",
            "crate::namesrv",
            "crate::store",
            "crate::ha",
        ],
        allow: &[],
        why: "server::net carries commands and does not know who answers them",
    },
    Rule {
        within: &["server/src/broker/"],
        except: &[],
        forbid: &["crate::namesrv"],
        allow: &[],
        why: "broker and name server are neighbours that talk only over the wire",
    },
    Rule {
        within: &["server/src/namesrv/"],
        except: &[],
        forbid: &["crate::broker", "crate::store"],
        // The seams for files and time.
        allow: &["crate::store::disk", "crate::store::clock"],
        why: "broker and name server are neighbours that talk only over the wire",
    },
    Rule {
        within: &[
            "bindings/python/src/",
            "bindings/node/src/",
            "bindings/uniffi/src/",
        ],
        except: &[],
        forbid: &["kerolox", "kerolox_server", "kerolox_protocol", "tokio"],
        allow: &["kerolox::facade", "kerolox_server::embedded"],
        why: "bindings convert; they never reach past core::facade (and server::embedded) and start no runtime",
    },
    Rule {
        within: &["bindings/c/src/"],
        except: &[],
        forbid: &[
            "kerolox_client",
            "kerolox_server",
            "kerolox_protocol",
            "tokio",
        ],
        allow: &["kerolox_client::facade", "kerolox_server::embedded"],
        why: "bindings convert; they never reach past core::facade (and server::embedded) and start no runtime",
    },
];

/// Names that must not even be spelled under a folder: they reach a module without a path of their own.
const FORBIDDEN_NAMES: &[(&str, &[&str], &str)] = &[(
    "server/src/store/",
    &["RequestCode", "ResponseCode"],
    "store knows no request codes",
)];

fn starts_with(path: &[String], prefix: &str) -> bool {
    let prefix: Vec<&str> = prefix.split("::").collect();
    path.len() >= prefix.len() && path.iter().zip(&prefix).all(|(a, b)| a == b)
}

pub fn check(source: &Source, findings: &mut Vec<Finding>) {
    if !source.is_rust() {
        return;
    }
    let rules: Vec<&Rule> = RULES
        .iter()
        .filter(|r| r.within.iter().any(|w| source.path.starts_with(w)))
        .filter(|r| {
            !r.except
                .iter()
                .any(|(path, _)| source.path.starts_with(path))
        })
        .collect();
    if !rules.is_empty() {
        for mention in source.mentions().iter().filter(|m| !m.in_test) {
            for rule in &rules {
                let forbidden = rule.forbid.iter().any(|p| starts_with(&mention.path, p));
                if forbidden
                    && !rule
                        .allow
                        .iter()
                        .chain(ADDRESSES)
                        .any(|p| starts_with(&mention.path, p))
                {
                    let message = format!("uses {}: {}", mention.path.join("::"), rule.why);
                    findings.push(Finding::new(&source.path, mention.line, "imports", message));
                }
            }
        }
    }
    for (folder, names, why) in FORBIDDEN_NAMES {
        if source.path.starts_with(folder) {
            for (name, line) in source.identifiers() {
                if names.contains(&name.as_str()) && !source.in_test(line) {
                    findings.push(Finding::new(
                        &source.path,
                        line,
                        "imports",
                        format!("names {name}: {why}"),
                    ));
                }
            }
        }
    }
}
