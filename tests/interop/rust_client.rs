// SPDX-License-Identifier: Apache-2.0
//! Our client against the official servers, and against ours.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use kerolox::facade::{
    Admin, AdminOptions, Call, ConsumeFrom, Message, Producer, ProducerOptions, PullConsumer,
    PullConsumerOptions, PushConsumer, PushConsumerOptions, Queue, ReceivedMessage, SendStatus,
    Subscription, Verdict,
};
use kerolox_tests::cluster::{Cluster, Kind};
use kerolox_tests::tools::{self, say};

use crate::start;

const DEADLINE: Duration = Duration::from_secs(30);

/// The result of a call, within the deadline.
fn done<T: Send + 'static>(call: Call<T>) -> anyhow::Result<T> {
    let result = call.wait(Some(DEADLINE)).context("no answer in time")?;
    result.map_err(|error| anyhow::anyhow!("{error:?}"))
}

/// Message number `number`: a tag by its number, a key, a property, a body with its checksum.
fn message(topic: &str, number: usize) -> Message {
    let text = format!("message {number} of {topic} äöü €");
    let body = format!("{text} #{:08x}", crc32fast::hash(text.as_bytes()));
    Message::new(topic, body)
        .with_tag(["TagA", "TagB", "TagC"][number % 3])
        .with_key(format!("k{number}"))
        .with_property("number", number.to_string())
        .with_property("text", "grüße aus dem süden")
}

/// What came is what was sent: nothing lost, nothing twice, all of it equal.
fn ensure_same(sent: &[Message], got: &[ReceivedMessage]) -> anyhow::Result<()> {
    let mut missing: HashMap<&bytes::Bytes, &Message> = sent
        .iter()
        .map(|message| (&message.body, message))
        .collect();
    for message in got {
        let sent = missing
            .remove(&message.body)
            .with_context(|| format!("not expected or twice: {message:?}"))?;
        ensure!(message.topic == sent.topic, "topic of {message:?}");
        ensure!(message.tag == sent.tag, "tag of {message:?}");
        ensure!(message.keys == sent.keys, "keys of {message:?}");
        for (name, value) in &sent.properties {
            ensure!(
                message.property(name) == Some(value),
                "{name} of {message:?}"
            );
        }
        ensure!(!message.message_id.is_empty(), "message id of {message:?}");
        ensure!(
            message.offset_message_id.len() == 32,
            "offset id of {message:?}"
        );
        ensure!(
            message.reconsume_times == 0,
            "first delivery of {message:?}"
        );
    }
    ensure!(
        missing.is_empty(),
        "{} of {} did not come",
        missing.len(),
        sent.len()
    );
    Ok(())
}

fn send(
    producer: &Producer,
    topic: &str,
    numbers: std::ops::Range<usize>,
) -> anyhow::Result<Vec<Message>> {
    let sent: Vec<_> = numbers.map(|number| message(topic, number)).collect();
    let calls: Vec<_> = sent
        .iter()
        .map(|message| producer.send(message.clone()))
        .collect();
    for call in calls {
        let result = done(call)?;
        ensure!(result.status == SendStatus::SendOk, "{result:?}");
        ensure!(
            result.topic == topic && result.queue_offset >= 0,
            "{result:?}"
        );
        ensure!(
            !result.message_id.is_empty() && result.offset_message_id.len() == 32,
            "{result:?}"
        );
    }
    Ok(sent)
}

/// Polls a push consumer until that many messages are there, completing each.
fn consume(consumer: &PushConsumer, count: usize) -> anyhow::Result<Vec<ReceivedMessage>> {
    let end = Instant::now() + DEADLINE;
    let mut got = Vec::new();
    while got.len() < count {
        ensure!(
            Instant::now() < end,
            "{} of {count} messages in time",
            got.len()
        );
        for delivery in done(consumer.poll(100, 200))? {
            consumer
                .complete(delivery.id, Verdict::Success)
                .map_err(|error| anyhow::anyhow!("{error:?}"))?;
            got.push(delivery.message);
        }
    }
    Ok(got)
}

fn push_consumer(
    cluster: &Cluster,
    group: &str,
    topic: &str,
    expression: &str,
) -> anyhow::Result<PushConsumer> {
    let options = PushConsumerOptions {
        name_servers: cluster.namesrv_addr().to_string(),
        group: group.to_owned(),
        consume_from: ConsumeFrom::FirstOffset,
        ..PushConsumerOptions::default()
    };
    done(PushConsumer::start(
        options,
        vec![Subscription::new(topic, expression)],
    ))
}

fn scenario(cluster: &mut Cluster) -> anyhow::Result<()> {
    let namesrv = cluster.namesrv_addr().to_string();
    let options = ProducerOptions {
        name_servers: namesrv.clone(),
        group: "rust_producers".to_owned(),
        send_timeout_ms: 10_000,
        ..ProducerOptions::default()
    };
    let producer = done(Producer::start(options))?;
    let admin = done(Admin::start(AdminOptions {
        name_servers: namesrv,
        ..AdminOptions::default()
    }))?;

    let mut start = Instant::now();
    let mut step = |what: &'static str, result: anyhow::Result<()>| {
        say(&format!("  {what}: {} ms", start.elapsed().as_millis()));
        start = Instant::now();
        result.context(what)
    };
    step(
        "admin, batch, one-way, pull",
        admin_and_batch(&admin, &producer, cluster),
    )?;
    step("push with tag filter", tag_filter(&producer, cluster))?;
    step("topic made on demand", auto_created(&producer, cluster))?;
    step(
        "offsets over a restart",
        restart(&admin, &producer, cluster),
    )?;
    done(producer.close())?;
    done(admin.close())
}

fn admin_and_batch(admin: &Admin, producer: &Producer, cluster: &Cluster) -> anyhow::Result<()> {
    let topic = "rust_pull";
    done(admin.create_topic(topic, 3, None))?;
    ensure!(
        done(admin.topics())?.iter().any(|name| name == topic),
        "the topic is listed"
    );
    let queues = done(producer.queues(topic))?;
    ensure!(queues.len() == 3, "{queues:?}");
    let mut sent = send(producer, topic, 0..30)?;

    let batch: Vec<_> = (30..40).map(|number| message(topic, number)).collect();
    let result = done(producer.send_batch(batch.clone()))?;
    ensure!(result.status == SendStatus::SendOk, "{result:?}");
    sent.extend(batch);
    for number in 40..50 {
        done(producer.send_oneway(message(topic, number)))?;
        sent.push(message(topic, number));
    }
    let chosen = Queue {
        queue_id: 2,
        ..queues[0].clone()
    };
    let result = done(producer.send_to_queue(message(topic, 50), chosen))?;
    ensure!(result.queue_id == 2, "{result:?}");
    sent.push(message(topic, 50));

    let options = PullConsumerOptions {
        name_servers: cluster.namesrv_addr().to_string(),
        group: "rust_pullers".to_owned(),
        auto_commit: false,
        ..PullConsumerOptions::default()
    };
    let consumer = done(PullConsumer::start(options))?;
    let queues = done(consumer.queues(topic))?;
    consumer
        .assign(queues.clone())
        .map_err(|error| anyhow::anyhow!("{error:?}"))?;
    for queue in &queues {
        ensure!(done(consumer.min_offset(queue.clone()))? == 0, "min offset");
        done(consumer.seek_to_begin(queue.clone()))?;
    }
    let end = Instant::now() + DEADLINE;
    let mut got = Vec::new();
    while got.len() < sent.len() {
        ensure!(
            Instant::now() < end,
            "{} of {} pulled in time",
            got.len(),
            sent.len()
        );
        got.extend(done(consumer.poll(100, 200))?);
    }
    ensure_same(&sent, &got)?;
    done(consumer.commit())?;
    for queue in &queues {
        let max = done(consumer.max_offset(queue.clone()))?;
        ensure!(
            done(consumer.committed(queue.clone()))? == Some(max),
            "committed of {queue:?}, max {max}"
        );
    }
    done(consumer.close())?;
    done(admin.delete_topic(topic))
}

fn tag_filter(producer: &Producer, cluster: &Cluster) -> anyhow::Result<()> {
    let topic = "rust_tags";
    cluster.create_topic(topic, 4)?;
    let mut sent = send(producer, topic, 0..30)?;
    let consumer = push_consumer(cluster, "rust_tags_group", topic, "TagA || TagC")?;
    sent.extend(send(producer, topic, 30..60)?);
    sent.retain(|message| message.tag.as_deref() != Some("TagB"));
    let got = consume(&consumer, sent.len())?;
    done(consumer.close())?;
    ensure_same(&sent, &got)
}

fn auto_created(producer: &Producer, cluster: &Cluster) -> anyhow::Result<()> {
    let topic = "rust_auto";
    let sent = send(producer, topic, 0..20)?;
    let consumer = push_consumer(cluster, "rust_auto_group", topic, "*")?;
    let got = consume(&consumer, sent.len())?;
    done(consumer.close())?;
    ensure_same(&sent, &got)
}

fn restart(admin: &Admin, producer: &Producer, cluster: &mut Cluster) -> anyhow::Result<()> {
    let (topic, group) = ("rust_restart", "rust_restart_group");
    done(admin.create_topic(topic, 4, None))?;
    let first = send(producer, topic, 0..20)?;
    let consumer = push_consumer(cluster, group, topic, "*")?;
    let got = consume(&consumer, first.len())?;
    done(consumer.close())?;
    ensure_same(&first, &got)?;
    let second = send(producer, topic, 20..40)?;
    cluster.stop()?;
    cluster.start_again()?;
    let consumer = push_consumer(cluster, group, topic, "*")?;
    let got = consume(&consumer, second.len())?;
    ensure_same(&second, &got)?;
    // The producer that was open before finds its way back, too.
    let third = send(producer, topic, 40..50)?;
    let got = consume(&consumer, third.len())?;
    done(consumer.close())?;
    ensure_same(&third, &got)
}

fn run(kind: Kind) {
    let what = format!("Rust client against {}", kind.name());
    if kind == Kind::Official && tools::missing(&what, &["java", "mvn"]) {
        return;
    }
    let mut cluster = start(kind);
    if let Err(error) = scenario(&mut cluster) {
        panic!("{what}: {error:?}\n{}", cluster.logs());
    }
    say(&format!(
        "{what}: send, batch, one-way, pull, push, tag filter, restart ok"
    ));
}

#[test]
fn rust_client_against_official_servers() {
    run(Kind::Official);
}

#[test]
fn rust_client_against_our_servers() {
    run(Kind::Ours);
}
