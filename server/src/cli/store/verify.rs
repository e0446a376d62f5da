// SPDX-License-Identifier: Apache-2.0
//! `kerolox store verify`.

use std::io::Write;

use anyhow::Result;
use serde::Serialize;

use super::progress::ProgressLine;
use super::{Outcome, Place, delay_levels_ms};
use crate::store::disk::RealDisk;
use crate::store::inspect::{self, Finding, Note, Summary, VerifyReport};

/// Arguments of `verify`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    /// Length of a consume-queue file (mappedFileSizeConsumeQueue); found from the files if not given.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(20..=0x7FFF_FFEB))]
    mapped_file_size_consume_queue: Option<u64>,
    /// Hash slots of an index file (maxHashSlotNum).
    #[arg(long, value_name = "N", default_value_t = 5_000_000, value_parser = clap::value_parser!(u32).range(1..=0x7FFF_FFFF))]
    max_hash_slot_num: u32,
    /// Entries of an index file (maxIndexNum).
    #[arg(long, value_name = "N", default_value_t = 20_000_000, value_parser = clap::value_parser!(u32).range(1..=0x7FFF_FFFF))]
    max_index_num: u32,
    /// Delay levels, if the broker has others than the usual ones (messageDelayLevel).
    #[arg(long, value_name = "LEVELS")]
    message_delay_level: Option<String>,
    /// Most findings, and most notes, that are printed.
    #[arg(long, value_name = "N", default_value_t = 100)]
    max_findings: usize,
    /// Print summary, notes and findings as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<Outcome> {
    let mut layout = args.place.layout();
    layout.consume_queue_file_size = args.mapped_file_size_consume_queue;
    layout.max_hash_slot_num = args.max_hash_slot_num;
    layout.max_index_num = args.max_index_num;
    layout.max_findings = args.max_findings;
    if let Some(levels) = &args.message_delay_level {
        layout.delay_levels_ms = delay_levels_ms(levels)?;
    }
    let mut progress = ProgressLine::new();
    let report = inspect::verify(&RealDisk::new(), &layout, &mut |at| progress.tell(at));
    progress.clear();
    let (report, seconds) = (report?, progress.seconds());
    let printed = if args.json {
        print_json(&report, seconds)
    } else {
        print_lines(&report, seconds)
    };
    // A closed pipe does not make a store clean.
    match printed {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ if report.is_clean() => Ok(Outcome::Clean),
        _ => Ok(Outcome::Found),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Json<'a> {
    is_clean: bool,
    seconds: f64,
    #[serde(flatten)]
    report: &'a VerifyReport,
}

fn print_json(report: &VerifyReport, seconds: f64) -> std::io::Result<()> {
    let json = Json {
        is_clean: report.is_clean(),
        seconds,
        report,
    };
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &json)?;
    writeln!(out)?;
    out.flush()
}

fn print_lines(report: &VerifyReport, seconds: f64) -> std::io::Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let finding = |finding: &Finding| finding.to_string();
    let note = |note: &Note| format!("note: {note}");
    let lines = report.findings.iter().map(finding);
    for line in lines {
        writeln!(out, "{}", one_line(&line))?;
    }
    let more = report.total() - report.findings.len() as u64;
    if more > 0 {
        writeln!(out, "and {more} more")?;
    }
    for line in report.notes.iter().map(note) {
        writeln!(out, "{}", one_line(&line))?;
    }
    if report.more_notes > 0 {
        writeln!(out, "and {} more notes", report.more_notes)?;
    }
    let Summary {
        log_begin,
        log_end,
        segment_len,
        segments,
        records,
        record_bytes,
        damaged_ranges,
        damaged_bytes,
        queues,
        units,
        expired_units,
        damaged_units,
        filler_units,
        index_files,
        index_entries,
        expired_entries,
        damaged_entries,
        keys,
        offsets,
        ..
    } = report.summary;
    writeln!(
        out,
        "log: {segments} files of {segment_len} bytes, {log_begin} to {log_end}, {records} records, {record_bytes} bytes"
    )?;
    writeln!(
        out,
        "damage: {damaged_ranges} ranges, {damaged_bytes} bytes"
    )?;
    writeln!(
        out,
        "queues: {queues} with {units} units ({expired_units} expired, {damaged_units} of damaged records, {filler_units} fillers)"
    )?;
    writeln!(
        out,
        "index: {index_files} files with {index_entries} entries ({expired_entries} expired, {damaged_entries} of damaged records), {keys} keys looked for"
    )?;
    writeln!(out, "offsets: {offsets}")?;
    let verdict = if report.is_clean() {
        "clean".to_owned()
    } else {
        let counts = report.counts.iter();
        let counts: Vec<_> = counts
            .map(|(kind, count)| format!("{kind} {count}"))
            .collect();
        format!("{} findings: {}", report.total(), counts.join(", "))
    };
    writeln!(out, "{verdict}, {seconds:.1} s")?;
    out.flush()
}

/// Names come from the files: nothing in them may end the line or drive a terminal.
fn one_line(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{FFFD}' } else { c };
    text.chars().map(shown).collect()
}
