//! The tasks of this workspace. `cargo xtask --help` lists them, `xtask/README.md` explains them.

mod autobahn;
mod conformance;
mod failure;
mod process;
mod subject;
mod tally;
mod tools;
mod verdict;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Result;
use crate::workspace::Workspace;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "The tasks of this workspace"
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Autobahn against the example server and the example client
    Conformance(conformance::Options),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli.task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Task) -> Result<()> {
    let workspace = Workspace::load()?;
    match task {
        Task::Conformance(options) => {
            let tally = conformance::conformance(&workspace, options)?;
            println!("conformance: {tally}");
            tally.verdict(
                "each failed case is named above; its report lies in the directory named there",
            )
        }
    }
}
