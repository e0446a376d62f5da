// SPDX-License-Identifier: Apache-2.0
//! What an inspection says: findings (something is wrong), notes (worth knowing), and a summary in numbers.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::finding::Finding;
use super::note::Note;

/// Figures of an inspection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Commit-log offset of the first segment.
    pub log_begin: u64,
    /// Commit-log offset after the last record.
    pub log_end: u64,
    /// Length of a commit-log segment, 0 without any.
    pub segment_len: u64,
    /// Commit-log segments.
    pub segments: u64,
    /// Intact records.
    pub records: u64,
    /// Their bytes.
    pub record_bytes: u64,
    /// Ranges of the commit log without intact records.
    pub damaged_ranges: u64,
    /// Their bytes.
    pub damaged_bytes: u64,
    /// Latest store time of a record, Unix milliseconds.
    pub last_store_timestamp: i64,
    /// Consume queues.
    pub queues: u64,
    /// Their units.
    pub units: u64,
    /// Units of records that have expired.
    pub expired_units: u64,
    /// Units of records in damaged ranges.
    pub damaged_units: u64,
    /// Units that stand for no record.
    pub filler_units: u64,
    /// Index files.
    pub index_files: u64,
    /// Their entries.
    pub index_entries: u64,
    /// Entries of records that have expired.
    pub expired_entries: u64,
    /// Entries of records in damaged ranges.
    pub damaged_entries: u64,
    /// Keys of records that were looked for in the index.
    pub keys: u64,
    /// Committed offsets, of groups and of delay levels.
    pub offsets: u64,
}

/// The outcome of [`super::verify`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyReport {
    /// Figures.
    pub summary: Summary,
    /// How many findings there are of each kind, those beyond the limit included.
    pub counts: BTreeMap<&'static str, u64>,
    /// The findings, as many as [`super::StoreLayout::max_findings`] allows.
    pub findings: Vec<Finding>,
    /// The notes, as many as the same limit allows.
    pub notes: Vec<Note>,
    /// How many notes were left out.
    pub more_notes: u64,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.counts.is_empty()
    }

    /// How many findings there are, those beyond the limit included.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }
}

/// Collects findings and notes within bounds.
#[derive(Debug, Default)]
pub(super) struct Sink {
    max: usize,
    pub(super) summary: Summary,
    counts: BTreeMap<&'static str, u64>,
    findings: Vec<Finding>,
    notes: Vec<Note>,
    more_notes: u64,
}

impl Sink {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            ..Self::default()
        }
    }

    pub(super) fn find(&mut self, finding: Finding) {
        *self.counts.entry(finding.kind()).or_default() += 1;
        if self.findings.len() < self.max {
            self.findings.push(finding);
        }
    }

    pub(super) fn note(&mut self, note: Note) {
        if self.notes.len() < self.max {
            self.notes.push(note);
        } else {
            self.more_notes += 1;
        }
    }

    pub(super) fn finish(self) -> VerifyReport {
        VerifyReport {
            summary: self.summary,
            counts: self.counts,
            findings: self.findings,
            notes: self.notes,
            more_notes: self.more_notes,
        }
    }
}

/// `7` or `7 to 9`.
pub(super) struct Span(pub(super) i64, pub(super) i64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == self.1 {
            write!(f, "{}", self.0)
        } else {
            write!(f, "{} to {}", self.0, self.1)
        }
    }
}
