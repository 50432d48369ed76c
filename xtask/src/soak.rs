//! `cargo xtask soak`: good, slow and hostile clients against one server for long, and a verdict.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};
use crate::process::{Running, tied};
use crate::subject::{Profile, build_examples, example};
use crate::tally::Tally;
use crate::workspace::Workspace;

const EXAMPLE: &str = "soak";

/// It prints its progress more often.
const SILENCE: Duration = Duration::from_secs(300);

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long clients come and go, in minutes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
    /// Another number makes other clients do other things
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Let the server keep something of every connection that echoes, to see the verdict fail: heap,
    /// descriptor or subscription
    #[arg(long)]
    leak: Option<String>,
}

pub(crate) fn soak(workspace: &Workspace, options: &Options) -> Result<Tally> {
    build_examples(workspace, Profile::Optimized, [EXAMPLE])?;
    let mut words = vec!["--seed".to_owned(), options.seed.to_string()];
    words.extend(options.leak.iter().flat_map(|leak| ["--leak".to_owned(), leak.clone()]));
    let out = workspace.target.join("soak");
    run(workspace, Profile::Optimized, 60 * options.minutes, &words, &out)
}

/// Three minutes, as cargo's own tests have built it: nothing is built for it alone.
pub(crate) fn short(workspace: &Workspace, _verbose: bool) -> Result<Tally> {
    build_examples(workspace, Profile::Dev, [EXAMPLE])?;
    run(workspace, Profile::Dev, 180, &[], &workspace.target.join("soak/short"))
}

fn run(
    workspace: &Workspace,
    profile: Profile,
    seconds: u64,
    words: &[String],
    out: &Path,
) -> Result<Tally> {
    if !cfg!(target_os = "linux") {
        return Err(Failure::new(
            "a soak reads the server's memory and descriptors as Linux tells them",
            "run it on Linux",
        ));
    }
    let mut command = tied(example(workspace, profile, EXAMPLE));
    command.args(["run", "--seconds", &seconds.to_string(), "--out"]).arg(out).args(words);
    let running = Running::start(EXAMPLE, &mut command, None)?;
    let mut tally = None;
    while let Some(line) = running.line(Instant::now() + SILENCE)? {
        println!("{line}");
        tally = counted(&line).or(tally);
    }
    let status = running.wait(Instant::now() + SILENCE)?;
    tally.ok_or_else(|| {
        let log = out.join("server.log");
        Failure::new(
            format!("the soak ended without a verdict ({status})"),
            format!("see what it printed, and {}", workspace.short(&log)),
        )
    })
}

/// The last line of a soak: `soak: 12 passed, 0 failed`.
fn counted(line: &str) -> Option<Tally> {
    let (passed, failed) = line.strip_prefix("soak: ")?.split_once(" passed, ")?;
    let failed = failed.strip_suffix(" failed")?;
    Some(Tally { passed: passed.parse().ok()?, failed: failed.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_line_is_counted_and_progress_is_not() {
        assert_eq!(counted("soak: 11 passed, 1 failed"), Some(Tally { passed: 11, failed: 1 }));
        assert_eq!(counted("soak: [4/5] main: 93 s; 11 connections; about 9 s to go"), None);
        assert_eq!(counted("soak: target/soak/report.html"), None);
    }
}
