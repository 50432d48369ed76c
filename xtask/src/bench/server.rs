//! The servers that are compared.

use std::fs;

use crate::failure::{Failure, Result};
use crate::floors::locked;
use crate::workspace::Workspace;

/// A program that echoes: ours, a peer, or one that the command line adds.
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) program: Program,
}

pub(crate) enum Program {
    /// The demo of ws-server.
    Ours,
    /// A binary of `ws-bench/peers`.
    Peer { binary: &'static str },
    /// The binary of `ws-bench/peers` that echoes octets, without WebSocket.
    Raw,
    /// The words of a command, with `{port}` where the port belongs.
    Added(Vec<String>),
}

const OURS: &str = "ws-server";
const RAW: &str = "raw";

/// Every peer, named as its package, and its binary; another one is another line.
const PEERS: &[(&str, &str)] = &[
    ("tokio-tungstenite", "echo-tokio-tungstenite"),
    ("yawc", "echo-yawc"),
    ("sockudo-ws", "echo-sockudo-ws"),
];

pub(crate) fn names() -> Vec<&'static str> {
    [OURS, RAW].into_iter().chain(PEERS.iter().map(|(name, _)| *name)).collect()
}

/// Ours, the raw echo, and the peers, with the versions of their lock file.
pub(crate) fn known(workspace: &Workspace) -> Result<Vec<Server>> {
    let path = workspace.peers().join("Cargo.lock");
    let lock = fs::read_to_string(&path)
        .map_err(|error| Failure::system(format!("reading {}", path.display()), &error))?;
    let version = |package: &str| {
        let found = locked(&lock).find(|(name, _)| *name == package);
        found.map_or("?", |(_, version)| version).to_owned()
    };
    let ours = Server { name: OURS.into(), version: String::new(), program: Program::Ours };
    let raw = Server {
        name: RAW.into(),
        version: format!("tokio {}", version("tokio")),
        program: Program::Raw,
    };
    let peers = PEERS.iter().map(|&(name, binary)| Server {
        name: name.into(),
        version: version(name),
        program: Program::Peer { binary },
    });
    Ok([ours, raw].into_iter().chain(peers).collect())
}

impl Server {
    /// `NAME=COMMAND`, whose words are split at spaces.
    pub(crate) fn added(text: &str) -> Result<Self> {
        let (name, command) = text.split_once('=').unwrap_or_default();
        let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        if name.is_empty() || !words.iter().any(|word| word.contains("{port}")) {
            return Err(Failure::new(
                format!("--server {text:?} is not NAME=COMMAND with {{port}} in the command"),
                "write it as `--server 'mine=target/release/my-echo --port {port}'`",
            ));
        }
        Ok(Server { name: name.into(), version: String::new(), program: Program::Added(words) })
    }

    pub(crate) fn is_ours(&self) -> bool {
        matches!(self.program, Program::Ours)
    }

    pub(crate) fn is_raw(&self) -> bool {
        matches!(self.program, Program::Raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_server_has_a_name_and_a_command_with_a_port() {
        let server = Server::added("mine=./echo --listen=127.0.0.1:{port}").expect("a server");
        assert_eq!(server.name, "mine");
        assert!(
            matches!(&server.program, Program::Added(words) if *words == ["./echo", "--listen=127.0.0.1:{port}"])
        );
        for text in ["mine", "mine=", "mine=./echo", "=./echo {port}", ""] {
            assert!(Server::added(text).is_err(), "{text}");
        }
    }
}
