// SPDX-License-Identifier: Apache-2.0
//! The message index: from a key, or a unique key, of a topic to commit-log offsets (store.md 3.5, 3.6).

pub(crate) mod layout;
