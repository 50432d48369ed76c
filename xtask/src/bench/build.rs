//! Builds what is measured and what measures, all in one profile.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::server::{Program, Server};
use crate::failure::{Failure, Result};
use crate::process::run;
use crate::workspace::{Workspace, cargo};

/// The profile of every program, whatever its manifest says.
const PROFILE: [&str; 4] = [
    "profile.release.opt-level=3",
    "profile.release.lto='thin'",
    "profile.release.codegen-units=1",
    "profile.release.overflow-checks=false",
];

/// Where the programs lie.
pub(crate) struct Programs {
    ours: PathBuf,
    peers: PathBuf,
    pub(crate) load: PathBuf,
}

impl Programs {
    /// Builds those that `servers` need, and the load.
    pub(crate) fn build(workspace: &Workspace, servers: &[Server]) -> Result<Self> {
        let executable = |path: String| workspace.target.join(path + std::env::consts::EXE_SUFFIX);
        let programs = Programs {
            ours: executable("release/examples/demo".to_owned()),
            peers: workspace.target.join("peers/release"),
            load: executable("release/ws-load".to_owned()),
        };
        if servers.iter().any(Server::is_ours) {
            if !workspace.packages.iter().any(|package| package.name == "ws-server") {
                return Err(Failure::new(
                    "this workspace has no package ws-server, whose demo is measured as ws-server",
                    "measure the others alone: `cargo xtask bench --peers`, or `--servers raw,yawc`",
                ));
            }
            build(workspace, &["-p", "ws-server", "--example", "demo"]).map_err(|_| {
                Failure::new(
                    "the demo of ws-server cannot be built, see above",
                    "repair it, or measure the others alone: `cargo xtask bench --peers`",
                )
            })?;
        }
        if servers
            .iter()
            .any(|server| matches!(server.program, Program::Peer { .. } | Program::Raw))
        {
            let manifest = workspace.peers().join("Cargo.toml");
            let target = workspace.target.join("peers");
            let [manifest, target] = [&manifest, &target].map(|path| path.to_string_lossy());
            let words = ["--bins", "--manifest-path", &manifest, "--target-dir", &target];
            build(workspace, &words)?;
        }
        build(workspace, &["-p", "ws-bench", "--bin", "ws-load"])?;
        Ok(programs)
    }

    /// The words by which `server` is started on `port`.
    pub(crate) fn words(&self, server: &Server, port: u16) -> Vec<String> {
        let peer = |binary: &str| {
            let path = self.peers.join(format!("{binary}{}", std::env::consts::EXE_SUFFIX));
            vec![text(&path), port.to_string()]
        };
        match &server.program {
            Program::Ours => {
                let listen = format!("127.0.0.1:{port}");
                let words = ["--listen", &listen, "--no-deflate", "--quiet"];
                std::iter::once(text(&self.ours)).chain(words.map(str::to_owned)).collect()
            }
            Program::Peer { binary } => peer(binary),
            Program::Raw => peer("echo-raw"),
            Program::Added(words) => {
                words.iter().map(|word| word.replace("{port}", &port.to_string())).collect()
            }
        }
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn build(workspace: &Workspace, words: &[&str]) -> Result<()> {
    let mut command: Command = cargo();
    command.args(["build", "--release"]).current_dir(&workspace.root);
    command.args(PROFILE.iter().flat_map(|setting| ["--config", setting])).args(words);
    let shown = format!("cargo build --release {}", words.join(" "));
    println!("xtask bench: {shown}");
    run(&shown, &mut command, &format!("run `{shown}` alone"))
}
