// SPDX-License-Identifier: Apache-2.0
//! Every request, with each of its fields missing, empty, huge, negative and of another type, and with bodies that are
//! empty, garbage and long, against a server process: it answers or closes that connection, says which field was wrong,
//! and neither dies nor grows.
//!
//! `requests` is the table of requests, `process` the server, `peer` a connection to it. `KEROLOX_SEED` repeats the
//! random bytes of a run that failed.

mod peer;
mod process;
mod requests;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kerolox_protocol::ext::ExtFields;
use kerolox_protocol::frame::SerializeType;
use kerolox_protocol::header::{FieldInfo, FieldKind};
use kerolox_protocol::{Command, RequestCode, ResponseCode, command};

use peer::{Answer, Peer};
use process::ServerProcess;
use requests::{Entry, REQUESTS_OF_BROKER, REQUESTS_OF_NAME_SERVER};

/// Four seconds on an idle machine; more says that some request costs far more than it should.
const BUDGET: Duration = Duration::from_secs(120);
/// What the server may grow by, bytes: messages that the test itself had stored count, too.
const GROWTH: u64 = 192 << 20;
const HUGE_TEXT: usize = 70_000;
const LONG_BODY: usize = 1 << 20;

/// What is done to a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defect {
    Missing,
    Empty,
    Huge,
    Negative,
    OtherType,
    TooLarge,
    Largest,
}

impl Defect {
    const ALL: [Self; 7] = [
        Self::Missing,
        Self::Empty,
        Self::Huge,
        Self::Negative,
        Self::OtherType,
        Self::TooLarge,
        Self::Largest,
    ];

    /// The value that the field gets; `None` leaves it out.
    fn value(self, kind: FieldKind) -> Option<String> {
        Some(match self {
            Self::Missing => return None,
            Self::Empty => String::new(),
            Self::Huge if kind == FieldKind::Text => "x".repeat(HUGE_TEXT),
            Self::Huge => "9".repeat(HUGE_TEXT),
            Self::Negative => "-5".to_owned(),
            Self::OtherType => "zw\u{f6}lf{\"a\":[".to_owned(),
            Self::TooLarge if kind == FieldKind::Int => "2147483648".to_owned(),
            Self::TooLarge => "9223372036854775808".to_owned(),
            Self::Largest if kind == FieldKind::Int => i32::MAX.to_string(),
            Self::Largest => i64::MAX.to_string(),
        })
    }

    /// Whether the server has to refuse and to name the field.
    fn is_refused(self, field: &FieldInfo) -> bool {
        let is_number = matches!(field.kind, FieldKind::Int | FieldKind::Long);
        match self {
            Self::Missing => field.is_required,
            // In the binary encoding an empty value is none.
            Self::Empty => is_number && field.is_required,
            Self::Huge | Self::OtherType | Self::TooLarge => is_number,
            Self::Negative | Self::Largest => false,
        }
    }
}

struct Run {
    server: ServerProcess,
    random: fastrand::Rng,
    /// What was wrong, one line each.
    findings: Vec<String>,
    sent: usize,
}

impl Run {
    /// Sends a request on its own connection if the last one was closed, and judges nothing but that there is an
    /// answer, or an end of the connection.
    fn ask(&mut self, peer: &mut Peer, entry: &Entry, what: &str, mut request: Command) -> Answer {
        if self.random.bool() {
            request.serialize_type = SerializeType::RocketMq;
        }
        self.sent += 1;
        let answer = peer.ask(request, entry.may_wait);
        if answer == Answer::Silence && !entry.may_wait {
            self.findings
                .push(format!("{}: no answer to {what}", name(entry.code)));
        }
        answer
    }

    fn fields(&mut self, address: SocketAddr, entry: &Entry) {
        let mut peer = Peer::new(address);
        for field in entry.fields {
            for defect in Defect::ALL {
                let mut ext = ExtFields::new();
                for other in entry.fields {
                    let value = match other.name == field.name {
                        true => defect.value(field.kind),
                        false => Some(entry.sound_value(other).to_owned()),
                    };
                    if let Some(value) = value {
                        ext.set(other.name, &value);
                    }
                }
                let request = Command::request(entry.code, &&ext).with_body(entry.body);
                let what = format!("{defect:?} {}", field.name);
                let answer = self.ask(&mut peer, entry, &what, request);
                if defect.is_refused(field) {
                    self.judge(entry, &what, field.name, &answer);
                }
            }
        }
    }

    /// The answer is a refusal and names the field.
    fn judge(&mut self, entry: &Entry, what: &str, field: &str, answer: &Answer) {
        let Answer::Reply(code, remark) = answer else {
            // Reported, if it counts.
            return;
        };
        if *code == ResponseCode::SUCCESS || !remark.contains(field) {
            let entry = name(entry.code);
            self.findings.push(format!(
                "{entry}: {what} answered with {} '{remark}'",
                code.0
            ));
        }
    }

    fn bodies(&mut self, address: SocketAddr, entry: &Entry) {
        let mut peer = Peer::new(address);
        let mut garbage = vec![0; 300];
        self.random.fill(&mut garbage);
        let half = entry.body.get(..entry.body.len() / 2).unwrap_or_default();
        let bodies: [(&str, Vec<u8>); 10] = [
            ("no body", Vec::new()),
            ("a garbage body", garbage),
            ("half the body", half.to_vec()),
            ("a body of another shape", b"[1,{\"a\":null}]".to_vec()),
            ("a body of null", b"null".to_vec()),
            ("a body of wrong members", WRONG_MEMBERS.to_vec()),
            ("a body that is not UTF-8", b"{\"a\":\"\xff\xfe\"}".to_vec()),
            ("a deep body", b"[".repeat(100_000)),
            ("a long number", b"9".repeat(100_000)),
            ("a long body", vec![b'{'; LONG_BODY]),
        ];
        for (what, body) in bodies {
            let ext = entry.sound_fields();
            let request = Command::request(entry.code, &&ext).with_body(body);
            self.ask(&mut peer, entry, what, request);
        }
    }

    /// What every server has to do whatever came before.
    fn still_serves(&mut self, address: SocketAddr, before: &str) {
        let mut peer = Peer::new(address);
        let answer = peer.ask(command::request(RequestCode(31_999)), false);
        if !matches!(
            answer,
            Answer::Reply(ResponseCode::REQUEST_CODE_NOT_SUPPORTED, _)
        ) {
            self.findings
                .push(format!("{before}: afterwards the server said {answer:?}"));
        }
    }

    /// Codes without an entry: all fields that there are, with random values.
    fn others(&mut self, address: SocketAddr, table: &'static [Entry], unlisted: &mut Vec<String>) {
        let listed: BTreeSet<RequestCode> = table.iter().map(|entry| entry.code).collect();
        let everything = requests::all_fields();
        for code in RequestCode::ALL {
            if listed.contains(code) {
                continue;
            }
            let entry = Entry {
                may_wait: true,
                ..Entry::bare(*code)
            };
            let mut peer = Peer::new(address);
            let bare = self.ask(&mut peer, &entry, "no fields", command::request(*code));
            if matches!(
                bare,
                Answer::Reply(ResponseCode::REQUEST_CODE_NOT_SUPPORTED, _)
            ) {
                continue;
            }
            unlisted.push(name(*code));
            for _ in 0..12 {
                let mut ext = ExtFields::new();
                for field in &everything {
                    let defect = Defect::ALL[self.random.usize(..Defect::ALL.len())];
                    let value = match self.random.bool() {
                        true => Some(entry.sound_value(field).to_owned()),
                        // Seventy kilobytes in each of a hundred fields would be another test.
                        false if defect == Defect::Huge => None,
                        false => defect.value(field.kind),
                    };
                    if let Some(value) = value {
                        ext.set(field.name, &value);
                    }
                }
                let mut body = vec![0; self.random.usize(..200)];
                self.random.fill(&mut body);
                let request = Command::request(*code, &&ext).with_body(body);
                self.ask(&mut peer, &entry, "random fields", request);
            }
        }
    }

    fn all(&mut self, address: SocketAddr, table: &'static [Entry], unlisted: &mut Vec<String>) {
        for entry in table {
            let (started, sent) = (Instant::now(), self.sent);
            self.fields(address, entry);
            self.bodies(address, entry);
            let name = name(entry.code);
            self.still_serves(address, &name);
            let sent = self.sent - sent;
            println!(
                "{name}: {sent} requests in {} ms",
                started.elapsed().as_millis()
            );
        }
        self.others(address, table, unlisted);
        self.still_serves(address, "requests without an entry");
        self.frames(address);
        self.still_serves(address, "broken frames");
    }

    /// Bytes that are no request: the connection ends or goes on waiting for more, and that is all.
    fn frames(&mut self, address: SocketAddr) {
        let mut random = vec![0; 2_000];
        self.random.fill(&mut random);
        let header = |length: u32, mark: u32| [length.to_be_bytes(), mark.to_be_bytes()].concat();
        let broken: [Vec<u8>; 7] = [
            random,
            header(0, 0),
            header(u32::MAX, 0),
            header(i32::MAX.cast_unsigned(), 4),
            // Longer than any frame may be, and the header longer than its frame.
            header(17 << 20, 10),
            header(20, 1_000),
            [header(14, 10), b"not a json".to_vec()].concat(),
        ];
        for bytes in broken {
            Peer::new(address).send_bytes(&bytes);
            self.sent += 1;
        }
    }
}

const WRONG_MEMBERS: &[u8] = br#"{"topic":7,"clientID":{},"consumerDataSet":"x","topicConfigList":[[]],"mqSet":[{}],"table":[],"queueDatas":{"a":1},"groupName":[],"dataVersion":-1,"topicConfigSerializeWrapper":[]}"#;

fn name(code: RequestCode) -> String {
    let name = code.name().map(str::to_owned);
    name.unwrap_or_else(|| code.0.to_string())
}

#[test]
fn bad_requests_are_refused_and_the_servers_go_on() {
    let seed = std::env::var("KEROLOX_SEED").ok();
    let seed = seed
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(20_260_101);
    println!("KEROLOX_SEED={seed}");
    let started = Instant::now();
    let server = ServerProcess::start();
    let (namesrv, broker) = (server.namesrv, server.broker);
    let mut run = Run {
        server,
        random: fastrand::Rng::with_seed(seed),
        findings: Vec::new(),
        sent: 0,
    };
    run.server.prepare();
    let before = run.server.private_bytes();
    let mut unlisted = Vec::new();
    run.all(broker, REQUESTS_OF_BROKER, &mut unlisted);
    run.all(namesrv, REQUESTS_OF_NAME_SERVER, &mut unlisted);
    let grown = run.server.private_bytes().saturating_sub(before);
    let took = started.elapsed();
    println!(
        "{} requests in {took:?}, {grown} bytes more in use",
        run.sent
    );
    println!("supported, without an entry in the table: {unlisted:?}");
    let errors = run.server.stop();
    assert!(run.findings.is_empty(), "{:#?}\n{errors}", run.findings);
    assert!(!errors.contains("panicked"), "{errors}");
    assert!(grown < GROWTH, "grown by {grown} bytes");
    assert!(took < BUDGET, "took {took:?}");
}
