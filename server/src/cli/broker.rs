// SPDX-License-Identifier: Apache-2.0
//! `mqbroker` and `kerolox broker`: a broker with the reference's flags.

use std::path::PathBuf;

use anyhow::Result;
use tracing_subscriber::filter::LevelFilter;

use super::{StopSignals, log, print_settings, say};
use crate::config::{BrokerConfig, Settings, loopback_remark};
use crate::embedded::{RunningBroker, runtime, worker_threads};

/// Settings that `-m` prints.
const IMPORTANT: &[&str] = &[
    "autoCreateSubscriptionGroup",
    "autoCreateTopicEnable",
    "bindAddress",
    "brokerClusterName",
    "brokerId",
    "brokerIP1",
    "brokerName",
    "brokerRole",
    "cleanFileForciblyEnable",
    "commitIntervalCommitLog",
    "deleteFileBatchMax",
    "deleteWhen",
    "fileReservedTime",
    "flushCommitLogTimed",
    "flushDiskType",
    "flushIntervalCommitLog",
    "listenPort",
    "maxMessageSize",
    "maxTransferBytesOnMessageInMemory",
    "maxTransferCountOnMessageInMemory",
    "messageIndexEnable",
    "msgTraceTopicName",
    "namesrvAddr",
    "rejectTransactionMessage",
    "storePathCommitLog",
    "storePathRootDir",
    "traceTopicEnable",
    "transactionCheckInterval",
    "transactionCheckMax",
    "transactionTimeOut",
    "transientStorePoolEnable",
    "wakeCommitWhenPutMessage",
    "wakeFlushWhenPutMessage",
];

/// Arguments of a broker.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Properties file.
    #[arg(short = 'c', long = "configFile", value_name = "FILE")]
    pub config_file: Option<PathBuf>,
    /// Name servers, `host:port;host:port`; overrides the file.
    #[arg(short = 'n', long = "namesrvAddr", value_name = "ADDRESSES")]
    pub namesrv_addr: Option<String>,
    /// Print all settings and end.
    #[arg(short = 'p', long = "printConfigItem")]
    pub print_config: bool,
    /// Print the important settings and end.
    #[arg(short = 'm', long = "printImportantConfig")]
    pub print_important: bool,
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// A setting, the address or the store's directory can not be used.
pub fn run(args: &Args) -> Result<()> {
    log(LevelFilter::INFO);
    let mut config = BrokerConfig::default();
    let mut remarks = match &args.config_file {
        Some(file) => config.apply_file(file)?,
        None => Vec::new(),
    };
    if args.config_file.is_some() {
        config.broker_config_path.clone_from(&args.config_file);
    }
    if let Some(addresses) = &args.namesrv_addr {
        config.set("namesrvAddr", addresses.trim())?;
    }
    config.check()?;
    if args.print_config || args.print_important {
        let only = (!args.print_config).then_some(IMPORTANT);
        return Ok(print_settings(&config, only)?);
    }
    remarks.extend(loopback_remark(config.bind_address, "broker"));
    runtime(1)?.block_on(async {
        let server =
            RunningBroker::start(config, "listenPort", "storePathRootDir", worker_threads())
                .await?;
        // After the start: a refusal is one line and nothing else.
        for remark in remarks {
            tracing::warn!("{remark}");
        }
        let stop = StopSignals::take()?;
        let config = server.broker().config();
        let name_servers = match config.name_servers()? {
            list if list.is_empty() => String::new(),
            list => format!(" and name server is {}", list.join(";")),
        };
        say(&format!(
            "The broker[{}, {}] boot success. serializeType=JSON{name_servers}",
            config.broker_name,
            config.advertised_address()
        ))?;
        stop.received().await;
        server.stop().await;
        Ok(())
    })
}
