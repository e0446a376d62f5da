// SPDX-License-Identifier: Apache-2.0
//! A message now and then, to a consumer that waits: each comes as soon as it is sent.
//!
//! The ordinary run sends five and says how long the slowest took. `KEROLOX_TRICKLE_SECONDS=600` sends one a second for ten
//! minutes and fails if one takes longer than 100 ms; its last figures are in `docs/soak.md`.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use kerolox::facade::{
    Admin, AdminOptions, ConsumeFrom, Message, Producer, ProducerOptions, PushConsumer,
    PushConsumerOptions, Subscription, Verdict,
};
use kerolox_tests::tools::say;

use crate::world::done;

const TOPIC: &str = "trickle";
const SECONDS: &str = "KEROLOX_TRICKLE_SECONDS";
const DEADLINE: Duration = Duration::from_secs(30);

/// The body of the next message.
fn next(consumer: &PushConsumer) -> Result<bytes::Bytes> {
    let start = Instant::now();
    while start.elapsed() < DEADLINE {
        if let Some(delivery) = done(consumer.poll(1, 1000))?.into_iter().next() {
            let completed = consumer.complete(delivery.id, Verdict::Success);
            completed.map_err(|error| anyhow::anyhow!("{error:?}"))?;
            return Ok(delivery.message.body);
        }
    }
    anyhow::bail!("no message within {DEADLINE:?}")
}

#[test]
fn each_message_comes_to_a_waiting_consumer_as_soon_as_it_is_sent() -> Result<()> {
    let seconds = std::env::var(SECONDS).ok();
    let messages: u32 = seconds.as_deref().map_or(Ok(5), str::parse)?;
    let name_servers = super::name_servers()?;
    let admin = done(Admin::start(AdminOptions {
        name_servers: name_servers.clone(),
        ..AdminOptions::default()
    }))?;
    done(admin.create_topic(TOPIC, 4, None))?;
    let producer = done(Producer::start(ProducerOptions {
        name_servers: name_servers.clone(),
        group: "trickle_producers".to_owned(),
        ..ProducerOptions::default()
    }))?;
    let options = PushConsumerOptions {
        name_servers,
        group: "trickle_consumers".to_owned(),
        // The first message may be there before the consumer has its queues; from the last offset on it would be left out.
        consume_from: ConsumeFrom::FirstOffset,
        ..PushConsumerOptions::default()
    };
    let consumer = done(PushConsumer::start(
        options,
        vec![Subscription::new(TOPIC, "*")],
    ))?;
    // It waits at the queues once it has its share of them, which the first message shows.
    let send = |body: String| done(producer.send(Message::new(TOPIC, body)));
    send("first".to_owned())?;
    ensure!(next(&consumer)? == "first", "another message came first");

    let mut times = Vec::new();
    for number in 0..messages {
        let start = Instant::now();
        send(number.to_string())?;
        let body = next(&consumer)?;
        times.push(start.elapsed());
        ensure!(body == number.to_string(), "{body:?} came for {number}");
        std::thread::sleep(Duration::from_secs(1).saturating_sub(start.elapsed()));
    }
    times.sort_unstable();
    let at = |share: usize| times.get((times.len() * share / 100).min(times.len() - 1));
    let slowest = times.last().copied().unwrap_or_default();
    say(&format!(
        "{messages} messages, one a second, from before the send to the consumer: median {:?}, 99 % {:?}, slowest {slowest:?}",
        at(50).unwrap_or(&slowest),
        at(99).unwrap_or(&slowest),
    ));
    if seconds.is_some() {
        ensure!(
            slowest <= Duration::from_millis(100),
            "one took {slowest:?}"
        );
    }
    done(consumer.close())?;
    done(producer.close())?;
    done(admin.close())
}
