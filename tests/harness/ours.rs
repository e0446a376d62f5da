// SPDX-License-Identifier: Apache-2.0
//! `kerolox serve` as a process.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use tempfile::TempDir;

use crate::cache;
use crate::cluster::{Cluster, Kind, SETTINGS};
use crate::process::Process;

/// How long it may take to get ready; it says how long it took, this is for a machine under load.
const READY: Duration = Duration::from_secs(30);

/// What the ready line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Address of the name server.
    pub namesrv: SocketAddr,
    /// Address of the broker.
    pub broker: SocketAddr,
    /// Data directory.
    pub data: PathBuf,
}

/// Starts `kerolox serve` on free ports with its data in a temporary directory, ready when this returns.
///
/// # Errors
/// When it can not be built or does not get ready.
pub fn our_server() -> anyhow::Result<Cluster> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut cluster = Cluster {
        kind: Kind::Ours,
        namesrv: any,
        broker: any,
        processes: Vec::new(),
        dir: tempfile::Builder::new().prefix("kerolox-").tempdir()?,
    };
    launch(&mut cluster)?;
    Ok(cluster)
}

pub(crate) fn launch(cluster: &mut Cluster) -> anyhow::Result<()> {
    let data = cluster.dir().join("data");
    let (process, ready) = serve(&cluster.dir, &data, cluster.namesrv, cluster.broker)?;
    cluster.namesrv = ready.namesrv;
    cluster.broker = ready.broker;
    cluster.processes.push(process);
    Ok(())
}

/// Starts `kerolox serve` on that data directory, its output in `logs`, and waits for its ready line.
///
/// # Errors
/// When it can not be built or does not get ready.
pub fn serve(
    logs: &TempDir,
    data: &Path,
    namesrv: SocketAddr,
    broker: SocketAddr,
) -> anyhow::Result<(Process, Ready)> {
    let mut command = Command::new(program("kerolox")?);
    command.arg("serve").arg("--data-dir").arg(data);
    command.args(["--namesrv-listen", &namesrv.to_string()]);
    command.args(["--broker-listen", &broker.to_string()]);
    for (key, value) in SETTINGS {
        command.arg("--set").arg(format!("{key}={value}"));
    }
    // As the official broker of the tests, so that what tools print of both can be compared.
    command.args(["--set", "brokerName=broker-a"]);
    // The files of an earlier start on the same directory hold its ready line.
    let from = std::fs::metadata(logs.path().join("serve.out")).map_or(0, |file| file.len());
    let mut process = Process::spawn("serve", logs, &mut command)?;
    let ready = process.wait_for_line(usize::try_from(from)?, READY, parse_ready)?;
    Ok((process, ready))
}

/// Reads `kerolox ready: namesrv ADDR broker ADDR data DIR`.
pub fn parse_ready(line: &str) -> Option<Ready> {
    let rest = line.strip_prefix("kerolox ready: namesrv ")?;
    let (namesrv, rest) = rest.split_once(" broker ")?;
    let (broker, data) = rest.split_once(" data ")?;
    Some(Ready {
        namesrv: namesrv.parse().ok()?,
        broker: broker.parse().ok()?,
        data: PathBuf::from(data),
    })
}

/// Path of one of our programs (`kerolox`, `mqnamesrv`, `mqbroker`, `mqadmin`), built if need be.
///
/// `KEROLOX_BIN` names another `kerolox` to test; the other programs are looked for beside it.
///
/// # Errors
/// When the build fails.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    static DIR: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let dir = DIR
        .get_or_init(|| build().map_err(|error| format!("{error:#}")))
        .as_ref()
        .map_err(|error| anyhow!("{error}"))?;
    let program = dir
        .join(name)
        .with_extension(std::env::consts::EXE_EXTENSION);
    ensure!(program.is_file(), "no program {}", program.display());
    Ok(program)
}

/// The directory with our programs, which cargo has brought up to date.
fn build() -> anyhow::Result<PathBuf> {
    if let Some(given) = std::env::var_os("KEROLOX_BIN") {
        let given = PathBuf::from(given);
        return given
            .parent()
            .map(Path::to_owned)
            .context("KEROLOX_BIN has no directory");
    }
    let _one_at_a_time = cache::lock();
    let dir = cache::profile_dir()?;
    let profile = match dir.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(cache::workspace());
    command.args([
        "build",
        "--package",
        "kerolox-server",
        "--bins",
        "--profile",
        profile,
    ]);
    // The build's environment is that of this test's own build; what cargo set for the test itself must not leak in.
    command.env_remove("CARGO_MANIFEST_DIR");
    if let Some(target) = dir.parent() {
        command.env("CARGO_TARGET_DIR", target);
    }
    cache::run(&mut command)?;
    Ok(dir)
}
