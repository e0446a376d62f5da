// SPDX-License-Identifier: Apache-2.0
//! `mqadmin` and `kerolox admin`: administration with the reference's commands, options and output.

mod cluster;
mod topic;

use anyhow::{Context, Result};
use kerolox::admin::{Admin, AdminOptions};
use tracing_subscriber::filter::LevelFilter;

use super::log;

/// Arguments of `mqadmin`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, clap::Args)]
struct Common {
    /// Name servers, `host:port;host:port`; default is the environment variable NAMESRV_ADDR.
    #[arg(short = 'n', long = "namesrvAddr", value_name = "ADDRESSES")]
    namesrv_addr: Option<String>,
}

#[derive(Clone, Debug, clap::Subcommand)]
#[command(rename_all = "camelCase")]
enum Command {
    /// Create a topic or change its settings.
    UpdateTopic(topic::UpdateTopic),
    /// Delete a topic from brokers and name servers.
    DeleteTopic(topic::DeleteTopic),
    /// List topics.
    TopicList(topic::TopicList),
    /// Show where the queues of a topic are.
    TopicRoute(topic::TopicRoute),
    /// List clusters and brokers.
    ClusterList(cluster::ClusterList),
}

/// Runs one command.
///
/// # Errors
/// What a server answers, or that it can not be reached.
pub fn run(args: &Args) -> Result<()> {
    log(LevelFilter::ERROR);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")?;
    runtime.block_on(async {
        match &args.command {
            Command::UpdateTopic(command) => command.run().await,
            Command::DeleteTopic(command) => command.run().await,
            Command::TopicList(command) => command.run().await,
            Command::TopicRoute(command) => command.run().await,
            Command::ClusterList(command) => command.run().await,
        }
    })
}

impl Common {
    async fn admin(&self) -> Result<Admin> {
        let name_servers = self.namesrv_addr.clone().unwrap_or_default();
        Ok(Admin::start(AdminOptions {
            name_servers,
            ..AdminOptions::default()
        })
        .await?)
    }

    /// As [`Common::admin`], for commands to one broker that need no name server.
    async fn admin_of_broker(&self) -> Result<Admin> {
        let from_environment = std::env::var("NAMESRV_ADDR").unwrap_or_default();
        let known = self.namesrv_addr.clone().unwrap_or(from_environment);
        let name_servers = if known.is_empty() {
            "127.0.0.1:9876".to_owned()
        } else {
            known
        };
        Ok(Admin::start(AdminOptions {
            name_servers,
            ..AdminOptions::default()
        })
        .await?)
    }
}
