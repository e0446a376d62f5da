// SPDX-License-Identifier: Apache-2.0
//! Prepares the topic of a run and asks for its offsets.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::BytesMut;
use kerolox_protocol::header::admin::CreateTopicRequestHeader;
use kerolox_protocol::header::offset::{OffsetResponseHeader, QueueRequestHeader};
use kerolox_protocol::{Command, RequestCode, ResponseCode, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::load::{self, Workload};
use super::{Args, WorkloadKind};

const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for messages that were sent to become visible.
const CATCH_UP: Duration = Duration::from_secs(60);
/// Messages that a pull run finds at least.
const ENOUGH: i64 = 200_000;

/// One request at a time on a connection of its own.
#[derive(Debug)]
pub(super) struct Caller {
    stream: TcpStream,
    input: BytesMut,
}

impl Caller {
    pub(super) async fn connect(broker: SocketAddr) -> Result<Self> {
        let connect = tokio::time::timeout(TIMEOUT, TcpStream::connect(broker));
        let stream = connect
            .await
            .with_context(|| format!("no answer from {broker}"))?
            .with_context(|| format!("connecting to {broker}"))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            input: BytesMut::new(),
        })
    }

    pub(super) async fn call(&mut self, request: &Command) -> Result<Command> {
        let mut out = BytesMut::new();
        request.encode(&mut out);
        tokio::time::timeout(TIMEOUT, self.exchange(&out))
            .await
            .context("no answer in 10 s")?
    }

    async fn exchange(&mut self, out: &[u8]) -> Result<Command> {
        self.stream.write_all(out).await?;
        loop {
            if let Some(frame) = frame::split(&mut self.input)? {
                let command = Command::decode(frame)?;
                if command.is_response() {
                    return Ok(command);
                }
            } else if self.stream.read_buf(&mut self.input).await? == 0 {
                bail!("the server closed the connection");
            }
        }
    }
}

/// Creates the topic of the run, or leaves it if it is there already in the same shape.
pub(super) async fn create_topic(args: &Args) -> Result<()> {
    let header = CreateTopicRequestHeader {
        topic: &args.topic,
        default_topic: Some("TBW102"),
        read_queue_nums: args.queues,
        write_queue_nums: args.queues,
        perm: 6,
        topic_filter_type: Some("SINGLE_TAG"),
        topic_sys_flag: Some(0),
        order: Some(false),
        ..Default::default()
    };
    let request = Command::request(RequestCode::UPDATE_AND_CREATE_TOPIC, &header);
    let answer = Caller::connect(args.broker).await?.call(&request).await?;
    if answer.response_code() != ResponseCode::SUCCESS {
        bail!("the topic {} could not be created: {answer:?}", args.topic);
    }
    Ok(())
}

/// Offset after the last message of a queue.
pub(super) async fn max_offset(caller: &mut Caller, topic: &str, queue_id: i32) -> Result<i64> {
    let header = QueueRequestHeader {
        topic,
        queue_id,
        ..Default::default()
    };
    let answer = caller
        .call(&Command::request(RequestCode::GET_MAX_OFFSET, &header))
        .await?;
    Ok(answer
        .header::<OffsetResponseHeader>()
        .map_err(|e| anyhow::anyhow!("{e}: {answer:?}"))?
        .offset)
}

/// Makes sure that a pull run has messages to pull.
pub(super) async fn fill(args: &Args) -> Result<()> {
    let mut caller = Caller::connect(args.broker).await?;
    let mut present = 0;
    for queue in 0..args.queues {
        present += max_offset(&mut caller, &args.topic, queue).await?;
    }
    if present >= ENOUGH {
        return Ok(());
    }
    let filling = Args {
        workload: WorkloadKind::Send,
        batch: 32,
        connections: usize::try_from(args.queues).unwrap_or(1),
        in_flight: 8,
        rate: None,
        quiet: true,
        ..args.clone()
    };
    while present < ENOUGH {
        let length = Duration::from_millis(500);
        let report = load::run(&filling, Workload::Send, Duration::ZERO, length).await?;
        present += i64::try_from(report.messages).unwrap_or(i64::MAX);
    }
    // The reference builds its consume queues behind the log: wait until they caught up.
    let deadline = Instant::now() + CATCH_UP;
    loop {
        let mut visible = 0;
        for queue in 0..args.queues {
            visible += max_offset(&mut caller, &args.topic, queue).await?;
        }
        if visible >= present {
            break;
        }
        if Instant::now() > deadline {
            bail!("only {visible} of {present} messages can be pulled after {CATCH_UP:?}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
