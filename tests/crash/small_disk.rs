// SPDX-License-Identifier: Apache-2.0
//! A small file system of its own, to be filled.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};
use kerolox_tests::tools;
use tempfile::TempDir;

/// Takes the file system away when the test program ended without doing so: its standard input ends then.
const GUARDIAN: &str = r#"read -r _; umount -l "$1" && rm -rf "$2""#;

/// Kinds of file systems; what a full one does to mapped files differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileSystem {
    /// In a file, as on a disk.
    Ext4,
    /// In memory.
    Tmpfs,
}

/// A file system in a temporary directory, unmounted when dropped.
#[derive(Debug)]
pub(crate) struct SmallDisk {
    guardian: Option<Child>,
    root: PathBuf,
    _dir: TempDir,
}

impl SmallDisk {
    /// Mounts one of that many MiB; `None` where that is not permitted, which is said, and fails with `CI=true`.
    ///
    /// # Errors
    /// Files and processes can not be made.
    pub(crate) fn mount(test: &str, kind: FileSystem, mib: u32) -> anyhow::Result<Option<Self>> {
        let dir = tempfile::Builder::new().prefix("kerolox-disk-").tempdir()?;
        let root = dir.path().join("root");
        fs::create_dir(&root)?;
        if let Err(error) = mount(kind, dir.path(), &root, mib) {
            let reason = format!("{test}: no small {kind:?} can be mounted: {error:#}");
            ensure!(
                !tools::is_ci(),
                "{reason} (CI=true: nothing may be skipped)"
            );
            tools::say(&format!("SKIPPED {reason}"));
            return Ok(None);
        }
        let mut disk = Self {
            guardian: None,
            root,
            _dir: dir,
        };
        let guardian = Command::new("sh")
            .args(["-c", GUARDIAN, "guardian"])
            .arg(&disk.root)
            .arg(disk._dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        disk.guardian = Some(guardian.context("start a guardian")?);
        Ok(Some(disk))
    }

    /// Its root.
    pub(crate) fn path(&self) -> &Path {
        &self.root
    }

    /// Writes a file that takes that many MiB, or all the space that is left, to the last byte, and returns its path.
    ///
    /// # Errors
    /// Anything else than that the disk is full.
    pub(crate) fn fill(&self, mib: Option<u32>) -> anyhow::Result<PathBuf> {
        let path = self.root.join("somebody-elses-file");
        let mut file = fs::File::create(&path)?;
        let mut left = mib.map_or(u64::MAX, |mib| u64::from(mib) << 20);
        for chunk in [&[1; 65_536][..], &[1; 512], &[1]] {
            while left > 0 {
                match file.write(chunk) {
                    Ok(written) => left = left.saturating_sub(written as u64),
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        // Blocks may have been promised only.
        file.sync_all()?;
        Ok(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Some(mut guardian) = self.guardian.take() {
            drop(guardian.kill());
            drop(guardian.wait());
        }
        // Lazily, should somebody still have a file open.
        let unmounted = run(Command::new("umount").arg(self.path()))
            .or_else(|_| run(Command::new("umount").arg("-l").arg(self.path())));
        if let Err(error) = unmounted {
            tools::say(&format!("{} stays: {error:#}", self.path().display()));
        }
    }
}

fn mount(kind: FileSystem, dir: &Path, root: &Path, mib: u32) -> anyhow::Result<()> {
    match kind {
        FileSystem::Tmpfs => {
            let options = format!("size={mib}m");
            let mut mount = Command::new("mount");
            mount.args(["-t", "tmpfs", "-o", &options, "kerolox-test"]);
            run(mount.arg(root))
        }
        FileSystem::Ext4 => {
            let image = dir.join("image");
            fs::File::create(&image)?.set_len(u64::from(mib) << 20)?;
            // No blocks are kept for root, who may run this.
            run(Command::new("mkfs.ext4")
                .args(["-q", "-m", "0"])
                .arg(&image))?;
            run(Command::new("mount")
                .args(["-o", "loop"])
                .arg(&image)
                .arg(root))
        }
    }
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
