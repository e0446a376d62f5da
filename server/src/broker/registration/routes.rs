// SPDX-License-Identifier: Apache-2.0
//! Asks name servers for the routes that the broker wants to know ([`crate::broker::routes`]).
//!
//! One after the other over one connection; a name server that does not answer is passed over for the next one.

use std::sync::Arc;
use std::time::Duration;

use kerolox::net::{ConnectOptions, Connection};
use kerolox_protocol::body;
use kerolox_protocol::body::route::TopicRouteData;
use kerolox_protocol::header::route::GetRouteInfoRequestHeader;
use kerolox_protocol::{Command, RequestCode, ResponseCode};
use tokio::sync::{Notify, watch};

use crate::broker::Broker;

/// Longest wait for a connection or an answer; a client waits three seconds for its assignment.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Asks for what is wanted until told to stop.
pub(super) async fn follow(
    broker: Arc<Broker>,
    wanted: Arc<Notify>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut asking = Asking { connection: None };
    loop {
        // Cancel safety: `notified` and `changed` lose nothing when the other branch wins.
        tokio::select! {
            () = wanted.notified() => {}
            _ = stopped.changed() => return,
        }
        for topic in broker.routes().take_wanted() {
            let name_servers = broker.config().name_servers().unwrap_or_default();
            let answer = asking.ask(&name_servers, &topic).await;
            let now_ms = broker.clock.now_ms();
            match answer {
                Some(route) => {
                    broker
                        .routes()
                        .learn(&broker, &topic, route.as_ref(), now_ms);
                }
                None => broker.routes().learn_nothing(&broker, &topic, now_ms),
            }
        }
    }
}

struct Asking {
    connection: Option<Connection>,
}

impl Asking {
    /// The topic's route, `Some(None)` if there is no such topic; `None` if nobody answers.
    async fn ask(
        &mut self,
        name_servers: &[String],
        topic: &str,
    ) -> Option<Option<TopicRouteData>> {
        if let Some(connection) = self.connection.clone() {
            match ask(&connection, topic).await {
                Ok(answer) => return Some(answer),
                Err(_) => self.connection = None,
            }
        }
        for address in name_servers {
            let options = ConnectOptions {
                timeout: TIMEOUT,
                ..ConnectOptions::default()
            };
            let answer = match Connection::connect(address, options).await {
                Ok(connection) => {
                    let answer = ask(&connection, topic).await;
                    self.connection = Some(connection);
                    answer
                }
                Err(error) => Err(error.to_string()),
            };
            match answer {
                Ok(answer) => return Some(answer),
                Err(reason) => {
                    self.connection = None;
                    tracing::warn!(name_server = address, topic, reason, "no route");
                }
            }
        }
        None
    }
}

async fn ask(connection: &Connection, topic: &str) -> Result<Option<TopicRouteData>, String> {
    let header = GetRouteInfoRequestHeader {
        topic,
        accept_standard_json_only: Some(true),
    };
    let request = Command::request(RequestCode::GET_ROUTEINFO_BY_TOPIC, &header);
    let reply = connection
        .request(request, TIMEOUT)
        .await
        .map_err(|error| error.to_string())?;
    match reply.response_code() {
        ResponseCode::SUCCESS => body::decode(&reply.body)
            .map(Some)
            .map_err(|error| error.to_string()),
        ResponseCode::TOPIC_NOT_EXIST => Ok(None),
        _ => {
            let remark = reply.remark.unwrap_or_default();
            Err(format!("answered with code {}: {remark}", reply.code))
        }
    }
}
