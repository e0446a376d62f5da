// SPDX-License-Identifier: Apache-2.0
//! A name server and broker inside the application's own process, for its tests.

use std::path::PathBuf;

use kerolox_client::facade::{Error, ErrorCode, Result, Value};
use kerolox_server::embedded::{ServeError, Server, ServerOptions};
use parking_lot::Mutex;

use crate::completion::refuse_io_thread;
use crate::convert::{apply, klx_options_t, klx_str_t};
use crate::error::{entry, klx_error_t, klx_status_t, read};
use crate::ptr;

/// A name server and broker in this process. Stop it with klx_server_stop, free it with klx_server_free.
pub struct klx_server_t {
    namesrv_addr: String,
    broker_addr: String,
    data_dir: String,
    running: Mutex<Option<Server>>,
    process: u32,
}

impl klx_server_t {
    fn stop(&self) {
        let running = self.running.lock().take();
        if self.process != std::process::id() {
            // The server's threads, and the directory that it would remove, are the parent's.
            std::mem::forget(running);
        } else if let Some(running) = running {
            running.stop();
        }
    }
}

/// Starts a name server and a broker, by default on free ports of 127.0.0.1 with a fresh directory.
///
/// Options: data_dir (absent: a fresh directory, removed at the end), namesrv_listen and broker_listen ("127.0.0.1:0"),
/// and "broker.KEY" for a setting KEY of the reference's broker, such as broker.autoCreateTopicEnable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_server_start(
    options: *const klx_options_t,
    server: *mut *mut klx_server_t,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("server_start", err, {
        let out = ptr::out_object(server, "server")?;
        refuse_io_thread("server_start")?;
        let mut wanted = ServerOptions::default();
        apply(options, |name, value| set(&mut wanted, name, value))?;
        let started = Server::start(wanted).map_err(|error| {
            let code = match &error {
                ServeError::Config(_) => ErrorCode::InvalidOption,
                _ => ErrorCode::Io,
            };
            Error::new(code, "server_start").with_message(error.to_string())
        })?;
        out.give(klx_server_t {
            namesrv_addr: started.namesrv_addr().to_string(),
            broker_addr: started.broker_addr().to_string(),
            data_dir: started.data_dir().to_string_lossy().into_owned(),
            running: Mutex::new(Some(started)),
            process: std::process::id(),
        });
        Ok(())
    })
}

fn set(options: &mut ServerOptions, name: &str, value: Value) -> Result<()> {
    let text = match value {
        Value::Str(text) => text,
        Value::Int(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
    };
    match name {
        "data_dir" => options.data_dir = Some(PathBuf::from(text)),
        "namesrv_listen" => options.namesrv_listen = text,
        "broker_listen" => options.broker_listen = text,
        other => match other.strip_prefix("broker.") {
            Some(key) => options.broker_settings.push((key.to_owned(), text)),
            None => {
                return Err(Error::new(ErrorCode::UnknownOption, "server_start").with_message(
                    format!("there is no option {other}; known are data_dir, namesrv_listen, broker_listen, broker.KEY"),
                ));
            }
        },
    }
    Ok(())
}

/// Address of the name server, "127.0.0.1:9876": what the option name_servers of clients takes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_server_namesrv_addr(server: *const klx_server_t) -> klx_str_t {
    read!(server, klx_str_t::NONE, |server| Some(klx_str_t::of(
        &server.namesrv_addr
    )))
}

/// Address of the broker.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_server_broker_addr(server: *const klx_server_t) -> klx_str_t {
    read!(server, klx_str_t::NONE, |server| Some(klx_str_t::of(
        &server.broker_addr
    )))
}

/// The directory with its files.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_server_data_dir(server: *const klx_server_t) -> klx_str_t {
    read!(server, klx_str_t::NONE, |server| Some(klx_str_t::of(
        &server.data_dir
    )))
}

/// Stops the server and waits until it has; in a forked child, does nothing. May be called twice. It still has to be
/// freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_server_stop(
    server: *const klx_server_t,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("server_stop", err, {
        let server = ptr::required(server, "server")?;
        refuse_io_thread("server_stop")?;
        server.stop();
        Ok(())
    })
}

/// Stops the server, if it has not been stopped, and frees it. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_server_free(server: *mut klx_server_t) {
    let err = std::ptr::null_mut();
    let _ok = entry!("server_free", err, {
        if let Some(server) = ptr::take(server) {
            server.stop();
        }
        Ok(())
    });
}
