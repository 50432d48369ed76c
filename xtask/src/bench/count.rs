//! `--count`: user instructions and system calls per message, by callgrind.
//!
//! Each figure is the difference between two runs that differ only in the number of messages, so
//! that the start, the handshake and the end cancel out. It hardly depends on other work of the
//! machine.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::build::Programs;
use super::case::{Case, Kind};
use super::measurement::{free_port, wait_for};
use super::server::Server;
use super::table::aligned;
use crate::failure::{Failure, Result};
use crate::process::{Running, tied};
use crate::tools;
use crate::workspace::Workspace;

/// One connection each, except for the fan-out.
const CASES: [&str; 8] = [
    "echo-20x1x1",
    "echo-20x1x32",
    "echo-1kx1x16",
    "echo-16kx1x1",
    "text-16kx1x1",
    "deflate-1kx1x1",
    "handshake-1",
    "fanout-1k-50",
];

/// The kernel answers this without a system call; valgrind makes one of it.
const CLOCK: &str = "clock_gettime";

/// The time limit of a run, which takes about two seconds.
const PATIENCE: Duration = Duration::from_secs(180);

/// The cases of `--count` by default.
pub(crate) fn cases() -> Vec<Case> {
    CASES.iter().map(|name| name.parse().expect("a case")).collect()
}

/// The counts of one run.
struct Counted {
    messages: u64,
    instructions: u64,
    calls: BTreeMap<String, u64>,
}

/// The counts per message.
struct PerMessage {
    instructions: f64,
    calls: BTreeMap<String, f64>,
}

struct Counting<'a> {
    programs: &'a Programs,
    valgrind: PathBuf,
    dir: PathBuf,
}

pub(crate) fn count(workspace: &Workspace, cases: &[Case], servers: &[Server]) -> Result<()> {
    let counting = Counting {
        valgrind: tools::valgrind()?,
        programs: &Programs::build(workspace, servers)?,
        dir: workspace.target.join("bench/count"),
    };
    fs::create_dir_all(&counting.dir)
        .map_err(|error| Failure::system(format!("creating {}", counting.dir.display()), &error))?;
    let pairs: Vec<(&Case, &Server)> = cases
        .iter()
        .flat_map(|case| servers.iter().map(move |server| (case, server)))
        .filter(|(case, server)| !case.is_memory() && server.can(case))
        .collect();
    let started = Instant::now();
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    for (done, (case, server)) in pairs.iter().enumerate() {
        let left = match done {
            0 => 6.0 * pairs.len() as f64,
            _ => started.elapsed().as_secs_f64() / done as f64 * (pairs.len() - done) as f64,
        };
        let name = &server.name;
        println!("xtask bench: {} of {}, about {left:.0} s: {name}, {case}", done + 1, pairs.len());
        match counting.per_message(case, server) {
            Ok(counted) => rows.push((*case, *server, counted)),
            Err(failure) => {
                println!("xtask bench: {case}: FAILED, left out: {failure}");
                failures.push(format!("{name} in {case}"));
            }
        }
    }
    println!("\n{}", show(&rows));
    let path = workspace.target.join("bench/count.json");
    fs::write(&path, format!("{:#}\n", as_json(&rows)))
        .map_err(|error| Failure::system(format!("writing {}", path.display()), &error))?;
    println!(
        "Every system call by name: {}\nBy function: callgrind_annotate {}/SERVER-CASE-MESSAGES.out",
        workspace.short(&path),
        workspace.short(&counting.dir)
    );
    if failures.is_empty() {
        return Ok(());
    }
    let what = format!("failed and left out: {}", failures.join(", "));
    Err(Failure::new(
        what,
        "see the errors above; a server must be a program that runs under valgrind",
    ))
}

impl Counting<'_> {
    fn per_message(&self, case: &Case, server: &Server) -> Result<PerMessage> {
        let [few, many] = messages(case);
        let (few, many) = (self.run(case, server, few)?, self.run(case, server, many)?);
        PerMessage::between(&few, &many).ok_or_else(|| {
            let counted = format!("{} and {} messages", few.messages, many.messages);
            Failure::new(
                format!("{server}: the two runs counted {counted}", server = server.name),
                "the load must end a run after the requested number of messages",
            )
        })
    }

    /// Runs a case once with about this many messages.
    fn run(&self, case: &Case, server: &Server, messages: u64) -> Result<Counted> {
        let stem = format!("{}-{case}-{messages}", server.name);
        let file = |extension: &str| self.dir.join(format!("{stem}.{extension}"));
        let (out, log, said) = (file("out"), file("log"), file("said"));
        let port = free_port()?;
        let words = self.programs.words(server, port, case);
        let mut command = tied(&self.valgrind);
        command.args(["--tool=callgrind", "--trace-syscalls=yes"]);
        command.arg(format!("--callgrind-out-file={}", out.display()));
        command.arg(format!("--log-file={}", log.display())).args(&words);
        let mut running = Running::start(&server.name, &mut command, Some(&said))?;
        wait_for(&mut running, server, port, &words)?;

        let mut load = tied(&self.programs.load);
        load.args(case.words()).args(["--port", &port.to_string(), "--warm-up", "0"]);
        load.args(["--seconds", &PATIENCE.as_secs().to_string()]);
        load.args(["--messages", &messages.to_string()]);
        if server.is_raw() {
            load.arg("--raw");
        }
        let load = Running::start("the load", &mut load, None)?;
        let deadline = Instant::now() + PATIENCE;
        let answer = load.line(deadline)?;
        load.wait(deadline)?;
        stop(running)?;

        let served =
            answer.and_then(|line| serde_json::from_str::<Value>(&line).ok()?["served"].as_u64());
        let served = served.ok_or_else(|| {
            let mend = format!("its output is in {}", said.display());
            Failure::new(format!("{}: the load failed, see above", server.name), mend)
        })?;
        let instructions = read(&out)?.lines().find_map(instructions).ok_or_else(|| {
            let mend = format!("see {}; a server must end on SIGTERM", log.display());
            Failure::new(format!("callgrind counted nothing in {}", out.display()), mend)
        })?;
        Ok(Counted { messages: served, instructions, calls: calls(&read(&log)?) })
    }
}

/// The numbers of messages of the two runs of a case: about a second of valgrind.
fn messages(case: &Case) -> [u64; 2] {
    let few = match case.kind {
        Kind::Handshake => 300,
        Kind::FanOut => 100 * (case.connections + 1),
        Kind::Deflate { .. } => 1000.min((1 << 20) / case.size.max(1)).max(100),
        _ => 4000.min((16 << 20) / case.size.max(1)).max(100),
    };
    [few, 3 * few]
}

/// Ends a server in a way that lets callgrind write its counts.
fn stop(running: Running) -> Result<()> {
    let mut kill = Command::new("kill");
    kill.args(["-TERM", &running.id().to_string()]);
    kill.status().map_err(|error| Failure::system("starting kill", &error))?;
    running.wait(Instant::now() + Duration::from_secs(30))?;
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    let octets = fs::read(path)
        .map_err(|error| Failure::system(format!("reading {}", path.display()), &error))?;
    Ok(String::from_utf8_lossy(&octets).into_owned())
}

/// The total in a callgrind file.
fn instructions(line: &str) -> Option<u64> {
    line.strip_prefix("totals: ")?.trim().parse().ok()
}

/// The system calls in a log of `--trace-syscalls=yes`, by name.
fn calls(log: &str) -> BTreeMap<String, u64> {
    let mut calls = BTreeMap::new();
    for line in log.lines().filter(|line| line.starts_with("SYSCALL[")) {
        // A call that ends later has a second line without a name.
        if let Some((_, name)) = line.split_once(") sys_")
            && let Some(name) = name.split([' ', '(']).next()
        {
            *calls.entry(name.to_owned()).or_default() += 1;
        }
    }
    calls
}

impl PerMessage {
    fn between(few: &Counted, many: &Counted) -> Option<Self> {
        let messages = many.messages.checked_sub(few.messages).filter(|&messages| messages > 0)?;
        let each = |few: u64, many: u64| (many as f64 - few as f64) / messages as f64;
        let calls = many.calls.iter().map(|(name, &many)| {
            (name.clone(), each(few.calls.get(name).copied().unwrap_or_default(), many))
        });
        // One call in a thousand messages belongs to a timer.
        let calls = calls.filter(|(_, calls)| calls.abs() > 0.0005).collect();
        Some(Self { instructions: each(few.instructions, many.instructions), calls })
    }

    /// All system calls.
    fn system_calls(&self) -> f64 {
        self.calls.iter().filter(|(name, _)| *name != CLOCK).map(|(_, calls)| calls).sum()
    }

    fn clock_reads(&self) -> f64 {
        self.calls.get(CLOCK).copied().unwrap_or_default()
    }
}

/// Ratios are to the first server of each case.
fn show(rows: &[(&Case, &Server, PerMessage)]) -> String {
    let head = ["case", "server", "instructions", "× first", "system calls", "clock reads", "per"];
    let cells = rows.iter().map(|(case, server, counted)| {
        let first = rows.iter().find(|(of, ..)| of == case);
        let ratio = first.map(|(.., first)| counted.instructions / first.instructions);
        vec![
            case.to_string(),
            server.name.clone(),
            format!("{:.0}", counted.instructions),
            ratio.map_or_else(String::new, |ratio| format!("{ratio:.3}")),
            format!("{:.3}", counted.system_calls()),
            format!("{:.3}", counted.clock_reads()),
            case.unit().to_owned(),
        ]
    });
    aligned(&head, cells)
}

fn as_json(rows: &[(&Case, &Server, PerMessage)]) -> Value {
    let row = |(case, server, counted): &(&Case, &Server, PerMessage)| {
        json!({
            "case": case.to_string(),
            "server": server.name,
            "per": case.unit(),
            "instructions": counted.instructions,
            "system_calls": counted.system_calls(),
            "clock_reads": counted.clock_reads(),
            "calls": counted.calls,
        })
    };
    rows.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_calls_are_counted_once_each() {
        let log = "==1== Callgrind\n\
            SYSCALL[1,1](228) sys_clock_gettime( 1, 0x1f )[sync] --> Success(0x0) \n\
            SYSCALL[1,1](232) sys_epoll_wait ( 4, 0x40, 1024, 526 ) --> [async] ... \n\
            SYSCALL[1,1](232) ... [async] --> Success(0x1) \n\
            SYSCALL[1,2](45) sys_recvfrom ( 12, 0x40, 51010, 0, 0x0, 0x0 ) --> [async] ... \n";
        let calls = calls(log);
        let counted: Vec<_> = calls.iter().map(|(name, n)| (name.as_str(), *n)).collect();
        assert_eq!(counted, [("clock_gettime", 1), ("epoll_wait", 1), ("recvfrom", 1)]);
    }

    #[test]
    fn figures_are_the_difference_of_two_runs() {
        let run = |messages, instructions, reads| Counted {
            messages,
            instructions,
            calls: [("read".to_owned(), reads), (CLOCK.to_owned(), 2 * messages)].into(),
        };
        let counted = PerMessage::between(&run(100, 11_000, 107), &run(300, 31_000, 307));
        let counted = counted.expect("more messages");
        assert_eq!(counted.instructions, 100.0);
        assert_eq!((counted.system_calls(), counted.clock_reads()), (1.0, 2.0));
        assert!(PerMessage::between(&run(300, 1, 1), &run(300, 2, 1)).is_none());
    }

    #[test]
    fn totals_are_read() {
        assert_eq!(["summary: 12", "totals: 6558806"].map(instructions), [None, Some(6_558_806)]);
    }

    #[test]
    fn cases_by_itself_are_cases() {
        assert_eq!(cases().len(), CASES.len());
    }
}
