// SPDX-License-Identifier: Apache-2.0
//! The scenarios of this folder through the Rust façade, against `kerolox serve` (or the servers of `NAMESRV_ADDR`).

mod script;
mod trickle;
mod world;

use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, Result};
use kerolox_tests::{Cluster, our_server};

/// One server for all scenarios: their topics and groups have different names.
fn name_servers() -> Result<String> {
    static SERVER: OnceLock<Result<Cluster, String>> = OnceLock::new();
    if let Ok(given) = std::env::var("NAMESRV_ADDR") {
        return Ok(given);
    }
    match SERVER.get_or_init(|| our_server().map_err(|error| format!("{error:#}"))) {
        Ok(server) => Ok(server.namesrv_addr().to_string()),
        Err(error) => anyhow::bail!("the server did not start: {error}"),
    }
}

fn run(name: &str) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scenarios")
        .join(format!("{name}.scn"));
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut world = world::World::new(&name_servers()?)?;
    for (line, command) in script::commands(&text) {
        world
            .run(&command)
            .with_context(|| format!("{name}.scn: line {line}"))?;
    }
    world.close()
}

macro_rules! scenarios {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() -> Result<()> {
            run(stringify!($name))
        })*

        #[test]
        fn every_file_is_run() -> Result<()> {
            let mut files = Vec::new();
            for entry in Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").read_dir()? {
                let path = entry?.path();
                if path.extension().is_some_and(|e| e == "scn") {
                    files.push(path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default());
                }
            }
            files.sort();
            let mut run = vec![$(stringify!($name)),*];
            run.sort_unstable();
            assert_eq!(files, run);
            Ok(())
        }
    };
}

scenarios!(
    batch,
    broadcast,
    errors,
    group,
    offsets,
    pull,
    retry,
    send_and_consume,
    tags
);
