//! Builds the servers and the load, all in one profile.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::case::{Case, Mode};
use super::server::{Build, Program, Server};
use crate::failure::{Failure, Result};
use crate::process::{run, tied};
use crate::workspace::{Workspace, cargo};

/// The profile of every program, whatever its manifest says.
const PROFILE: [&str; 4] = [
    "profile.release.opt-level=3",
    "profile.release.lto='thin'",
    "profile.release.codegen-units=1",
    "profile.release.overflow-checks=false",
];

/// The paths of the programs.
pub(crate) struct Programs {
    ours: PathBuf,
    peers: PathBuf,
    pub(crate) load: PathBuf,
    pub(crate) report: PathBuf,
}

impl Programs {
    /// No programs: any start fails at once.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        let none = PathBuf::from("false");
        Programs { ours: none.clone(), peers: none.clone(), load: none.clone(), report: none }
    }

    /// Builds the programs that `servers` need, and the load.
    pub(crate) fn build<'s>(
        workspace: &Workspace,
        servers: impl IntoIterator<Item = &'s Server>,
    ) -> Result<Self> {
        let servers: Vec<&Server> = servers.into_iter().collect();
        let executable = |path: String| workspace.target.join(path + std::env::consts::EXE_SUFFIX);
        let programs = Programs {
            ours: executable("release/examples/demo".to_owned()),
            peers: workspace.target.join("peers/release"),
            load: executable("release/ws-load".to_owned()),
            report: executable("release/ws-report".to_owned()),
        };
        if servers.iter().any(|server| server.is_ours()) {
            if !workspace.packages.iter().any(|package| package.name == "ws-server") {
                return Err(Failure::new(
                    "this workspace has no package ws-server, whose demo is the server to measure",
                    "measure only others: `cargo xtask bench --peers raw,yawc`",
                ));
            }
            build(workspace, &["-p", "ws-server", "--example", "demo"]).map_err(|_| {
                Failure::new(
                    "the demo of ws-server cannot be built, see above",
                    "repair it, or measure only others: `cargo xtask bench --peers raw,yawc`",
                )
            })?;
        }
        let needs = |build: Build| {
            servers.iter().any(|server| match &server.program {
                Program::Peer(peer) => peer.build == build,
                Program::Raw => build == Build::Usual,
                _ => false,
            })
        };
        let manifest = workspace.peers().join("Cargo.toml");
        let target = workspace.target.join("peers");
        let [manifest, target] = [&manifest, &target].map(|path| path.to_string_lossy());
        let words = ["--bins", "--manifest-path", &manifest, "--target-dir", &target];
        if needs(Build::Usual) {
            build(workspace, &words)?;
        }
        for (apart, feature) in [(Build::CZlib, "c-zlib"), (Build::Axum, "axum")] {
            if needs(apart) {
                let features = ["--no-default-features", "--features", feature];
                build(workspace, &[&words[..], &features].concat())?;
            }
        }
        build(workspace, &["-p", "ws-bench", "--bins"])?;
        Ok(programs)
    }

    /// The command that starts `server` on `port` for `case`.
    pub(crate) fn words(&self, server: &Server, port: u16, case: &Case) -> Vec<String> {
        let peer = |name: &str| {
            let path = self.peers.join(format!("echo-{name}{}", std::env::consts::EXE_SUFFIX));
            let flag = match case.mode() {
                Mode::Echo => None,
                Mode::Deflate => Some("--deflate".to_owned()),
                Mode::Broadcast => Some("--broadcast".to_owned()),
            };
            [text(&path), port.to_string()].into_iter().chain(flag).collect()
        };
        match &server.program {
            Program::Ours => {
                let listen = format!("127.0.0.1:{port}");
                let mut words = vec![text(&self.ours)];
                words.extend(["--listen", &listen, "--quiet", "--threads", "1"].map(str::to_owned));
                if case.mode() != Mode::Deflate {
                    words.push("--no-deflate".to_owned());
                }
                for (name, value) in raised(case) {
                    words.extend([format!("--{name}"), value.to_string()]);
                }
                words
            }
            Program::Peer(of) => peer(of.name),
            Program::Raw => peer("raw"),
            Program::Added(words) => {
                let mode = match case.mode() {
                    Mode::Echo => "echo",
                    Mode::Deflate => "deflate",
                    Mode::Broadcast => "broadcast",
                };
                let filled = |word: &String| {
                    word.replace("{port}", &port.to_string()).replace("{mode}", mode)
                };
                words.iter().map(filled).collect()
            }
        }
    }
}

/// The limits of our server that are raised for `case`: only counts of connections. The defaults
/// are those of `ws_server::Limits`.
pub(crate) fn raised(case: &Case) -> Vec<(&'static str, u64)> {
    let connections = case.connections_at_a_time();
    [("max-per-ip", 256), ("max-connections", 10_000)]
        .into_iter()
        .filter(|(_, default)| connections > *default)
        .map(|(name, _)| (name, connections))
        .collect()
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn build(workspace: &Workspace, words: &[&str]) -> Result<()> {
    let mut command: Command = tied(cargo().get_program());
    command.args(["build", "--release"]).current_dir(&workspace.root);
    command.args(PROFILE.iter().flat_map(|setting| ["--config", setting])).args(words);
    let shown = format!("cargo build --release {}", words.join(" "));
    println!("xtask bench: {shown}");
    run(&shown, &mut command, &format!("run `{shown}` alone"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_connections_are_raised_where_they_have_to_be() {
        let of = |name: &str| raised(&name.parse().expect("a case"));
        assert_eq!(of("echo-20x64x1"), []);
        assert_eq!(of("fanout-1k-1000"), [("max-per-ip", 1001)]);
        assert_eq!(of("idle"), [("max-per-ip", 10_016), ("max-connections", 10_016)]);
    }
}
