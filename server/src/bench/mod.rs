// SPDX-License-Identifier: Apache-2.0
//! `kerolox bench`: a load generator on the raw wire, for this broker and for any other that speaks the protocol.
//!
//! It talks frames, not the client library, so that it costs little beside the server on the same machine. Every
//! payload is numbered and checksummed; `send --verify` reads everything back and counts what is missing, doubled or
//! damaged. Latencies are kept in HDR histograms; in an open loop (`--rate`) they count from the intended send time,
//! so that a stalled server can not hide. CPU and memory of the server are read from its process (`--server-pid`).

mod load;
mod pace;
mod payload;
mod process;
mod report;
mod setup;
mod verify;
mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kerolox_protocol::SerializeType;

use load::Workload;
use report::Report;

/// Arguments of `kerolox bench`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What to measure.
    #[arg(value_enum)]
    pub workload: WorkloadKind,
    /// Broker to load, host:port.
    #[arg(long, default_value = "127.0.0.1:10911")]
    pub broker: SocketAddr,
    /// Topic; created if it is missing.
    #[arg(long, default_value = "BenchmarkTopic")]
    pub topic: String,
    /// Queues of the topic.
    #[arg(long, default_value_t = 8)]
    pub queues: i32,
    /// Connections.
    #[arg(long, default_value_t = 8)]
    pub connections: usize,
    /// Requests in flight on each connection.
    #[arg(long, default_value_t = 64)]
    pub in_flight: usize,
    /// Bytes of a body, at least 16.
    #[arg(long, default_value_t = 128)]
    pub body: usize,
    /// Messages of a send request, or most messages of a pull.
    #[arg(long, default_value_t = 1)]
    pub batch: usize,
    /// Encoding of the request headers.
    #[arg(long, value_enum, default_value_t = HeaderKind::Json)]
    pub header: HeaderKind,
    /// Seconds to measure.
    #[arg(long, default_value_t = 10.0)]
    pub seconds: f64,
    /// Seconds to run before measuring.
    #[arg(long, default_value_t = 2.0)]
    pub warm_up: f64,
    /// Requests a second over all connections (open loop); without it every connection keeps its requests in flight.
    #[arg(long)]
    pub rate: Option<f64>,
    /// Process id of the server, to read its CPU time and memory.
    #[arg(long)]
    pub server_pid: Option<u32>,
    /// After sending, read everything back and check it.
    #[arg(long)]
    pub verify: bool,
    /// Write the result as JSON to this file, `-` for standard output.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// No progress lines.
    #[arg(long)]
    pub quiet: bool,
}

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum WorkloadKind {
    /// Send messages.
    Send,
    /// Pull messages; sends some first if the topic is empty.
    Pull,
}

/// Encoding of the request headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum HeaderKind {
    /// JSON, the default of the clients.
    Json,
    /// ROCKETMQ binary.
    Binary,
}

impl HeaderKind {
    fn serialize_type(self) -> SerializeType {
        match self {
            Self::Json => SerializeType::Json,
            Self::Binary => SerializeType::RocketMq,
        }
    }
}

/// Runs the benchmark and prints its table.
///
/// # Errors
/// When the server can not be reached, answers with an error, or the check after the run finds damage.
pub fn run(args: &Args) -> Result<()> {
    if args.body < payload::MIN_BYTES {
        bail!(
            "--body is {}, allowed is {} or more",
            args.body,
            payload::MIN_BYTES
        );
    }
    if args.connections == 0 || args.in_flight == 0 || args.batch == 0 {
        bail!("--connections, --in-flight and --batch have to be at least 1");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(measure(args))?;
    report.print(args);
    if let Some(file) = &args.json {
        let text = serde_json::to_string_pretty(&report.to_json(args))?;
        if file.as_os_str() == "-" {
            println_stdout(&text);
        } else {
            std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))?;
        }
    }
    match report.damage() {
        None => Ok(()),
        Some(damage) => bail!("the check after the run failed: {damage}"),
    }
}

async fn measure(args: &Args) -> Result<Report> {
    setup::create_topic(args).await?;
    let workload = match args.workload {
        WorkloadKind::Send => Workload::Send,
        WorkloadKind::Pull => {
            setup::fill(args).await?;
            Workload::Pull
        }
    };
    let warm_up = Duration::from_secs_f64(args.warm_up);
    let length = Duration::from_secs_f64(args.seconds);
    let mut report = load::run(args, workload, warm_up, length).await?;
    if args.verify && args.workload == WorkloadKind::Send {
        report.verified = Some(verify::read_back(args, &report.acknowledged).await?);
    }
    Ok(report)
}

#[expect(clippy::print_stdout, reason = "the result of a command line tool")]
fn println_stdout(text: &str) {
    println!("{text}");
}
