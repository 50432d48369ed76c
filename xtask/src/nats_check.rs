//! `cargo xtask nats-check`: the scenarios of `ws-nats/tests/checker` for longer, and its figures.

use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};
use crate::process::{Running, tied};
use crate::tools;
use crate::workspace::{Workspace, cargo};

/// The longest silence: compilation, and a scenario that waits for what does not come.
const SILENCE: Duration = Duration::from_secs(900);

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Scenarios by a part of their names, such as `leader`, or `figures`; without any, all scenarios
    scenarios: Vec<String>,
    /// How long publishers publish in each, in seconds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..=3600))]
    seconds: u64,
}

pub(crate) fn nats_check(workspace: &Workspace, options: &Options) -> Result<()> {
    tools::faketime()?;
    let server = tools::nats_server(workspace)?;
    let words = ["test", "--release", "-p", "ws-nats", "--test", "checker", "--"];
    let mut command = tied(cargo().get_program());
    command.args(words).args(["--test-threads=1", "--nocapture"]);
    if options.scenarios.is_empty() {
        command.arg("faults::");
    }
    command.args(&options.scenarios);
    command.current_dir(&workspace.root);
    command.env("WS_NATS_SERVER", server);
    command.env("WS_NATS_CHECK_SECONDS", options.seconds.to_string());
    println!(
        "xtask nats-check: a build of some minutes, then about {} s for each scenario",
        options.seconds + 5
    );
    let tests = Running::start("the checker", &mut command, None)?;
    let (mut rows, mut figures) = (Vec::new(), Vec::new());
    while let Some(line) = tests.line(Instant::now() + SILENCE)? {
        if let Some(row) = line.strip_prefix("row: ") {
            rows.push(row.to_owned());
        } else if let Some(figure) = line.strip_prefix("figure: ") {
            figures.push(figure.to_owned());
        } else if line.starts_with("test ") || line.contains("panicked") {
            println!("{line}");
        }
    }
    if !rows.is_empty() {
        println!(
            "\n| scenario | published | stored | refused | unknown | delivered | joined fresh / all / lost | missed, then got | gaps told | settled | wrong |"
        );
        println!("|---|---|---|---|---|---|---|---|---|---|---|");
    }
    for row in rows {
        println!("| {row} |");
    }
    for figure in figures {
        println!("{figure}");
    }
    let status = tests.wait(Instant::now() + SILENCE)?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(
        "a promise of ws-nats is broken, or a scenario failed",
        "its report is above; `ws-nats/tests/checker/ledger/verdict.rs` says what each finding means",
    ))
}
