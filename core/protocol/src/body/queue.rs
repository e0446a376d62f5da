// SPDX-License-Identifier: Apache-2.0
//! A message queue, also as a map key. Source: wire.md 4.2.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::{Error as _, SerializeMap};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One queue of a topic on a broker. Its order is the one that clients sort by before they share queues.
///
/// The fields stand in sort order (topic, broker name, queue id); on the wire members are alphabetical.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageQueue {
    /// Topic.
    pub topic: String,
    /// Broker name.
    pub broker_name: String,
    /// Queue id, from 0.
    pub queue_id: i32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sorted<'a> {
    broker_name: &'a str,
    queue_id: i32,
    topic: &'a str,
}

impl Serialize for MessageQueue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Sorted {
            broker_name: &self.broker_name,
            queue_id: self.queue_id,
            topic: &self.topic,
        }
        .serialize(serializer)
    }
}

/// A map by queue; in the dialect its keys are bare objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueMap<V>(pub BTreeMap<MessageQueue, V>);

impl<V> Default for QueueMap<V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<V: Serialize> Serialize for QueueMap<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (queue, value) in &self.0 {
            map.serialize_entry(
                &serde_json::to_string(queue).map_err(S::Error::custom)?,
                value,
            )?;
        }
        map.end()
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for QueueMap<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Queues<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Queues<V> {
            type Value = QueueMap<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map by message queue")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<QueueMap<V>, A::Error> {
                let mut map = BTreeMap::new();
                while let Some((key, value)) = access.next_entry::<String, V>()? {
                    let queue = serde_json::from_str(&key).map_err(A::Error::custom)?;
                    map.insert(queue, value);
                }
                Ok(QueueMap(map))
            }
        }
        deserializer.deserialize_map(Queues(PhantomData))
    }
}
