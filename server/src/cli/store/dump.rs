// SPDX-License-Identifier: Apache-2.0
//! `kerolox store dump`.

use std::io::{self, Write};
use std::ops::ControlFlow;

use anyhow::{Result, bail};
use kerolox_protocol::message::record::RecordView;
use kerolox_protocol::message::{Properties, property};
use serde::Serialize;

use super::message::{MessageLine, keys};
use super::progress::ProgressLine;
use super::{Outcome, Place};
use crate::store::disk::RealDisk;
use crate::store::inspect::{self, Part, Progress, Stage};

/// Arguments of `dump`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    /// Only records of this topic.
    #[arg(long)]
    topic: Option<String>,
    /// Only records of this queue of the topic.
    #[arg(long, value_name = "ID", requires = "topic")]
    queue: Option<i32>,
    /// Only records with this key or unique key.
    #[arg(long)]
    key: Option<String>,
    /// Only records that end behind this commit-log offset.
    #[arg(long, value_name = "OFFSET", default_value_t = 0)]
    from: u64,
    /// Only records that start before this commit-log offset.
    #[arg(long, value_name = "OFFSET")]
    to: Option<u64>,
    /// At most this many records.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Leave the bodies out.
    #[arg(long)]
    no_body: bool,
}

#[derive(Serialize)]
struct DamagedLine<'a> {
    damaged: Damaged<'a>,
}

#[derive(Serialize)]
struct Damaged<'a> {
    from: u64,
    to: u64,
    reason: &'a str,
}

#[derive(Default)]
struct Counts {
    seen: u64,
    printed: u64,
    damaged: u64,
}

pub(super) fn run(args: &Args) -> Result<Outcome> {
    let to = args.to.unwrap_or(u64::MAX);
    if to <= args.from {
        bail!("--to {to} is not behind --from {}", args.from);
    }
    let mut out = io::BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    let mut counts = Counts::default();
    let mut progress = ProgressLine::new();
    let mut failed = None;
    let layout = args.place.layout();
    inspect::records(&RealDisk::new(), &layout, args.from..to, &mut |part| {
        let written = match part {
            Part::Progress(done) => {
                // Where the log ends is not known before.
                let (stage, total) = (Stage::Log, 0);
                progress.tell(Progress { stage, done, total });
                Ok(())
            }
            Part::Damaged(range, reason) => {
                counts.damaged += 1;
                let (from, to) = (range.start, range.end);
                let damaged = Damaged { from, to, reason };
                print(&mut out, &DamagedLine { damaged })
            }
            Part::Record(_, _) if args.limit == Some(counts.printed) => {
                return Ok(ControlFlow::Break(()));
            }
            Part::Record(offset, record) => {
                counts.seen += 1;
                print_record(args, offset, record, &mut counts, &mut out)
            }
        };
        Ok(match written {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        })
    })?;
    let flushed = out.flush();
    progress.clear();
    if let Some(error) = failed.or(flushed.err()) {
        return Err(error.into());
    }
    let Counts {
        seen,
        printed,
        damaged,
    } = counts;
    let seconds = progress.seconds();
    // Progress that can not be shown is not missed.
    drop(writeln!(
        io::stderr(),
        "{printed} of {seen} records printed, {damaged} damaged ranges, {seconds:.1} s"
    ));
    Ok(if damaged == 0 {
        Outcome::Clean
    } else {
        Outcome::Found
    })
}

fn print_record(
    args: &Args,
    offset: u64,
    record: &RecordView<'_>,
    counts: &mut Counts,
    out: &mut impl Write,
) -> io::Result<()> {
    let is_topic = |topic: &String| topic.as_bytes() == record.topic;
    let is_queue = |queue: i32| queue == record.queue_id;
    if !args.topic.as_ref().is_none_or(is_topic) || !args.queue.is_none_or(is_queue) {
        return Ok(());
    }
    let properties = Properties::from_text(&record.properties());
    if let Some(key) = &args.key {
        let is_unique_key = properties.get(property::UNIQ_KEY) == Some(key);
        if !is_unique_key && !keys(&properties).any(|own| own == key) {
            return Ok(());
        }
    }
    counts.printed += 1;
    let line = MessageLine::new(offset, record, &properties, !args.no_body);
    print(out, &line)
}

fn print(out: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    writeln!(out)
}
