//! The tests of the workspace, without those of its documents: cargo builds the programs, and
//! several run at a time, since most of them wait more than they compute.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::everything::{Engines, TestResult};
use crate::failure::{Failure, Result};
use crate::process::tied;
use crate::quiet::Failures;
use crate::tally::Tally;
use crate::workspace::{Workspace, cargo};

/// A program that runs for longer is stopped.
const PATIENCE: Duration = Duration::from_secs(1800);
/// Progress is printed after this long.
const STILL_THERE: Duration = Duration::from_secs(60);
/// How many of the slowest programs are named in the end.
const SLOWEST: usize = 12;

/// Programs that take longest, by package and target: they start first, so that none is left over
/// in the end.
const FIRST: &[(&str, &str)] = &[
    ("ws-nats", "checker"),
    ("xtask", "readme"),
    ("xtask", "new_extension"),
    ("ws-bench", "deflate"),
    ("ws-core", "testkit"),
    ("ws-ext-deflate", "contract"),
    ("ws-server", "memory"),
];

/// A program of tests.
struct Binary {
    package: String,
    /// `--lib`, `--test NAME` and so on.
    target: String,
    name: String,
    program: PathBuf,
    /// The directory of its package, in which cargo starts it.
    home: PathBuf,
}

impl Binary {
    /// From a message of cargo, if that is about a program of tests.
    fn from_message(line: &str) -> Option<Self> {
        let message: Value = serde_json::from_str(line).ok()?;
        if message["reason"] != "compiler-artifact" || message["profile"]["test"] != true {
            return None;
        }
        let name = message["target"]["name"].as_str()?.to_owned();
        let home = Path::new(message["manifest_path"].as_str()?).parent()?.to_owned();
        let target = match message["target"]["kind"].get(0)?.as_str()? {
            kind @ ("test" | "example" | "bench" | "bin") => format!("--{kind} {name}"),
            _ => "--lib".to_owned(),
        };
        // `path+file:///a/ws-core#0.1.0`, or `#NAME@0.1.0` where the folder has another name.
        let id = message["package_id"].as_str()?;
        let (path, version) = id.rsplit_once('#')?;
        let package = match version.split_once('@') {
            Some((package, _)) => package,
            None => path.rsplit('/').next()?,
        };
        let program = message["executable"].as_str()?.into();
        Some(Self { package: package.to_owned(), target, name, program, home })
    }

    fn to_rerun(&self) -> String {
        format!("cargo test --all-features -p {} {}", self.package, self.target)
    }
}

/// A program that runs, with its output in a file.
struct Running {
    binary: Binary,
    child: Child,
    output: PathBuf,
    started: Instant,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only for a child that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Builds and runs them all, and returns the sum. The output goes into `target/xtask/tests`, or to
/// the terminal if `verbose`.
pub(crate) fn test(
    workspace: &Workspace,
    of: &[&str],
    engines: &Engines,
    verbose: bool,
) -> Result<Tally> {
    let outputs = workspace.target.join("xtask/tests");
    // What an earlier run has left, or nothing.
    let _ = fs::remove_dir_all(&outputs);
    fs::create_dir_all(&outputs)
        .map_err(|error| Failure::system(format!("making {}", outputs.display()), &error))?;
    let mut waiting: VecDeque<Binary> = built(workspace, of)?.into();
    let count = waiting.len();
    let rank = |it: &Binary| {
        FIRST.iter().position(|first| *first == (&*it.package, &*it.name)).unwrap_or(FIRST.len())
    };
    waiting.make_contiguous().sort_by_key(rank);
    let at_once = thread::available_parallelism().map_or(2, Into::into).max(2);
    println!("  {count} programs, {at_once} at a time; output: {}", workspace.short(&outputs));

    let mut sum = Sum { verbose, ..Sum::default() };
    let mut running: Vec<Running> = Vec::new();
    let mut told = Instant::now();
    while !(waiting.is_empty() && running.is_empty()) {
        while running.len() < at_once
            && let Some(binary) = waiting.pop_front()
        {
            running.push(start(binary, &outputs, engines)?);
        }
        let mut still = Vec::new();
        for mut it in running {
            let late = it.started.elapsed() > PATIENCE;
            match it.child.try_wait() {
                Ok(None) if !late => still.push(it),
                status => {
                    let success = status.is_ok_and(|status| status.is_some_and(|it| it.success()));
                    sum.add(workspace, &it, success);
                }
            }
        }
        running = still;
        if told.elapsed() >= STILL_THERE {
            told = Instant::now();
            let now: Vec<&str> = running.iter().map(|it| it.binary.name.as_str()).collect();
            println!("  {} so far; {}", sum.tally, now.join(", "));
        }
        thread::sleep(Duration::from_millis(10));
    }
    sum.tell(count)?;
    Ok(sum.tally)
}

/// Builds the programs.
fn built(workspace: &Workspace, of: &[&str]) -> Result<Vec<Binary>> {
    let words = [&["test", "--no-run", "--all-targets"], of].concat();
    println!("xtask: cargo {}", words.join(" "));
    let mut command = cargo();
    command.args(&words).arg("--message-format=json-render-diagnostics");
    let output = command
        .current_dir(&workspace.root)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Failure::system("starting cargo", &error))?;
    let mend = format!("run `cargo {}` alone", words.join(" "));
    if !output.status.success() {
        return Err(Failure::new("the tests do not build", mend));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let built: Vec<Binary> = text.lines().filter_map(Binary::from_message).collect();
    // Cargo lists what is up to date as well.
    if built.is_empty() {
        return Err(Failure::new("cargo named no program of tests", mend));
    }
    Ok(built)
}

fn start(binary: Binary, outputs: &Path, engines: &Engines) -> Result<Running> {
    let name = binary.program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let output = outputs.join(format!("{}-{name}.log", binary.package));
    let failed = |error: &std::io::Error| Failure::system(format!("starting {name}"), error);
    let file = File::create(&output).map_err(|error| failed(&error))?;
    let mut command: Command = tied(&binary.program);
    command
        .current_dir(&binary.home)
        .envs(engines.iter().cloned())
        .env("CARGO", cargo().get_program())
        .env("CARGO_MANIFEST_DIR", &binary.home)
        .env("CARGO_PKG_NAME", &binary.package)
        .stdin(Stdio::null())
        .stdout(file.try_clone().map_err(|error| failed(&error))?)
        .stderr(file);
    let child = command.spawn().map_err(|error| failed(&error))?;
    Ok(Running { binary, child, output, started: Instant::now() })
}

/// What became of the programs so far.
#[derive(Default)]
struct Sum {
    verbose: bool,
    tally: Tally,
    ignored: usize,
    ended: usize,
    times: Vec<(Duration, String)>,
}

impl Sum {
    fn add(&mut self, workspace: &Workspace, it: &Running, success: bool) {
        let took = it.started.elapsed();
        let binary = &it.binary;
        let text = fs::read(&it.output).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let (mut shown, mut failures) = (Vec::new(), Failures::default());
        let mut failed = 0;
        for line in text.lines() {
            if let Some(result) = TestResult::parse(line) {
                self.tally += result.tally;
                self.ignored += result.ignored;
                failed += result.tally.failed;
            }
            shown.extend(failures.take(line).into_iter().flatten());
        }
        if self.verbose {
            println!("{text}");
        } else {
            for line in shown {
                println!("{line}");
            }
        }
        if !success && failed == 0 {
            // It has no numbers of its own; it counts as one failure.
            self.tally.failed += 1;
            failed = 1;
            let lines: Vec<&str> = text.lines().collect();
            println!("{}", lines[lines.len().saturating_sub(40)..].join("\n"));
            println!(
                "  {} {} crashed, or took too long: {took:.0?}",
                binary.package, binary.target
            );
        }
        if failed > 0 {
            println!("  to rerun: {}", binary.to_rerun());
            println!("  full output: {}", workspace.short(&it.output));
        }
        self.ended += 1;
        self.times.push((took, format!("{} {}", binary.package, binary.name)));
    }

    fn tell(&mut self, count: usize) -> Result<()> {
        if self.ignored > 0 {
            println!("xtask test: {} ignored tests did not run", self.ignored);
        }
        self.times.sort();
        let slowest = self.times.iter().rev().take(SLOWEST);
        let slowest: Vec<String> =
            slowest.map(|(took, name)| format!("{name} {:.0} s", took.as_secs_f64())).collect();
        println!("  slowest programs: {}", slowest.join(", "));
        if self.ended == count {
            return Ok(());
        }
        Err(Failure::new(
            format!("{} of {count} programs ran", self.ended),
            "this is a bug of xtask",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_tests_are_found_among_the_messages_of_cargo() {
        let message = |test: bool, id: &str, kind: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","package_id":"{id}","manifest_path":"/a/ws-x/Cargo.toml","target":{{"kind":["{kind}"],"name":"many"}},"profile":{{"test":{test}}},"executable":"/a/target/many-1"}}"#
            )
        };
        let found = |line: &str| Binary::from_message(line).map(|it| it.to_rerun());
        let id = "path+file:///a/ws-x#0.1.0";
        assert_eq!(
            found(&message(true, id, "test")).as_deref(),
            Some("cargo test --all-features -p ws-x --test many")
        );
        assert_eq!(
            found(&message(true, "path+file:///a/b#ws-y@0.1.0", "lib")).as_deref(),
            Some("cargo test --all-features -p ws-y --lib")
        );
        assert_eq!(found(&message(false, id, "example")), None);
        assert_eq!(found(r#"{"reason":"build-finished","success":true}"#), None);
    }
}
