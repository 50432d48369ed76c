//! `cargo xtask test`: cargo's own tests, the foreign peers and Autobahn, with one total.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};
use crate::process::{Running, run, tied};
use crate::quiet::{self, Failures, Log};
use crate::stages::Stages;
use crate::subject::{Profile, build_examples};
use crate::tally::Tally;
use crate::workspace::{Workspace, cargo};
use crate::{conformance, interop, tools};

/// Progress is printed after this long.
const STILL_THERE: Duration = Duration::from_secs(30);
/// The longest silence of cargo test, compilation included.
const SILENCE: Duration = Duration::from_secs(900);

const EVERYTHING: [&str; 2] = ["--workspace", "--all-features"];
/// Builds with the locks and atomics of shuttle, which tries the interleavings of threads. They
/// have their own target directory; otherwise everything would be rebuilt every time.
const MODELS: [&str; 6] = [
    "-p",
    "ws-server",
    "--config",
    "build.rustflags=['--cfg=shuttle']",
    "--config",
    "build.target-dir='target/shuttle'",
];

/// Estimates of the stages in seconds on two cores, until they have run once.
const STAGES: [(&str, Option<f64>); 6] = [
    ("build", Some(60.0)),
    ("unit and integration tests", Some(200.0)),
    ("doc tests", Some(30.0)),
    ("models", Some(60.0)),
    ("interop", Some(120.0)),
    ("conformance", Some(200.0)),
];

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Print all output of the tests and the programs under test, instead of writing it to files
    #[arg(long)]
    verbose: bool,
}

pub(crate) fn test(workspace: &Workspace, options: &Options) -> Result<Tally> {
    let started = Instant::now();
    let mut total = Tally::default();
    let mut broken = Vec::new();
    let verbose = options.verbose;
    let tests = |of: &[&str], which, name: &str, engines: &Engines| {
        let log = Log::new(workspace.target.join(format!("xtask/{name}.log")), verbose)?;
        cargo_test(workspace, of, which, engines, log.as_ref())
    };
    let none = Engines::new();
    let parts: [&dyn Fn() -> Result<Tally>; STAGES.len()] = [
        &|| build(workspace),
        &|| tests(&EVERYTHING, "--all-targets", "tests", &engines(workspace)?),
        &|| tests(&EVERYTHING, "--doc", "doc-tests", &none),
        &|| tests(&MODELS, "--lib", "models", &none),
        &|| interop::interop(workspace, &interop::Options::everything(verbose)),
        &|| conformance::conformance(workspace, &conformance::Options::everything()),
    ];
    let mut stages = Stages::new(workspace, "test", "", &STAGES);
    for ((name, _), part) in STAGES.iter().zip(parts) {
        let part_started = Instant::now();
        match stages.run(part) {
            Ok(tally) => {
                total += tally;
                let seconds = part_started.elapsed().as_secs_f64();
                // A build runs no tests.
                if tally == Tally::default() {
                    println!("xtask test: {name}: {seconds:.0} s");
                } else {
                    println!("xtask test: {name}: {tally}; {seconds:.0} s");
                }
            }
            Err(failure) => {
                println!("xtask test: {name} aborted: {failure}");
                broken.push(*name);
            }
        }
    }
    // An aborted stage has no numbers of its own; it counts as one failure.
    total.failed += broken.len();
    if !broken.is_empty() {
        println!("xtask test: aborted stages, each counted as a failure: {}", broken.join(", "));
    }
    println!("xtask test: took {:.0} s", started.elapsed().as_secs_f64());
    Ok(total)
}

/// Built separately, since the first build prints much that is worth seeing; and in one command
/// what interop and conformance want optimized.
fn build(workspace: &Workspace) -> Result<Tally> {
    let words = [&["build", "--all-targets"], &EVERYTHING[..]].concat();
    println!("xtask: cargo {}", words.join(" "));
    let mend = format!("run `cargo {}` alone", words.join(" "));
    run("cargo build", cargo().args(&words).current_dir(&workspace.root), &mend)?;
    build_examples(workspace, Profile::Release, interop::subjects())?;
    Ok(Tally::default())
}

/// Programs that tests start, by the variables in which they find the paths.
type Engines = Vec<(&'static str, PathBuf)>;

fn engines(workspace: &Workspace) -> Result<Engines> {
    tools::faketime()?;
    let mut engines = vec![("WS_NATS_SERVER", tools::nats_server(workspace)?)];
    match tools::old_nats_server(workspace)? {
        Some(path) => engines.push(("WS_NATS_OLD_SERVER", path)),
        None => println!("xtask test: NOT RUN, without apt-get: the test with an old nats-server"),
    }
    Ok(engines)
}

fn cargo_test(
    workspace: &Workspace,
    of: &[&str],
    which: &str,
    engines: &Engines,
    log: Option<&Log>,
) -> Result<Tally> {
    let words = [&["test", "--no-fail-fast"], of, &[which]].concat();
    match log {
        Some(log) => {
            println!("xtask: cargo {} > {}", words.join(" "), workspace.short(log.path()));
        }
        None => println!("xtask: cargo {}", words.join(" ")),
    }
    let mut command: Command = tied(cargo().get_program());
    command.args(&words).current_dir(&workspace.root).envs(engines.iter().cloned());
    let tests = Running::start("cargo test", &mut command, log.map(Log::path))?;
    let mut total = Tally::default();
    let mut ignored = 0;
    let mut failures = Failures::default();
    let mut told = Instant::now();
    while let Some(line) = tests.line(Instant::now() + SILENCE)? {
        match log {
            Some(log) => {
                quiet::append(log, &line)?;
                for line in failures.take(&line).into_iter().flatten() {
                    println!("{line}");
                }
            }
            None => println!("{line}"),
        }
        if let Some(result) = TestResult::parse(&line) {
            total += result.tally;
            ignored += result.ignored;
        }
        if log.is_some() && told.elapsed() >= STILL_THERE {
            told = Instant::now();
            println!("  {total} so far");
        }
    }
    let status = tests.wait(Instant::now() + SILENCE)?;
    if ignored > 0 {
        println!("xtask test: {ignored} ignored tests did not run");
    }
    if !status.success() && total.failed == 0 {
        if let Some(log) = log {
            println!("{}", log.tail(40));
        }
        return Err(Failure::new(
            format!("cargo test failed ({status}) without a failed test"),
            format!("run `cargo {}` alone: something did not build, or crashed", words.join(" ")),
        ));
    }
    if total.failed > 0
        && let Some(log) = log
    {
        for line in log.lines(|line| line.starts_with("    `-p ")) {
            println!("  to rerun: cargo test {}", line.trim().trim_matches('`'));
        }
        println!("  full output: {}", workspace.short(log.path()));
    }
    Ok(total)
}

/// The last line that libtest prints.
struct TestResult {
    tally: Tally,
    ignored: usize,
}

impl TestResult {
    fn parse(line: &str) -> Option<Self> {
        let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let count = |what: &str| {
            let part = counts.split(';').find_map(|part| part.trim().strip_suffix(what))?;
            part.trim().parse::<usize>().ok()
        };
        Some(TestResult {
            tally: Tally { passed: count("passed")?, failed: count("failed")? },
            ignored: count("ignored")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_line_of_libtest_is_counted() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.01s";
        let result = TestResult::parse(line).expect("a result");
        assert_eq!(result.tally, Tally { passed: 12, failed: 3 });
        assert_eq!(result.ignored, 1);
    }

    #[test]
    fn other_lines_are_not_counted() {
        for line in [
            "",
            "running 3 tests",
            "test a ... ok",
            "test result: unknown",
            "  test result: ok. 1 passed; 0 failed; 0 ignored",
        ] {
            assert!(TestResult::parse(line).is_none(), "{line}");
        }
    }
}
