// SPDX-License-Identifier: Apache-2.0
//! Pops and notifications as data: how one is answered, or waits and is looked at again.
//!
//! Each look may free the way for the next one, so looks are taken from a list until it is empty instead of calling
//! each other. Source: server.md 20.1.

use std::collections::VecDeque;
use std::sync::Arc;

use kerolox_protocol::command::ResponseHead;
use kerolox_protocol::header::pop::{NotificationResponseHeader, PopMessageResponseHeader};
use kerolox_protocol::{Command, ResponseCode, SerializeType};

use super::look;
use super::polling::{Kind, NotParked, Waits};
use super::receive::{Received, receive};
use crate::broker::Broker;
use crate::broker::read_filter::ReadFilter;
use crate::net::{Replies, Session};
use crate::store::{GetStatus, QueueHandle};

/// What a pop or notification has in common.
#[derive(Debug)]
pub(in crate::broker) struct PopRequest {
    pub(in crate::broker) session: Arc<Session>,
    pub(in crate::broker) serialize_type: SerializeType,
    pub(in crate::broker) opaque: i32,
    pub(in crate::broker) is_oneway: bool,
    pub(in crate::broker) topic: String,
    pub(in crate::broker) group: String,
    /// Queue; negative is any.
    pub(in crate::broker) queue_id: i32,
    /// When it is answered at the latest, milliseconds since the epoch.
    pub(in crate::broker) deadline_ms: i64,
    pub(in crate::broker) may_wait: bool,
    pub(in crate::broker) is_ordered: bool,
    pub(in crate::broker) attempt_id: Option<String>,
    /// Only to hear whether there is something.
    pub(in crate::broker) is_notice: bool,

    pub(in crate::broker) max_messages: usize,
    pub(in crate::broker) invisible_ms: i64,
    pub(in crate::broker) init_mode: i32,
    pub(in crate::broker) filter: ReadFilter,
}

impl Waits for PopRequest {
    fn kind(&self) -> Kind {
        if self.is_notice {
            Kind::Notice
        } else {
            Kind::Pop
        }
    }

    fn session(&self) -> &Arc<Session> {
        &self.session
    }

    fn topic(&self) -> &str {
        &self.topic
    }

    fn group(&self) -> &str {
        &self.group
    }

    fn queue_id(&self) -> i32 {
        self.queue_id
    }

    fn deadline_ms(&self) -> i64 {
        self.deadline_ms
    }

    fn may_wait(&self) -> bool {
        self.may_wait
    }
}

/// A queue with the maximum up to which it was looked at.
type Seen = (Arc<QueueHandle>, i64);

/// Looks at a new request: the answer goes to `replies`, unless it waits.
pub(in crate::broker) fn serve(
    broker: &Broker,
    request: PopRequest,
    now_ms: i64,
    replies: &mut Replies,
) {
    let mut looks = VecDeque::new();
    serve_one(broker, request, now_ms, Some(replies), &mut looks);
    serve_all(broker, looks, now_ms);
}

/// Looks at requests that waited; answers go to their connections.
pub(super) fn serve_all(broker: &Broker, mut looks: VecDeque<PopRequest>, now_ms: i64) {
    while let Some(request) = looks.pop_front() {
        serve_one(broker, request, now_ms, None, &mut looks);
    }
}

/// Looks at one request. `looks` gets others that can be answered now.
fn serve_one(
    broker: &Broker,
    request: PopRequest,
    now_ms: i64,
    replies: Option<&mut Replies>,
    looks: &mut VecDeque<PopRequest>,
) {
    if request.is_notice {
        let (found, seen) = look::look(broker, &request, now_ms);
        if found {
            return notify(&request, true, false, replies);
        }
        match park(broker, request, now_ms, &seen, looks) {
            Ok(()) => {}
            Err((request, why)) => notify(&request, false, why == NotParked::Full, replies),
        }
        return;
    }
    let received = receive(broker, &request, now_ms);
    if received.count > 0 {
        if received.rest > 0 {
            let (topic, group) = (&request.topic, &request.group);
            looks.extend(
                broker
                    .pop
                    .polls
                    .take(Kind::Pop, topic, group, request.queue_id),
            );
        }
        return answer(&request, ResponseCode::SUCCESS, &received, replies);
    }
    let soon = received.was_busy && received.rest > 0;
    let place = soon.then(|| {
        (
            request.topic.clone(),
            request.group.clone(),
            request.queue_id,
        )
    });
    match park(broker, request, now_ms, &received.seen, looks) {
        Ok(()) => broker.pop.look_soon(place),
        Err((request, why)) => {
            let code = match why {
                NotParked::Full => ResponseCode::POLLING_FULL,
                NotParked::Timeout => ResponseCode::POLLING_TIMEOUT,
            };
            answer(&request, code, &received, replies);
        }
    }
}

/// Lets a request wait, or gives it back. If something came since `seen`, one that waits is to be looked at again.
#[expect(
    clippy::result_large_err,
    reason = "the request is moved once; a box would be an allocation more"
)]
fn park(
    broker: &Broker,
    request: PopRequest,
    now_ms: i64,
    seen: &[Seen],
    looks: &mut VecDeque<PopRequest>,
) -> Result<(), (PopRequest, NotParked)> {
    let (kind, queue_id) = (request.kind(), request.queue_id);
    let (topic, group) = (request.topic.clone(), request.group.clone());
    broker.pop.polls.park(request, now_ms)?;
    let has_news = seen.iter().fold(false, |news, (queue, max)| {
        queue.watch_topic() > *max || news
    });
    if has_news {
        looks.extend(broker.pop.polls.take(kind, &topic, &group, queue_id));
    }
    Ok(())
}

fn notify(request: &PopRequest, has_msg: bool, polling_full: bool, replies: Option<&mut Replies>) {
    let head = ResponseHead {
        serialize_type: request.serialize_type,
        code: ResponseCode::SUCCESS,
        opaque: request.opaque,
        remark: None,
    };
    let header = NotificationResponseHeader {
        has_msg,
        polling_full,
    };
    write(request, replies, |out| out.response(&head, &header, 0));
}

fn answer(
    request: &PopRequest,
    code: ResponseCode,
    received: &Received,
    replies: Option<&mut Replies>,
) {
    let status = if received.count > 0 {
        GetStatus::Found
    } else {
        GetStatus::NoMessageInQueue
    };
    let head = ResponseHead {
        serialize_type: request.serialize_type,
        code,
        opaque: request.opaque,
        remark: Some(status.name()),
    };
    let header = PopMessageResponseHeader {
        pop_time: received.pop_time,
        invisible_time: request.invisible_ms,
        revive_queue_id: received.revive_queue_id,
        rest_num: received.rest,
        start_offset_info: Some(&received.start_offsets),
        msg_offset_info: Some(&received.offsets),
        order_count_info: request.is_ordered.then_some(&*received.order_counts),
    };
    write(request, replies, |out| {
        out.response(&head, &header, received.bytes);
        for slice in &received.slices {
            out.body(slice.clone());
        }
    });
}

fn write(request: &PopRequest, replies: Option<&mut Replies>, put: impl FnOnce(&mut Replies)) {
    if request.is_oneway {
        return;
    }
    match replies {
        Some(replies) => put(replies),
        None => {
            let mut replies = Replies::new();
            put(&mut replies);
            request.session.send_frames(replies.take());
        }
    }
}

/// The header of an answer to a pop that is refused: clients read it on some codes.
pub(in crate::broker) fn with_empty_header(answer: Command) -> Command {
    answer.with_header(&PopMessageResponseHeader::default())
}
