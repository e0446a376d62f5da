// SPDX-License-Identifier: Apache-2.0
//! Step "processor" of the data's way for sends: SEND_MESSAGE, SEND_MESSAGE_V2, SEND_BATCH_MESSAGE.
//!
//! Before it: [`super::super::dispatch`]. After it: [`crate::store`]. [`prepare`] checks a request and encodes its
//! record into the batch, outside any lock; [`append`] stores the whole batch at once and answers. Under SYNC_FLUSH the
//! answers wait in [`super::super::flush_wait`] until the store flushed. Source: server.md 6, wire.md 5.

use std::ops::Range;
use std::sync::Arc;

use kerolox_protocol::body::topic::TopicConfig;
use kerolox_protocol::command::ResponseHead;
use kerolox_protocol::header::NoHeader;
use kerolox_protocol::header::recall::RecallMessageResponseHeader;
use kerolox_protocol::header::send::{
    SendMessageRequestHeader, SendMessageRequestHeaderV2, SendMessageResponseHeader,
};
use kerolox_protocol::message::properties::{self, Text};
use kerolox_protocol::message::record::{RecordContent, RecordFields, RecordHead};
use kerolox_protocol::message::{batch, id, name, property};
use kerolox_protocol::{Command, RequestCode, ResponseCode, SerializeType};

use super::send_checks;
use crate::broker::Broker;
use crate::broker::draft::Draft;
use crate::broker::put_status::PutStatus;
use crate::config::BrokerConfig;
use crate::net::{Caller, Replies, Request, Session};
use crate::refusal::Refusal;
use crate::store::{
    AppendBatch, AppendError, Appended, Keys, MessageStore, QueueHandle, StoreError,
};

/// Properties that make a send leave the fast path: they are stripped, or change where the message goes.
struct Marks<T> {
    keys: Keys<T>,
    /// A property that the broker sets itself is already there.
    stamped: bool,
    delay_level: i32,
    timer: bool,
    transaction: bool,
    light: bool,
}

/// Sends of one read on their way to the store.
pub(in crate::broker) struct SendBatch {
    records: AppendBatch,
    acks: Vec<Pending>,
    topic: Option<Arc<TopicConfig>>,
    queue: Option<Arc<QueueHandle>>,
    /// What the topic adds to the bits of its messages.
    topic_flags: i32,
    /// Messages of the topic need keys.
    needs_keys: bool,
    /// A send of this batch made its topic: clients look for its route next.
    has_new_topic: bool,
    text: String,
    /// Unique keys, one behind the other.
    uniques: String,
}

#[derive(Debug)]
struct Pending {
    /// Index of the request in the read.
    request: usize,
    first: usize,
    count: usize,
    queue_id: i32,
    /// Its unique key among those of the batch; none for a batch of messages.
    unique: Option<Range<usize>>,
    /// What takes a timer message back.
    recall_handle: Option<String>,
}

/// A stored send whose answer is known but for its code.
#[derive(Debug)]
pub(in crate::broker) struct Ack {
    pub(in crate::broker) serialize_type: SerializeType,
    pub(in crate::broker) opaque: i32,
    fields: AckFields,
}

/// Fields of an answer.
#[derive(Debug)]
enum AckFields {
    None,
    Sent(Place),
    /// Unique key of the message that was taken back.
    Recalled(String),
}

/// Where a message was stored, as the answer says it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) msg_id: String,
    pub(super) queue_id: i32,
    pub(super) queue_offset: i64,
    pub(super) transaction_id: Option<String>,
    pub(super) recall_handle: Option<String>,
}

impl SendBatch {
    pub(in crate::broker) fn new(store: &MessageStore) -> Self {
        Self {
            records: store.new_batch(),
            acks: Vec::new(),
            topic: None,
            queue: None,
            topic_flags: 0,
            needs_keys: false,
            has_new_topic: false,
            text: String::new(),
            uniques: String::new(),
        }
    }

    fn keep_unique(&mut self, unique: &str) -> Range<usize> {
        let start = self.uniques.len();
        self.uniques.push_str(unique);
        start..self.uniques.len()
    }

    /// Puts a unique key into the text that is added to a message without one; returns it.
    fn make_unique(
        &mut self,
        broker: &Broker,
        request: &Request<'_>,
        has_unique: bool,
    ) -> Option<String> {
        self.text.clear();
        if has_unique {
            return None;
        }
        let unique = broker.unique_id(request.now_ms);
        properties::append_item(&mut self.text, property::UNIQ_KEY, &unique);
        Some(unique)
    }

    fn clear(&mut self) {
        self.records.clear();
        self.acks.clear();
        self.topic = None;
        self.queue = None;
        self.has_new_topic = false;
        self.uniques.clear();
    }
}

/// The properties text that the broker adds to every message.
pub(in crate::broker) fn stamp(config: &BrokerConfig) -> String {
    let mut text = String::new();
    properties::append_item(&mut text, property::MSG_REGION, &config.region_id);
    properties::append_item(&mut text, property::TRACE_ON, trace_on(config));
    properties::append_item(&mut text, property::CLUSTER, &config.broker_cluster_name);
    text
}

pub(super) fn trace_on(config: &BrokerConfig) -> &'static str {
    if config.trace_on { "true" } else { "false" }
}

/// Checks one send and puts its record into `batch`; an error is the answer to give instead.
pub(in crate::broker) fn prepare(
    broker: &Broker,
    request: &Request<'_>,
    index: usize,
    batch: &mut SendBatch,
) -> Result<(), Refusal> {
    let command = request.command;
    let is_long = command.request_code() == RequestCode::SEND_MESSAGE;
    let header: SendMessageRequestHeaderV2<'_> = if is_long {
        command
            .header::<SendMessageRequestHeader<'_>>()
            .map(Into::into)
    } else {
        command.header()
    }?;
    prepare_header(broker, request, &header, index, batch)
}

fn prepare_header(
    broker: &Broker,
    request: &Request<'_>,
    header: &SendMessageRequestHeaderV2<'_>,
    index: usize,
    batch: &mut SendBatch,
) -> Result<(), Refusal> {
    send_checks::accepting(broker, request)?;
    send_checks::admitted(broker)?;
    let topic = topic(broker, request, header, batch)?;
    let queue_id = send_checks::queue_id(&topic, header, request)?;
    let text = header.properties.unwrap_or_default();
    let is_batch = header.batch == Some(true)
        || request.command.request_code() == RequestCode::SEND_BATCH_MESSAGE;
    if is_batch {
        return prepare_batch(broker, request, header, queue_id, index, batch);
    }
    if batch.needs_keys {
        send_checks::has_keys(header.topic, text)?;
    }
    let marks = marks(text);
    if marks.stamped
        || marks.transaction
        || marks.light && broker.config.has_light_queues()
        || marks.delay_level > 0
        || marks.timer
        || name::is_retry_topic(header.topic)
    {
        return super::send_back::prepare_rewritten(
            broker, request, header, queue_id, index, batch,
        );
    }
    let queue = queue(broker, header.topic, queue_id, batch)?;
    let made = batch.make_unique(broker, request, marks.keys.unique.is_some());
    let keys = marks.keys.or_unique(made.as_deref());
    let unique = batch.keep_unique(keys.unique.unwrap_or_default());
    let mut head = head(broker, request, header, queue_id, batch)?;
    let content = RecordContent {
        flag: header.flag,
        body: &request.command.body,
        properties: &[
            text.as_bytes(),
            broker.stamp.as_bytes(),
            batch.text.as_bytes(),
        ],
    };
    let first = batch
        .records
        .push_keyed(&queue, &mut head, &content, &keys.bytes())
        .map_err(|error| refusal_for(&error))?;
    batch.acks.push(Pending {
        request: index,
        first,
        count: 1,
        queue_id,
        unique: Some(unique),
        recall_handle: None,
    });
    Ok(())
}

fn prepare_batch(
    broker: &Broker,
    request: &Request<'_>,
    header: &SendMessageRequestHeaderV2<'_>,
    queue_id: i32,
    index: usize,
    batch: &mut SendBatch,
) -> Result<(), Refusal> {
    let illegal = |what: &str| Refusal::new(ResponseCode::MESSAGE_ILLEGAL, what.to_owned());
    if header.topic.len() > name::MAX_TOPIC_BYTES {
        return Err(illegal("the topic of a batch is longer than 127 bytes"));
    }
    if name::is_retry_topic(header.topic) {
        return Err(illegal("a batch can not be sent to a retry topic"));
    }
    let outer = marks(header.properties.unwrap_or_default());
    if outer.delay_level > 0 || outer.timer || outer.transaction {
        return Err(illegal(
            "a batch can be neither delayed nor part of a transaction",
        ));
    }
    let queue = queue(broker, header.topic, queue_id, batch)?;
    let first = batch.records.len();
    batch.records.begin_group();
    let pushed = push_elements(broker, request, header, queue_id, &queue, batch);
    if let Err(answer) = pushed {
        batch.records.abort_group();
        return Err(answer);
    }
    batch.records.end_group();
    let count = batch.records.len() - first;
    if count == 0 {
        return Err(illegal("the batch has no messages"));
    }
    batch.acks.push(Pending {
        request: index,
        first,
        count,
        queue_id,
        unique: None,
        recall_handle: None,
    });
    Ok(())
}

fn push_elements(
    broker: &Broker,
    request: &Request<'_>,
    header: &SendMessageRequestHeaderV2<'_>,
    queue_id: i32,
    queue: &Arc<QueueHandle>,
    batch: &mut SendBatch,
) -> Result<(), Refusal> {
    if request.command.body.len() > broker.config.max_message_size {
        return Err(Refusal::new(
            ResponseCode::MESSAGE_ILLEGAL,
            format!(
                "the batch has {} bytes, maxMessageSize allows {}",
                request.command.body.len(),
                broker.config.max_message_size
            ),
        ));
    }
    let mut head = head(broker, request, header, queue_id, batch)?;
    for element in batch::elements(&request.command.body) {
        let element = element.map_err(|error| {
            Refusal::new(
                ResponseCode::MESSAGE_ILLEGAL,
                format!("the batch can not be read: {error}"),
            )
        })?;
        let marks = marks(element.properties);
        if marks.delay_level > 0 || marks.timer || marks.transaction {
            return Err(Refusal::new(
                ResponseCode::MESSAGE_ILLEGAL,
                "a message of a batch is delayed, by a level or a timer, or part of a transaction; send it alone",
            ));
        }
        let made = batch.make_unique(broker, request, marks.keys.unique.is_some());
        let keys = marks.keys.or_unique(made.as_deref().map(str::as_bytes));
        let content = RecordContent {
            flag: element.flag,
            body: element.body,
            properties: &[
                element.properties,
                broker.stamp.as_bytes(),
                batch.text.as_bytes(),
            ],
        };
        batch
            .records
            .push_keyed(queue, &mut head, &content, &keys)
            .map_err(|error| refusal_for(&error))?;
    }
    Ok(())
}

/// What the records of a send share.
fn head<'a>(
    broker: &Broker,
    request: &Request<'_>,
    header: &SendMessageRequestHeaderV2<'a>,
    queue_id: i32,
    batch: &SendBatch,
) -> Result<RecordHead<'a>, Refusal> {
    let head = RecordHead::new(&RecordFields {
        topic: header.topic,
        queue_id,
        flag: header.flag,
        sys_flag: header.sys_flag | batch.topic_flags,
        born_timestamp: header.born_timestamp,
        born_host: request.session.peer(),
        store_host: broker.store_host,
        reconsume_times: header.reconsume_times.unwrap_or_default(),
        prepared_transaction_offset: 0,
        body: &[],
        properties: &[],
    });
    head.map_err(|error| refusal_for(&error.into()))
}

/// The topic of a send: known, or created from its default topic.
fn topic(
    broker: &Broker,
    request: &Request<'_>,
    header: &SendMessageRequestHeaderV2<'_>,
    batch: &mut SendBatch,
) -> Result<Arc<TopicConfig>, Refusal> {
    if let Some(topic) = batch
        .topic
        .as_ref()
        .filter(|topic| topic.topic_name == header.topic)
    {
        return Ok(Arc::clone(topic));
    }
    let target = send_checks::topic(broker, request, header)?;
    batch.has_new_topic |= target.is_new;
    batch.topic_flags = send_checks::message_flags(&target.config);
    batch.needs_keys = send_checks::needs_keys(&target.config);
    batch.topic = Some(Arc::clone(&target.config));
    batch.queue = None;
    Ok(target.config)
}

fn queue(
    broker: &Broker,
    topic: &str,
    queue_id: i32,
    batch: &mut SendBatch,
) -> Result<Arc<QueueHandle>, Refusal> {
    if let Some(queue) = batch
        .queue
        .as_ref()
        .filter(|queue| queue.queue_id() == queue_id)
    {
        return Ok(Arc::clone(queue));
    }
    let queue = broker
        .store
        .queue(topic, queue_id)
        .map_err(|error| refusal_for(&error))?;
    batch.queue = Some(Arc::clone(&queue));
    Ok(queue)
}

fn marks<T: Text>(text: T) -> Marks<T> {
    let mut marks = Marks {
        keys: Keys::default(),
        stamped: false,
        delay_level: 0,
        timer: false,
        transaction: false,
        light: false,
    };
    for (name, value) in properties::scan(text) {
        match name.as_ref() {
            names::TAGS => marks.keys.tags = Some(value),
            names::UNIQ_KEY => marks.keys.unique = Some(value),
            names::KEYS => marks.keys.keys = Some(value),
            names::DELAY => marks.delay_level = level(value.as_ref()),
            names::TRAN_MSG => {
                marks.transaction = value.as_ref().eq_ignore_ascii_case(b"true");
            }
            names::TIMER_DELAY_SEC | names::TIMER_DELAY_MS | names::TIMER_DELIVER_MS => {
                marks.timer = true;
            }
            names::MSG_REGION | names::TRACE_ON | names::CLUSTER | names::POP_CK => {
                marks.stamped = true;
            }
            names::INNER_MULTI_DISPATCH => marks.light = true,
            _ => {}
        }
    }
    marks
}

fn level(value: &[u8]) -> i32 {
    let text = str::from_utf8(value).unwrap_or_default();
    text.parse().unwrap_or_default()
}

/// Names that [`marks`] looks for, as bytes.
mod names {
    use kerolox_protocol::message::property;

    pub(super) const TAGS: &[u8] = property::TAGS.as_bytes();
    pub(super) const UNIQ_KEY: &[u8] = property::UNIQ_KEY.as_bytes();
    pub(super) const KEYS: &[u8] = property::KEYS.as_bytes();
    pub(super) const DELAY: &[u8] = property::DELAY.as_bytes();
    pub(super) const TRAN_MSG: &[u8] = property::TRAN_MSG.as_bytes();
    pub(super) const TIMER_DELAY_SEC: &[u8] = property::TIMER_DELAY_SEC.as_bytes();
    pub(super) const TIMER_DELAY_MS: &[u8] = property::TIMER_DELAY_MS.as_bytes();
    pub(super) const TIMER_DELIVER_MS: &[u8] = property::TIMER_DELIVER_MS.as_bytes();
    pub(super) const MSG_REGION: &[u8] = property::MSG_REGION.as_bytes();
    pub(super) const TRACE_ON: &[u8] = property::TRACE_ON.as_bytes();
    pub(super) const CLUSTER: &[u8] = property::CLUSTER.as_bytes();
    pub(super) const POP_CK: &[u8] = property::POP_CK.as_bytes();
    pub(super) const INNER_MULTI_DISPATCH: &[u8] = property::INNER_MULTI_DISPATCH.as_bytes();
}

impl SendBatch {
    /// What the topic adds to the bits of its messages.
    pub(super) fn topic_flags(&self) -> i32 {
        self.topic_flags
    }

    /// Puts a message that was rewritten into the batch.
    pub(super) fn push_draft(
        &mut self,
        broker: &Broker,
        index: usize,
        answered_queue: i32,
        draft: &Draft,
        unique: &str,
    ) -> Result<(), Refusal> {
        let first = draft
            .push(broker, &mut self.records)
            .map_err(|error| refusal_for(&error))?;
        let unique = Some(self.keep_unique(unique));
        self.acks.push(Pending {
            request: index,
            first,
            count: 1,
            queue_id: answered_queue,
            unique,
            recall_handle: draft.recall_handle(broker),
        });
        Ok(())
    }
}

/// Stores what was prepared and answers, or parks the answers until the store flushed.
pub(in crate::broker) fn append(
    broker: &Broker,
    session: &Arc<Session>,
    requests: &[Command],
    batch: &mut SendBatch,
    replies: &mut Replies,
) {
    if batch.acks.is_empty() {
        return;
    }
    let outcome = broker.store.append(&mut batch.records);
    let waits = broker.waits_for_flush();
    let batch_bytes = batch.records.bytes();
    let mut msg_id = String::with_capacity(64);
    let mut parked = Vec::new();
    for pending in &batch.acks {
        let Some(command) = requests.get(pending.request) else {
            continue;
        };
        if command.is_oneway() {
            continue;
        }
        let results = batch.records.results();
        let range = pending.first..pending.first + pending.count;
        let stored = stored(broker, results.get(range).unwrap_or_default(), &mut msg_id);
        let queue_offset = match stored {
            Ok(offset) => offset,
            Err(error) => {
                replies.push(
                    command,
                    refuse(broker, not_stored(broker, &StoreError::Append(error))),
                );
                continue;
            }
        };
        let transaction_id = match &pending.unique {
            Some(unique) => batch.uniques.get(unique.clone()),
            // That of a batch of messages as a whole, if it has one.
            None => properties::find(properties_of(command), property::UNIQ_KEY),
        };
        if waits && waits_for_store(properties_of(command)) {
            parked.push(Ack {
                serialize_type: command.serialize_type,
                opaque: command.opaque,
                fields: AckFields::Sent(Place {
                    msg_id: msg_id.clone(),
                    queue_id: pending.queue_id,
                    queue_offset,
                    transaction_id: transaction_id.map(str::to_owned),
                    recall_handle: pending.recall_handle.clone(),
                }),
            });
            continue;
        }
        if batch.has_new_topic {
            let header = SendMessageResponseHeader {
                recall_handle: pending.recall_handle.as_deref(),
                ..answer(
                    broker,
                    &msg_id,
                    pending.queue_id,
                    queue_offset,
                    transaction_id,
                )
            };
            let reply = Command::reply_to(command, ResponseCode::SUCCESS).with_header(&header);
            if let Some(reply) = broker.topics.changes().reply_when_known(session, reply) {
                replies.push(command, reply);
            }
            continue;
        }
        let head = ResponseHead {
            serialize_type: command.serialize_type,
            code: ResponseCode::SUCCESS,
            opaque: command.opaque,
            remark: None,
        };
        let queue_id = pending.queue_id;
        replies.response(
            &head,
            &SendMessageResponseHeader {
                recall_handle: pending.recall_handle.as_deref(),
                ..answer(broker, &msg_id, queue_id, queue_offset, transaction_id)
            },
            0,
        );
    }
    for queue in batch.records.arrivals() {
        broker.arrived(queue);
    }
    batch.clear();
    if !parked.is_empty() {
        let (end_offset, bytes) = (outcome.end_offset, batch_bytes);
        broker
            .flush_waiters
            .park(broker, session, end_offset, bytes, parked);
    }
}

fn properties_of(command: &Command) -> &str {
    let is_long = command.request_code() == RequestCode::SEND_MESSAGE;
    let found = command.ext.get(if is_long { "properties" } else { "i" });
    found.unwrap_or_default()
}

/// `WAIT=false` asks for an answer that does not wait for the disk.
fn waits_for_store(properties: &str) -> bool {
    properties::find(properties, property::WAIT).is_none_or(|wait| wait != "false")
}

fn answer<'a>(
    broker: &'a Broker,
    msg_id: &'a str,
    queue_id: i32,
    queue_offset: i64,
    transaction_id: Option<&'a str>,
) -> SendMessageResponseHeader<'a> {
    SendMessageResponseHeader {
        msg_id,
        queue_id,
        queue_offset,
        transaction_id,
        batch_uniq_id: None,
        recall_handle: None,
        region: Some(&broker.config.region_id),
        trace_on: Some(trace_on(&broker.config)),
    }
}

impl Ack {
    /// The answer, once it is known how the flush went.
    pub(in crate::broker) fn write(
        &self,
        broker: &Broker,
        status: PutStatus,
        remark: Option<&str>,
        out: &mut Replies,
    ) {
        let head = ResponseHead {
            serialize_type: self.serialize_type,
            code: status.response_code(),
            opaque: self.opaque,
            remark,
        };
        // Its clients know success and failure only, and do not give up what failed.
        let is_weaker = status.is_stored() && status != PutStatus::PutOk;
        let place = match &self.fields {
            AckFields::Sent(place) => place,
            AckFields::None => {
                let weaker = ResponseHead {
                    code: ResponseCode::SYSTEM_ERROR,
                    remark: Some(status.name()),
                    ..head
                };
                return out.response(if is_weaker { &weaker } else { &head }, &NoHeader, 0);
            }
            AckFields::Recalled(msg_id) => {
                let header = RecallMessageResponseHeader {
                    msg_id,
                    region: Some(&broker.config.region_id),
                };
                // Stored is enough.
                let stored = ResponseHead {
                    code: ResponseCode::SUCCESS,
                    ..head
                };
                return out.response(if is_weaker { &stored } else { &head }, &header, 0);
            }
        };
        let transaction_id = place.transaction_id.as_deref();
        let (queue_id, queue_offset) = (place.queue_id, place.queue_offset);
        out.response(
            &head,
            &SendMessageResponseHeader {
                recall_handle: place.recall_handle.as_deref(),
                ..answer(
                    broker,
                    &place.msg_id,
                    queue_id,
                    queue_offset,
                    transaction_id,
                )
            },
            0,
        );
    }

    /// An answer to somebody whose message was stored at `place`.
    pub(super) fn placed(caller: &Caller, place: Place) -> Self {
        Self {
            serialize_type: caller.serialize_type(),
            opaque: caller.opaque(),
            fields: AckFields::Sent(place),
        }
    }

    /// An answer without fields to `command`.
    pub(in crate::broker) fn plain(command: &Command) -> Self {
        Self {
            serialize_type: command.serialize_type,
            opaque: command.opaque,
            fields: AckFields::None,
        }
    }

    /// The answer to a RECALL_MESSAGE that took `msg_id` back.
    pub(in crate::broker) fn recalled(command: &Command, msg_id: String) -> Self {
        Self {
            fields: AckFields::Recalled(msg_id),
            ..Self::plain(command)
        }
    }
}

/// Offset of the first record and, in `msg_id`, the ids of all, joined by commas.
fn stored(
    broker: &Broker,
    results: &[Result<Appended, AppendError>],
    msg_id: &mut String,
) -> Result<i64, AppendError> {
    let mut first = None;
    for result in results {
        let appended = (*result)?;
        first.get_or_insert(appended.queue_offset);
    }
    let offsets = results.iter().flatten();
    let offsets = offsets.map(|appended| appended.physical_offset);
    msg_id.clear();
    id::push_offset_ids(msg_id, broker.store_host, offsets);
    first.ok_or(AppendError::Closed)
}

/// The answer to a send that is refused, with the fields that clients expect of every answer to a send.
pub(in crate::broker) fn refuse(broker: &Broker, refusal: Refusal) -> Command {
    let mut answer = refusal.into_reply();
    answer
        .ext
        .set(property::MSG_REGION, &broker.config.region_id);
    answer.ext.set(property::TRACE_ON, trace_on(&broker.config));
    answer
}

/// As [`refusal_for`]; of a full disk the remark names the broker and says what to do.
pub(in crate::broker) fn not_stored(broker: &Broker, error: &StoreError) -> Refusal {
    let StoreError::Append(AppendError::DiskFull) = error else {
        return refusal_for(error);
    };
    // Clients need not know where the broker keeps its files.
    let remark = format!(
        "the disk of broker '{}' is full, no messages are taken; free space there and sends go on, or keep messages for \
         a shorter time (fileReservedTime)",
        broker.config.broker_name
    );
    Refusal::new(ResponseCode::SERVICE_NOT_AVAILABLE, remark)
}

/// The response code and remark of a record that was not stored. Source: store.md 5.5.
pub(super) fn refusal_for(error: &StoreError) -> Refusal {
    let code = match error {
        StoreError::IllegalName { .. } => ResponseCode::INVALID_PARAMETER,
        error => PutStatus::of(error).response_code(),
    };
    Refusal::new(code, error.to_string())
}
