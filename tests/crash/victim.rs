// SPDX-License-Identifier: Apache-2.0
//! A broker to be killed: ours with a configuration, or the official one.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kerolox_tests::broker::Broker;
use kerolox_tests::cluster::Cluster;
use kerolox_tests::wire;

/// What the rounds of a crash test ask of a broker.
pub(crate) trait Victim {
    /// Starts it on what it left and returns how long it took to get ready.
    fn start(&mut self) -> anyhow::Result<Duration>;
    /// Starts it and kills it that much later.
    fn start_and_kill_after(&mut self, delay: Duration) -> anyhow::Result<()>;
    fn kill(&mut self);
    fn stop(&mut self) -> anyhow::Result<()>;
    fn addr(&self) -> anyhow::Result<SocketAddr>;
    fn logs(&self) -> String;

    fn create_topic(&self, topic: &str, queues: i32) -> anyhow::Result<()> {
        wire::create_topic_at(self.addr()?, topic, queues)
    }
}

impl Victim for Broker {
    fn start(&mut self) -> anyhow::Result<Duration> {
        self.start()
    }

    fn start_and_kill_after(&mut self, delay: Duration) -> anyhow::Result<()> {
        self.start_and_kill_after(delay)
    }

    fn kill(&mut self) {
        self.kill();
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        self.stop()
    }

    fn addr(&self) -> anyhow::Result<SocketAddr> {
        self.addr()
    }

    fn logs(&self) -> String {
        self.logs()
    }
}

impl Victim for Cluster {
    fn start(&mut self) -> anyhow::Result<Duration> {
        let start = Instant::now();
        self.start_again()?;
        Ok(start.elapsed())
    }

    /// It is started whole: its start is not what is tested.
    fn start_and_kill_after(&mut self, _delay: Duration) -> anyhow::Result<()> {
        self.start_again()?;
        self.kill();
        Ok(())
    }

    fn kill(&mut self) {
        self.kill();
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        self.stop()
    }

    fn addr(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.broker_addr())
    }

    fn logs(&self) -> String {
        self.logs()
    }
}
