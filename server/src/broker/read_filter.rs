// SPDX-License-Identifier: Apache-2.0
//! Which messages a pull or a pop gets: by tags from the queue's unit, by SQL from the properties of the stored record.

use std::sync::Arc;

use kerolox_protocol::body::heartbeat::SubscriptionData;
use kerolox_protocol::message::{RecordView, name, properties, property};

use crate::broker::Broker;
use crate::broker::filters::GroupFilter;
use crate::filter::Filter;
use crate::store::MessageFilter;

/// The filter of a pull or a pop.
#[derive(Clone, Debug)]
pub(in crate::broker) enum ReadFilter {
    /// Everything.
    All,
    /// By the hashes of tags.
    Tags(Arc<SubscriptionData>),
    /// By an expression that came with the request.
    Expression(Arc<Filter>),
    /// By the expression of the group's heartbeats; a newer one counts for pulls that wait already.
    Registered(Arc<GroupFilter>),
}

impl ReadFilter {
    /// A subscription by tags.
    pub(in crate::broker) fn by_tags(data: Arc<SubscriptionData>) -> Self {
        if data.code_set.is_empty() || data.class_filter_mode {
            Self::All
        } else {
            Self::Tags(data)
        }
    }

    /// Runs `read` with this filter for messages of `topic`.
    pub(in crate::broker) fn with<R>(
        &self,
        broker: &Broker,
        group: &str,
        topic: &str,
        read: impl FnOnce(&mut MessageFilter<'_>) -> R,
    ) -> R {
        match self {
            Self::All => read(&mut MessageFilter::TagsCode(&mut |_| true)),
            Self::Tags(data) => read(&mut MessageFilter::TagsCode(&mut |code| {
                data.matches_tags_code(code)
            })),
            Self::Expression(filter) => {
                let own = |text: &str| filter.matches(text);
                read(&mut MessageFilter::Record {
                    bits: &mut |_| true,
                    record: &mut |record| passes(broker, group, topic, record, &own),
                })
            }
            Self::Registered(found) => {
                let current = broker.filters.get(topic, group);
                let current = current.as_ref().unwrap_or(found);
                let own = |text: &str| current.filter.matches(text);
                read(&mut MessageFilter::Record {
                    bits: &mut |stored| current.may_pass(stored),
                    record: &mut |record| passes(broker, group, topic, record, &own),
                })
            }
        }
    }
}

/// Whether a stored record passes. With `filterSupportRetry` a message that is tried again is asked by the filter of the
/// topic that it came from, if the group has one.
fn passes(
    broker: &Broker,
    group: &str,
    topic: &str,
    record: &[u8],
    own: &dyn Fn(&str) -> bool,
) -> bool {
    let Ok(record) = RecordView::parse(record) else {
        return false;
    };
    let text = record.properties();
    if broker.config.filter_support_retry && name::is_retry_topic(topic) {
        let origin = properties::find(&text, property::RETRY_TOPIC);
        let filter = origin.and_then(|origin| broker.filters.get(origin, group));
        return filter.is_none_or(|found| found.filter.matches(&text));
    }
    own(&text)
}
