//! `cargo xtask test`: cargo's own tests, the foreign peers and Autobahn, with one sum.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};
use crate::process::{Running, tied};
use crate::tally::Tally;
use crate::workspace::{Workspace, cargo};
use crate::{conformance, interop};

/// Nothing in cargo test may be silent for longer, compiling included.
const SILENCE: Duration = Duration::from_secs(900);

const EVERYTHING: [&str; 2] = ["--workspace", "--all-features"];
/// Locks and atomics are shuttle's, which tries the orders in which threads come to them. What is
/// built for that lies apart: else everything would be built anew every time.
const MODELS: [&str; 6] = [
    "-p",
    "ws-server",
    "--config",
    "build.rustflags=['--cfg=shuttle']",
    "--config",
    "build.target-dir='target/shuttle'",
];

pub(crate) fn test(workspace: &Workspace) -> Result<Tally> {
    let started = Instant::now();
    let mut total = Tally::default();
    let mut broken = Vec::new();
    let parts: [(&str, &dyn Fn() -> Result<Tally>); 5] = [
        ("unit and integration tests", &|| cargo_test(workspace, &EVERYTHING, "--all-targets")),
        ("doc tests", &|| cargo_test(workspace, &EVERYTHING, "--doc")),
        ("models", &|| cargo_test(workspace, &MODELS, "--lib")),
        ("interop", &|| interop::interop(workspace, &interop::Options::everything())),
        ("conformance", &|| {
            conformance::conformance(workspace, &conformance::Options::everything())
        }),
    ];
    for (name, part) in parts {
        println!("xtask test: {name}");
        let part_started = Instant::now();
        match part() {
            Ok(tally) => {
                total += tally;
                println!(
                    "xtask test: {name}: {tally}; {:.0} s",
                    part_started.elapsed().as_secs_f64()
                );
            }
            Err(failure) => {
                println!("xtask test: {name} broke off: {failure}");
                broken.push(name);
            }
        }
    }
    // What broke off has no numbers of its own; it counts as one that failed.
    total.failed += broken.len();
    if !broken.is_empty() {
        println!("xtask test: broke off and counted as failed: {}", broken.join(", "));
    }
    println!("xtask test took {:.0} s", started.elapsed().as_secs_f64());
    Ok(total)
}

fn cargo_test(workspace: &Workspace, of: &[&str], which: &str) -> Result<Tally> {
    let words = [&["test", "--no-fail-fast"], of, &[which]].concat();
    println!("xtask: cargo {}", words.join(" "));
    let mut command: Command = tied(cargo().get_program());
    command.args(&words).current_dir(&workspace.root);
    let tests = Running::start("cargo test", &mut command, None)?;
    let mut total = Tally::default();
    let mut ignored = 0;
    while let Some(line) = tests.line(Instant::now() + SILENCE)? {
        println!("{line}");
        if let Some(result) = TestResult::parse(&line) {
            total += result.tally;
            ignored += result.ignored;
        }
    }
    let status = tests.wait(Instant::now() + SILENCE)?;
    if ignored > 0 {
        println!("xtask test: {ignored} tests are ignored and were not run");
    }
    if !status.success() && total.failed == 0 {
        return Err(Failure::new(
            format!("cargo test failed ({status}) without a failed test"),
            format!(
                "run `cargo {}` alone: something did not build or did not end well",
                words.join(" ")
            ),
        ));
    }
    Ok(total)
}

/// The line by which libtest ends.
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
