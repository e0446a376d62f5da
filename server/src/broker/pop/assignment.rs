// SPDX-License-Identifier: Apache-2.0
//! Who of a group gets which queues, computed by the broker: QUERY_ASSIGNMENT.
//!
//! The queues come from the topic's route, so that all brokers of a topic say the same. Source: server.md 20.4.

use kerolox_protocol::body::assignment::{
    QueryAssignmentRequest, QueryAssignmentResponse, QueueAssignment, RequestMode,
};
use kerolox_protocol::body::heartbeat::MessageModel;
use kerolox_protocol::body::queue::MessageQueue;
use kerolox_protocol::message::name;

use crate::broker::Broker;
use crate::broker::routes::Known;

/// What is known of an assignment.
#[derive(Debug)]
pub(in crate::broker) enum Assignment {
    /// The answer.
    Answer(QueryAssignmentResponse),
    /// A name server has to be asked for the topic's route first.
    NeedsRoute,
}

/// Computes the queues of a client. Without a list in the answer the client keeps what it has.
pub(in crate::broker) fn assign(
    broker: &Broker,
    wanted: &QueryAssignmentRequest,
    now_ms: i64,
) -> Assignment {
    let unknown = || Assignment::Answer(QueryAssignmentResponse::default());
    let topic = &wanted.topic;
    let queues = if topic.starts_with(name::LMQ_PREFIX) {
        vec![MessageQueue {
            topic: topic.clone(),
            broker_name: broker.config.broker_name.clone(),
            queue_id: 0,
        }]
    } else {
        match broker.routes.queues(broker, topic, now_ms) {
            Known::Queues(queues) => queues,
            Known::NoTopic => return unknown(),
            Known::NotYet => return Assignment::NeedsRoute,
        }
    };
    let (mode, share) = broker.pop.modes.get(topic, &wanted.consumer_group);
    let is_broadcast = wanted.message_model == Some(MessageModel::Broadcasting);
    let own = if is_broadcast || !broker.config.server_load_balancer_enable {
        Some(queues)
    } else {
        let members = broker.clients.consumer_ids(&wanted.consumer_group);
        let strategy = Strategy::of_name(&wanted.strategy_name);
        strategy
            .filter(|_| !members.is_empty())
            .map(|strategy| match mode {
                RequestMode::Pull => strategy.allocate(&queues, &members, &wanted.client_id),
                RequestMode::Pop => popped(strategy, &queues, &members, &wanted.client_id, share),
            })
    };
    let Some(own) = own else {
        tracing::warn!(
            topic,
            group = wanted.consumer_group,
            strategy = wanted.strategy_name,
            "no assignment: the group has no members or the strategy is none of AVG, AVG_BY_CIRCLE"
        );
        return unknown();
    };
    let assigned = own.into_iter().map(|message_queue| QueueAssignment {
        message_queue,
        mode,
    });
    Assignment::Answer(QueryAssignmentResponse {
        message_queue_assignments: Some(assigned.collect()),
    })
}

/// How queues are shared among members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strategy {
    /// Neighbouring queues.
    Averagely,
    /// Every n-th queue.
    ByCircle,
}

impl Strategy {
    fn of_name(name: &str) -> Option<Self> {
        match name {
            "AVG" => Some(Self::Averagely),
            "AVG_BY_CIRCLE" => Some(Self::ByCircle),
            _ => None,
        }
    }

    /// The queues of `me`; both lists are sorted, nothing if `me` is no member.
    fn allocate(self, queues: &[MessageQueue], members: &[String], me: &str) -> Vec<MessageQueue> {
        let Some(index) = members.iter().position(|member| member == me) else {
            return Vec::new();
        };
        let count = members.len();
        match self {
            Self::Averagely => {
                let (rest, share) = (queues.len() % count, queues.len() / count);
                let begin = index * share + index.min(rest);
                let size = share + usize::from(index < rest);
                queues.iter().skip(begin).take(size).cloned().collect()
            }
            Self::ByCircle => queues.iter().skip(index).step_by(count).cloned().collect(),
        }
    }
}

/// The queues that `me` pops: of all brokers, or its own and those of the next `share` members.
fn popped(
    strategy: Strategy,
    queues: &[MessageQueue],
    members: &[String],
    me: &str,
    share: i32,
) -> Vec<MessageQueue> {
    let count = members.len();
    let shared = usize::try_from(share).unwrap_or(0);
    let mut own: Vec<MessageQueue> = if shared == 0 || shared + 1 >= count {
        let any = |queue: &MessageQueue| MessageQueue {
            queue_id: -1,
            ..queue.clone()
        };
        queues.iter().map(any).collect()
    } else if count <= queues.len() {
        let mine = members.iter().position(|member| member == me);
        let next = mine.into_iter().flat_map(|mine| {
            let around = members.iter().cycle().skip(mine).take(shared + 1);
            around.flat_map(|member| strategy.allocate(queues, members, member))
        });
        next.collect()
    } else {
        // More members than queues: everybody gets one.
        let mine = members.iter().position(|member| member == me);
        let at = mine.and_then(|mine| mine.checked_rem(queues.len()));
        at.and_then(|at| queues.get(at))
            .cloned()
            .into_iter()
            .collect()
    };
    own.sort_unstable();
    own.dedup();
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues(count: i32) -> Vec<MessageQueue> {
        (0..count)
            .map(|queue_id| MessageQueue {
                topic: "t".to_owned(),
                broker_name: "b".to_owned(),
                queue_id,
            })
            .collect()
    }

    fn members(count: usize) -> Vec<String> {
        (0..count).map(|member| format!("m{member}")).collect()
    }

    fn ids(queues: &[MessageQueue]) -> Vec<i32> {
        queues.iter().map(|queue| queue.queue_id).collect()
    }

    #[test]
    fn pulled_queues_are_shared_without_gaps() {
        let (queues, members) = (queues(8), members(3));
        let of = |strategy: Strategy, me: &str| ids(&strategy.allocate(&queues, &members, me));
        assert_eq!(of(Strategy::Averagely, "m0"), [0, 1, 2]);
        assert_eq!(of(Strategy::Averagely, "m2"), [6, 7]);
        assert_eq!(of(Strategy::ByCircle, "m1"), [1, 4, 7]);
        assert!(of(Strategy::ByCircle, "stranger").is_empty());
        assert_eq!(Strategy::of_name("CONSISTENT_HASH"), None);
    }

    #[test]
    fn popped_queues_are_shared_with_neighbours() {
        let pop = |queue_count, member_count, me: &str, share| {
            let (queues, members) = (queues(queue_count), members(member_count));
            ids(&popped(Strategy::Averagely, &queues, &members, me, share))
        };
        assert_eq!(pop(4, 4, "m0", -1), [-1]);
        assert_eq!(pop(4, 4, "m0", 3), [-1], "all share all");
        assert_eq!(pop(4, 4, "m1", 2), [1, 2, 3]);
        assert_eq!(pop(4, 4, "m3", 1), [0, 3]);
        assert_eq!(pop(2, 5, "m3", 1), [1]);
        assert!(pop(4, 4, "stranger", 1).is_empty());
    }
}
