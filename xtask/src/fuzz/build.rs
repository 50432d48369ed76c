//! Builds the targets with coverage, on the stable toolchain.

use std::fmt;
use std::path::PathBuf;
use std::process::Command;

use super::{package, target};
use crate::failure::{Failure, Result};
use crate::process::run;
use crate::workspace::{Workspace, cargo};

/// Coverage as libFuzzer wants it: edges, counted in eight bits, with their places.
const FLAGS: [&str; 6] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=3",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cforce-frame-pointers",
];

/// The crates under test.
const CRATES: [&str; 6] =
    ["ws-core", "ws-ext-deflate", "ws-handshake", "ws-nats", "ws-server", "ws-tower"];

/// Whether the crates under test have debug assertions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Assertions {
    On,
    /// Without them, as a release has it.
    AsShipped,
}

impl fmt::Display for Assertions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::On => "with debug assertions",
            Self::AsShipped => "as the crates ship",
        })
    }
}

/// Builds the programs that search.
pub(super) fn targets(workspace: &Workspace) -> Result<()> {
    build(workspace, Assertions::On, &["--bins"])
}

/// Builds the program that runs inputs: in the same way, so that all share their dependencies.
pub(super) fn replay(workspace: &Workspace, assertions: Assertions) -> Result<()> {
    build(workspace, assertions, &["--bin", "replay"])
}

fn build(workspace: &Workspace, assertions: Assertions, which: &[&str]) -> Result<()> {
    let mut words: Vec<String> =
        ["build", "--release", "--locked", "--features", "libfuzzer", "--target", &host()?]
            .map(Into::into)
            .into();
    words.extend(which.iter().map(|&word| word.into()));
    if assertions == Assertions::AsShipped {
        for name in CRATES {
            words.push("--config".into());
            words.push(format!("profile.release.package.{name}.debug-assertions=false"));
        }
    }
    println!("xtask fuzz: building {assertions}, which takes minutes the first time");
    let mut command = cargo();
    command.args(words).arg("--manifest-path").arg(package(workspace).join("Cargo.toml"));
    command.arg("--target-dir").arg(target(workspace));
    // Other flags, of CI for example, would build everything anew.
    command.env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\x1f"));
    run(
        "cargo build in fuzz",
        &mut command,
        "see the message above; a C++ compiler is needed, and fuzz/Cargo.lock must fit: \
         `cargo update --manifest-path fuzz/Cargo.toml -w`",
    )
}

/// Builds the program that runs inputs with LLVM's coverage, and returns its path.
pub(super) fn covered(workspace: &Workspace) -> Result<PathBuf> {
    let target = target(workspace).join("covered");
    println!("xtask fuzz: building for a report of coverage, which takes minutes the first time");
    let mut command = cargo();
    command.args(["build", "--release", "--locked", "--bin", "replay", "--target", &host()?]);
    command.arg("--manifest-path").arg(package(workspace).join("Cargo.toml"));
    command.arg("--target-dir").arg(&target);
    let flags = ["--cfg=fuzzing", "-Cinstrument-coverage"];
    command.env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    // A build script that runs covered would leave its profile where it ran.
    command.env("LLVM_PROFILE_FILE", target.join("build-%m.profraw"));
    run("cargo build in fuzz", &mut command, "see the message above")?;
    let name = format!("replay{}", std::env::consts::EXE_SUFFIX);
    Ok(target.join(host()?).join("release").join(name))
}

/// Where the programs are.
pub(super) fn program(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    Ok(target(workspace).join(host()?).join("release").join(name))
}

/// The target of this machine: named, so that its flags do not reach build scripts.
fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .arg("-vV")
        .output()
        .map_err(|error| Failure::system("starting rustc", &error))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(Into::into)
        .ok_or_else(|| Failure::new("`rustc -vV` names no host", "see what it prints"))
}
