// SPDX-License-Identifier: Apache-2.0
//! The broker without sockets: requests in, frames out, on a disk in memory and a clock set by hand.

use bytes::BytesMut;
use kerolox_protocol::header::pull::{
    PullMessageRequestHeader, PullMessageResponseHeader, pull_flag,
};
use kerolox_protocol::header::send::{
    ConsumerSendMsgBackRequestHeader, SendMessageRequestHeaderV2, SendMessageResponseHeader,
};
use kerolox_protocol::message::{MessageExt, batch, name, property, record};
use kerolox_protocol::{Command, RequestCode, ResponseCode, frame};

use super::*;
use crate::net::{Replies, Service, Session, SessionId};
use crate::store::clock::ManualClock;
use crate::store::disk::{Fault, FaultKind, SimDisk};

mod admin;
mod calls;
mod consuming;
mod delay;
mod filtering;
mod light;
mod pop;
mod query;
mod resetting;
mod sending;
mod timer;
mod timer_failures;
mod transaction;

struct Rig {
    broker: Arc<Broker>,
    clock: Arc<ManualClock>,
    disk: Arc<SimDisk>,
    session: Arc<Session>,
    opaque: i32,
}

impl Rig {
    fn new(flush: crate::config::FlushDiskType) -> Self {
        Self::with(|config| config.flush_disk_type = flush)
    }

    /// With changes of the configuration.
    fn with(change: impl FnOnce(&mut BrokerConfig)) -> Self {
        let mut config = config();
        change(&mut config);
        Self::configured(config)
    }

    fn configured(config: BrokerConfig) -> Self {
        let clock = Arc::new(ManualClock::new(1_700_000_000_000));
        Self::on(config, SimDisk::new(), clock)
    }

    /// A broker on a disk that may have been used before.
    fn on(config: BrokerConfig, disk: SimDisk, clock: Arc<ManualClock>) -> Self {
        let host = "127.0.0.1:10911".parse().unwrap();
        let disk = Arc::new(disk);
        let (broker, _) = Broker::open(
            config,
            host,
            Arc::clone(&disk) as _,
            Arc::clone(&clock) as _,
        )
        .unwrap();
        let session = Arc::new(Session::new(
            SessionId(1),
            "127.0.0.1:50000".parse().unwrap(),
            host,
        ));
        Self {
            broker,
            clock,
            disk,
            session,
            opaque: 0,
        }
    }

    /// The broker after it died; the session goes on.
    fn restarted(self, disk: SimDisk) -> Self {
        let Self {
            broker,
            clock,
            session,
            opaque,
            ..
        } = self;
        let config = BrokerConfig::clone(&broker.config);
        drop(broker);
        let next = Self::on(config, disk, clock);
        Self {
            session,
            opaque,
            ..next
        }
    }

    fn handle(&mut self, commands: Vec<Command>) -> Vec<Command> {
        let mut commands = commands;
        for command in &mut commands {
            self.opaque += 1;
            command.opaque = self.opaque;
        }
        let mut replies = Replies::new();
        self.broker
            .handle(&self.session, &mut commands, &mut replies);
        decode(replies.take())
    }

    /// Another connection than that of [`Rig::handle`].
    fn connect(&self, id: u64) -> Arc<Session> {
        let peer = std::net::SocketAddr::from(([127, 0, 0, 1], 50_000 + id as u16));
        Arc::new(Session::new(SessionId(id), peer, self.broker.store_host))
    }

    /// Sends a command as it is on another connection; returns what is answered at once.
    fn handle_on(&self, session: &Arc<Session>, command: Command) -> Vec<Command> {
        let mut replies = Replies::new();
        self.broker
            .handle(session, &mut vec![command], &mut replies);
        decode(replies.take())
    }

    fn flush(&self) {
        let report = self.broker.store.flush_pass().unwrap();
        self.broker.flushed(&report);
    }

    fn call(&mut self, command: Command) -> Command {
        let mut replies = self.handle(vec![command]);
        assert_eq!(replies.len(), 1, "{replies:?}");
        replies.remove(0)
    }

    /// What reached the session outside of a call.
    fn later(&self) -> Vec<Command> {
        decode(self.session.drain())
    }

    fn advance(&self, ms: i64) {
        self.clock.advance(ms);
        self.broker.tick(self.clock.now_ms());
    }

    /// Pulls everything of queue 0.
    fn pull_all(&mut self, topic: &str) -> Vec<MessageExt> {
        let reply = self.call(pull(topic, 0, "*", 0));
        if reply.response_code() == ResponseCode::SUCCESS {
            record::decode_all(reply.body)
        } else {
            Vec::new()
        }
    }
}

fn config() -> BrokerConfig {
    BrokerConfig {
        store_path_root_dir: "/store".into(),
        mapped_file_size_commit_log: 1 << 20,
        mapped_file_size_consume_queue: 20 * 300,
        ..BrokerConfig::default()
    }
}

fn decode(segments: Vec<bytes::Bytes>) -> Vec<Command> {
    let mut input = BytesMut::from(segments.concat().as_slice());
    let mut commands = Vec::new();
    while let Some(frame) = frame::split(&mut input).unwrap() {
        commands.push(Command::decode(frame).unwrap());
    }
    assert!(input.is_empty());
    commands
}

fn send(topic: &str, properties: &str, body: &str) -> Command {
    let header = SendMessageRequestHeaderV2 {
        producer_group: "P",
        topic,
        default_topic: "TBW102",
        default_topic_queue_nums: 4,
        properties: Some(properties),
        ..Default::default()
    };
    Command::request(RequestCode::SEND_MESSAGE_V2, &header).with_body(body.to_owned())
}

fn pull(topic: &str, offset: i64, tags: &str, hold_ms: i64) -> Command {
    let suspend = if hold_ms > 0 { pull_flag::SUSPEND } else { 0 };
    let header = PullMessageRequestHeader {
        consumer_group: "G",
        topic,
        queue_offset: offset,
        max_msg_nums: 32,
        sys_flag: pull_flag::SUBSCRIPTION | suspend,
        suspend_timeout_millis: hold_ms,
        subscription: Some(tags),
        expression_type: Some("TAG"),
        ..Default::default()
    };
    Command::request(RequestCode::PULL_MESSAGE, &header)
}

fn async_rig() -> Rig {
    Rig::new(crate::config::FlushDiskType::Async)
}

#[test]
fn a_sent_message_is_pulled_with_what_the_broker_adds() {
    let mut rig = async_rig();
    let reply = rig.call(send("T", "TAGS\u{1}A\u{2}KEYS\u{1}k\u{2}", "hello"));
    assert_eq!(reply.response_code(), ResponseCode::SUCCESS, "{reply:?}");
    let header = reply.header::<SendMessageResponseHeader<'_>>().unwrap();
    assert_eq!(header.msg_id, "7F00000100002A9F0000000000000000");
    assert_eq!((header.queue_id, header.queue_offset), (0, 0));
    assert_eq!(
        (header.region, header.trace_on),
        (Some("DefaultRegion"), Some("true"))
    );
    let unique = header.transaction_id.unwrap().to_owned();
    let messages = rig.pull_all("T");
    assert_eq!(messages.len(), 1);
    let properties = &messages[0].message.properties;
    assert_eq!(&messages[0].message.body[..], b"hello");
    assert_eq!(properties.get(property::UNIQ_KEY), Some(unique.as_str()));
    assert_eq!(properties.get(property::CLUSTER), Some("DefaultCluster"));
    assert_eq!(properties.get(property::TAGS), Some("A"));
}

#[test]
fn sends_of_one_read_get_dense_offsets_and_answers_in_order() {
    let mut rig = async_rig();
    let commands: Vec<_> = (0..100).map(|n| send("T", "", &n.to_string())).collect();
    let replies = rig.handle(commands);
    assert_eq!(replies.len(), 100);
    for (n, reply) in (0..).zip(&replies) {
        assert_eq!(reply.opaque, n + 1);
        let header = reply.header::<SendMessageResponseHeader<'_>>().unwrap();
        assert_eq!(header.queue_offset, i64::from(n));
    }
}

#[test]
fn a_batch_becomes_records_of_their_own() {
    let mut rig = async_rig();
    let mut body = Vec::new();
    for n in 0..3 {
        batch::append(&mut body, n, format!("b{n}").as_bytes(), "TAGS\u{1}A\u{2}").unwrap();
    }
    let mut command = send("T", "", "").with_body(body);
    command.code = RequestCode::SEND_BATCH_MESSAGE.0;
    command.ext.set("m", "true");
    let reply = rig.call(command);
    let header = reply.header::<SendMessageResponseHeader<'_>>().unwrap();
    assert_eq!(header.msg_id.split(',').count(), 3);
    let bodies: Vec<_> = rig
        .pull_all("T")
        .into_iter()
        .map(|m| m.message.body)
        .collect();
    assert_eq!(bodies, ["b0", "b1", "b2"]);
}

#[test]
fn a_cut_batch_stores_nothing() {
    let mut rig = async_rig();
    rig.call(send("T", "", "first"));
    let mut body = Vec::new();
    batch::append(&mut body, 0, b"whole", "").unwrap();
    body.extend_from_slice(&[0, 0, 0, 99, 1]);
    let mut command = send("T", "", "").with_body(body);
    command.code = RequestCode::SEND_BATCH_MESSAGE.0;
    let reply = rig.call(command);
    assert_eq!(
        reply.response_code(),
        ResponseCode::MESSAGE_ILLEGAL,
        "{reply:?}"
    );
    assert_eq!(rig.pull_all("T").len(), 1);
}

#[test]
fn a_held_pull_is_woken_by_the_arrival_and_only_by_a_matching_one() {
    let mut rig = async_rig();
    rig.call(send("T", "", "old"));
    assert!(rig.handle(vec![pull("T", 1, "A || B", 15_000)]).is_empty());
    rig.call(send("T", "TAGS\u{1}C\u{2}", "not this"));
    assert!(rig.later().is_empty());
    assert_eq!(rig.broker.long_poll.len(), 1);
    rig.call(send("T", "TAGS\u{1}B\u{2}", "this"));
    let woken = rig.later();
    assert_eq!(woken.len(), 1);
    assert_eq!(woken[0].response_code(), ResponseCode::SUCCESS);
    let messages = record::decode_all(woken[0].body.clone());
    assert_eq!(messages.len(), 1);
    assert_eq!(&messages[0].message.body[..], b"this");
    assert_eq!(rig.broker.long_poll.len(), 0);
}

#[test]
fn a_held_pull_ends_at_its_deadline() {
    let mut rig = async_rig();
    rig.call(send("T", "", "old"));
    assert!(rig.handle(vec![pull("T", 1, "*", 1_000)]).is_empty());
    rig.advance(999);
    assert!(rig.later().is_empty());
    rig.advance(1);
    let ended = rig.later();
    assert_eq!(ended[0].response_code(), ResponseCode::PULL_NOT_FOUND);
    let header = ended[0].header::<PullMessageResponseHeader>().unwrap();
    assert_eq!((header.next_begin_offset, header.max_offset), (1, 1));
}

#[test]
fn a_pull_that_skipped_messages_while_held_moves_on_at_its_deadline() {
    let mut rig = async_rig();
    rig.call(send("T", "", "old"));
    assert!(rig.handle(vec![pull("T", 1, "A", 1_000)]).is_empty());
    rig.call(send("T", "TAGS\u{1}C\u{2}", "not this"));
    rig.advance(1_000);
    let ended = rig.later();
    assert_eq!(
        ended[0].response_code(),
        ResponseCode::PULL_RETRY_IMMEDIATELY
    );
    assert_eq!(
        ended[0]
            .header::<PullMessageResponseHeader>()
            .unwrap()
            .next_begin_offset,
        2
    );
}

#[test]
fn held_pulls_of_a_gone_connection_are_forgotten() {
    let mut rig = async_rig();
    rig.call(send("T", "", "old"));
    assert!(rig.handle(vec![pull("T", 1, "*", 15_000)]).is_empty());
    let session = Arc::clone(&rig.session);
    rig.broker.closed(&session);
    assert_eq!(rig.broker.long_poll.len(), 0);
}

#[test]
fn pulls_outside_the_queue_are_corrected() {
    let mut rig = async_rig();
    rig.call(send("T", "", "only"));
    let beyond = rig.call(pull("T", 9, "*", 15_000));
    assert_eq!(beyond.response_code(), ResponseCode::PULL_OFFSET_MOVED);
    assert_eq!(
        beyond
            .header::<PullMessageResponseHeader>()
            .unwrap()
            .next_begin_offset,
        1
    );
    let below = rig.call(pull("T", -5, "*", 0));
    assert_eq!(below.response_code(), ResponseCode::PULL_OFFSET_MOVED);
    assert_eq!(
        below
            .header::<PullMessageResponseHeader>()
            .unwrap()
            .next_begin_offset,
        0
    );
}

#[test]
fn refusals_name_the_thing_and_leave_no_file() {
    let mut rig = async_rig();
    let cases = [
        (send("../evil", "", "x"), ResponseCode::INVALID_PARAMETER),
        (send("", "", "x"), ResponseCode::INVALID_PARAMETER),
        (
            send(&"t".repeat(128), "", "x"),
            ResponseCode::INVALID_PARAMETER,
        ),
        (
            send(name::SCHEDULE_TOPIC, "", "x"),
            ResponseCode::NO_PERMISSION,
        ),
        (
            send("T", "", &"x".repeat(4_194_305)),
            ResponseCode::MESSAGE_ILLEGAL,
        ),
        (pull("unknown", 0, "*", 0), ResponseCode::TOPIC_NOT_EXIST),
        (
            kerolox_protocol::command::request(RequestCode(9999)),
            ResponseCode::REQUEST_CODE_NOT_SUPPORTED,
        ),
        (
            kerolox_protocol::command::request(RequestCode::SEND_MESSAGE_V2),
            ResponseCode::SYSTEM_ERROR,
        ),
    ];
    for (command, code) in cases {
        let reply = rig.call(command);
        assert_eq!(reply.response_code(), code, "{reply:?}");
        assert!(reply.remark.is_some_and(|remark| !remark.is_empty()));
    }
    assert!(
        rig.broker
            .store
            .topics()
            .iter()
            .all(|(topic, _)| topic != "../evil")
    );
}

#[test]
fn a_queue_id_beyond_the_topic_is_refused() {
    let mut rig = async_rig();
    rig.call(send("T", "", "x"));
    let mut command = send("T", "", "x");
    command.ext.set("e", "99");
    let reply = rig.call(command);
    assert_eq!(reply.response_code(), ResponseCode::INVALID_PARAMETER);
    assert!(reply.remark.unwrap().contains("99"));
}

#[test]
fn a_message_with_a_delay_level_comes_when_it_is_due() {
    let mut rig = async_rig();
    rig.call(send("T", "", "now"));
    let reply = rig.call(send("T", "DELAY\u{1}2\u{2}", "in five seconds"));
    assert_eq!(reply.response_code(), ResponseCode::SUCCESS);
    rig.advance(4_900);
    assert_eq!(rig.pull_all("T").len(), 1);
    rig.advance(200);
    let bodies: Vec<_> = rig
        .pull_all("T")
        .into_iter()
        .map(|m| m.message.body)
        .collect();
    assert_eq!(bodies, ["now", "in five seconds"]);
}

#[test]
fn a_message_sent_back_comes_again_and_ends_as_dead_letter() {
    let mut rig = async_rig();
    rig.call(send("T", "", "work"));
    let mut message = rig.pull_all("T").remove(0);
    for times in 1..=2 {
        let header = ConsumerSendMsgBackRequestHeader {
            offset: message.physical_offset,
            group: "G",
            delay_level: 1,
            max_reconsume_times: Some(2),
            ..Default::default()
        };
        let command = Command::request(RequestCode::CONSUMER_SEND_MSG_BACK, &header);
        assert_eq!(rig.call(command).response_code(), ResponseCode::SUCCESS);
        rig.advance(1_100);
        message = rig.pull_all("%RETRY%G").pop().unwrap();
        assert_eq!(message.reconsume_times, times);
        assert_eq!(
            message.message.properties.get(property::RETRY_TOPIC),
            Some("T")
        );
    }
    let header = ConsumerSendMsgBackRequestHeader {
        offset: message.physical_offset,
        group: "G",
        max_reconsume_times: Some(2),
        ..Default::default()
    };
    rig.call(Command::request(
        RequestCode::CONSUMER_SEND_MSG_BACK,
        &header,
    ));
    assert_eq!(rig.pull_all("%DLQ%G").len(), 1);
}

#[test]
fn under_sync_flush_nothing_is_acknowledged_or_seen_before_the_flush() {
    let mut rig = Rig::new(crate::config::FlushDiskType::Sync);
    assert!(rig.handle(vec![send("T", "", "safe")]).is_empty());
    assert!(rig.handle(vec![pull("T", 0, "*", 15_000)]).is_empty());
    assert!(rig.later().is_empty());
    let report = rig.broker.store.flush_pass().unwrap();
    rig.broker.flushed(&report);
    let mut codes: Vec<_> = rig.later().iter().map(Command::response_code).collect();
    codes.sort();
    assert_eq!(codes, [ResponseCode::SUCCESS, ResponseCode::SUCCESS]);
}

#[test]
fn a_message_sent_back_is_acknowledged_when_it_is_safe() {
    let mut rig = Rig::new(crate::config::FlushDiskType::Sync);
    rig.handle(vec![send("T", "", "again")]);
    let flush = |rig: &Rig| {
        let report = rig.broker.store.flush_pass().unwrap();
        rig.broker.flushed(&report);
    };
    flush(&rig);
    rig.later();
    let message = rig.pull_all("T").remove(0);
    let header = ConsumerSendMsgBackRequestHeader {
        offset: message.physical_offset,
        group: "G",
        ..Default::default()
    };
    let back = Command::request(RequestCode::CONSUMER_SEND_MSG_BACK, &header);
    assert!(rig.handle(vec![back.clone()]).is_empty());
    assert!(rig.later().is_empty());
    flush(&rig);
    assert_eq!(rig.later()[0].response_code(), ResponseCode::SUCCESS);
    // Too late is a failure here: the client keeps the message.
    assert!(rig.handle(vec![back]).is_empty());
    rig.advance(5_000);
    assert_eq!(rig.later()[0].response_code(), ResponseCode::SYSTEM_ERROR);
}

#[test]
fn a_late_flush_is_answered_as_stored_but_weaker() {
    let mut rig = Rig::new(crate::config::FlushDiskType::Sync);
    assert!(rig.handle(vec![send("T", "", "slow")]).is_empty());
    rig.advance(5_000);
    let reply = rig.later().remove(0);
    assert_eq!(reply.response_code(), ResponseCode::FLUSH_DISK_TIMEOUT);
    assert!(reply.header::<SendMessageResponseHeader<'_>>().is_ok());
}

#[test]
fn wait_false_does_not_wait_for_the_flush() {
    let mut rig = Rig::new(crate::config::FlushDiskType::Sync);
    let reply = rig.call(send("T", "WAIT\u{1}false\u{2}", "quick"));
    assert_eq!(reply.response_code(), ResponseCode::SUCCESS);
}

#[test]
fn a_failed_flush_is_never_answered_as_stored() {
    let mut rig = Rig::new(crate::config::FlushDiskType::Sync);
    assert!(rig.handle(vec![send("T", "", "lost")]).is_empty());
    rig.disk.inject(Fault {
        after: 0,
        kind: FaultKind::Io,
        is_lasting: true,
    });
    assert!(rig.broker.store.flush_pass().is_err());
    rig.advance(5_000);
    let replies = rig.later();
    assert_eq!(replies.len(), 1);
    assert_eq!(
        replies[0].response_code(),
        ResponseCode::SERVICE_NOT_AVAILABLE
    );
    assert!(
        replies[0]
            .remark
            .as_ref()
            .is_some_and(|remark| !remark.is_empty())
    );
}

#[test]
fn reconsume_times_at_the_end_of_their_range_are_sent_back() {
    let mut rig = async_rig();
    let mut command = send("T", "", "worn");
    command.ext.set("j", &(i32::MAX - 1).to_string());
    rig.call(command);
    let message = rig.pull_all("T").remove(0);
    let header = ConsumerSendMsgBackRequestHeader {
        offset: message.physical_offset,
        group: "G",
        max_reconsume_times: Some(i32::MAX),
        ..Default::default()
    };
    let command = Command::request(RequestCode::CONSUMER_SEND_MSG_BACK, &header);
    assert_eq!(rig.call(command).response_code(), ResponseCode::SUCCESS);
}
