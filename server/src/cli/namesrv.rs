// SPDX-License-Identifier: Apache-2.0
//! `mqnamesrv` and `kerolox namesrv`: a name server with the reference's flags.

use std::path::PathBuf;

use anyhow::Result;
use tracing_subscriber::filter::LevelFilter;

use super::{StopSignals, log, print_settings, say};
use crate::config::{NamesrvConfig, Settings, loopback_remark};
use crate::embedded::{RunningNamesrv, runtime};

/// Settings that `-m` prints.
const IMPORTANT: &[&str] = &[
    "bindAddress",
    "configStorePath",
    "kvConfigPath",
    "listenPort",
    "orderMessageEnable",
    "supportActingMaster",
];

/// Arguments of a name server.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Properties file.
    #[arg(short = 'c', long = "configFile", value_name = "FILE")]
    pub config_file: Option<PathBuf>,
    /// Print all settings and end.
    #[arg(short = 'p', long = "printConfigItem")]
    pub print_config: bool,
    /// Print the important settings and end.
    #[arg(short = 'm', long = "printImportantConfig")]
    pub print_important: bool,
    /// Name servers; taken for compatibility, a name server needs none.
    #[arg(short = 'n', long = "namesrvAddr", value_name = "ADDRESSES")]
    pub namesrv_addr: Option<String>,
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// A setting or the address can not be used.
pub fn run(args: &Args) -> Result<()> {
    log(LevelFilter::INFO);
    let mut config = NamesrvConfig::default();
    let mut remarks = match &args.config_file {
        Some(file) => config.apply_file(file)?,
        None => Vec::new(),
    };
    if args.config_file.is_some() {
        config.config_store_path.clone_from(&args.config_file);
    }
    config.check()?;
    if args.print_config || args.print_important {
        let only = (!args.print_config).then_some(IMPORTANT);
        return Ok(print_settings(&config, only)?);
    }
    remarks.extend(loopback_remark(config.bind_address, "name server"));
    runtime(2)?.block_on(async {
        let server = RunningNamesrv::start(config, "listenPort", "kvConfigPath").await?;
        // After the start: a refusal is one line and nothing else.
        for remark in remarks {
            tracing::warn!("{remark}");
        }
        let stop = StopSignals::take()?;
        let address = server.address();
        say(&format!(
            "The Name Server boot success. serializeType=JSON, address {address}"
        ))?;
        stop.received().await;
        server.stop().await;
        Ok(())
    })
}
