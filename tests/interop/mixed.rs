// SPDX-License-Identifier: Apache-2.0
//! One topic on a broker of ours and on the official one, both at a name server of either kind or at both: one group consumes
//! every message once, with our client and with the official Java client, and brokers may come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use kerolox::facade::{
    Call, ConsumeFrom, Message, Producer, ProducerOptions, PushConsumer, PushConsumerOptions,
    SendStatus, Subscription, Verdict,
};
use kerolox_protocol::code::RequestCode;
use kerolox_protocol::command::Command;
use kerolox_protocol::header::offset::QueryConsumerOffsetRequestHeader;
use kerolox_tests::cluster::Kind;
use kerolox_tests::mixed::{Mixed, NameServer};
use kerolox_tests::tools::{self, say};
use kerolox_tests::wire::Connection;
use kerolox_tests::{programs, wait_for, wire};

use crate::PROGRAM;

const DEADLINE: Duration = Duration::from_secs(60);
const MESSAGES: usize = 400;
const TOPIC: &str = "mixed";
/// What the Java program does here.
const JAVA: &str = "topic_on_every_broker_consumed_once";

fn done<T: Send + 'static>(call: Call<T>) -> anyhow::Result<T> {
    let result = call.wait(Some(DEADLINE)).context("no answer in time")?;
    result.map_err(|error| anyhow::anyhow!("{error:?}"))
}

fn consumer(name_servers: &str, topic: &str) -> anyhow::Result<PushConsumer> {
    let options = PushConsumerOptions {
        name_servers: name_servers.to_owned(),
        group: format!("{topic}_group"),
        consume_from: ConsumeFrom::FirstOffset,
        ..PushConsumerOptions::default()
    };
    done(PushConsumer::start(
        options,
        vec![Subscription::new(topic, "*")],
    ))
}

/// How often each message came, and from which broker.
#[derive(Default)]
struct Got {
    times: BTreeMap<String, usize>,
    by_consumer: [usize; 2],
}

impl Got {
    /// Polls both consumers until that many messages are there, and a little longer for those that come twice.
    fn poll(&mut self, consumers: &[&PushConsumer], count: usize) -> anyhow::Result<()> {
        let end = Instant::now() + DEADLINE;
        let mut quiet = 0;
        while self.times.len() < count || quiet < 3 {
            let so_far = self.times.len();
            ensure!(Instant::now() < end, "{so_far} of {count} messages in time");
            quiet += 1;
            for (consumer, got) in consumers.iter().zip(&mut self.by_consumer) {
                for delivery in done(consumer.poll(100, 100))? {
                    quiet = 0;
                    *got += 1;
                    let body = String::from_utf8_lossy(&delivery.message.body).into_owned();
                    *self.times.entry(body).or_default() += 1;
                    consumer
                        .complete(delivery.id, Verdict::Success)
                        .map_err(|error| anyhow::anyhow!("{error:?}"))?;
                }
            }
        }
        Ok(())
    }
}

fn our_client(cluster: &Mixed, name_servers: &str, topic: &str) -> anyhow::Result<()> {
    cluster.create_topic(topic, 4)?;
    let producer = done(Producer::start(ProducerOptions {
        name_servers: name_servers.to_owned(),
        group: "mixed_producers".to_owned(),
        send_timeout_ms: 10_000,
        ..ProducerOptions::default()
    }))?;
    let queues = done(producer.queues(topic))?;
    let names: BTreeSet<_> = queues
        .iter()
        .map(|queue| queue.broker_name.clone())
        .collect();
    let both = ["broker-official", "broker-ours"].map(str::to_owned);
    ensure!(
        names == BTreeSet::from(both) && queues.len() == 8,
        "queues on both brokers: {queues:?}"
    );
    let mut sent = BTreeSet::new();
    let mut send = |from: usize| -> anyhow::Result<()> {
        for number in from..from + MESSAGES / 2 {
            let body = format!("message {number}");
            let queue = queues[number % queues.len()].clone();
            let result = done(producer.send_to_queue(Message::new(topic, body.clone()), queue))?;
            ensure!(result.status == SendStatus::SendOk, "{result:?}");
            sent.insert(body);
        }
        Ok(())
    };
    // Half of it is there before the first consumer starts, half comes while both run. Queues change hands in between,
    // when everything is committed: else a message may rightly come twice.
    send(0)?;
    let a = consumer(name_servers, topic)?;
    let mut got = Got::default();
    got.poll(&[&a], MESSAGES / 2)?;
    let group = format!("{topic}_group");
    for broker in cluster.brokers()? {
        let mut connection = Connection::open(broker)?;
        for queue_id in 0..4 {
            wait_for("committed offset", DEADLINE, || {
                let header = QueryConsumerOffsetRequestHeader {
                    consumer_group: &group,
                    topic,
                    queue_id,
                    ..QueryConsumerOffsetRequestHeader::default()
                };
                let ask = Command::request(RequestCode::QUERY_CONSUMER_OFFSET, &header);
                let answer = connection.request_ok(ask).ok()?;
                (answer.ext.get("offset") == Some("25")).then_some(())
            })?;
        }
    }
    let b = consumer(name_servers, topic)?;
    let of_topic = |consumer: &PushConsumer| {
        let queues = consumer.assigned();
        queues.iter().filter(|queue| queue.topic == topic).count()
    };
    wait_for("queues at both consumers", DEADLINE, || {
        (of_topic(&a) == 4 && of_topic(&b) == 4).then_some(())
    })?;
    send(MESSAGES / 2)?;
    got.poll(&[&a, &b], MESSAGES)?;
    let twice: Vec<_> = got.times.iter().filter(|(_, times)| **times > 1).collect();
    ensure!(twice.is_empty(), "came twice: {twice:?}");
    ensure!(
        sent.iter().eq(got.times.keys()),
        "another set of messages came"
    );
    ensure!(
        got.by_consumer.iter().all(|count| *count > 0),
        "both consumers got some: {:?}",
        got.by_consumer
    );
    done(a.close())?;
    done(b.close())?;
    done(producer.close())
}

fn java_client(cluster: &Mixed) -> anyhow::Result<()> {
    let home = cluster.dir().join("client");
    std::fs::create_dir_all(&home)?;
    let mut command = programs::java_client("5.5.0", &home)?;
    command
        .arg("Interop")
        .arg(cluster.namesrv_addrs())
        .args(["mixed", JAVA]);
    let reports = programs::run(&mut command, &home, PROGRAM, |what| {
        anyhow::bail!("awaits {what}")
    })?;
    ensure!(reports.len() == 1 && reports[0].ok, "{reports:#?}");
    ensure!(reports[0].detail.contains("2 brokers"), "{reports:#?}");
    Ok(())
}

/// Our broker leaves and comes back: its queues leave the route and return, the other's stay.
fn come_and_go(cluster: &mut Mixed) -> anyhow::Result<()> {
    let namesrvs: Vec<_> = cluster.namesrvs.iter().map(NameServer::addr).collect();
    let brokers = |what: &str, wanted: usize| {
        namesrvs.iter().try_for_each(|namesrv| {
            wait_for(what, DEADLINE, || {
                let route = wire::route(*namesrv, TOPIC).ok()?;
                let has_official = route.contains("broker-official");
                let count = route.matches("\"writeQueueNums\"").count();
                (has_official && count == wanted).then_some(())
            })
        })
    };
    cluster.ours.stop()?;
    brokers("route without our broker", 1)?;
    cluster.ours.start()?;
    brokers("route with our broker again", 2)
}

/// The first name server dies: clients that know both go on.
fn one_name_server_less(cluster: &mut Mixed) -> anyhow::Result<()> {
    let both = cluster.namesrv_addrs();
    cluster.namesrvs.remove(0).kill();
    our_client(cluster, &both, "mixed_without_the_first")
}

type Step = fn(&mut Mixed) -> anyhow::Result<()>;

fn run(kinds: &[Kind], steps: &[(&str, Step)]) {
    let names: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
    let what = format!(
        "brokers of both kinds at name servers: {}",
        names.join(", ")
    );
    if tools::missing(&what, &["java", "javac", "mvn"]) {
        return;
    }
    let mut cluster =
        Mixed::start(kinds).unwrap_or_else(|error| panic!("{what} did not start: {error:?}"));
    for (name, step) in steps {
        if let Err(error) = step(&mut cluster) {
            panic!("{what}: {name}: {error:?}\n{}", cluster.logs());
        }
    }
    say(&format!("{what}: {MESSAGES} messages once per group ok"));
}

const OUR_CLIENT: (&str, Step) = ("our client", |cluster| {
    let name_servers = cluster.namesrv_addrs();
    our_client(cluster, &name_servers, TOPIC)
});
const JAVA_CLIENT: (&str, Step) = ("Java client", |cluster| java_client(cluster));

#[test]
fn brokers_of_both_kinds_share_a_topic_at_the_official_name_server() {
    let steps = [OUR_CLIENT, JAVA_CLIENT, ("come and go", come_and_go)];
    run(&[Kind::Official], &steps);
}

#[test]
fn brokers_of_both_kinds_share_a_topic_at_our_name_server() {
    let steps = [OUR_CLIENT, JAVA_CLIENT, ("come and go", come_and_go)];
    run(&[Kind::Ours], &steps);
}

#[test]
fn brokers_of_both_kinds_register_at_name_servers_of_both_kinds() {
    let steps = [
        OUR_CLIENT,
        ("come and go", come_and_go as Step),
        ("one name server less", one_name_server_less),
    ];
    run(&Kind::ALL, &steps);
}
