// SPDX-License-Identifier: Apache-2.0
//! Benchmarks side by side: `kerolox bench` on this server and on the official broker in turn, in one run, with the
//! ratios. Machines are noisy: read the ratios, and CPU time a message first.
//!
//! `cargo xtask bench` builds what it needs and calls this; `--seconds N` sets the length of a measurement, `--only NAME`
//! picks workloads, `--json FILE` keeps every figure, `--fill-memory yes` lets each workload of each side begin with a full
//! page cache, as on a machine that has run for a while: a virtual machine gets memory that it did not use for some seconds
//! from its host page by page, which costs more than what is measured.

use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use kerolox_tests::cluster::Cluster;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

/// One measurement, and what is promised of it.
struct Workload {
    name: &'static str,
    arguments: &'static [&'static str],
    /// At least this many times the reference's messages a second in the same run.
    rate: f64,
    /// At least this many messages a second.
    least: Option<f64>,
    /// At most this much server CPU a message, microseconds.
    cpu_us: Option<f64>,
    /// At most this share of the reference's latency in the same run.
    latency: Option<(Percentile, f64)>,
}

/// Of the latencies of requests.
#[derive(Clone, Copy)]
enum Percentile {
    P50,
    P99,
}

impl Percentile {
    fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P99 => "p99",
        }
    }
}

const WORKLOADS: &[Workload] = &[
    Workload {
        name: "send pipelined",
        arguments: &["send", "--connections", "8", "--in-flight", "64"],
        rate: 5.0,
        least: Some(250_000.0),
        cpu_us: Some(3.0),
        latency: None,
    },
    Workload {
        name: "send pipelined, binary headers",
        arguments: &[
            "send",
            "--connections",
            "8",
            "--in-flight",
            "64",
            "--header",
            "binary",
        ],
        rate: 5.0,
        least: Some(250_000.0),
        cpu_us: Some(3.0),
        latency: None,
    },
    Workload {
        name: "send one in flight",
        arguments: &["send", "--connections", "1", "--in-flight", "1"],
        rate: 1.8,
        least: None,
        cpu_us: None,
        latency: Some((Percentile::P50, 0.5)),
    },
    Workload {
        name: "send 10,000 a second",
        arguments: &[
            "send",
            "--connections",
            "8",
            "--in-flight",
            "64",
            "--rate",
            "10000",
        ],
        rate: 0.99,
        least: None,
        cpu_us: None,
        latency: Some((Percentile::P99, 0.25)),
    },
    Workload {
        name: "send batches of 32",
        arguments: &[
            "send",
            "--connections",
            "8",
            "--in-flight",
            "8",
            "--batch",
            "32",
        ],
        rate: 1.0,
        least: Some(1_500_000.0),
        cpu_us: None,
        latency: None,
    },
    Workload {
        name: "pull",
        arguments: &[
            "pull",
            "--connections",
            "8",
            "--in-flight",
            "8",
            "--batch",
            "32",
        ],
        rate: 3.0,
        least: Some(700_000.0),
        cpu_us: Some(1.2),
        latency: None,
    },
];

struct Options {
    seconds: f64,
    only: Option<String>,
    json: Option<PathBuf>,
    fills_memory: bool,
}

fn main() -> Result<()> {
    let options = options()?;
    let kerolox = kerolox_tests::ours::program("kerolox")?;
    let chosen: Vec<&Workload> = WORKLOADS
        .iter()
        .filter(|workload| {
            options
                .only
                .as_deref()
                .is_none_or(|only| workload.name.contains(only))
        })
        .collect();
    if chosen.is_empty() {
        bail!("--only names no workload; there are: {}", names());
    }
    let ours = measure(
        "ours",
        &kerolox,
        kerolox_tests::our_server,
        &chosen,
        &options,
    )?;
    let official = kerolox_tests::official_cluster;
    let reference = measure("official", &kerolox, official, &chosen, &options)?;
    print(&chosen, &ours, &reference);
    if let Some(file) = options.json {
        let all: Vec<Value> = chosen
            .iter()
            .zip(ours.iter().zip(&reference))
            .map(|(workload, (ours, reference))| {
                json!({"workload": workload.name, "ours": ours, "official": reference})
            })
            .collect();
        std::fs::write(&file, serde_json::to_string_pretty(&all)?)
            .with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}

fn names() -> String {
    WORKLOADS
        .iter()
        .map(|workload| workload.name)
        .collect::<Vec<_>>()
        .join("; ")
}

fn options() -> Result<Options> {
    let mut options = Options {
        seconds: 5.0,
        only: None,
        json: None,
        fills_memory: false,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments
            .next()
            .with_context(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--seconds" => options.seconds = value.parse().context("--seconds takes a number")?,
            "--only" => options.only = Some(value),
            "--json" => options.json = Some(value.into()),
            "--fill-memory" => {
                options.fills_memory = match value.as_str() {
                    "yes" => true,
                    "no" => false,
                    _ => bail!("--fill-memory takes yes or no, not {value}"),
                };
            }
            _ => bail!(
                "unknown argument {name}, allowed are --seconds, --only, --json, --fill-memory"
            ),
        }
    }
    Ok(options)
}

fn measure(
    label: &str,
    kerolox: &Path,
    start: impl Fn() -> Result<Cluster>,
    workloads: &[&Workload],
    options: &Options,
) -> Result<Vec<Value>> {
    let mut filling = options.fills_memory.then(zeros).transpose()?;
    let mut cluster = start()?;
    let pid = cluster
        .broker_pid()
        .context("the broker's process is gone")?;
    let mut results = Vec::new();
    for (index, workload) in workloads.iter().enumerate() {
        if let Some(zeros) = &mut filling {
            fill_memory(zeros)?;
        }
        eprintln!("== {label}: {}", workload.name);
        let output = Command::new(kerolox)
            .arg("bench")
            .args(workload.arguments)
            .args(["--broker", &cluster.broker_addr().to_string()])
            .args(["--topic", &format!("Bench{index}")])
            .args(["--server-pid", &pid.to_string()])
            .args(["--seconds", &options.seconds.to_string()])
            // A JVM needs its compiler to have seen the path.
            .args(["--warm-up", if label == "ours" { "2" } else { "8" }])
            .args(["--json", "-", "--quiet"])
            .output()
            .context("kerolox bench could not be started")?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!(
                "{label}, {}: {}{text}",
                workload.name,
                String::from_utf8_lossy(&output.stderr)
            );
        }
        eprint!("{}", text.split_once("\n{").map_or("", |(table, _)| table));
        eprintln!();
        let json = text
            .find('{')
            .and_then(|at| text.get(at..))
            .context("no JSON in the output")?;
        results.push(serde_json::from_str(json)?);
    }
    cluster.stop()?;
    drop(filling);
    Ok(results)
}

/// A file of zeros, as long as the memory that is available, which takes no space on disk.
fn zeros() -> Result<NamedTempFile> {
    let text = std::fs::read_to_string("/proc/meminfo").context("reading the memory's size")?;
    let available = text.lines().find_map(|line| {
        let kib = line.strip_prefix("MemAvailable:")?.trim();
        kib.trim_end_matches(" kB").parse::<u64>().ok()
    });
    let available = available.context("/proc/meminfo does not say MemAvailable")? << 10;
    eprintln!("== memory is filled with {} MiB", available >> 20);
    let file = NamedTempFile::new()?;
    file.as_file().set_len(available)?;
    Ok(file)
}

/// Fills the page cache with what of a file of zeros is not there; it stays as long as the file lives and nothing else needs the
/// memory.
fn fill_memory(zeros: &mut NamedTempFile) -> Result<()> {
    const STEP: usize = 1 << 20;
    zeros.rewind()?;
    let mut buffer = vec![0; STEP];
    while zeros.read(&mut buffer)? > 0 {}
    Ok(())
}

fn number(value: &Value, path: &[&str]) -> f64 {
    path.iter()
        .fold(value, |value, name| &value[*name])
        .as_f64()
        .unwrap_or(f64::NAN)
}

impl Workload {
    /// What is promised, in words.
    fn promise(&self) -> String {
        let mut parts = vec![format!(">= {} times", self.rate)];
        parts.extend(self.least.map(|least| format!(">= {least} msg/s")));
        parts.extend(self.cpu_us.map(|most| format!("<= {most} CPU us")));
        parts.extend(
            self.latency
                .map(|(percentile, share)| format!("{} <= {share} of it", percentile.name())),
        );
        parts.join(", ")
    }
}

#[expect(clippy::print_stdout, reason = "the result of a command line tool")]
fn print(workloads: &[&Workload], ours: &[Value], reference: &[Value]) {
    println!(
        "| workload | ours msg/s | official msg/s | ratio | ours CPU us | official CPU us | ours p50, p99 us | \
         official p50, p99 us | ours, official anonymous MiB | promised |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for (workload, (ours, reference)) in workloads.iter().zip(ours.iter().zip(reference)) {
        let both = |path: &[&str]| [ours, reference].map(|value| number(value, path));
        let rate = both(&["messages_per_second"]);
        let cpu = both(&["server_cpu_us_per_message"]);
        let (p50, p99) = (both(&["latency_us", "p50"]), both(&["latency_us", "p99"]));
        let memory = both(&["server_anonymous_mib"]);
        println!(
            "| {} | {:.0} | {:.0} | {:.2} | {:.2} | {:.2} | {:.0}, {:.0} | {:.0}, {:.0} | {:.0}, {:.0} | {} |",
            workload.name,
            rate[0],
            rate[1],
            rate[0] / rate[1],
            cpu[0],
            cpu[1],
            p50[0],
            p99[0],
            p50[1],
            p99[1],
            memory[0],
            memory[1],
            workload.promise()
        );
    }
}
