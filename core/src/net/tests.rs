// SPDX-License-Identifier: Apache-2.0
//! Connections against a scripted peer over real sockets.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use kerolox_protocol::command::request;
use kerolox_protocol::{Command, RequestCode, ResponseCode, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;
use crate::error::ErrorCode;

const LONG: Duration = Duration::from_secs(10);

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    (listener, address)
}

struct Peer {
    socket: TcpStream,
    buffer: BytesMut,
}

impl Peer {
    async fn accept(listener: &TcpListener) -> Self {
        let (socket, _) = listener.accept().await.expect("a connection");
        Self {
            socket,
            buffer: BytesMut::new(),
        }
    }

    async fn command(&mut self) -> Command {
        loop {
            if let Some(frame) = frame::split(&mut self.buffer).expect("a frame") {
                return Command::decode(frame).expect("a command");
            }
            assert_ne!(
                self.socket
                    .read_buf(&mut self.buffer)
                    .await
                    .expect("readable"),
                0
            );
        }
    }

    async fn send(&mut self, command: &Command) {
        let mut out = BytesMut::new();
        command.encode(&mut out);
        self.socket.write_all(&out).await.expect("writable");
    }
}

fn any_request() -> Command {
    request(RequestCode::GET_BROKER_CLUSTER_INFO)
}

#[tokio::test]
async fn responses_find_their_waiters_in_any_order() {
    let (listener, address) = listen().await;
    let connection = Connection::connect(&address, ConnectOptions::default())
        .await
        .expect("up");
    let mut peer = Peer::accept(&listener).await;
    let serve = async {
        let mut commands = Vec::new();
        for _ in 0..3 {
            commands.push(peer.command().await);
        }
        for command in commands.iter().rev() {
            let body = command.body.clone();
            peer.send(&Command::reply_to(command, ResponseCode::SUCCESS).with_body(body))
                .await;
        }
    };
    let ask = |text: &'static str| connection.request(any_request().with_body(text), LONG);
    let ((), a, b, c) = tokio::join!(serve, ask("a"), ask("b"), ask("c"));
    assert_eq!(a.expect("answered").body, "a");
    assert_eq!(b.expect("answered").body, "b");
    assert_eq!(c.expect("answered").body, "c");
    assert_eq!(connection.in_flight(), 0);
}

#[tokio::test]
async fn one_slow_waiter_times_out_and_the_others_go_on() {
    let (listener, address) = listen().await;
    let connection = Connection::connect(&address, ConnectOptions::default())
        .await
        .expect("up");
    let mut peer = Peer::accept(&listener).await;
    let serve = async {
        let _never_answered = peer.command().await;
        let command = peer.command().await;
        peer.send(&Command::reply_to(&command, ResponseCode::SUCCESS))
            .await;
    };
    let slow = connection.request(any_request(), Duration::from_millis(50));
    let quick = connection.request(any_request(), LONG);
    let ((), slow, quick) = tokio::join!(serve, slow, quick);
    assert_eq!(slow.expect_err("not answered").code(), ErrorCode::Timeout);
    assert!(quick.is_ok());
    assert!(!connection.is_closed());
}

#[tokio::test]
async fn an_earlier_deadline_is_kept_while_a_later_one_waits() {
    let (listener, address) = listen().await;
    let connection = Connection::connect(&address, ConnectOptions::default())
        .await
        .expect("up");
    let _peer = Peer::accept(&listener).await;
    let long = connection.request(any_request(), LONG);
    let short = async {
        let begin = Instant::now();
        let error = connection
            .request(any_request(), Duration::from_millis(30))
            .await;
        assert_eq!(error.expect_err("silent").code(), ErrorCode::Timeout);
        assert!(begin.elapsed() < LONG / 2);
        connection.close();
    };
    let (long, ()) = tokio::join!(long, short);
    assert_eq!(long.expect_err("closed").code(), ErrorCode::ConnectionLost);
}

#[tokio::test]
async fn a_lost_connection_fails_its_waiters_at_once() {
    let (listener, address) = listen().await;
    let connection = Connection::connect(&address, ConnectOptions::default())
        .await
        .expect("up");
    let mut peer = Peer::accept(&listener).await;
    let serve = async {
        let _read = peer.command().await;
        drop(peer);
    };
    let ((), answer) = tokio::join!(serve, connection.request(any_request(), LONG));
    let error = answer.expect_err("lost");
    assert_eq!(error.code(), ErrorCode::ConnectionLost);
    assert!(error.to_string().contains(&address), "{error}");
    connection.closed().await;
    let error = connection
        .request(any_request(), LONG)
        .await
        .expect_err("still lost");
    assert_eq!(error.code(), ErrorCode::ConnectionLost);
}

#[tokio::test]
async fn bytes_that_are_no_frame_are_named_as_such() {
    let (listener, address) = listen().await;
    let connection = Connection::connect(&address, ConnectOptions::default())
        .await
        .expect("up");
    let mut peer = Peer::accept(&listener).await;
    let serve = async {
        peer.socket
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .expect("written");
        connection.closed().await;
    };
    let (answer, ()) = tokio::join!(connection.request(any_request(), LONG), serve);
    assert_eq!(
        answer.expect_err("not the protocol").code(),
        ErrorCode::Protocol
    );
}

#[tokio::test]
async fn requests_of_the_peer_go_to_the_channel_and_can_be_answered() {
    let (listener, address) = listen().await;
    let (sender, mut requests) = mpsc::channel(1);
    let options = ConnectOptions {
        requests: Some(sender),
        ..ConnectOptions::default()
    };
    let connection = Connection::connect(&address, options).await.expect("up");
    let mut peer = Peer::accept(&listener).await;
    let mut question = any_request();
    question.opaque = 77;
    peer.send(&question).await;
    let received = requests.recv().await.expect("handed over");
    received
        .connection
        .reply(&Command::reply_to(&received.command, ResponseCode::SUCCESS).with_body("yes"));
    let answer = peer.command().await;
    assert_eq!((answer.opaque, &answer.body[..]), (77, &b"yes"[..]));
    drop(received);

    // The channel holds one: the second is refused, and responses still get through.
    peer.send(&question).await;
    peer.send(&question).await;
    let refusal = peer.command().await;
    assert_eq!(refusal.code, ResponseCode::SYSTEM_BUSY.0);
    let serve = async {
        let command = peer.command().await;
        peer.send(&Command::reply_to(&command, ResponseCode::SUCCESS))
            .await;
    };
    let (answer, ()) = tokio::join!(connection.request(any_request(), LONG), serve);
    assert!(answer.is_ok());
}

#[tokio::test]
async fn oneway_requests_carry_the_flag_and_are_written_before_a_close() {
    let (listener, address) = listen().await;
    let connection = Connection::connect(&address, ConnectOptions::default())
        .await
        .expect("up");
    let mut peer = Peer::accept(&listener).await;
    connection
        .oneway(any_request(), LONG)
        .await
        .expect("queued");
    connection.close();
    assert!(peer.command().await.is_oneway());
}

#[tokio::test]
async fn callers_wait_while_too_many_requests_are_outstanding() {
    let (listener, address) = listen().await;
    let options = ConnectOptions {
        max_in_flight: 1,
        ..ConnectOptions::default()
    };
    let connection = Connection::connect(&address, options).await.expect("up");
    let mut peer = Peer::accept(&listener).await;
    let first = connection.request(any_request(), LONG);
    let second = async {
        let command = peer.command().await;
        let second = connection
            .request(any_request(), Duration::from_millis(30))
            .await;
        assert_eq!(
            second.expect_err("no room").code(),
            ErrorCode::TooManyRequests
        );
        peer.send(&Command::reply_to(&command, ResponseCode::SUCCESS))
            .await;
    };
    let (first, ()) = tokio::join!(first, second);
    assert!(first.is_ok());
}

#[tokio::test]
async fn a_dropped_request_is_forgotten() {
    let (listener, address) = listen().await;
    let connection = Connection::connect(&address, ConnectOptions::default())
        .await
        .expect("up");
    let _peer = Peer::accept(&listener).await;
    let request = connection.request(any_request(), LONG);
    assert!(
        tokio::time::timeout(Duration::from_millis(20), request)
            .await
            .is_err()
    );
    assert_eq!(connection.in_flight(), 0);
}

#[tokio::test]
async fn a_refused_connect_names_the_address() {
    let (listener, address) = listen().await;
    drop(listener);
    let error = Connection::connect(&address, ConnectOptions::default())
        .await
        .expect_err("refused");
    assert_eq!(error.code(), ErrorCode::ConnectFailed);
    assert!(error.to_string().contains(&address), "{error}");
    assert!(error.hint().contains("server runs"), "{}", error.hint());
}

#[tokio::test]
async fn the_pool_shares_a_connection_and_makes_it_again() {
    let (listener, address) = listen().await;
    let (connected, mut news) = mpsc::channel(4);
    let options = PoolOptions {
        connected: Some(connected),
        ..PoolOptions::default()
    };
    let pool = Pool::new(tokio::runtime::Handle::current(), options);
    let (a, b) = tokio::join!(
        pool.connection(&address, LONG),
        pool.connection(&address, LONG)
    );
    let (a, b) = (a.expect("up"), b.expect("up"));
    assert!(a.is_same(&b));
    assert_eq!(news.recv().await.as_deref(), Some(address.as_str()));
    drop(Peer::accept(&listener).await);
    a.closed().await;
    let again = pool.connection(&address, LONG).await.expect("up again");
    assert!(!again.is_same(&a));
    assert_eq!(news.recv().await.as_deref(), Some(address.as_str()));
    pool.retire(&again);
    assert!(pool.existing(&address).is_none() && !again.is_closed());
    pool.close();
    let error = pool.connection(&address, LONG).await.expect_err("closed");
    assert_eq!(error.code(), ErrorCode::Closed);
}
