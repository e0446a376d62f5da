// SPDX-License-Identifier: Apache-2.0
//! `kerolox serve`: name server and broker in one process.

use std::path::PathBuf;

use anyhow::{Context, Result};
use tracing_subscriber::filter::LevelFilter;

use super::{StopSignals, log, say};
use crate::config::ConfigError;
use crate::embedded::{Server, ServerOptions, worker_threads};

/// Arguments of `kerolox serve`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where data is kept.
    #[arg(long, value_name = "DIR", default_value = "kerolox-data")]
    pub data_dir: PathBuf,
    /// Address of the name server; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9876")]
    pub namesrv_listen: String,
    /// Address of the broker; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:10911")]
    pub broker_listen: String,
    /// Further setting of the broker under the reference's key, may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// A setting, an address or the directory can not be used.
pub fn run(args: &Args) -> Result<()> {
    log(LevelFilter::WARN);
    let settings = args.settings.iter().map(|text| match text.split_once('=') {
        Some((key, value)) => Ok((key.trim().to_owned(), value.trim().to_owned())),
        None => Err(ConfigError::invalid("--set", text, "KEY=VALUE")),
    });
    let options = ServerOptions {
        data_dir: Some(args.data_dir.clone()),
        namesrv_listen: args.namesrv_listen.clone(),
        broker_listen: args.broker_listen.clone(),
        broker_settings: settings.collect::<Result<_, _>>()?,
        worker_threads: worker_threads(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .context("no runtime")?;
    runtime.block_on(async {
        let stop = StopSignals::take()?;
        let server = Server::start(options)?;
        say(&format!(
            "kerolox ready: namesrv {} broker {} data {}",
            server.namesrv_addr(),
            server.broker_addr(),
            server.data_dir().display()
        ))?;
        stop.received().await;
        server.stop();
        Ok(())
    })
}
