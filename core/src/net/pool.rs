// SPDX-License-Identifier: Apache-2.0
//! One connection per address, made when it is first needed and made again when it has ended.
//!
//! Before it: the instance, which knows the address. After it: [`super::connection`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::connection::{ConnectOptions, Connection, PeerRequest};
use crate::error::{Error, ErrorCode, Result};

/// A failed connect is not tried again for this long; callers get the same answer.
const FAILURE_REMEMBERED: Duration = Duration::from_millis(100);

/// What the connections of a pool have in common.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// Longest time that a connect may take, whatever the caller's deadline.
    pub connect_timeout: Duration,
    /// Requests that may be outstanding on a connection.
    pub max_in_flight: usize,
    /// Where requests of the peers go.
    pub requests: Option<mpsc::Sender<PeerRequest>>,
    /// Who is told the address of every new connection. When the channel is full the news is dropped.
    pub connected: Option<mpsc::Sender<Arc<str>>>,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            max_in_flight: 65_535,
            requests: None,
            connected: None,
        }
    }
}

/// Connections by address.
#[derive(Debug)]
pub struct Pool {
    handle: Handle,
    options: PoolOptions,
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    by_address: HashMap<Arc<str>, Arc<Slot>>,
    is_closed: bool,
}

#[derive(Debug)]
struct Slot {
    address: Arc<str>,
    state: Mutex<SlotState>,
    /// Held while connecting, so that one does and the others wait.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct SlotState {
    connection: Option<Connection>,
    failed: Option<(Instant, ErrorCode, String)>,
}

impl Pool {
    /// A pool whose connections run on `handle`.
    pub fn new(handle: Handle, options: PoolOptions) -> Self {
        Self {
            handle,
            options,
            slots: Mutex::new(Slots::default()),
        }
    }

    /// The connection to `address`, which is made if there is none.
    ///
    /// # Errors
    /// [`ErrorCode::ConnectFailed`], [`ErrorCode::Timeout`], [`ErrorCode::Closed`] after [`Pool::close`].
    pub async fn connection(&self, address: &str, timeout: Duration) -> Result<Connection> {
        let deadline = Instant::now() + timeout;
        let slot = self.slot(address)?;
        if let Some(connection) = slot.alive() {
            return Ok(connection);
        }
        let timed_out = || {
            Error::new(ErrorCode::Timeout, "connect")
                .with_message(format!("no connection within {} ms", timeout.as_millis()))
                .with_context("address", address)
        };
        let Ok(_turn) = tokio::time::timeout_at(deadline.into(), slot.connecting.lock()).await
        else {
            return Err(timed_out());
        };
        if let Some(connection) = slot.alive() {
            return Ok(connection);
        }
        if let Some((at, code, message)) = &slot.state.lock().failed
            && at.elapsed() < FAILURE_REMEMBERED
        {
            return Err(Error::new(*code, "connect")
                .with_message(message.clone())
                .with_context("address", address));
        }
        let options = ConnectOptions {
            timeout: self
                .options
                .connect_timeout
                .min(deadline - Instant::now().min(deadline)),
            max_in_flight: self.options.max_in_flight,
            requests: self.options.requests.clone(),
        };
        // On the pool's own runtime: the connection outlives the caller's.
        let to = Arc::clone(&slot.address);
        let task = self
            .handle
            .spawn(async move { Connection::connect(&to, options).await });
        let connected = task.await.unwrap_or_else(|error| {
            Err(Error::new(ErrorCode::Internal, "connect").with_source(error))
        });
        match connected {
            Ok(connection) => {
                {
                    let mut state = slot.state.lock();
                    state.connection = Some(connection.clone());
                    state.failed = None;
                }
                // Closed meanwhile: the slot is no longer in the table, so nobody else would close it.
                if self.slots.lock().is_closed {
                    connection.close();
                    return Err(closed());
                }
                if let Some(connected) = &self.options.connected
                    && connected.try_send(Arc::clone(&slot.address)).is_err()
                {
                    tracing::debug!(address, "nobody was told of the new connection");
                }
                Ok(connection)
            }
            Err(error) => {
                let mut message = error.message().to_owned();
                if let Some(source) = std::error::Error::source(&error) {
                    message = format!("{message}: {source}");
                }
                slot.state.lock().failed = Some((Instant::now(), error.code(), message));
                Err(error)
            }
        }
    }

    /// The connection to `address` if there is one.
    pub fn existing(&self, address: &str) -> Option<Connection> {
        let slot = self.slots.lock().by_address.get(address).cloned()?;
        slot.alive()
    }

    /// Takes a connection that its peer wants to end out of use: outstanding requests may finish, the next request
    /// makes a new one.
    pub fn retire(&self, connection: &Connection) {
        let slot = self
            .slots
            .lock()
            .by_address
            .get(connection.address())
            .cloned();
        let Some(slot) = slot else { return };
        let mut state = slot.state.lock();
        if state
            .connection
            .as_ref()
            .is_some_and(|current| current.is_same(connection))
        {
            state.connection = None;
        }
    }

    /// Closes the connections to all addresses that `keep` refuses.
    pub fn retain(&self, keep: impl Fn(&str) -> bool) {
        let dropped: Vec<Arc<Slot>> = {
            let mut slots = self.slots.lock();
            let gone = slots.by_address.extract_if(|address, _| !keep(address));
            gone.map(|(_, slot)| slot).collect()
        };
        for slot in dropped {
            // A request in flight holds the connection; it ends with the last of them.
            drop(slot.state.lock().connection.take());
        }
    }

    /// Closes every connection; requests fail from now on.
    pub fn close(&self) {
        let slots = {
            let mut slots = self.slots.lock();
            slots.is_closed = true;
            std::mem::take(&mut slots.by_address)
        };
        for slot in slots.into_values() {
            slot.close();
        }
    }

    fn slot(&self, address: &str) -> Result<Arc<Slot>> {
        let mut slots = self.slots.lock();
        if slots.is_closed {
            return Err(closed());
        }
        if let Some(slot) = slots.by_address.get(address) {
            return Ok(Arc::clone(slot));
        }
        let address: Arc<str> = address.into();
        let slot = Arc::new(Slot {
            address: Arc::clone(&address),
            state: Mutex::default(),
            connecting: tokio::sync::Mutex::new(()),
        });
        slots.by_address.insert(address, Arc::clone(&slot));
        Ok(slot)
    }
}

fn closed() -> Error {
    Error::new(ErrorCode::Closed, "connect")
}

impl Slot {
    fn alive(&self) -> Option<Connection> {
        self.state
            .lock()
            .connection
            .as_ref()
            .filter(|connection| !connection.is_closed())
            .cloned()
    }

    fn close(&self) {
        if let Some(connection) = self.state.lock().connection.take() {
            connection.close();
        }
    }
}
