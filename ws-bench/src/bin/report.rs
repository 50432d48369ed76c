//! `ws-report RUN.jsonl`: the report of a run of `cargo xtask bench`, and a picture of it.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use ws_bench::report::{Run, page, picture};

/// Make the report of a run, and a picture of it
#[derive(Parser)]
#[command(name = "ws-report")]
struct Cli {
    /// The file that `cargo xtask bench` wrote into target/bench
    run: PathBuf,
    /// The path of the page
    #[arg(long, default_value = "target/bench/report.html")]
    html: PathBuf,
    /// The path of the picture, an SVG
    #[arg(long)]
    picture: Option<PathBuf>,
}

fn main() -> ExitCode {
    match report(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("ws-report: {what}");
            ExitCode::FAILURE
        }
    }
}

fn report(cli: &Cli) -> Result<(), String> {
    let named = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let lines = std::fs::read_to_string(&cli.run).map_err(|error| named(&cli.run, &error))?;
    let run = Run::read(&lines).map_err(|error| named(&cli.run, &error))?;
    let write =
        |path: &Path, text: String| std::fs::write(path, text).map_err(|error| named(path, &error));
    write(&cli.html, page(&run))?;
    cli.picture.as_deref().map_or(Ok(()), |path| write(path, picture(&run)))
}
