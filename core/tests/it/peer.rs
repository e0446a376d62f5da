// SPDX-License-Identifier: Apache-2.0
//! A server that answers as a test's script says, and remembers what it was asked.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;
use kerolox_protocol::{Command, RequestCode, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// What a script does with a request.
pub enum Answer {
    Reply(Box<Command>),
    Nothing,
    Close,
}

/// A request, and the connection it came by.
pub struct Asked<'a> {
    pub command: &'a Command,
    /// Sends commands to that client at any time.
    pub connection: mpsc::UnboundedSender<Command>,
}

pub struct Peer {
    pub address: String,
    log: Arc<Mutex<Vec<Command>>>,
    task: JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Peer {
    pub async fn start(script: impl Fn(&Asked<'_>) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let log = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(script);
        let seen = Arc::clone(&log);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.expect("accepting");
                connections.spawn(serve(socket, Arc::clone(&script), Arc::clone(&seen)));
            }
        });
        Self { address, log, task }
    }

    /// The requests of a code so far.
    pub fn asked(&self, code: RequestCode) -> Vec<Command> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter()
            .filter(|command| command.code == code.0)
            .cloned()
            .collect()
    }

    /// The codes of all requests so far.
    pub fn codes(&self) -> Vec<RequestCode> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter().map(Command::request_code).collect()
    }
}

async fn serve<S>(socket: TcpStream, script: Arc<S>, log: Arc<Mutex<Vec<Command>>>)
where
    S: Fn(&Asked<'_>) -> Answer,
{
    let (mut reading, mut writing) = socket.into_split();
    let (connection, mut outgoing) = mpsc::unbounded_channel::<Command>();
    let mut buffer = BytesMut::new();
    loop {
        while let Some(frame) = frame::split(&mut buffer).expect("a frame") {
            let command = Command::decode(frame).expect("a command");
            log.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(command.clone());
            match script(&Asked {
                command: &command,
                connection: connection.clone(),
            }) {
                Answer::Reply(mut reply) => {
                    reply.opaque = command.opaque;
                    let _sent = connection.send(*reply);
                }
                Answer::Nothing => {}
                Answer::Close => return,
            }
        }
        tokio::select! {
            read = reading.read_buf(&mut buffer) => match read {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            },
            Some(command) = outgoing.recv() => {
                let mut out = BytesMut::new();
                command.encode(&mut out);
                if writing.write_all(&out).await.is_err() {
                    return;
                }
            }
        }
    }
}
