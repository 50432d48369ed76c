//! `cargo xtask slow-paths`: how the server treats clients on slow links.

mod cell;
mod link;
mod programs;
mod run;
mod table;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use self::cell::{Cell, Path, Route};
use self::programs::Programs;
use crate::failure::{Failure, Result};
use crate::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rates of the link, in KB/s
    #[arg(long, value_delimiter = ',', default_values_t = [20, 60, 80, 250, 1000], value_name = "KB/S",
        value_parser = clap::value_parser!(u64).range(1..=20_000))]
    rates: Vec<u64>,
    /// Round trips without the queue, in milliseconds
    #[arg(long, value_delimiter = ',', default_values_t = [10, 100, 300], value_name = "MS",
        value_parser = clap::value_parser!(u64).range(0..=5_000))]
    delays: Vec<u64>,
    /// Only these routes
    #[arg(long, value_enum, value_delimiter = ',')]
    routes: Vec<Route>,
    /// Give the link 20 MB/s, and use the rates as the speed at which the client reads
    #[arg(long)]
    readers: bool,
    /// The size of the link's queue before it drops packets, in KB
    #[arg(long, default_value_t = 256, value_name = "KB")]
    queue: u64,
    /// The percentage of packets that are lost in addition
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT")]
    loss: f64,
    /// How long a stream is watched, in seconds
    #[arg(long, default_value_t = 75, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Leave out the throughput of a fast link, 12.5 MB/s and 100 ms, which is measured last and alone
    #[arg(long)]
    no_fast: bool,
    /// Another build of ws-bench/examples/slow_path_server.rs, such as that of an older commit
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
}

/// The rate of the link if the client is the bottleneck.
const READERS_LINK: u64 = 20_000_000;

const FAST: Path = Path {
    rate: 12_500_000,
    delay: Duration::from_millis(100),
    // The product of bandwidth and delay; with less, the link itself is the limit.
    queue: 1_250_000,
    loss: 0.0,
};

pub(crate) fn slow_paths(workspace: &Workspace, options: &Options) -> Result<()> {
    link::check()?;
    let programs = Programs::build(workspace, options.server.as_ref())?;
    let dir = workspace.target.join("slow-paths");
    fs::create_dir_all(&dir)
        .map_err(|error| Failure::system(format!("creating {}", dir.display()), &error))?;

    let cells = options.cells();
    let outcomes = run::all(&programs, &cells, &dir);
    print!("\n{}", table::show(&cells, &outcomes));
    let path = dir.join("outcomes.json");
    fs::write(&path, table::json(&cells, &outcomes).to_string())
        .map_err(|error| Failure::system(format!("writing {}", path.display()), &error))?;
    println!("All outcomes: {}; the logs are beside it", workspace.short(&path));

    let ended: Vec<String> = cells
        .iter()
        .zip(&outcomes)
        .filter(|(_, outcome)| outcome.as_ref().is_ok_and(|outcome| !outcome.is_kept))
        .map(|(cell, _)| cell.to_string())
        .collect();
    let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
    if failed > 0 {
        return Err(Failure::new(format!("{failed} cells did not run"), "see the errors above"));
    }
    if ended.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        format!("unexpected outcomes: {}", ended.join("; ")),
        "see the table; the log of each cell has the server's reason",
    ))
}

impl Options {
    fn cells(&self) -> Vec<Cell> {
        let routes = match &self.routes[..] {
            [] => Route::value_variants(),
            routes => routes,
        };
        let watched = Duration::from_secs(self.seconds);
        let mut cells = Vec::new();
        for &route in routes {
            for &rate in &self.rates {
                for &delay in &self.delays {
                    let rate = 1000 * rate;
                    let path = Path {
                        rate: if self.readers { READERS_LINK } else { rate },
                        delay: Duration::from_millis(delay),
                        queue: 1000 * self.queue,
                        loss: self.loss / 100.0,
                    };
                    let reads = self.readers.then_some(rate);
                    cells.push(Cell { route, path, reads, watched });
                }
            }
        }
        if !self.no_fast {
            let watched = Duration::from_secs(10);
            cells.push(Cell { route: Route::Stream, path: FAST, reads: None, watched });
        }
        cells
    }
}
