// SPDX-License-Identifier: Apache-2.0
//! Prints the messages of a topic as a member of a group, until there is nothing for some seconds.
//!
//! `cargo run -p kerolox --example consume -- TOPIC GROUP [SECONDS [EXPRESSION]]`, name servers from `NAMESRV_ADDR`.
//! Standard output has one line a message: queue, offset, body.

use std::io::Write as _;
use std::time::{Duration, Instant};

use kerolox::Result;
use kerolox::consumer::{ConsumeFrom, PushConsumer, PushConsumerOptions, Subscription, Verdict};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let topic = arguments.get(1).map_or("TopicTest", String::as_str);
    let group = arguments.get(2).map_or("kerolox-example", String::as_str);
    let patience = arguments
        .get(3)
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(3.0);
    let expression = arguments.get(4).map_or("*", String::as_str);
    let options = PushConsumerOptions {
        group: group.to_owned(),
        consume_from: ConsumeFrom::FirstOffset,
        ..PushConsumerOptions::default()
    };
    let begin = Instant::now();
    let consumer = PushConsumer::start(options, vec![Subscription::new(topic, expression)]).await?;
    let (mut received, mut first, mut last) = (0usize, None, begin);
    loop {
        let deliveries = consumer
            .poll(1000, Duration::from_secs_f64(patience))
            .await?;
        if deliveries.is_empty() {
            break;
        }
        first.get_or_insert_with(|| begin.elapsed());
        let mut verdicts = Vec::with_capacity(deliveries.len());
        let mut out = std::io::stdout().lock();
        for delivery in deliveries {
            let message = &delivery.message;
            let body = String::from_utf8_lossy(&message.body);
            drop(writeln!(
                out,
                "{} {} {body}",
                message.queue(),
                message.queue_offset
            ));
            verdicts.push((delivery.id, Verdict::Success));
        }
        received += verdicts.len();
        last = Instant::now();
        consumer.complete_batch(&verdicts)?;
    }
    let elapsed = last - begin;
    eprintln!(
        "{received} received in {elapsed:?}, the first after {first:?}; queues at the end: {}",
        consumer.assigned().len()
    );
    consumer.close().await
}
