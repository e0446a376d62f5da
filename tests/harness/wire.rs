// SPDX-License-Identifier: Apache-2.0
//! A blocking connection that sends one command at a time: for set-up and for checks below the clients.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::BytesMut;
use kerolox_protocol::body;
use kerolox_protocol::body::group::SubscriptionGroupConfig;
use kerolox_protocol::code::{RequestCode, ResponseCode};
use kerolox_protocol::command::Command;
use kerolox_protocol::frame;
use kerolox_protocol::header::NoHeader;
use kerolox_protocol::header::admin::CreateTopicRequestHeader;
use kerolox_protocol::header::route::GetRouteInfoRequestHeader;

use crate::wait_for;

/// Far more than any answer takes: the machine may be busy with other things.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How many requests [`Connection::request_all`] has on the way.
const IN_FLIGHT: usize = 32;

/// A TCP connection to a name server or broker.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    input: BytesMut,
    next_opaque: i32,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn open(addr: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, TIMEOUT)
            .with_context(|| format!("connect to {addr}"))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            input: BytesMut::new(),
            next_opaque: 1,
        })
    }

    /// Writes a request and returns the opaque id it went out with.
    ///
    /// # Errors
    /// When the connection is closed.
    pub fn send(&mut self, mut request: Command) -> anyhow::Result<i32> {
        request.opaque = self.next_opaque;
        self.next_opaque += 1;
        let mut out = BytesMut::new();
        request.encode(&mut out);
        self.stream.write_all(&out)?;
        Ok(request.opaque)
    }

    /// Reads the next command, whatever it is.
    ///
    /// # Errors
    /// When the connection is closed, nothing comes in time, or what comes is no command.
    pub fn receive(&mut self) -> anyhow::Result<Command> {
        loop {
            if let Some(frame) = frame::split(&mut self.input)? {
                return Ok(Command::decode(frame)?);
            }
            let mut chunk = [0; 16 * 1024];
            let count = self.stream.read(&mut chunk)?;
            ensure!(count > 0, "the peer closed the connection");
            self.input.extend_from_slice(&chunk[..count]);
        }
    }

    /// Sends requests, `depth` of which are on the way together, and hands each response to `answered` with the number of
    /// its request, counted from 0.
    ///
    /// # Errors
    /// As [`Connection::receive`], and those of `answered`.
    pub fn pipeline(
        &mut self,
        depth: usize,
        requests: impl IntoIterator<Item = Command>,
        mut answered: impl FnMut(usize, Command) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut waiting = HashMap::new();
        let mut requests = requests.into_iter().enumerate();
        loop {
            while waiting.len() < depth
                && let Some((number, request)) = requests.next()
            {
                waiting.insert(self.send(request)?, number);
            }
            if waiting.is_empty() {
                return Ok(());
            }
            let response = self.receive()?;
            if response.is_response() {
                let number = waiting.remove(&response.opaque);
                answered(number.context("answer to nothing")?, response)?;
            }
        }
    }

    /// Sends a request and waits for its response; requests of the peer in between are dropped.
    ///
    /// # Errors
    /// As [`Connection::receive`].
    pub fn request(&mut self, request: Command) -> anyhow::Result<Command> {
        let asked = request.code;
        let opaque = self.send(request)?;
        loop {
            let got = self
                .receive()
                .with_context(|| format!("no response to request {asked}"))?;
            if got.is_response() && got.opaque == opaque {
                return Ok(got);
            }
        }
    }

    /// Sends many requests, some of them at once, and returns their responses in the order of the requests.
    ///
    /// # Errors
    /// As [`Connection::receive`].
    pub fn request_all(&mut self, requests: Vec<Command>) -> anyhow::Result<Vec<Command>> {
        let mut responses: Vec<Option<Command>> = Vec::new();
        responses.resize_with(requests.len(), || None);
        let mut waiting = HashMap::new();
        for (at, request) in requests.into_iter().enumerate() {
            if waiting.len() == IN_FLIGHT {
                self.receive_into(&mut waiting, &mut responses)?;
            }
            waiting.insert(self.send(request)?, at);
        }
        while !waiting.is_empty() {
            self.receive_into(&mut waiting, &mut responses)?;
        }
        responses
            .into_iter()
            .map(|response| response.context("a request without response"))
            .collect()
    }

    fn receive_into(
        &mut self,
        waiting: &mut HashMap<i32, usize>,
        responses: &mut [Option<Command>],
    ) -> anyhow::Result<()> {
        let got = self
            .receive()
            .with_context(|| format!("no response to requests {waiting:?}"))?;
        if let Some(at) = waiting.remove(&got.opaque).filter(|_| got.is_response()) {
            responses[at] = Some(got);
        }
        Ok(())
    }

    /// As [`Connection::request`], and the response has to say SUCCESS.
    ///
    /// # Errors
    /// Also with code and remark of any other response.
    pub fn request_ok(&mut self, request: Command) -> anyhow::Result<Command> {
        let asked = request.code;
        let got = self.request(request)?;
        ensure!(
            got.response_code() == ResponseCode::SUCCESS,
            "request {asked} answered with {}: {:?}",
            got.code,
            got.remark
        );
        Ok(got)
    }
}

/// Creates a topic at the broker.
///
/// # Errors
/// When the broker refuses it.
pub fn create_topic_at(broker: SocketAddr, topic: &str, queues: i32) -> anyhow::Result<()> {
    let header = CreateTopicRequestHeader {
        topic,
        default_topic: Some("TBW102"),
        read_queue_nums: queues,
        write_queue_nums: queues,
        perm: 6,
        topic_filter_type: Some("SINGLE_TAG"),
        topic_sys_flag: Some(0),
        order: Some(false),
        attributes: None,
        force: None,
    };
    Connection::open(broker)?.request_ok(Command::request(
        RequestCode::UPDATE_AND_CREATE_TOPIC,
        &header,
    ))?;
    Ok(())
}

/// Creates a consumer group at the broker.
///
/// # Errors
/// When it does not answer, or refuses.
pub fn create_group_at(broker: SocketAddr, group: &str) -> anyhow::Result<()> {
    let config = SubscriptionGroupConfig {
        group_name: group.to_owned(),
        ..SubscriptionGroupConfig::default()
    };
    let code = RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP;
    let request = Command::request(code, &NoHeader).with_body(body::encode(&config));
    Connection::open(broker)?.request_ok(request)?;
    Ok(())
}

/// Creates a topic at the broker and waits until the name server has a route for it.
///
/// # Errors
/// When the broker refuses it or no route comes up.
pub fn create_topic(
    namesrv: SocketAddr,
    broker: SocketAddr,
    topic: &str,
    queues: i32,
) -> anyhow::Result<()> {
    create_topic_at(broker, topic, queues)?;
    let mut connection = Connection::open(namesrv)?;
    wait_for(&format!("route for {topic}"), TIMEOUT, || {
        let header = GetRouteInfoRequestHeader {
            topic,
            accept_standard_json_only: None,
        };
        let request = Command::request(RequestCode::GET_ROUTEINFO_BY_TOPIC, &header);
        connection.request_ok(request).ok()
    })?;
    Ok(())
}

/// The answer of a name server to the question for its brokers, as text.
///
/// # Errors
/// When it does not answer.
pub fn cluster_info(namesrv: SocketAddr) -> anyhow::Result<String> {
    let request = Command::request(RequestCode::GET_BROKER_CLUSTER_INFO, &NoHeader);
    let answer = Connection::open(namesrv)?.request_ok(request)?;
    Ok(String::from_utf8_lossy(&answer.body).into_owned())
}

/// The route of a topic as text.
///
/// # Errors
/// When the name server has none.
pub fn route(namesrv: SocketAddr, topic: &str) -> anyhow::Result<String> {
    let header = GetRouteInfoRequestHeader {
        topic,
        accept_standard_json_only: None,
    };
    let request = Command::request(RequestCode::GET_ROUTEINFO_BY_TOPIC, &header);
    let answer = Connection::open(namesrv)?.request_ok(request)?;
    Ok(String::from_utf8_lossy(&answer.body).into_owned())
}

/// Waits until the name server knows a broker.
///
/// # Errors
/// When none registers in time.
pub fn wait_for_broker(namesrv: SocketAddr, deadline: Duration) -> anyhow::Result<()> {
    wait_for("broker at the name server", deadline, || {
        let body = cluster_info(namesrv).ok()?;
        body.contains("\"brokerName\"").then_some(())
    })
}
