// SPDX-License-Identifier: Apache-2.0
//! Where things are and how tools are called: the repository, its target directory, cargo, and what each binding builds.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

pub struct Workspace {
    pub root: PathBuf,
    /// The cargo target directory; everything that xtask writes goes below it, into `xtask/`.
    pub target: PathBuf,
}

impl Workspace {
    pub fn find() -> Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here
            .parent()
            .context("xtask lies in the repository's root")?
            .to_owned();
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => env::current_dir()?.join(dir),
            None => root.join("target"),
        };
        Ok(Self { root, target })
    }

    /// A folder below `target/xtask`, created if it is not there.
    pub fn scratch(&self, name: &str) -> Result<PathBuf> {
        let dir = self.target.join("xtask").join(name);
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        Ok(dir)
    }

    /// What a plain `cargo build` leaves: `target/debug/<file>`.
    pub fn built(&self, file: &str) -> PathBuf {
        self.target.join("debug").join(file)
    }

    /// A command that starts in the repository's root and builds into the one target directory.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        command.env("CARGO_TARGET_DIR", &self.target);
        // One value for every build, the one that maturin uses too: a change would rebuild pyo3 each time.
        command.env("PYO3_BUILD_EXTENSION_MODULE", "1");
        command
    }

    pub fn cargo(&self, args: &[&str]) -> Command {
        let mut command = self.command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(args);
        command
    }

    /// Copies the built Node addon to where `node/index.js` looks for it.
    pub fn stage_node_addon(&self) -> Result<()> {
        let (platform, arch) = (node_platform(), node_arch());
        let suffix = if platform == "linux" { "-gnu" } else { "" };
        let to = self
            .root
            .join("node/native")
            .join(format!("kerolox.{platform}-{arch}{suffix}.node"));
        replace(&self.built(&dynamic_library("kerolox_node")), &to)
    }

    /// A copy of the Python package with the built module in it; answers the folder for `PYTHONPATH`.
    pub fn stage_python_package(&self) -> Result<PathBuf> {
        let dir = self.scratch("python")?;
        let package = dir.join("kerolox");
        if package.exists() {
            fs::remove_dir_all(&package)
                .with_context(|| format!("removing {}", package.display()))?;
        }
        copy_dir(&self.root.join("python/src/kerolox"), &package)?;
        let module = if cfg!(windows) {
            "_native.pyd"
        } else {
            "_native.abi3.so"
        };
        replace(
            &self.built(&dynamic_library("kerolox_python")),
            &package.join(module),
        )?;
        Ok(dir)
    }

    /// Compiles a C program against `include/kerolox.h` and the built library; answers the executable.
    pub fn compile_c(&self, sources: &[PathBuf], name: &str) -> Result<(Command, PathBuf)> {
        let out = self.scratch("c")?.join(name);
        let libraries = self.target.join("debug");
        let mut command = self.command(c_compiler());
        command.args([
            "-std=c11",
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Werror",
            "-O1",
            "-g",
            "-pthread",
        ]);
        command.arg("-I").arg(self.root.join("include"));
        command.args(sources).arg("-o").arg(&out);
        command.arg("-L").arg(&libraries).arg("-lkerolox");
        command.arg(format!("-Wl,-rpath,{}", libraries.display()));
        Ok((command, out))
    }
}

pub fn c_compiler() -> String {
    env::var("CC").unwrap_or_else(|_| "cc".to_owned())
}

pub fn dynamic_library(name: &str) -> String {
    format!(
        "{}{name}{}",
        env::consts::DLL_PREFIX,
        env::consts::DLL_SUFFIX
    )
}

fn node_platform() -> &'static str {
    match env::consts::OS {
        "macos" => "darwin",
        "windows" => "win32",
        other => other,
    }
}

fn node_arch() -> &'static str {
    match env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Copies through a new file: a process that still maps the old one keeps it.
fn replace(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    let fresh = to.with_extension("new");
    fs::copy(from, &fresh)
        .with_context(|| format!("copying {} to {}", from.display(), fresh.display()))?;
    fs::rename(&fresh, to).with_context(|| format!("renaming to {}", to.display()))
}

fn copy_dir(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Whether the program can be started at all.
pub fn exists(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}

/// Runs a command to its end without output of its own, and fails with what it said.
pub fn quietly(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting {command:?}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{command:?}: {}\n{stdout}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(stdout)
}

/// The first Python of at least 3.11 on the path.
pub fn python() -> Result<String> {
    for name in [
        "python3",
        "python",
        "python3.14",
        "python3.13",
        "python3.12",
        "python3.11",
    ] {
        let probe = Command::new(name)
            .args(["-c", "import sys; sys.exit(sys.version_info < (3, 11))"])
            .output();
        if probe.is_ok_and(|o| o.status.success()) {
            return Ok(name.to_owned());
        }
    }
    bail!("no Python of at least 3.11 on the path")
}

/// Node of at least version 20.
pub fn node() -> Result<String> {
    let version =
        quietly(Command::new("node").arg("--version")).context("no `node` on the path")?;
    let major = version
        .trim()
        .trim_start_matches('v')
        .split('.')
        .next()
        .and_then(|n| n.parse::<u32>().ok());
    ensure!(
        major.is_some_and(|m| m >= 20),
        "node is {}, 20 or newer is needed",
        version.trim()
    );
    Ok("node".to_owned())
}
