// SPDX-License-Identifier: Apache-2.0
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::AtomicUsize;

use kerolox_protocol::{RequestCode, ResponseCode, frame};

use super::*;
use crate::net::{Listener, ListenerOptions, Workers};

/// Answers every request with its own body; body `later` is answered from another thread.
#[derive(Default)]
struct Echo {
    closed: AtomicUsize,
    events: Mutex<Vec<ConnectionEvent>>,
}

impl Service for Echo {
    fn handle(&self, session: &Arc<Session>, requests: &mut Vec<Command>, replies: &mut Replies) {
        for request in requests.iter() {
            let reply =
                Command::reply_to(request, ResponseCode::SUCCESS).with_body(request.body.clone());
            if &request.body[..] == b"later" {
                let session = Arc::clone(session);
                std::thread::spawn(move || session.send(&reply));
            } else {
                replies.push(request, reply);
            }
        }
    }

    fn closed(&self, _session: &Arc<Session>) {
        self.closed.fetch_add(1, Ordering::SeqCst);
    }

    fn connection(&self, event: ConnectionEvent) {
        self.events.lock().push(event);
    }
}

struct Running {
    runtime: tokio::runtime::Runtime,
    listener: Option<Listener>,
    echo: Arc<Echo>,
}

impl Running {
    fn start(options: ListenerOptions) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let echo = Arc::new(Echo::default());
        let workers = Workers::start(2).unwrap();
        let socket = Listener::bind("127.0.0.1:0".parse::<SocketAddr>().unwrap()).unwrap();
        let guard = runtime.enter();
        let listener =
            Listener::start(socket, Arc::clone(&echo) as _, options, Some(workers)).unwrap();
        drop(guard);
        Self {
            runtime,
            listener: Some(listener),
            echo,
        }
    }

    fn connect(&self) -> Client {
        let address = self.listener.as_ref().unwrap().local();
        let stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        Client {
            stream,
            input: BytesMut::new(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.runtime
            .block_on(self.listener.take().unwrap().shutdown());
    }
}

struct Client {
    stream: TcpStream,
    input: BytesMut,
}

impl Client {
    fn request(opaque: i32, body: &[u8]) -> Command {
        let mut command = kerolox_protocol::command::request(RequestCode::HEART_BEAT);
        command.opaque = opaque;
        command.with_body(body.to_vec())
    }

    fn write(&mut self, commands: &[Command]) {
        let mut out = BytesMut::new();
        for command in commands {
            command.encode(&mut out);
        }
        self.stream.write_all(&out).unwrap();
    }

    /// `None` once the server closed the connection.
    fn read(&mut self) -> Option<Command> {
        loop {
            if let Some(frame) = frame::split(&mut self.input).unwrap() {
                return Some(Command::decode(frame).unwrap());
            }
            let mut part = [0; 4096];
            match self.stream.read(&mut part) {
                Ok(0) => return None,
                Ok(read) => self.input.extend_from_slice(&part[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn pipelined_requests_are_answered_in_order_whatever_their_size() {
    let server = Running::start(ListenerOptions::default());
    let mut client = server.connect();
    let sizes = [0, 1, 511, 512, 513, 5_000, 300_000, 7, 1_000_000, 3];
    let requests: Vec<_> = (0..)
        .zip(sizes)
        .map(|(n, size)| Client::request(n, &vec![n as u8; size]))
        .collect();
    client.write(&requests);
    for (n, size) in (0..).zip(sizes) {
        let reply = client.read().unwrap();
        assert_eq!((reply.opaque, reply.body.len()), (n, size));
        assert!(reply.body.iter().all(|byte| i32::from(*byte) == n));
    }
}

#[test]
fn answers_from_other_threads_reach_a_waiting_connection() {
    let server = Running::start(ListenerOptions::default());
    let mut client = server.connect();
    client.write(&[Client::request(5, b"later")]);
    assert_eq!(client.read().unwrap().opaque, 5);
}

#[test]
fn one_way_requests_are_not_answered() {
    let server = Running::start(ListenerOptions::default());
    let mut client = server.connect();
    client.write(&[Client::request(1, b"x").oneway(), Client::request(2, b"y")]);
    assert_eq!(client.read().unwrap().opaque, 2);
}

#[test]
fn a_broken_frame_ends_its_connection_and_no_other() {
    let server = Running::start(ListenerOptions::default());
    let mut good = server.connect();
    let broken: [&[u8]; 5] = [
        &[0x7F, 0xFF, 0xFF, 0xFF],
        &[0, 0, 0, 8, 0, 0, 0, 9, b'{', b'}', 0, 0],
        &[0, 0, 0, 8, 9, 0, 0, 2, b'{', b'}', 0, 0],
        &[0, 0, 0, 8, 0, 0, 0, 4, b'{', b'"', b'x', b'x'],
        &[0x16, 3, 1, 2, 0, 1, 0, 1],
    ];
    for bytes in broken {
        let mut bad = server.connect();
        bad.stream.write_all(bytes).unwrap();
        assert!(bad.read().is_none(), "{bytes:?}");
        good.write(&[Client::request(1, b"still here")]);
        assert_eq!(&good.read().unwrap().body[..], b"still here");
    }
}

#[test]
fn silent_connections_are_closed_and_reported_once() {
    let idle = Duration::from_millis(50);
    let server = Running::start(ListenerOptions {
        idle,
        ..ListenerOptions::default()
    });
    let mut client = server.connect();
    assert!(client.read().is_none());
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    while server.echo.events.lock().len() < 3 {
        assert!(std::time::Instant::now() < deadline, "the end was not told");
        std::thread::yield_now();
    }
    assert_eq!(server.echo.closed.load(Ordering::SeqCst), 1);
    let events = [
        ConnectionEvent::Opened,
        ConnectionEvent::Idle,
        ConnectionEvent::Closed,
    ];
    assert_eq!(*server.echo.events.lock(), events);
}

#[test]
fn shutdown_closes_what_is_open() {
    let server = Running::start(ListenerOptions::default());
    let mut client = server.connect();
    client.write(&[Client::request(1, b"x")]);
    client.read().unwrap();
    let echo = Arc::clone(&server.echo);
    drop(server);
    assert!(client.read().is_none());
    assert_eq!(echo.closed.load(Ordering::SeqCst), 1);
}
