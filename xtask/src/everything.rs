//! `cargo xtask test`: cargo's own tests, the foreign peers and Autobahn, with one total; and
//! with `--with-ci`, as CI runs it, the steps of `cargo xtask ci` beside them.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};
use crate::lanes::{Lane, Lanes, Outcome, last_line};
use crate::process::{Running, run, tied};
use crate::quiet::{self, Failures, Log};
use crate::subject::{Profile, build_examples};
use crate::tally::Tally;
use crate::times::{Watch, table};
use crate::workspace::{Workspace, cargo};
use crate::{binaries, ci, conformance, fuzz, interop, soak, tools};

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

type Part = fn(&Workspace, bool) -> Result<Tally>;

/// The stages; each is a process of its own, `xtask stage NAME`.
const STAGES: &[(&str, Part)] = &[
    ("build", build),
    ("tools", install),
    ("optimized build", optimized_build),
    ("unit and integration tests", tests),
    ("doc tests", doc_tests),
    ("models", models),
    ("interop", |workspace, verbose| {
        interop::interop(workspace, &interop::Options::everything(verbose))
    }),
    ("conformance", |workspace, _| {
        conformance::conformance(workspace, &conformance::Options::everything())
    }),
    ("soak", soak::short),
    ("fuzz corpus", fuzz::short),
];

/// What runs when: one phase after another; in a phase, lanes run beside each other, and the stages
/// of a lane one after another.
///
/// What computes all the time gains nothing beside its like, so the second phase pairs what waits: a
/// new stage that mostly waits goes there into the shorter lane, and one that measures times into a
/// phase of its own.
const PHASES: &[&[&[&str]]] = &[
    &[&["build"], &["tools", "optimized build"]],
    &[
        &["unit and integration tests", "doc tests", "models"],
        &["interop", "conformance"],
        &["soak"],
    ],
    &[&["fuzz corpus"]],
];

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run the steps of `cargo xtask ci` too, beside the tests: those that compile leave the
    /// processors to them
    #[arg(long)]
    with_ci: bool,
    /// Print all output of the tests and the programs under test, instead of writing it to files;
    /// then nothing runs beside anything else
    #[arg(long)]
    verbose: bool,
    /// Run only these stages, such as interop or 'doc tests'
    #[arg(long, value_name = "STAGE", num_args = 1..)]
    stages: Vec<String>,
}

/// A stage, by its name.
#[derive(clap::Args)]
pub(crate) struct Stage {
    name: String,
    #[arg(long)]
    verbose: bool,
}

/// Runs one stage, for [`Lanes`].
pub(crate) fn stage(workspace: &Workspace, stage: &Stage) -> Result<()> {
    let watch = Watch::start();
    let tally = match STAGES.iter().find(|(name, _)| *name == stage.name) {
        Some((_, part)) => part(workspace, stage.verbose)?,
        None => {
            ci::step(workspace, &stage.name)?;
            Tally::default()
        }
    };
    println!("{}", last_line(tally, watch.took()));
    Ok(())
}

/// What `test` has found.
pub(crate) struct Report {
    pub(crate) tally: Tally,
    /// The steps of `ci` that failed.
    pub(crate) broken_steps: Vec<String>,
}

/// Every test.
pub(crate) fn test(workspace: &Workspace, options: &Options) -> Result<Report> {
    let watch = Watch::start();
    let mut lanes = Lanes::new(workspace, "test", options.verbose)?;
    // The steps that read are over soon; those that compile leave the processors to the tests.
    let (compile, read): (Vec<String>, Vec<String>) =
        ci::names().map(str::to_owned).partition(|name| ci::compiles(name));
    let mut steps = if options.with_ci { vec![read, compile] } else { Vec::new() }.into_iter();
    let wanted = |name: &String| options.stages.is_empty() || options.stages.contains(name);
    for phase in PHASES {
        let lane = |stages: &&[&str]| Lane {
            stages: stages.iter().map(ToString::to_string).collect(),
            nice: false,
        };
        let mut phase: Vec<Lane> = phase.iter().map(lane).collect();
        phase.extend(steps.next().map(|stages| Lane { stages, nice: true }));
        for lane in &mut phase {
            lane.stages.retain(wanted);
        }
        lanes.run(phase)?;
        let is_built = |it: &Outcome| it.name == "build" && it.tally.is_some();
        lanes.built = lanes.outcomes.iter().any(is_built);
    }
    if lanes.outcomes.is_empty() {
        let names: Vec<&str> = STAGES.iter().map(|(name, _)| *name).chain(ci::names()).collect();
        return Err(Failure::new("no such stage", format!("the stages: {}", names.join(", "))));
    }
    let mut report = Report { tally: Tally::default(), broken_steps: Vec::new() };
    let mut broken = Vec::new();
    for outcome in &lanes.outcomes {
        let name = outcome.name.as_str();
        match outcome.tally {
            Some(tally) => report.tally += tally,
            None if ci::names().any(|step| step == name) => {
                report.broken_steps.push(name.to_owned());
            }
            None => broken.push(name),
        }
    }
    println!("\n{}", table(lanes.outcomes.iter().map(|it| (it.name.as_str(), it.took))));
    // An aborted stage has no numbers of its own; it counts as one failure.
    report.tally.failed += broken.len();
    if !broken.is_empty() {
        println!("xtask test: aborted stages, each counted as a failure: {}", broken.join(", "));
    }
    if !report.broken_steps.is_empty() {
        println!("xtask test: failed: `cargo xtask ci {}`", report.broken_steps.join(" "));
    }
    println!("xtask test: took {}", watch.took());
    Ok(report)
}

/// Built separately, since the first build prints much that is worth seeing.
fn build(workspace: &Workspace, _: bool) -> Result<Tally> {
    let words = [&["build", "--all-targets"], &EVERYTHING[..]].concat();
    println!("xtask: cargo {}", words.join(" "));
    let mend = format!("run `cargo {}` alone", words.join(" "));
    run("cargo build", cargo().args(&words).current_dir(&workspace.root), &mend)?;
    Ok(Tally::default())
}

/// Builds in one command what interop and conformance want optimized.
fn optimized_build(workspace: &Workspace, _: bool) -> Result<Tally> {
    build_examples(workspace, Profile::Optimized, interop::subjects())?;
    Ok(Tally::default())
}

/// Installs in one place what later stages need, since two installations at once disturb each other.
fn install(workspace: &Workspace, _: bool) -> Result<Tally> {
    // A stage that needs a tool tries again, and fails without it.
    for failure in tools::all(workspace) {
        println!("xtask: {failure}");
    }
    Ok(Tally::default())
}

fn tests(workspace: &Workspace, verbose: bool) -> Result<Tally> {
    binaries::test(workspace, &EVERYTHING, &engines(workspace)?, verbose)
}

fn doc_tests(workspace: &Workspace, verbose: bool) -> Result<Tally> {
    cargo_test(workspace, &EVERYTHING, "--doc", "doc-tests", verbose)
}

fn models(workspace: &Workspace, verbose: bool) -> Result<Tally> {
    cargo_test(workspace, &MODELS, "--lib", "models", verbose)
}

/// Programs that tests start, by the variables in which they find the paths.
pub(crate) type Engines = Vec<(&'static str, PathBuf)>;

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
    name: &str,
    verbose: bool,
) -> Result<Tally> {
    let log = Log::new(workspace.target.join(format!("xtask/{name}.log")), verbose)?;
    let log = log.as_ref();
    let words = [&["test", "--no-fail-fast"], of, &[which]].concat();
    match log {
        Some(log) => {
            println!("xtask: cargo {} > {}", words.join(" "), workspace.short(log.path()));
        }
        None => println!("xtask: cargo {}", words.join(" ")),
    }
    let mut command: Command = tied(cargo().get_program());
    command.args(&words).current_dir(&workspace.root);
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
pub(crate) struct TestResult {
    pub(crate) tally: Tally,
    pub(crate) ignored: usize,
}

impl TestResult {
    pub(crate) fn parse(line: &str) -> Option<Self> {
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
