// SPDX-License-Identifier: Apache-2.0
//! The filters compiled lately, and the texts that are none.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{CompileError, Filter};

/// Texts that are remembered.
const CAPACITY: usize = 100;

type Compiled = Result<Arc<Filter>, CompileError>;

/// Filters by text; the one that was not asked for the longest time goes first.
#[derive(Debug, Default)]
pub struct FilterCache(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    by_text: HashMap<Box<str>, Entry>,
    uses: u64,
}

#[derive(Debug)]
struct Entry {
    compiled: Compiled,
    last_use: u64,
}

impl FilterCache {
    /// The filter of a text.
    ///
    /// # Errors
    /// As [`Filter::compile`].
    pub fn compile(&self, text: &str) -> Result<Arc<Filter>, CompileError> {
        if let Some(compiled) = self.find(text) {
            return compiled;
        }
        let compiled = Filter::compile(text).map(Arc::new);
        let mut entries = self.0.lock();
        entries.uses += 1;
        if entries.by_text.len() >= CAPACITY {
            let oldest = entries
                .by_text
                .iter()
                .min_by_key(|(_, entry)| entry.last_use);
            if let Some(oldest) = oldest.map(|(text, _)| text.clone()) {
                entries.by_text.remove(&oldest);
            }
        }
        let entry = Entry {
            compiled: compiled.clone(),
            last_use: entries.uses,
        };
        entries.by_text.insert(text.into(), entry);
        compiled
    }

    fn find(&self, text: &str) -> Option<Compiled> {
        let entries = &mut *self.0.lock();
        let entry = entries.by_text.get_mut(text)?;
        entries.uses += 1;
        entry.last_use = entries.uses;
        Some(entry.compiled.clone())
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().by_text.len()
    }
}
