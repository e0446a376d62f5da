// SPDX-License-Identifier: Apache-2.0
//! Where fetched and built things lie: `interop/` in cargo's target directory, never in the tree.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, ensure};

static BUILDING: Mutex<()> = Mutex::new(());

/// The workspace's root.
pub fn workspace() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_owned()
}

/// The directory of this build's profile, `<target>/debug` for one: the parent of `deps` or `examples`, in one of
/// which the running program lies.
///
/// # Errors
/// When the program was not started by cargo.
pub fn profile_dir() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("own path")?;
    program
        .ancestors()
        .find(|dir| dir.ends_with("deps") || dir.ends_with("examples"))
        .and_then(Path::parent)
        .map(Path::to_owned)
        .with_context(|| format!("{} lies in no target directory", program.display()))
}

/// `<target>/interop`, made if need be.
///
/// # Errors
/// When there is no target directory or it can not be written.
pub fn dir() -> anyhow::Result<PathBuf> {
    let profile = profile_dir()?;
    let dir = profile.parent().unwrap_or(&profile).join("interop");
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    Ok(dir)
}

/// The directory `name` in the cache, filled by `make` unless it was already, from the same `inputs`.
///
/// `make` gets an empty directory that takes its final name when it succeeded, so a broken download leaves nothing.
///
/// # Errors
/// Those of `make`.
pub fn get_or_make(
    name: &str,
    inputs: &[&[u8]],
    make: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let _one_at_a_time = lock();
    let dir = dir()?.join(name);
    let mut hasher = crc32fast::Hasher::new();
    for input in inputs {
        hasher.update(input);
    }
    let stamp = format!("{:08x}", hasher.finalize());
    let stamp_file = dir.join(".made-from");
    if fs::read_to_string(&stamp_file).is_ok_and(|found| found == stamp) {
        return Ok(dir);
    }
    let partial = dir.with_extension(format!("partial-{}", std::process::id()));
    remove_dir(&partial)?;
    fs::create_dir_all(&partial)?;
    make(&partial).with_context(|| format!("make {}", dir.display()))?;
    fs::write(partial.join(".made-from"), stamp)?;
    remove_dir(&dir)?;
    fs::rename(&partial, &dir)?;
    Ok(dir)
}

/// Held while something is built: two tests must not build the same thing at once.
pub fn lock() -> MutexGuard<'static, ()> {
    BUILDING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn remove_dir(dir: &Path) -> anyhow::Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("remove {}", dir.display()))?;
    }
    Ok(())
}

/// Runs a build step to its end.
///
/// # Errors
/// With everything it printed when it fails.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command
        .output()
        .with_context(|| format!("start {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?} ended with {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
