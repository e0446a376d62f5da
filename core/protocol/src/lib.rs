// SPDX-License-Identifier: Apache-2.0
//! The RocketMQ remoting protocol: bytes <-> [`frame`] <-> [`command`] <-> typed [`header`] and [`body`].
//!
//! This crate is pure: it does no I/O, knows no clock and no sockets, never panics on any input and never
//! allocates by a length that it has not checked against the bytes at hand. Clients and servers share it.
//!
//! ```text
//! BytesMut --frame::split--> Frame --Command::decode--> Command --Command::header--> typed header
//! typed header --Command::request--> Command --Command::encode--> BytesMut
//! ```
//!
//! Facts: the reference's remoting module; the pages `docs/wire.md` and `docs/store.md` say which.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod body;
pub mod code;
mod codec;
pub mod command;
pub mod ext;
mod find;
pub mod frame;
pub mod header;
pub mod language;
pub mod message;
pub mod version;

pub use code::{RequestCode, ResponseCode};
pub use command::Command;
pub use ext::ExtFields;
pub use frame::{Frame, SerializeType};
pub use language::LanguageCode;
