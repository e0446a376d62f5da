// SPDX-License-Identifier: Apache-2.0
//! The load: connections that keep requests in flight, or send at intended times.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use kerolox_protocol::ResponseCode;
use kerolox_protocol::header::pull::PullMessageResponseHeader;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::LocalSet;

use crate::net::input::Input;

use super::Args;
use super::pace;
use super::payload;
use super::process;
use super::report::Report;
use super::wire::{self, PullTemplate, Response, SendTemplate};

/// What the requests do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Workload {
    Send,
    Pull,
}

/// Requests a second of an open loop.
const RATES: RangeInclusive<f64> = 0.001..=1e9;

/// How long answers may take after the end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Requests that carry their own template number; opaque ids wrap below this.
const WINDOW: i32 = 1 << 20;

/// Counters of a run, shared by its connections on one thread.
#[derive(Debug)]
struct Counters {
    messages: u64,
    requests: u64,
    errors: u64,
    first_error: Option<String>,
    damaged: u64,
    latency: Histogram<u64>,
    /// Numbers acknowledged, as ranges: first and count.
    acknowledged: Vec<(u64, u32)>,
    measuring: bool,
}

/// Runs the load: first unmeasured, then measured.
pub(super) async fn run(
    args: &Args,
    workload: Workload,
    warm_up: Duration,
    length: Duration,
) -> Result<Report> {
    if let Some(rate) = args.rate.filter(|rate| !RATES.contains(rate)) {
        bail!(
            "--rate is {rate}, allowed are {RATES:?} requests a second; leave it out for a closed loop"
        );
    }
    let counters = Rc::new(RefCell::new(Counters {
        messages: 0,
        requests: 0,
        errors: 0,
        first_error: None,
        damaged: 0,
        latency: Histogram::new_with_bounds(1, 60_000_000_000, 3)?,
        acknowledged: Vec::new(),
        measuring: warm_up.is_zero(),
    }));
    let start = Instant::now();
    let stop = start + warm_up + length;
    let local = LocalSet::new();
    let mut tasks = Vec::new();
    let spare = Rc::default();
    let dues = args
        .rate
        .map(|rate| pace::start(args.connections, rate, start, stop))
        .unwrap_or_default();
    for index in 0..args.connections {
        let (counters, due) = (Rc::clone(&counters), dues.get(index).cloned());
        let spare = Rc::clone(&spare);
        let connection = Connection::new(args, workload, index, counters, start, due, spare);
        let connection = connection.await?;
        tasks.push(local.spawn_local(connection.run(stop)));
    }
    let (cpu, seconds, own) = local
        .run_until(async {
            tokio::time::sleep(warm_up).await;
            {
                let mut counters = counters.borrow_mut();
                counters.measuring = true;
                counters.messages = 0;
                counters.requests = 0;
                counters.latency.reset();
            }
            let begin = Instant::now();
            let before = args.server_pid.and_then(process::cpu_seconds);
            let own_before = process::cpu_seconds(std::process::id());
            let mut shown = 0;
            while Instant::now() < stop {
                let left = stop.saturating_duration_since(Instant::now());
                tokio::time::sleep(left.min(Duration::from_secs(1))).await;
                let messages = counters.borrow().messages;
                if !args.quiet {
                    eprintln!(
                        "{:6.1} s  {:>9} messages/s",
                        begin.elapsed().as_secs_f64(),
                        messages - shown
                    );
                }
                shown = messages;
            }
            counters.borrow_mut().measuring = false;
            let after = args.server_pid.and_then(process::cpu_seconds);
            let own_after = process::cpu_seconds(std::process::id());
            let difference = |after: Option<f64>, before: Option<f64>| Some(after? - before?);
            let own = difference(own_after, own_before);
            (
                difference(after, before),
                begin.elapsed().as_secs_f64(),
                own,
            )
        })
        .await;
    local
        .run_until(async {
            for task in tasks {
                task.await.context("a connection's task failed")??;
            }
            anyhow::Ok(())
        })
        .await?;
    let counters = Rc::try_unwrap(counters)
        .map_err(|_| anyhow::anyhow!("a connection outlived the run"))?
        .into_inner();
    Ok(Report {
        seconds,
        messages: counters.messages,
        requests: counters.requests,
        errors: counters.errors,
        first_error: counters.first_error,
        damaged: counters.damaged,
        latency: counters.latency,
        server_cpu_seconds: cpu,
        own_cpu_seconds: own,
        server_anonymous_mib: args.server_pid.and_then(process::anonymous_mib),
        acknowledged: counters.acknowledged,
        verified: None,
    })
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    request: i32,
    at: Instant,
    first: u64,
}

struct Connection {
    stream: TcpStream,
    workload: Workload,
    send: SendTemplate,
    pulls: Vec<PullTemplate>,
    offsets: Vec<i64>,
    in_flight: usize,
    messages: u32,
    queue: usize,
    next_request: i32,
    next_number: u64,
    outstanding: VecDeque<Sent>,
    /// Time between two requests of this connection in an open loop.
    interval: Option<Duration>,
    intended: Instant,
    /// Wakes this connection when its next request is due.
    due: Option<Arc<Notify>>,
    counters: Rc<RefCell<Counters>>,
    /// Output buffers of all connections that none uses now.
    spare: Rc<RefCell<Vec<Vec<u8>>>>,
}

impl Connection {
    async fn new(
        args: &Args,
        workload: Workload,
        index: usize,
        counters: Rc<RefCell<Counters>>,
        start: Instant,
        due: Option<Arc<Notify>>,
        spare: Rc<RefCell<Vec<Vec<u8>>>>,
    ) -> Result<Self> {
        let stream = TcpStream::connect(args.broker)
            .await
            .with_context(|| format!("connecting to {}", args.broker))?;
        stream.set_nodelay(true)?;
        let queues = usize::try_from(args.queues).unwrap_or(1).max(1);
        let queue = index % queues;
        let queue_id = i32::try_from(queue).unwrap_or_default();
        let serialize_type = args.header.serialize_type();
        let now_ms = i64::try_from(
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)?
                .as_millis(),
        )?;
        let send = SendTemplate::new(
            serialize_type,
            &args.topic,
            queue_id,
            args.batch,
            args.body,
            now_ms,
        )?;
        let pulls = (0..args.queues)
            .map(|queue| PullTemplate::new(serialize_type, &args.topic, queue, args.batch))
            .collect::<Result<Vec<_>>>()?;
        let interval = args
            .rate
            .map(|rate| Duration::from_secs_f64(args.connections as f64 / rate));
        let spread = interval
            .unwrap_or_default()
            .mul_f64(index as f64 / args.connections as f64);
        Ok(Self {
            stream,
            workload,
            send,
            offsets: vec![0; pulls.len()],
            pulls,
            in_flight: args.in_flight,
            messages: u32::try_from(args.batch).context("--batch is too large")?,
            queue,
            next_request: 0,
            // Numbers are unique over runs on the same topic, too: they begin at the wall clock.
            next_number: (u64::try_from(now_ms)? << 20) + ((index as u64) << 56),
            outstanding: VecDeque::new(),
            interval,
            intended: start + spread,
            due,
            counters,
            spare,
        })
    }

    async fn run(mut self, stop: Instant) -> Result<()> {
        let mut input = Input::default();
        loop {
            let now = Instant::now();
            if now >= stop && self.outstanding.is_empty() {
                return Ok(());
            }
            if now < stop {
                self.send(now).await?;
            }
            let may_send = now < stop && self.outstanding.len() < self.in_flight;
            let due = async {
                match &self.due {
                    Some(due) if may_send || self.outstanding.is_empty() => due.notified().await,
                    _ => std::future::pending().await,
                }
            };
            // Cancel safety: none of these loses anything when another wins.
            tokio::select! {
                read = poll_fn(|cx| input.poll_read(cx, &mut self.stream)) => {
                    if read? == 0 {
                        bail!("the server closed a connection of the load");
                    }
                    self.take(&mut input)?;
                    input.settle();
                }
                () = due => {}
                () = tokio::time::sleep_until((stop + PATIENCE).into()) => {
                    bail!("{} requests were not answered within 30 s", self.outstanding.len());
                }
            }
        }
    }

    /// Sends the requests that may be sent now.
    async fn send(&mut self, now: Instant) -> Result<()> {
        let mut out = self.spare.borrow_mut().pop().unwrap_or_default();
        self.fill(&mut out, now);
        self.stream.write_all(&out).await?;
        out.clear();
        self.spare.borrow_mut().push(out);
        Ok(())
    }

    fn fill(&mut self, out: &mut Vec<u8>, now: Instant) {
        while self.outstanding.len() < self.in_flight {
            let at = match self.interval {
                Some(_) if self.intended > now => break,
                Some(interval) => {
                    let at = self.intended;
                    self.intended += interval;
                    at
                }
                None => now,
            };
            let request = self.next_request;
            self.next_request = (self.next_request + 1) % WINDOW;
            let first = self.next_number;
            match self.workload {
                Workload::Send => {
                    self.send.write(out, request, first);
                    self.next_number += u64::from(self.messages);
                }
                Workload::Pull => {
                    let offset = self.offsets.get(self.queue).copied().unwrap_or_default();
                    if let Some(pull) = self.pulls.get_mut(self.queue) {
                        pull.write(out, request, offset);
                    }
                    if let Some(offset) = self.offsets.get_mut(self.queue) {
                        *offset += i64::from(self.messages);
                    }
                }
            }
            self.outstanding.push_back(Sent { request, at, first });
        }
    }

    fn take(&mut self, input: &mut Input) -> Result<()> {
        let now = Instant::now();
        while let Some(frame) = input.split()? {
            let Response { request, command } = wire::response(frame)?;
            let at = self
                .outstanding
                .iter()
                .position(|sent| sent.request == request);
            let sent = at.and_then(|at| self.outstanding.remove(at));
            let sent = sent.with_context(|| format!("answer to unknown request {request}"))?;
            let mut counters = self.counters.borrow_mut();
            let code = command.response_code();
            let mut messages = u64::from(self.messages);
            match (self.workload, code) {
                (Workload::Send, ResponseCode::SUCCESS) => {
                    counters.acknowledged.push((sent.first, self.messages));
                }
                (Workload::Pull, ResponseCode::SUCCESS) => {
                    let records = wire::records(command.body.clone())?;
                    messages = records.len() as u64;
                    for (_, body) in records {
                        if payload::check(&body).is_none() {
                            counters.damaged += 1;
                        }
                    }
                }
                (Workload::Pull, _) => {
                    // The end of the queue, or before its start: begin again.
                    messages = 0;
                    let header = command.header::<PullMessageResponseHeader>().ok();
                    let (min, max) = header.map_or((0, 0), |h| (h.min_offset, h.max_offset));
                    if max <= min {
                        counters.errors += 1;
                        let text = format!("{code:?} {:?}", command.remark);
                        counters.first_error.get_or_insert(text);
                    }
                    if let Some(offset) = self.offsets.get_mut(self.queue) {
                        *offset = min;
                    }
                }
                _ => {
                    messages = 0;
                    counters.errors += 1;
                    let text = format!("{code:?} {:?}", command.remark);
                    counters.first_error.get_or_insert(text);
                }
            }
            if counters.measuring {
                counters.messages += messages;
                counters.requests += 1;
                let nanoseconds = now.saturating_duration_since(sent.at).as_nanos();
                counters
                    .latency
                    .saturating_record(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
            }
        }
        Ok(())
    }
}
