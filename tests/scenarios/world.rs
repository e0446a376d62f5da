// SPDX-License-Identifier: Apache-2.0
//! What the commands of a scenario act on: one producer, one administrator, and consumers by name.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use kerolox::facade::{
    Admin, AdminOptions, Call, Message, Producer, ProducerOptions, PullConsumer,
    PullConsumerOptions, PushConsumer, PushConsumerOptions, Queue, ReceivedMessage, SendStatus,
    Subscription, Value, Verdict,
};

use crate::script::Command;

const CALL: Duration = Duration::from_secs(15);
const ARRIVAL: Duration = Duration::from_secs(30);
const QUIET_MS: u64 = 300;

enum Consumer {
    Push(PushConsumer),
    Pull {
        consumer: PullConsumer,
        queues: Vec<Queue>,
    },
}

struct Member {
    consumer: Consumer,
    received: Vec<ReceivedMessage>,
}

pub(crate) struct World {
    name_servers: String,
    suffix: String,
    admin: Admin,
    producer: Producer,
    members: HashMap<String, Member>,
}

pub(crate) fn done<T: Send + 'static>(call: Call<T>) -> Result<T> {
    Ok(call.wait(Some(CALL)).context("no answer within 15 s")??)
}

fn body(word: &str) -> Vec<u8> {
    if word == "-" {
        Vec::new()
    } else {
        word.as_bytes().to_vec()
    }
}

fn text(message: &ReceivedMessage) -> String {
    String::from_utf8_lossy(&message.body).into_owned()
}

impl World {
    pub(crate) fn new(name_servers: &str) -> Result<Self> {
        let admin = AdminOptions {
            name_servers: name_servers.to_owned(),
            ..AdminOptions::default()
        };
        let producer = ProducerOptions {
            name_servers: name_servers.to_owned(),
            ..ProducerOptions::default()
        };
        Ok(Self {
            name_servers: name_servers.to_owned(),
            suffix: format!("-rust{}", std::process::id()),
            admin: done(Admin::start(admin))?,
            producer: done(Producer::start(producer))?,
            members: HashMap::new(),
        })
    }

    pub(crate) fn close(&mut self) -> Result<()> {
        let names: Vec<String> = self.members.keys().cloned().collect();
        for name in names {
            self.end(&name)?;
        }
        done(self.producer.close())?;
        done(self.admin.close())
    }

    pub(crate) fn run(&mut self, command: &Command) -> Result<()> {
        let words: Vec<&str> = command.words.iter().map(String::as_str).collect();
        match (command.verb.as_str(), words.as_slice()) {
            ("topic", [topic, queues]) => done(self.admin.create_topic(
                self.name(topic),
                queues.parse()?,
                None,
            )),
            ("queues", [topic, count]) => {
                let queues = done(self.producer.queues(self.name(topic)))?;
                ensure!(
                    queues.len() == count.parse::<usize>()?,
                    "{} queues",
                    queues.len()
                );
                Ok(())
            }
            ("send", [topic, text]) => {
                let sent = done(self.producer.send(self.message(topic, text, command)?))?;
                ensure!(
                    sent.status == SendStatus::SendOk,
                    "answered {}",
                    sent.status.name()
                );
                ensure!(!sent.message_id.is_empty(), "no message id");
                Ok(())
            }
            ("send-to", [topic, queue_id, text]) => {
                let queue_id: i32 = queue_id.parse()?;
                let queues = done(self.producer.queues(self.name(topic)))?;
                let queue = queues
                    .into_iter()
                    .find(|q| q.queue_id == queue_id)
                    .context("no such queue")?;
                let sent = done(
                    self.producer
                        .send_to_queue(self.message(topic, text, command)?, queue),
                )?;
                ensure!(
                    sent.status == SendStatus::SendOk,
                    "answered {}",
                    sent.status.name()
                );
                ensure!(sent.queue_id == queue_id, "went to queue {}", sent.queue_id);
                Ok(())
            }
            ("send-fails", [code, topic, text]) => {
                let call = self.producer.send(self.message(topic, text, command)?);
                match call.wait(Some(CALL)).context("no answer within 15 s")? {
                    Ok(sent) => bail!("was sent: {}", sent.message_id),
                    Err(error) => ensure!(error.code().name() == *code, "{error:?}"),
                }
                Ok(())
            }
            ("oneway", [topic, text]) => done(
                self.producer
                    .send_oneway(self.message(topic, text, command)?),
            ),
            ("batch", [topic, bodies @ ..]) => {
                let messages: Result<Vec<_>> = bodies
                    .iter()
                    .map(|b| self.message(topic, b, command))
                    .collect();
                let sent = done(self.producer.send_batch(messages?))?;
                ensure!(
                    sent.status == SendStatus::SendOk,
                    "answered {}",
                    sent.status.name()
                );
                Ok(())
            }
            ("push", [name, group, topic, expression]) => {
                self.push(name, group, topic, expression, command)
            }
            ("pull", [name, group, topic, expression]) => {
                self.pull(name, group, topic, expression, command)
            }
            ("assigned", [name, count]) => self.assigned(name, count.parse()?),
            ("expect", [name, bodies @ ..]) => {
                let bodies = bodies.to_vec();
                self.expect(&[name], &bodies)
            }
            ("expect-shared", [left, right, bodies @ ..]) => {
                let bodies = bodies.to_vec();
                self.expect(&[left, right], &bodies)
            }
            ("later", [name, text]) => self.later(name, text),
            ("message", [name, text]) => self.check(name, text, command),
            ("commit", [name]) => match &self.member(name)?.consumer {
                Consumer::Pull { consumer, .. } => done(consumer.commit()),
                Consumer::Push(_) => bail!("{name} is no pull consumer"),
            },
            ("begin" | "end", [name]) => match &self.member(name)?.consumer {
                Consumer::Pull { consumer, queues } => {
                    queues.iter().cloned().try_for_each(|queue| {
                        let begin = command.verb == "begin";
                        done(if begin {
                            consumer.seek_to_begin(queue)
                        } else {
                            consumer.seek_to_end(queue)
                        })
                    })
                }
                Consumer::Push(_) => bail!("{name} is no pull consumer"),
            },
            ("close", [name]) => {
                let name = (*name).to_owned();
                self.end(&name)
            }
            (verb, words) => bail!("unknown command: {verb} with {} words", words.len()),
        }
    }

    fn name(&self, name: &str) -> String {
        format!("{name}{}", self.suffix)
    }

    fn message(&self, topic: &str, text: &str, command: &Command) -> Result<Message> {
        let mut message = Message {
            topic: self.name(topic),
            body: body(text).into(),
            ..Message::default()
        };
        for (field, value) in &command.fields {
            match field.strip_prefix("prop.") {
                Some(property) => message
                    .properties
                    .push((property.to_owned(), value.clone())),
                None if field == "tag" => message.tag = Some(value.clone()),
                None if field == "keys" => {
                    message.keys = value.split(',').map(str::to_owned).collect();
                }
                None => bail!("unknown field {field}"),
            }
        }
        Ok(message)
    }

    fn member(&mut self, name: &str) -> Result<&mut Member> {
        self.members
            .get_mut(name)
            .with_context(|| format!("no consumer {name}"))
    }

    fn push(
        &mut self,
        name: &str,
        group: &str,
        topic: &str,
        expression: &str,
        command: &Command,
    ) -> Result<()> {
        let mut options = PushConsumerOptions::default();
        options.set("name_servers", Value::from(self.name_servers.as_str()))?;
        options.set("group", Value::from(self.name(group)))?;
        options.set("offset_store_dir", Value::from(env!("CARGO_TARGET_TMPDIR")))?;
        options.set("consume_from", Value::from("FIRST_OFFSET"))?;
        for (option, value) in &command.fields {
            options.set(option, Value::from(value.as_str()))?;
        }
        let subscription = Subscription::new(self.name(topic), expression);
        let consumer = Consumer::Push(done(PushConsumer::start(options, vec![subscription]))?);
        self.members.insert(
            name.to_owned(),
            Member {
                consumer,
                received: Vec::new(),
            },
        );
        Ok(())
    }

    fn pull(
        &mut self,
        name: &str,
        group: &str,
        topic: &str,
        expression: &str,
        command: &Command,
    ) -> Result<()> {
        let mut options = PullConsumerOptions::default();
        options.set("name_servers", Value::from(self.name_servers.as_str()))?;
        options.set("group", Value::from(self.name(group)))?;
        options.set("consume_from", Value::from("FIRST_OFFSET"))?;
        for (option, value) in &command.fields {
            options.set(option, Value::from(value.as_str()))?;
        }
        let consumer = done(PullConsumer::start(options))?;
        let queues = done(consumer.queues(self.name(topic)))?;
        consumer.filter(&self.name(topic), expression)?;
        consumer.assign(queues.clone())?;
        let consumer = Consumer::Pull { consumer, queues };
        self.members.insert(
            name.to_owned(),
            Member {
                consumer,
                received: Vec::new(),
            },
        );
        Ok(())
    }

    fn assigned(&mut self, name: &str, count: usize) -> Result<()> {
        let Consumer::Push(consumer) = &self.member(name)?.consumer else {
            bail!("{name} is no push consumer")
        };
        let deadline = Instant::now() + ARRIVAL;
        let owned = || consumer.assigned().len();
        while owned() != count {
            ensure!(Instant::now() < deadline, "owns {} queues", owned());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Takes what there is; deliveries are completed with success.
    fn poll(&mut self, name: &str, wait_ms: u64) -> Result<Vec<String>> {
        let member = self.member(name)?;
        let got: Vec<ReceivedMessage> = match &member.consumer {
            Consumer::Push(consumer) => {
                let deliveries = done(consumer.poll(100, wait_ms))?;
                let verdicts: Vec<_> = deliveries
                    .iter()
                    .map(|d| (d.id, Verdict::Success))
                    .collect();
                consumer.complete_batch(&verdicts)?;
                deliveries.into_iter().map(|d| d.message).collect()
            }
            Consumer::Pull { consumer, .. } => done(consumer.poll(100, wait_ms))?,
        };
        let bodies = got.iter().map(text).collect();
        member.received.extend(got);
        Ok(bodies)
    }

    fn expect(&mut self, names: &[&str], bodies: &[&str]) -> Result<()> {
        let mut got: Vec<Vec<String>> = vec![Vec::new(); names.len()];
        let deadline = Instant::now() + ARRIVAL;
        while got.iter().map(Vec::len).sum::<usize>() < bodies.len() && Instant::now() < deadline {
            for (name, got) in names.iter().zip(&mut got) {
                got.extend(self.poll(name, 100)?);
            }
        }
        for (name, got) in names.iter().zip(&mut got) {
            got.extend(self.poll(name, QUIET_MS)?);
        }
        if let (Some(name), true) = (
            names.iter().zip(&got).find(|(_, g)| g.is_empty()),
            names.len() > 1,
        ) {
            bail!("{} got nothing", name.0);
        }
        let mut arrived = got.concat();
        arrived.sort();
        let mut wanted = bodies.to_vec();
        wanted.sort_unstable();
        ensure!(arrived == wanted, "got {arrived:?}");
        Ok(())
    }

    fn later(&mut self, name: &str, wanted: &str) -> Result<()> {
        let Consumer::Push(consumer) = &self.member(name)?.consumer else {
            bail!("{name} is no push consumer")
        };
        let deadline = Instant::now() + ARRIVAL;
        loop {
            if let Some(delivery) = done(consumer.poll(1, 100))?.into_iter().next() {
                ensure!(
                    text(&delivery.message) == wanted,
                    "got {}",
                    text(&delivery.message)
                );
                return Ok(consumer.complete(delivery.id, Verdict::Later)?);
            }
            ensure!(Instant::now() < deadline, "{wanted} did not arrive");
        }
    }

    fn check(&mut self, name: &str, wanted: &str, command: &Command) -> Result<()> {
        let topic_suffix = self.suffix.clone();
        let member = self.member(name)?;
        let message = member
            .received
            .iter()
            .rev()
            .find(|m| text(m) == wanted)
            .context("did not arrive")?;
        for (field, value) in &command.fields {
            let is = match field.strip_prefix("prop.") {
                Some(property) => message.property(property).unwrap_or_default().to_owned(),
                None if field == "tag" => message.tag.clone().unwrap_or_default(),
                None if field == "keys" => message.keys.join(","),
                None if field == "reconsumed" => message.reconsume_times.to_string(),
                None => bail!("unknown field {field}"),
            };
            ensure!(is == *value, "{field} is {is}");
        }
        ensure!(
            message.topic.ends_with(&topic_suffix),
            "topic is {}",
            message.topic
        );
        ensure!(!message.message_id.is_empty(), "no message id");
        Ok(())
    }

    fn end(&mut self, name: &str) -> Result<()> {
        let member = self
            .members
            .remove(name)
            .with_context(|| format!("no consumer {name}"))?;
        match member.consumer {
            Consumer::Push(consumer) => done(consumer.close()),
            Consumer::Pull { consumer, .. } => done(consumer.close()),
        }
    }
}
