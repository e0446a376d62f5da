// SPDX-License-Identifier: Apache-2.0
//! Commands about clusters.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use kerolox::admin::Admin;
use kerolox_protocol::RequestCode;
use kerolox_protocol::body;
use kerolox_protocol::body::register::KvTable;
use kerolox_protocol::header::NoHeader;

use super::Common;
use crate::cli::say;

/// `clusterList`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ClusterList {
    #[command(flatten)]
    common: Common,
    /// Numbers of messages put and got.
    #[arg(short = 'm', long = "moreStats")]
    more_stats: bool,
    /// Repeat every so many seconds.
    #[arg(short = 'i', long = "interval")]
    interval: Option<u64>,
    /// Only this cluster.
    #[arg(short = 'c', long = "clusterName")]
    cluster_name: Option<String>,
}

impl ClusterList {
    pub(super) async fn run(&self) -> Result<()> {
        let admin = self.common.admin().await?;
        loop {
            self.print(&admin).await?;
            match self.interval {
                Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds.max(1))).await,
                None => return Ok(admin.close().await?),
            }
        }
    }

    async fn print(&self, admin: &Admin) -> Result<()> {
        if self.more_stats {
            say(&format!(
                "{:<16}  {:<32} {:>14} {:>14} {:>14} {:>14}",
                "#Cluster Name",
                "#Broker Name",
                "#InTotalYest",
                "#OutTotalYest",
                "#InTotalToday",
                "#OutTotalToday"
            ))?;
        } else {
            say(&format!(
                "{:<22}  {:<22}  {:<4}  {:<22} {:<16}  {:>16}  {:>30}  {:<22}  {:>11}  {:<12}  {:<8}  {:<10}",
                "#Cluster Name",
                "#Broker Name",
                "#BID",
                "#Addr",
                "#Version",
                "#InTPS(LOAD)",
                "#OutTPS(LOAD)",
                "#Timer(Progress)",
                "#PCWait(ms)",
                "#Hour",
                "#SPACE",
                "#ACTIVATED"
            ))?;
        }
        let info = admin.cluster_info().await?;
        for (cluster, names) in &info.cluster_addr_table {
            if self
                .cluster_name
                .as_ref()
                .is_some_and(|wanted| wanted != cluster)
            {
                continue;
            }
            for name in names {
                let Some(set) = info.broker_addr_table.get(name) else {
                    continue;
                };
                for (id, address) in &set.broker_addrs {
                    let figures = figures(admin, address).await;
                    say(&if self.more_stats {
                        totals(cluster, name, &figures)
                    } else {
                        line(cluster, name, *id, address, &figures)
                    })?;
                }
            }
        }
        Ok(())
    }
}

type Figures = BTreeMap<String, String>;

/// The broker's figures, none if it does not answer: the others are to be listed all the same.
async fn figures(admin: &Admin, address: &str) -> Figures {
    let code = RequestCode::GET_BROKER_RUNTIME_INFO;
    let reply = admin.call(address, code, &NoHeader, Bytes::new()).await;
    let table = reply
        .ok()
        .and_then(|reply| body::decode::<KvTable>(&reply.body).ok());
    table.unwrap_or_default().table
}

fn text<'f>(figures: &'f Figures, key: &str) -> &'f str {
    figures.get(key).map_or("", |text| text.trim())
}

fn number(figures: &Figures, key: &str) -> f64 {
    text(figures, key)
        .split(' ')
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0.0)
}

fn line(cluster: &str, name: &str, id: i64, address: &str, figures: &Figures) -> String {
    let load = |tps: f64, pool: &str| {
        let size = number(figures, &format!("{pool}ThreadPoolQueueSize"));
        let wait = number(figures, &format!("{pool}ThreadPoolQueueHeadWaitTimeMills"));
        format!("{tps:9.2}({size},{wait}ms)")
    };
    let out = number(figures, "getTransferredTps").max(number(figures, "getTransferedTps"));
    let timer = format!(
        "{}-{}({:.1}w, {:.1}, {:.1})",
        number(figures, "timerReadBehind"),
        number(figures, "timerOffsetBehind"),
        number(figures, "timerCongestNum") / 10_000.0,
        number(figures, "timerEnqueueTps"),
        number(figures, "timerDequeueTps"),
    );
    let earliest = number(figures, "earliestMessageTimeStamp");
    #[expect(clippy::cast_precision_loss, reason = "hours for people")]
    let now = chrono::Utc::now().timestamp_millis() as f64;
    let hours = if earliest > 0.0 {
        (now - earliest) / 3_600_000.0
    } else {
        0.0
    };
    format!(
        "{cluster:<22}  {name:<22}  {id:<4}  {address:<22} {:<16}  {:>16}  {:>30}  {timer:<22}  {:>11}  {hours:<12.2}  {:<8.4}  {:>10}",
        text(figures, "brokerVersionDesc"),
        load(number(figures, "putTps"), "send"),
        load(out, "pull"),
        text(figures, "pageCacheLockTimeMills"),
        number(figures, "commitLogDiskRatio"),
        text(figures, "brokerActive"),
    )
}

fn totals(cluster: &str, name: &str, figures: &Figures) -> String {
    let day = |kind: &str, until: &str, from: &str| {
        number(figures, &format!("msg{kind}Total{until}"))
            - number(figures, &format!("msg{kind}Total{from}"))
    };
    format!(
        "{cluster:<16}  {name:<32} {:>14} {:>14} {:>14} {:>14}",
        day("Put", "TodayMorning", "YesterdayMorning"),
        day("Get", "TodayMorning", "YesterdayMorning"),
        day("Put", "TodayNow", "TodayMorning"),
        day("Get", "TodayNow", "TodayMorning"),
    )
}
