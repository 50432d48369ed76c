//! The corpus: replayed, and minimised.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::{build, make_folder, target};
use crate::failure::{Failure, Result};
use crate::process::{Running, run, tied};
use crate::tally::Tally;
use crate::tools;
use crate::workspace::{Workspace, cargo};

/// The longest silence of a replay: one target.
const SILENCE: Duration = Duration::from_secs(300);
/// Sequences of frames that are compared with Python `websockets`: some seconds.
const SEQUENCES: &str = "10000";

/// Runs the corpus of all targets. Counts a target whose inputs all pass as one.
pub(super) fn replay(workspace: &Workspace) -> Result<Tally> {
    let mut command = tied(build::program(workspace, "replay")?);
    let replay = Running::start("replay", &mut command, None)?;
    let mut tally = Tally::default();
    while let Some(line) = replay.line(Instant::now() + SILENCE)? {
        println!("  {line}");
        if line.contains(" inputs, 0 failed") {
            tally.passed += 1;
        } else if line.contains(" inputs, ") {
            tally.failed += 1;
        }
    }
    let status = replay.wait(Instant::now() + SILENCE)?;
    if !status.success() && tally.failed == 0 {
        return Err(Failure::new(
            format!("replay ended without a verdict ({status})"),
            "run `cargo xtask fuzz --replay`",
        ));
    }
    Ok(tally)
}

/// Runs inputs without libFuzzer and tells what they do.
pub(super) fn replay_shown(
    workspace: &Workspace,
    only: Option<&str>,
    paths: &[PathBuf],
) -> Result<()> {
    if !paths.is_empty() && only.is_none() {
        return Err(Failure::new(
            "whose input that is cannot be seen from it",
            "name the target: `cargo xtask fuzz TARGET --replay PATH`",
        ));
    }
    let here = std::env::current_dir().unwrap_or_default();
    let mut command = cargo();
    command.args(["run", "--quiet", "--release", "--locked", "--bin", "replay"]);
    command.arg("--manifest-path").arg(super::package(workspace).join("Cargo.toml"));
    command.arg("--target-dir").arg(target(workspace)).arg("--");
    command.env_remove("CARGO_ENCODED_RUSTFLAGS").env("RUSTFLAGS", "--cfg=fuzzing");
    command.args(only).args(paths.iter().map(|path| here.join(path)));
    // A folder of inputs would tell too much.
    if paths.iter().any(|path| path.is_file()) {
        command.env("SHOW", "1").env("RUST_BACKTRACE", "1");
    }
    println!("xtask fuzz: building without coverage, which takes minutes the first time");
    run("the replay", &mut command, "each input that fails is named above")
}

/// Where libFuzzer reads the corpus of a target and adds to it.
pub(super) fn folder(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let folder = target(workspace).join("corpus").join(name);
    make_folder(&folder)?;
    Ok(folder)
}

/// Writes the inputs of the repository into the folder of a target.
pub(super) fn unpack(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    unpack_by(workspace, &build::program(workspace, "replay")?, name)
}

/// As [`unpack`], by this build of the program.
pub(super) fn unpack_by(workspace: &Workspace, replay: &Path, name: &str) -> Result<PathBuf> {
    let folder = folder(workspace, name)?;
    let mut command = Command::new(replay);
    command.args(["unpack", name]).arg(&folder);
    run("replay unpack", &mut command, "see the message above")?;
    Ok(folder)
}

/// Random frames into our engine and into Python `websockets`: the same verdicts. With a seed, the same
/// frames every time.
pub(super) fn against_websockets(workspace: &Workspace, seed: Option<u32>) -> Result<Tally> {
    let python = tools::python_with_websockets(workspace)?;
    let mut command = tied(python);
    command.arg(super::package(workspace).join("against_websockets.py"));
    command.arg(build::program(workspace, "replay")?).arg(SEQUENCES);
    command.args(seed.map(|seed| seed.to_string()));
    let compared = Running::start("against_websockets.py", &mut command, None)?;
    while let Some(line) = compared.line(Instant::now() + SILENCE)? {
        println!("  {line}");
    }
    let good = compared.wait(Instant::now() + SILENCE)?.success();
    Ok(Tally { passed: usize::from(good), failed: usize::from(!good) })
}

/// Replaces the corpus of each target by the inputs that cover something, of those in the repository
/// and those that were found.
pub(super) fn minimize(workspace: &Workspace, targets: &[&str]) -> Result<()> {
    build::targets(workspace)?;
    for name in targets {
        let all = unpack(workspace, name)?;
        let least = target(workspace).join("least").join(name);
        if least.exists() {
            fs::remove_dir_all(&least).map_err(|error| {
                Failure::system(format!("emptying {}", least.display()), &error)
            })?;
        }
        make_folder(&least)?;
        println!("xtask fuzz: minimizing the corpus of {name}");
        let log = target(workspace).join(format!("{name}-merge.log"));
        let mut command = tied(build::program(workspace, name)?);
        command.args(["-merge=1", "-timeout=20", "-rss_limit_mb=2048"]).arg(&least).arg(&all);
        let merge = Running::start(name, &mut command, Some(&log))?;
        let status = merge.wait(Instant::now() + Duration::from_secs(3600))?;
        if !status.success() {
            return Err(Failure::new(
                format!("minimizing the corpus of {name} failed ({status})"),
                format!("see {}", workspace.short(&log)),
            ));
        }
        let mut command = Command::new(build::program(workspace, "replay")?);
        command.args(["pack", name]).arg(&least);
        run("replay pack", &mut command, "see the message above")?;
    }
    Ok(())
}
