// SPDX-License-Identifier: Apache-2.0
//! A name server that routes a topic to scripted brokers, and a broker that knows just enough of its trade for
//! consumers: queues, offsets, members, locks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kerolox_protocol::body::group::ConsumerList;
use kerolox_protocol::body::heartbeat::HeartbeatData;
use kerolox_protocol::body::lock::{LockBatchRequest, LockBatchResponse};
use kerolox_protocol::body::route::{BrokerData, QueueData, TopicRouteData};
use kerolox_protocol::header::heartbeat::{
    ConsumerGroupRequestHeader, UnregisterClientRequestHeader,
};
use kerolox_protocol::header::offset::{
    OffsetResponseHeader, QueryConsumerOffsetRequestHeader, QueueRequestHeader,
    UpdateConsumerOffsetRequestHeader,
};
use kerolox_protocol::header::pull::{PullMessageRequestHeader, PullMessageResponseHeader};
use kerolox_protocol::message::record::{self, RecordFields};
use kerolox_protocol::{Command, RequestCode, ResponseCode, body};
use tokio::sync::mpsc;

use super::peer::{Answer, Asked, Peer};

pub const TOPIC: &str = "orders";

pub fn ok(command: &Command) -> Command {
    Command::reply_to(command, ResponseCode::SUCCESS)
}

pub fn reply(command: Command) -> Answer {
    Answer::Reply(Box::new(command))
}

pub fn fail(command: &Command, code: ResponseCode, remark: &str) -> Answer {
    reply(Command::reply_to(command, code).with_remark(remark))
}

/// The route of a topic with `queues` queues on each of these brokers.
pub fn route(brokers: &[(&str, &str)], queues: i32) -> TopicRouteData {
    TopicRouteData {
        broker_datas: brokers
            .iter()
            .map(|(name, address)| BrokerData {
                broker_name: (*name).to_owned(),
                cluster: "c".to_owned(),
                broker_addrs: BTreeMap::from([(0, (*address).to_owned())]),
                ..BrokerData::default()
            })
            .collect(),
        queue_datas: brokers
            .iter()
            .map(|(name, _)| QueueData {
                broker_name: (*name).to_owned(),
                perm: 6,
                read_queue_nums: queues,
                write_queue_nums: queues,
                ..QueueData::default()
            })
            .collect(),
        ..TopicRouteData::default()
    }
}

/// A name server that knows these topics and nothing else.
pub async fn name_server(routes: Vec<(&'static str, TopicRouteData)>) -> Peer {
    Peer::start(move |asked| {
        let topic = asked.command.ext.get("topic").unwrap_or_default();
        match routes.iter().find(|(known, _)| *known == topic) {
            Some((_, route)) => reply(ok(asked.command).with_body(body::encode_standard(route))),
            None => fail(asked.command, ResponseCode::TOPIC_NOT_EXIST, "no route"),
        }
    })
    .await
}

/// Body and tag of a message.
pub type Stored = (Vec<u8>, Option<&'static str>);

#[derive(Default)]
pub struct BrokerState {
    /// By queue of the topic.
    pub queues: HashMap<i32, Vec<Stored>>,
    pub offsets: HashMap<(String, i32), i64>,
    pub members: BTreeSet<String>,
    pub locks: HashMap<i32, String>,
    pub connections: Vec<mpsc::UnboundedSender<Command>>,
    pub heartbeats: Vec<HeartbeatData>,
    /// What send-back answers.
    pub refuses_send_back: bool,
}

/// A broker with one topic.
#[derive(Clone, Default)]
pub struct Broker(Arc<Mutex<BrokerState>>);

impl Broker {
    pub fn state(&self) -> MutexGuard<'_, BrokerState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds messages with these numbers as bodies.
    pub fn add(&self, queue_id: i32, numbers: std::ops::Range<i32>) {
        let mut state = self.state();
        let queue = state.queues.entry(queue_id).or_default();
        queue.extend(numbers.map(|number| (number.to_string().into_bytes(), None)));
    }

    pub fn offset(&self, group: &str, queue_id: i32) -> Option<i64> {
        self.state()
            .offsets
            .get(&(group.to_owned(), queue_id))
            .copied()
    }

    /// Tells every client that the members of the group have changed.
    pub fn notify(&self) {
        let header = ConsumerGroupRequestHeader {
            consumer_group: "g",
        };
        let code = RequestCode::NOTIFY_CONSUMER_IDS_CHANGED;
        let notice = Command::request(code, &header).oneway();
        for connection in &self.state().connections {
            let _gone = connection.send(notice.clone());
        }
    }

    /// Answers as a broker would.
    pub fn answer(&self, asked: &Asked<'_>) -> Answer {
        let command = asked.command;
        match command.request_code() {
            RequestCode::HEART_BEAT => self.heartbeat(asked),
            RequestCode::UNREGISTER_CLIENT => {
                let header: UnregisterClientRequestHeader<'_> = command.header().expect("a header");
                self.state().members.remove(header.client_id);
                reply(ok(command))
            }
            RequestCode::GET_CONSUMER_LIST_BY_GROUP => {
                let members = self.state().members.iter().cloned().collect();
                let list = ConsumerList {
                    consumer_id_list: members,
                };
                reply(ok(command).with_body(body::encode(&list)))
            }
            RequestCode::LOCK_BATCH_MQ => self.lock(command),
            RequestCode::UNLOCK_BATCH_MQ => self.unlock(command),
            RequestCode::QUERY_CONSUMER_OFFSET => {
                let header: QueryConsumerOffsetRequestHeader<'_> =
                    command.header().expect("a header");
                match self.offset(header.consumer_group, header.queue_id) {
                    Some(offset) => {
                        reply(ok(command).with_header(&OffsetResponseHeader { offset }))
                    }
                    None => fail(command, ResponseCode::QUERY_NOT_FOUND, "no offset"),
                }
            }
            RequestCode::UPDATE_CONSUMER_OFFSET => {
                let header: UpdateConsumerOffsetRequestHeader<'_> =
                    command.header().expect("a header");
                let key = (
                    header.consumer_group.to_owned(),
                    header.queue_id.expect("a queue"),
                );
                self.state()
                    .offsets
                    .insert(key, header.commit_offset.expect("an offset"));
                if command.is_oneway() {
                    Answer::Nothing
                } else {
                    reply(ok(command))
                }
            }
            RequestCode::GET_MIN_OFFSET => {
                reply(ok(command).with_header(&OffsetResponseHeader { offset: 0 }))
            }
            RequestCode::GET_MAX_OFFSET => {
                let header: QueueRequestHeader<'_> = command.header().expect("a header");
                let offset = self.max_offset(header.queue_id);
                reply(ok(command).with_header(&OffsetResponseHeader { offset }))
            }
            RequestCode::PULL_MESSAGE | RequestCode::LITE_PULL_MESSAGE => self.pull(command),
            RequestCode::CONSUMER_SEND_MSG_BACK if self.state().refuses_send_back => {
                fail(command, ResponseCode::SYSTEM_ERROR, "not now")
            }
            RequestCode::CONSUMER_SEND_MSG_BACK => reply(ok(command)),
            other => fail(
                command,
                ResponseCode::REQUEST_CODE_NOT_SUPPORTED,
                &other.0.to_string(),
            ),
        }
    }

    fn heartbeat(&self, asked: &Asked<'_>) -> Answer {
        let data: HeartbeatData = body::decode(&asked.command.body).expect("a heartbeat");
        let mut state = self.state();
        if !data.consumer_data_set.is_empty() {
            state.members.insert(data.client_id.clone());
            state.connections.push(asked.connection.clone());
        }
        state.heartbeats.push(data);
        reply(ok(asked.command))
    }

    fn lock(&self, command: &Command) -> Answer {
        let request: LockBatchRequest = body::decode(&command.body).expect("a lock request");
        let mut state = self.state();
        let mut granted = Vec::new();
        for queue in request.mq_set {
            let owner = state
                .locks
                .entry(queue.queue_id)
                .or_insert_with(|| request.client_id.clone());
            if *owner == request.client_id {
                granted.push(queue);
            }
        }
        let response = LockBatchResponse {
            lock_ok_mq_set: granted,
        };
        reply(ok(command).with_body(body::encode(&response)))
    }

    fn unlock(&self, command: &Command) -> Answer {
        let request: LockBatchRequest = body::decode(&command.body).expect("an unlock request");
        let mut state = self.state();
        for queue in request.mq_set {
            if state.locks.get(&queue.queue_id) == Some(&request.client_id) {
                state.locks.remove(&queue.queue_id);
            }
        }
        reply(ok(command))
    }

    fn max_offset(&self, queue_id: i32) -> i64 {
        let length = self.state().queues.get(&queue_id).map_or(0, Vec::len);
        i64::try_from(length).expect("small")
    }

    fn pull(&self, command: &Command) -> Answer {
        let header: PullMessageRequestHeader<'_> = command.header().expect("a header");
        if header.topic != TOPIC {
            return Answer::Nothing;
        }
        if header.sys_flag & 1 != 0 {
            let key = (header.consumer_group.to_owned(), header.queue_id);
            self.state().offsets.insert(key, header.commit_offset);
        }
        let max_offset = self.max_offset(header.queue_id);
        let mut answer = PullMessageResponseHeader {
            next_begin_offset: max_offset,
            max_offset,
            ..PullMessageResponseHeader::default()
        };
        if header.queue_offset > max_offset {
            let moved = Command::reply_to(command, ResponseCode::PULL_OFFSET_MOVED);
            return reply(moved.with_header(&answer));
        }
        if header.queue_offset == max_offset {
            // Held; nothing comes in these tests.
            return Answer::Nothing;
        }
        let state = self.state();
        let most = usize::try_from(header.max_msg_nums).expect("positive");
        let begin = usize::try_from(header.queue_offset).expect("positive");
        let mut out = Vec::new();
        let queue = state
            .queues
            .get(&header.queue_id)
            .map(Vec::as_slice)
            .unwrap_or_default();
        for (index, (body, tag)) in queue.iter().enumerate().skip(begin).take(most) {
            answer.next_begin_offset = i64::try_from(index + 1).expect("small");
            append(
                &mut out,
                header.queue_id,
                answer.next_begin_offset - 1,
                body,
                *tag,
            );
        }
        reply(ok(command).with_header(&answer).with_body(out))
    }
}

fn append(out: &mut Vec<u8>, queue_id: i32, offset: i64, body: &[u8], tag: Option<&str>) {
    let host = "127.0.0.1:10911".parse().expect("an address");
    let tags = tag
        .map(|tag| format!("TAGS\u{1}{tag}\u{2}"))
        .unwrap_or_default();
    let fields = RecordFields {
        topic: TOPIC,
        queue_id,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1,
        born_host: host,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties: &[tags.as_bytes()],
    };
    let mut record = Vec::new();
    record::encode_into(&fields, &mut record).expect("a record");
    assert!(record::patch(&mut record, offset, offset * 1000, 2));
    out.extend_from_slice(&record);
}

/// A name server and one broker with a topic.
pub struct World {
    pub name_server: Peer,
    pub broker: Broker,
    pub peer: Peer,
}

impl World {
    /// A topic with these many queues.
    pub async fn with_queues(queues: i32) -> Self {
        Self::with_script(queues, |broker, asked| broker.answer(asked)).await
    }

    /// As [`World::with_queues`], with a script that may answer in the broker's place.
    pub async fn with_script(
        queues: i32,
        script: impl Fn(&Broker, &Asked<'_>) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let broker = Broker::default();
        let answering = broker.clone();
        let peer = Peer::start(move |asked| script(&answering, asked)).await;
        let route = route(&[("broker-a", &peer.address)], queues);
        let name_server = name_server(vec![(TOPIC, route)]).await;
        Self {
            name_server,
            broker,
            peer,
        }
    }
}
