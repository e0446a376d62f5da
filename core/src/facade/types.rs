// SPDX-License-Identifier: Apache-2.0
//! The plain data of the façade: everything owned, no lifetimes, no generics, no closures.

pub use crate::consumer::{ConsumeFrom, Delivery, MessageModel, Subscription, Verdict};
pub use crate::message::{Message, Queue, ReceivedMessage, SendResult, SendStatus};
