// SPDX-License-Identifier: Apache-2.0
//! A connection that asks one thing after the other and connects again when the server has closed it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use bytes::BytesMut;
use kerolox_protocol::{Command, ResponseCode, frame};

/// Far more than any answer takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// For requests that the server may hold.
const SHORT_PATIENCE: Duration = Duration::from_millis(150);

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Code and remark.
    Reply(ResponseCode, String),
    /// The server closed the connection.
    Closed,
    /// Nothing in time.
    Silence,
}

pub(super) struct Peer {
    address: SocketAddr,
    stream: Option<TcpStream>,
    input: BytesMut,
    opaque: i32,
}

impl Peer {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            stream: None,
            input: BytesMut::new(),
            opaque: 0,
        }
    }

    fn stream(&mut self) -> &mut TcpStream {
        let address = self.address;
        self.stream.get_or_insert_with(|| {
            let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_write_timeout(Some(PATIENCE)).unwrap();
            stream
        })
    }

    pub(super) fn ask(&mut self, mut request: Command, may_wait: bool) -> Answer {
        self.opaque += 1;
        request.opaque = self.opaque;
        let mut out = BytesMut::new();
        request.encode(&mut out);
        let patience = if may_wait { SHORT_PATIENCE } else { PATIENCE };
        let stream = self.stream();
        stream.set_read_timeout(Some(patience)).unwrap();
        let answer = match stream.write_all(&out) {
            Ok(()) => self.receive(),
            Err(_) => Answer::Closed,
        };
        if !matches!(answer, Answer::Reply(..)) {
            self.stream = None;
            self.input.clear();
        }
        answer
    }

    fn receive(&mut self) -> Answer {
        loop {
            while let Some(frame) = frame::split(&mut self.input).expect("a frame of the server") {
                let got = Command::decode(frame).expect("a command of the server");
                if got.is_response() && got.opaque == self.opaque {
                    return Answer::Reply(got.response_code(), got.remark.unwrap_or_default());
                }
            }
            let mut chunk = [0; 16 * 1024];
            let stream = self.stream.as_mut().unwrap();
            match stream.read(&mut chunk) {
                Ok(0) => return Answer::Closed,
                Ok(count) => self.input.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    return Answer::Silence;
                }
                Err(_) => return Answer::Closed,
            }
        }
    }

    /// Sends bytes, ends its side, and waits until the server does the same.
    pub(super) fn send_bytes(mut self, bytes: &[u8]) {
        let stream = self.stream();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // It may have closed after the first of them.
        drop(stream.write_all(bytes));
        drop(stream.shutdown(Shutdown::Write));
        let mut rest = Vec::new();
        let end = stream.read_to_end(&mut rest);
        let is_late = end.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        assert!(
            !is_late,
            "the server keeps a connection with {} broken bytes",
            bytes.len()
        );
    }
}
