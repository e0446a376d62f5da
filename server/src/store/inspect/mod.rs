// SPDX-License-Identifier: Apache-2.0
//! Examines a store directory without changing it: ours or the reference's, stopped or running.
//!
//! [`verify`] walks the log once. Each record looks for its unit (`queues`) and its index entries (`index`);
//! afterwards the units are scanned for those without a record (`units`), and offsets and checkpoint are compared with
//! what was found. Memory does not grow with the log. [`records`] shows the records alone.
//!
//! Invariants:
//! - nothing is created, locked, extended, mapped or repaired; files are listed and read, nothing else;
//! - tables, checkpoint and headers are read before the log, so that a running broker's log can only be ahead of them;
//!   what seems to be missing is looked at again at the end;
//! - whatever the files hold, nothing panics and no length is believed that the file does not have.

mod blocks;
mod condition;
mod finding;
mod index;
mod index_chains;
mod index_files;
mod layout;
mod listing;
mod log;
mod note;
mod queues;
mod report;
mod tables;
mod units;
mod walk;

use std::ops::{ControlFlow, Range};
use std::path::Path;

use kerolox_protocol::message::record::RecordView;

use super::disk::Disk;
use super::{StoreError, StoreOptions};
use condition::Condition;
use index::{Around, Index};
use index_files::Cursor;
use log::{LogFiles, Records};
use queues::Queues;
use report::Sink;
use tables::Tables;
use units::Log;
use walk::{Event, Walk};

pub use finding::{Finding, QueuePlace, UnitFields};
pub use layout::StoreLayout;
pub use note::Note;
pub use report::{Summary, VerifyReport};

/// Damaged ranges that are remembered.
const MAX_DAMAGED: usize = 1 << 16;

/// How often a running broker's log is looked at again for what seems to be missing.
const MAX_LOOKS: u32 = 1000;

/// What an inspection is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Walking the log; in bytes.
    Log,
    /// Scanning the consume queues; in queues.
    Queues,
}

/// How far an inspection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// With what.
    pub stage: Stage,
    /// Done.
    pub done: u64,
    /// Of.
    pub total: u64,
}

/// Compares records, queue entries, index and offsets of a store.
///
/// # Errors
/// [`StoreError::NotExaminable`] if there is no store, [`StoreError::Io`] if a file can not be read. What is wrong with
/// the store is no error but in the report.
pub fn verify(
    disk: &dyn Disk,
    layout: &StoreLayout,
    progress: &mut dyn FnMut(Progress),
) -> Result<VerifyReport, StoreError> {
    layout.check(disk)?;
    let mut sink = Sink::new(layout.max_findings);
    let condition = Condition::read(disk, &layout.root_dir, &mut sink)?;
    let tables = Tables::read(disk, &layout.root_dir, &mut sink)?;
    let files = LogFiles::find(disk, layout, layout.commit_log_file_size, &mut sink)?;
    let is_open = condition.is_in_use || condition.is_after_crash;
    let (index_dir, shape) = (layout.index_dir(), layout.shape());
    let cursor = Cursor::find(disk, &index_dir, shape, is_open, &mut sink)?;
    let queues = Queues::find(
        disk,
        layout.consume_queue_dir(),
        layout.consume_queue_file_size,
        &mut sink,
    )?;
    let mut pass = Pass {
        options: layout.store_options(),
        tables: &tables,
        queues,
        index: Index::new(cursor, is_open),
        records: Records::new(disk, files.clone()),
        damaged: files.holes(),
        begin: files.begin(),
        total: files.segments.len() as u64 * files.segment_len,
        ends_damaged: false,
        back: None,
        sink,
        progress,
    };
    let walk = Walk::new(disk, &files, files.begin(), condition.flushed());
    let end = walk.run(&mut |event| pass.see(event))?;
    pass.finish(end, &files, &condition, &mut || {
        LogFiles::find(disk, layout, Some(files.segment_len), &mut Sink::default())
    })
}

/// A part of the log that [`records`] meets.
pub enum Part<'a> {
    /// An intact record at this offset.
    Record(u64, &'a RecordView<'a>),
    /// Bytes without intact records, and what is wrong with them.
    Damaged(Range<u64>, &'a str),
    /// The walk came to here.
    Progress(u64),
}

/// Shows the records that touch `range`, and damage between them, until `visit` breaks.
///
/// # Errors
/// As [`verify`], and what `visit` returns.
pub fn records(
    disk: &dyn Disk,
    layout: &StoreLayout,
    range: Range<u64>,
    visit: &mut dyn FnMut(Part<'_>) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    layout.check(disk)?;
    let mut sink = Sink::default();
    let condition = Condition::read(disk, &layout.root_dir, &mut sink)?;
    let files = LogFiles::find(disk, layout, layout.commit_log_file_size, &mut sink)?;
    // Records start anywhere, but one starts with each segment.
    let start = files
        .at(range.start)
        .map_or(range.start, |segment| segment.base);
    let mut holes = files.holes().into_iter().peekable();
    let walk = Walk::new(disk, &files, start.max(files.begin()), condition.flushed());
    walk.run(&mut |event| {
        let (from, to) = match &event {
            Event::Record(at, record) => (*at, *at + record.size as u64),
            Event::Damaged(damage) => (damage.from, damage.to),
            Event::Progress(at) => return visit(Part::Progress(*at)),
            Event::Gone { .. } => return Ok(ControlFlow::Continue(())),
        };
        while let Some(hole) = holes.next_if(|hole| hole.end <= from) {
            let is_in_range = hole.end > range.start && hole.start < range.end;
            if is_in_range && visit(Part::Damaged(hole, "segments are missing"))?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        if from >= range.end {
            return Ok(ControlFlow::Break(()));
        }
        if to <= range.start {
            return Ok(ControlFlow::Continue(()));
        }
        match event {
            Event::Record(at, record) => visit(Part::Record(at, record)),
            Event::Damaged(damage) => visit(Part::Damaged(from..to, &damage.reason)),
            _ => Ok(ControlFlow::Continue(())),
        }
    })?;
    Ok(())
}

/// What a verification knows during the walk.
struct Pass<'a, 'd> {
    options: StoreOptions,
    tables: &'a Tables,
    queues: Queues<'d>,
    index: Index<'d>,
    records: Records<'d>,
    /// Ranges without records, in order.
    damaged: Vec<Range<u64>>,
    /// Commit-log offset of the first record that can exist.
    begin: u64,
    /// Bytes of all segments.
    total: u64,
    /// Whether no intact record followed the last damage.
    ends_damaged: bool,
    /// Records with a store time before their predecessor's, and the first of them.
    back: Option<(u64, u64)>,
    sink: Sink,
    progress: &'a mut dyn FnMut(Progress),
}

impl Pass<'_, '_> {
    fn see(&mut self, event: Event<'_>) -> Result<ControlFlow<()>, StoreError> {
        match event {
            Event::Record(position, record) => self.see_record(position, record)?,
            Event::Damaged(damage) => {
                self.ends_damaged = true;
                let summary = &mut self.sink.summary;
                summary.damaged_ranges += 1;
                summary.damaged_bytes += damage.to - damage.from;
                if self.damaged.len() < MAX_DAMAGED {
                    let before = |range: &Range<u64>| range.start < damage.from;
                    let at = self.damaged.partition_point(before);
                    self.damaged.insert(at, damage.from..damage.to);
                }
                self.sink.find(Finding::DamagedLog {
                    from: damage.from,
                    to: damage.to,
                    reason: damage.reason.clone(),
                    message: damage.message.clone(),
                });
            }
            Event::Gone { end } => self.begin = self.begin.max(end),
            Event::Progress(position) => (self.progress)(Progress {
                stage: Stage::Log,
                done: position.saturating_sub(self.begin).min(self.total),
                total: self.total,
            }),
        }
        Ok(ControlFlow::Continue(()))
    }

    fn see_record(&mut self, position: u64, record: &RecordView<'_>) -> Result<(), StoreError> {
        self.ends_damaged = false;
        let summary = &mut self.sink.summary;
        summary.records += 1;
        summary.record_bytes += record.size as u64;
        if record.store_timestamp < summary.last_store_timestamp {
            self.back.get_or_insert((0, position)).0 += 1;
        }
        summary.last_store_timestamp = summary.last_store_timestamp.max(record.store_timestamp);
        let topic = record.topic();
        if !self.tables.batch_topics.contains(topic.as_ref()) {
            let tags_code = self.options.tags_code(record);
            self.queues
                .see(position, record, tags_code, &mut self.sink)?;
        }
        let mut around = Around {
            records: &mut self.records,
            damaged: &self.damaged,
            begin: self.begin,
            sink: &mut self.sink,
        };
        self.index.see(position, record, &mut around)
    }

    fn finish(
        mut self,
        end: u64,
        files: &LogFiles,
        condition: &Condition,
        list_again: &mut dyn FnMut() -> Result<LogFiles, StoreError>,
    ) -> Result<VerifyReport, StoreError> {
        let summary = &mut self.sink.summary;
        summary.log_begin = self.begin;
        summary.log_end = end;
        summary.segment_len = files.segment_len;
        summary.segments = files.segments.len() as u64;
        if self.begin > 0 {
            let offset = self.begin;
            self.sink.note(Note::LogBegins { offset });
        }
        if let Some((records, first)) = self.back {
            self.sink.note(Note::TimeWentBack { records, first });
        }
        if !files.buffers.is_empty() && !condition.is_in_use {
            let buffers = files.buffers.len() as u64;
            self.sink.note(Note::Buffers { buffers });
        }
        if condition.is_in_use {
            self.records.refresh(list_again()?);
        }
        let mut around = Around {
            records: &mut self.records,
            damaged: &self.damaged,
            begin: self.begin,
            sink: &mut self.sink,
        };
        self.index.finish(&mut around)?;
        let mut log = Log {
            begin: self.begin,
            end,
            damaged: &self.damaged,
            records: &mut self.records,
            options: &self.options,
            is_in_use: condition.is_in_use,
            looks_left: MAX_LOOKS,
            list_again,
            topics: self.tables.topics.as_ref(),
        };
        let progress = self.progress;
        self.queues
            .finish(&mut log, &mut self.sink, &mut |done, total| {
                progress(Progress {
                    stage: Stage::Queues,
                    done,
                    total,
                });
            })?;
        self.tables.check(&self.queues, &mut self.sink);
        condition.check(self.ends_damaged, &mut self.sink);
        Ok(self.sink.finish())
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
