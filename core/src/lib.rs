// SPDX-License-Identifier: Apache-2.0
//! A native client for Apache RocketMQ: producers, push and pull consumers, administration.
//!
//! ```no_run
//! use kerolox::consumer::{PushConsumer, PushConsumerOptions, Subscription, Verdict};
//! use kerolox::producer::{Producer, ProducerOptions};
//! use kerolox::Message;
//!
//! # async fn run() -> kerolox::Result<()> {
//! let producer = Producer::start(ProducerOptions {
//!     name_servers: "127.0.0.1:9876".into(),
//!     ..ProducerOptions::default()
//! })
//! .await?;
//! let result = producer.send(Message::new("orders", "hello").with_tag("new")).await?;
//! println!("{} in {}", result.message_id, result.queue());
//!
//! let consumer = PushConsumer::start(
//!     PushConsumerOptions {
//!         name_servers: "127.0.0.1:9876".into(),
//!         group: "billing".into(),
//!         ..PushConsumerOptions::default()
//!     },
//!     vec![Subscription::new("orders", "*")],
//! )
//! .await?;
//! for delivery in consumer.poll(32, std::time::Duration::from_secs(5)).await? {
//!     println!("{}", delivery.message.message_id);
//!     consumer.complete(delivery.id, Verdict::Success)?;
//! }
//! consumer.close().await?;
//! producer.close().await
//! # }
//! ```
//!
//! Layers, each importing only those to its right: [`facade`] (the one API under the other languages) ->
//! [`producer`], [`consumer`], [`admin`] -> `instance` (routes, heartbeats) -> [`net`] -> `kerolox_protocol`.
#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod admin;
pub mod consumer;
pub mod error;
pub mod facade;
mod instance;
pub mod message;
pub mod net;
pub mod options;
pub mod producer;
pub mod runtime;

pub use error::{Error, ErrorCode, Result};
pub use message::{Message, Queue, ReceivedMessage, SendResult, SendStatus};
