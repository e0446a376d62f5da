// SPDX-License-Identifier: Apache-2.0
//! The official name server and broker of Apache RocketMQ 5.5.0, from Maven Central, as two processes.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::cluster::{Cluster, Kind, SETTINGS};
use crate::process::Process;
use crate::{ports, programs, wire};

/// How long both may take to get ready; five seconds on an idle machine.
const READY: Duration = Duration::from_secs(90);
/// How long one takes to stop at most, as a rule; ten seconds on an idle machine.
const STOP: Duration = Duration::from_secs(30);
/// And else: it ends its threads one after the other and waits up to 90 seconds for each (`ServiceThread`).
const SLOW_STOP: Duration = Duration::from_secs(120);
/// How long a JVM may take to print what its threads do.
const DUMP: Duration = Duration::from_secs(10);
const SERVERS: &str = "servers-5.5.0";

/// Starts them on free loopback ports with their data in a temporary directory; the broker is registered when this
/// returns.
///
/// # Errors
/// When the jars can not be fetched or a server does not get ready.
pub fn official_cluster() -> anyhow::Result<Cluster> {
    official_cluster_with(&[])
}

/// As [`official_cluster`], with further lines for `broker.conf`.
///
/// # Errors
/// As [`official_cluster`].
pub fn official_cluster_with(settings: &[(&str, &str)]) -> anyhow::Result<Cluster> {
    programs::jars(SERVERS)?;
    // Besides its own the broker takes the port two below (its "fast" listener) and the next one (replication).
    let broker = ports::free_with(&[-2, 0, 1]);
    let namesrv = ports::free_with(&[0]);
    let mut cluster = Cluster {
        kind: Kind::Official,
        namesrv: SocketAddr::from((Ipv4Addr::LOCALHOST, namesrv)),
        broker: SocketAddr::from((Ipv4Addr::LOCALHOST, broker)),
        processes: Vec::new(),
        dir: tempfile::Builder::new().prefix("rocketmq-").tempdir()?,
    };
    write_configuration(&cluster, settings)?;
    launch(&mut cluster)?;
    Ok(cluster)
}

/// Our settings. The last two keep the broker from answering "broker busy" to sends that waited for 200 ms, which they
/// do on a machine under load.
fn write_configuration(cluster: &Cluster, settings: &[(&str, &str)]) -> anyhow::Result<()> {
    let dir = cluster.dir();
    fs::create_dir_all(dir.join("home/conf"))?;
    fs::write(
        dir.join("namesrv.conf"),
        format!(
            "listenPort={}\nbindAddress=127.0.0.1\n",
            cluster.namesrv.port()
        ),
    )?;
    let store = dir.join("store");
    let mut text = format!(
        "brokerClusterName=DefaultCluster\nbrokerName=broker-a\nbrokerId=0\nbrokerIP1=127.0.0.1\n\
         bindAddress=127.0.0.1\nlistenPort={port}\nhaListenPort={ha}\nnamesrvAddr={namesrv}\n\
         storePathRootDir={store}\nstorePathCommitLog={store}/commitlog\n\
         mappedFileSizeCommitLog=134217728\n\
         waitTimeMillsInSendQueue=60000\nosPageCacheBusyTimeOutMills=60000\n",
        port = cluster.broker.port(),
        ha = cluster.broker.port() + 1,
        namesrv = cluster.namesrv,
        store = store.display(),
    );
    for (key, value) in SETTINGS.iter().chain(settings) {
        writeln!(text, "{key}={value}")?;
    }
    fs::write(dir.join("broker.conf"), text)?;
    Ok(())
}

pub(crate) fn launch(cluster: &mut Cluster) -> anyhow::Result<()> {
    let dir = &cluster.dir;
    let mut namesrv = start(dir, &NAMESRV)?;
    let mut broker = start(dir, &BROKER)?;
    let result = [&mut namesrv, &mut broker]
        .into_iter()
        .try_for_each(wait_until_ready);
    cluster.processes = vec![namesrv.0, broker.0];
    result?;
    wire::wait_for_broker(cluster.namesrv, READY)
}

/// Starts a broker alone with the `broker.conf` in `dir`, ready when this returns.
///
/// # Errors
/// When the jars can not be fetched or it does not get ready.
pub(crate) fn launch_broker(dir: &TempDir) -> anyhow::Result<Process> {
    fs::create_dir_all(dir.path().join("home/conf"))?;
    let mut broker = start(dir, &BROKER)?;
    wait_until_ready(&mut broker)?;
    Ok(broker.0)
}

/// Starts a name server alone with the `namesrv.conf` in `dir`, ready when this returns.
///
/// # Errors
/// When the jars can not be fetched or it does not get ready.
pub(crate) fn launch_namesrv(dir: &TempDir) -> anyhow::Result<Process> {
    fs::create_dir_all(dir.path().join("home/conf"))?;
    let mut namesrv = start(dir, &NAMESRV)?;
    wait_until_ready(&mut namesrv)?;
    Ok(namesrv.0)
}

struct Server {
    name: &'static str,
    main: &'static str,
    heap: &'static str,
}

const NAMESRV: Server = Server {
    name: "namesrv",
    main: "org.apache.rocketmq.namesrv.NamesrvStartup",
    heap: "256m",
};
const BROKER: Server = Server {
    name: "broker",
    main: "org.apache.rocketmq.broker.BrokerStartup",
    heap: "512m",
};

fn wait_until_ready((process, from): &mut (Process, usize)) -> anyhow::Result<()> {
    let ready = process.wait_for_line(*from, READY, |line| {
        line.contains("boot success").then_some(())
    });
    ready.map_err(|error| error.context(stuck(process)))
}

/// Asks one of them to end and waits for that. Of one that takes long it is printed what its threads do.
pub(crate) fn stop(process: &mut Process) -> anyhow::Result<ExitStatus> {
    process.ask_to_end()?;
    if let Ok(status) = process.wait(STOP) {
        return Ok(status);
    }
    let threads = stuck(process);
    drop(writeln!(
        std::io::stderr(),
        "an official server did not end within {STOP:?}; its threads: {threads}"
    ));
    process.wait(SLOW_STOP).inspect_err(|_| process.kill())
}

/// What the threads of a JVM do that does not get ready, or does not end, in case it still runs: it prints that when it is
/// asked (SIGQUIT).
fn stuck(process: &mut Process) -> String {
    let before = process.stdout().len();
    let asked = process.signal(Signal::QUIT);
    // The summary of the heap is the last that it prints.
    let dump = asked.and_then(|()| {
        process.wait_for_line(before, DUMP, |line| line.contains("Heap").then_some(()))
    });
    match dump {
        Ok(()) => process
            .stdout()
            .get(before..)
            .unwrap_or_default()
            .to_owned(),
        Err(error) => format!("no dump of the threads: {error}"),
    }
}

/// Starts one of them; also returns where the output of this start begins in its file.
fn start(logs: &TempDir, server: &Server) -> anyhow::Result<(Process, usize)> {
    let jars = programs::jars(SERVERS)?;
    let Server { name, main, heap } = server;
    let dir = logs.path();
    let mut command = Command::new("java");
    command.arg("-Xms64m").arg(format!("-Xmx{heap}"));
    command.args([
        "-XX:+UseSerialGC",
        "-XX:MaxDirectMemorySize=512m",
        "-XX:TieredStopAtLevel=1",
    ]);
    // Otherwise it makes itself a certificate at each start, which takes seconds.
    command.arg("-Dtls.server.mode=disabled");
    // It unpacks a library at each start and leaves it there when it is killed.
    command.arg(format!("-Djava.io.tmpdir={}", dir.display()));
    // Direct memory is freed through these on a modular JVM.
    command.arg("--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED");
    command.arg("--add-opens=java.base/java.nio=ALL-UNNAMED");
    command.arg("--add-opens=java.base/sun.nio.ch=ALL-UNNAMED");
    let home = dir.join("home");
    command.arg(format!("-Duser.home={}", dir.display()));
    command.arg(format!("-Drocketmq.home.dir={}", home.display()));
    command
        .arg("-cp")
        .arg(programs::class_path(&[&jars])?)
        .arg(main);
    command.arg("-c").arg(dir.join(format!("{name}.conf")));
    command.env("ROCKETMQ_HOME", home).current_dir(dir);
    let from = fs::metadata(dir.join(format!("{name}.out"))).map_or(0, |file| file.len());
    Ok((
        Process::spawn(name, logs, &mut command)?,
        usize::try_from(from)?,
    ))
}
