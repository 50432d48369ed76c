//! The tasks of this workspace. `cargo xtask --help` lists them, `xtask/README.md` explains them.

mod advisories;
mod api;
mod attack;
mod autobahn;
mod bench;
mod binaries;
mod ci;
mod conformance;
mod everything;
mod failure;
mod fuzz;
mod imports;
mod interop;
mod lanes;
mod lock;
mod machines;
mod mentions;
mod nats_check;
mod new_extension;
mod packaging;
mod papers;
mod process;
mod quiet;
mod requirements;
mod rooms;
mod slow_paths;
mod soak;
mod stages;
mod subject;
mod tally;
mod times;
mod tools;
mod verdict;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Result;
use crate::workspace::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "The tasks of this workspace")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Every test: cargo's own, the foreign peers, Autobahn with 50 messages in each compression
    /// case
    ///
    /// Stages that wait more than they compute run beside each other; the output of each is printed
    /// when it has ended. Failures are printed; the rest goes into logs below target/xtask, whose
    /// names are printed. Ends with a table of what each stage took.
    Test(everything::Options),
    /// One stage of `test`
    #[command(hide = true)]
    Stage(everything::Stage),
    /// Autobahn against the examples as servers and as clients
    ///
    /// Installs the suite into target/tools/autobahn (PyPI), builds the example in release, and
    /// compares both verdicts of every case, and the number of cases, with the expected ones. An
    /// unexpected case is repeated three times.
    Conformance(conformance::Options),
    /// Python websockets, npm ws and websocat against the examples, as clients and as servers;
    /// websockets, ws, undici and Chromium with compression
    ///
    /// Installs pinned versions of the packages into target/tools (PyPI, npm, cargo), and Chromium
    /// by apt-get.
    Interop(interop::Options),
    /// Servers under the same load: this workspace's, a raw echo and other libraries
    ///
    /// Builds the servers and the load in release with the same profile, measures them in turns on
    /// 127.0.0.1, prints a table for each case, and writes every measurement and a report into
    /// target/bench. Measures for about eleven minutes; --quick takes two.
    #[command(after_help = bench::after_help())]
    Bench(bench::Options),
    /// What the attacks of SECURITY.md cost: ours beside other libraries
    ///
    /// Builds the servers and the attacker, starts each server, attacks it beside 20 polite clients, and
    /// prints CPU time, memory and waits; writes target/attack/report.json and table.md. Loopback alone.
    /// Takes twenty minutes for all; --check, for ours alone, two.
    Attack(attack::Options),
    /// Large messages and streams over slow links: whether and how they end
    ///
    /// Each link joins two network namespaces by TUN devices; a relay gives it a rate, a queue, a
    /// delay and loss. Requires Linux and root. Takes four minutes, or seven if connections fail.
    SlowPaths(slow_paths::Options),
    /// Good, slow and hostile clients against one server for long: whether anything grows or is kept
    ///
    /// Over plain TCP, TLS, axum and HTTP/2. Fails if a good client sees an error, if memory,
    /// descriptors or p99 grow while clients come and go, if anything is left once they have gone, or
    /// if memory exceeds its bound. Draws all of it into target/soak/report.html. Requires Linux.
    Soak(soak::Options),
    /// Search for octets that break a promise, by libFuzzer
    ///
    /// Builds the targets of fuzz/ with coverage on the toolchain that is there (a C++ compiler is
    /// needed), searches each for a while, and prints where a find lies and the command that repeats it.
    Fuzz(fuzz::Options),
    /// The checks that every commit must pass besides the tests
    #[command(after_help = ci::step_names())]
    Ci(ci::Options),
    /// Check the locked versions for published vulnerabilities
    ///
    /// The database of RustSec comes by git: if it cannot be fetched, the command fails and nothing
    /// was checked.
    Advisories,
    /// Compare the public API of each library with the api.txt in its crate
    Api(api::Options),
    /// The tests of ws-core and ws-handshake on i686, aarch64 and s390x (big-endian), emulated, and a
    /// check of the libraries for Windows and macOS
    ///
    /// Debian's Rust brings the sources of the standard library, from which cargo builds it for each
    /// target; compilers and QEMU come by apt-get. Takes about ten minutes.
    Machines(machines::Options),
    /// Install nats-server, and print its path
    ///
    /// `WS_NATS_SERVER=PATH cargo test -p ws-nats` then runs the tests that need it.
    NatsServer,
    /// What ws-nats promises, under faults and load: three nodes, 300 clients, 50 topics, 500 messages
    /// per second
    ///
    /// Every client writes down every message with its position, every publisher what became of each,
    /// and a judge compares both with the stream. Prints progress, and a table in the end. `cargo xtask
    /// test` runs the same scenarios, shorter.
    NatsCheck(nats_check::Options),
    /// Make a crate for your own extension: a skeleton that works, with the conformance kit as its
    /// test and a server that speaks it
    NewExtension(new_extension::Options),
    /// Check that every row of docs/requirements.md and docs/threats.md has a test that carries its
    /// id
    ///
    /// A test carries an id by a comment `// R6455-5.1-b` right above it or within it, anywhere in
    /// a file below ws-*/tests or in a #[cfg(test)] module, or by its name (rt_13_...). Rows that
    /// belong to `docs` or `example` are met by any mention in ws-*/src, README.md or examples.
    /// Exceptions are listed in xtask/waivers.txt.
    Requirements(requirements::Options),
}

fn main() -> ExitCode {
    if let Some(done) = api::as_rustdoc() {
        return done;
    }
    let cli = Cli::parse();
    run(&cli.task).unwrap_or_else(|failure| {
        eprintln!("xtask: {failure}");
        ExitCode::FAILURE
    })
}

fn run(task: &Task) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    match task {
        Task::Test(options) => return tests(&everything::test(&workspace, options)?),
        Task::Stage(stage) => everything::stage(&workspace, stage)?,
        Task::Conformance(options) => {
            let tally = conformance::conformance(&workspace, options)?;
            println!("xtask conformance: {tally}");
            tally
                .verdict("the failed cases are named above, with the directory of their reports")?;
        }
        Task::Interop(options) => {
            let tally = interop::interop(&workspace, options)?;
            println!("xtask interop: {tally}");
            tally
                .verdict("the failed cases are named above; run their scripts in xtask/interop")?;
        }
        Task::Bench(options) => bench::bench(&workspace, options)?,
        Task::Soak(options) => {
            let tally = soak::soak(&workspace, options)?;
            println!("xtask soak: {tally}");
            tally
                .verdict("the failed checks are named above; target/soak/report.html draws them")?;
        }
        Task::Attack(options) => attack::attack(&workspace, options)?,
        Task::SlowPaths(options) => slow_paths::slow_paths(&workspace, options)?,
        Task::Fuzz(options) => fuzz::fuzz(&workspace, options)?,
        Task::Ci(options) => ci::ci(&workspace, options)?,
        Task::Advisories => advisories::advisories(&workspace)?,
        Task::Api(options) => api::api(&workspace, options)?,
        Task::Machines(options) => machines::machines(&workspace, options)?,
        Task::NatsServer => println!("{}", tools::nats_server(&workspace)?.display()),
        Task::NatsCheck(options) => nats_check::nats_check(&workspace, options)?,
        Task::NewExtension(options) => new_extension::new_extension(&workspace, options)?,
        Task::Requirements(options) => requirements::run(&workspace, options)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells the total of all tests.
fn tests(report: &everything::Report) -> Result<ExitCode> {
    let everything::Report { tally, broken_steps } = report;
    if tally.failed > 0 {
        println!("xtask test: the failures are named above, in their stages");
    }
    // The last line is the total alone.
    println!("xtask test: {tally}");
    let passed = tally.failed == 0 && broken_steps.is_empty();
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
