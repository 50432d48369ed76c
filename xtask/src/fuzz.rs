//! `cargo xtask fuzz`: searches for octets that break a promise, and replays those that once did more
//! than others.

mod build;
mod corpus;
mod coverage;
mod search;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::failure::{Failure, Result};
use crate::tally::Tally;
use crate::workspace::Workspace;

/// The targets, and what each holds against what.
pub(crate) const TARGETS: &[(&str, &str)] = &[
    ("connection", "one connection, any peer, any commands"),
    ("pair", "clients and servers with extensions: everything sent arrives"),
    ("inflate", "compressed messages, damaged or not, and another inflater"),
    ("differential", "frames, in ours and in tungstenite"),
    ("handshake", "request and response heads, list headers, URIs"),
    ("failing", "extensions that fail while they encode and decode"),
    ("threads", "broadcasts that connections on two threads send at the same time"),
    ("upgrade", "requests through ws-server and ws-tower: the same answers"),
    ("proxy", "the PROXY protocol, and forwarding headers"),
    ("client", "a client against answers of any kind, and frames after them"),
    ("nats", "what ws-nats reads: subjects, headers, other nodes, positions"),
];

/// What CI searches, each for a while: the targets that found nothing for long. The others are run by
/// hand until they do.
const SEARCHED: [&str; 6] = ["handshake", "differential", "proxy", "client", "pair", "threads"];
const SHORT: Duration = Duration::from_secs(20);
/// What CI tries is the same every time: a change fails for what it changes, and not for what nobody
/// had found before.
const SEED: Option<u32> = Some(1);

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only this target (see --list)
    #[arg(value_name = "TARGET")]
    target: Option<String>,
    /// How long each target is searched
    #[arg(long, default_value_t = 1.0, value_parser = minutes)]
    minutes: f64,
    /// How many targets are searched at a time
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    jobs: u8,
    /// List the targets and the sizes of their corpora
    #[arg(long)]
    list: bool,
    /// Run inputs without libFuzzer, and search no new ones: these files or folders, or the corpus
    #[arg(long, value_name = "PATH", num_args = 0.., conflicts_with_all = ["list", "minimize", "coverage"])]
    replay: Option<Vec<PathBuf>>,
    /// Unite the corpus with what was found since, and keep the inputs that cover something
    #[arg(long, conflicts_with_all = ["list", "coverage"])]
    minimize: bool,
    /// Report what the corpus and what was found since cover, by llvm-cov
    #[arg(long, conflicts_with = "list")]
    coverage: bool,
    /// Compare verdicts on random frames with Python websockets
    #[arg(long, conflicts_with_all = ["list", "replay", "minimize", "coverage"])]
    websockets: bool,
}

fn minutes(word: &str) -> std::result::Result<f64, String> {
    match word.parse::<f64>() {
        Ok(minutes) if (0.05..=10_000.0).contains(&minutes) => Ok(minutes),
        _ => Err("a number of minutes, from 0.05 on".into()),
    }
}

pub(crate) fn fuzz(workspace: &Workspace, options: &Options) -> Result<()> {
    let targets: Vec<&str> = match &options.target {
        None => TARGETS.iter().map(|(name, _)| *name).collect(),
        Some(target) => vec![known(target)?],
    };
    list(workspace, &targets);
    if options.list {
        return Ok(());
    }
    if let Some(paths) = &options.replay {
        return corpus::replay_shown(workspace, options.target.as_deref(), paths);
    }
    if options.minimize {
        return corpus::minimize(workspace, &targets);
    }
    if options.coverage {
        return coverage::coverage(workspace, &targets);
    }
    if options.websockets {
        build::replay(workspace, build::Assertions::On)?;
        let tally = corpus::against_websockets(workspace, None)?;
        return tally.verdict("the first sequences that differ are above, with the seed");
    }
    let time = Duration::from_secs_f64(options.minutes * 60.0);
    build::targets(workspace)?;
    let tally = search::search(workspace, &targets, time, options.jobs.into(), None)?;
    println!("xtask fuzz: searched {} targets: {}", targets.len(), found(tally.failed));
    tally.verdict("each find is named above, with the command that repeats it")
}

/// What CI does: the corpus with debug assertions and as the crates ship, then a short search.
pub(crate) fn short(workspace: &Workspace, _: bool) -> Result<Tally> {
    let mut tally = Tally::default();
    for assertions in [build::Assertions::AsShipped, build::Assertions::On] {
        build::replay(workspace, assertions)?;
        println!("xtask fuzz: the corpus, {assertions}");
        tally += corpus::replay(workspace)?;
    }
    tally += corpus::against_websockets(workspace, SEED)?;
    build::targets(workspace)?;
    tally += search::search(workspace, &SEARCHED, SHORT, 2, SEED)?;
    Ok(tally)
}

fn known(target: &str) -> Result<&'static str> {
    let found = TARGETS.iter().find(|(name, _)| *name == target);
    found.map(|(name, _)| *name).ok_or_else(|| {
        Failure::new(
            format!("no target is called {target:?}"),
            "`cargo xtask fuzz --list` lists them",
        )
    })
}

fn list(workspace: &Workspace, targets: &[&str]) {
    println!("xtask fuzz: the targets, and their corpora in octets");
    for (name, what) in TARGETS.iter().filter(|(name, _)| targets.contains(name)) {
        let size = fs::metadata(package(workspace).join(format!("corpus/{name}.z")));
        let size = size.map_or(0, |file| file.len());
        println!("  {name:14} {size:>7}  {what}");
    }
}

fn found(finds: usize) -> String {
    match finds {
        0 => "nothing found".into(),
        1 => "1 find".into(),
        finds => format!("{finds} finds"),
    }
}

/// The package, which is outside of the workspace.
fn package(workspace: &Workspace) -> PathBuf {
    workspace.root.join("fuzz")
}

/// Where everything is built and written.
fn target(workspace: &Workspace) -> PathBuf {
    workspace.target.join("fuzz")
}

fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path)
        .map_err(|error| Failure::system(format!("making {}", path.display()), &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fuzz_target_is_listed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/fuzz_targets");
        let mut files: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().into())
            .collect();
        let mut listed: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
        files.sort_unstable();
        listed.sort_unstable();
        assert_eq!(files, listed);
    }
}
