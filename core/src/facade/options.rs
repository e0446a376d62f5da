// SPDX-License-Identifier: Apache-2.0
//! The option tables, for bindings and `cargo xtask gen`.
//!
//! Each table is declared with the part of the client that obeys it; see [`crate::options`] for the macro.

pub use crate::admin::AdminOptions;
pub use crate::consumer::{PullConsumerOptions, PushConsumerOptions};
pub use crate::options::{OptionField, OptionKind, Value};
pub use crate::producer::ProducerOptions;

/// Every table by the name of its struct.
pub const TABLES: &[(&str, &[OptionField])] = &[
    ("ProducerOptions", ProducerOptions::FIELDS),
    ("PushConsumerOptions", PushConsumerOptions::FIELDS),
    ("PullConsumerOptions", PullConsumerOptions::FIELDS),
    ("AdminOptions", AdminOptions::FIELDS),
];
