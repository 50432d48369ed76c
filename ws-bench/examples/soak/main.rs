//! `cargo xtask soak`: one server process that has everything, and clients of all kinds that come and
//! go, for as long as it is to be. Good ones check every octet; slow ones take little; hostile ones do
//! what the server is to survive. Every second is written down, and the verdict is over all of them.
//!
//! ```text
//! $ cargo run --release -p ws-bench --example soak -- run --seconds 180
//! ```
#![forbid(unsafe_code)]

mod content;
mod good;
mod handlers;
mod hostile;
mod http2;
mod leak;
mod life;
mod population;
mod run;
mod sampling;
mod serve;
mod slow;
mod tally;
mod transport;
mod tunnel;

use std::{alloc::System, error::Error, process::ExitCode};

use clap::Parser;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// Counts what the heap holds, without what the allocator keeps of it.
#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// A soak of the server: all clients at once, for long.
#[derive(Parser)]
#[command(name = "soak")]
enum Cli {
    /// Start a server, let clients come and go, and judge
    Run(run::Options),
    /// The server alone, until its standard input ends
    Serve(serve::ServerOptions),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse() {
        Cli::Run(options) => run::run(&options),
        Cli::Serve(options) => serve::serve(&options).map(|()| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}
