//! The servers that are compared.

use std::fs;

use super::case::{Case, Mode};
use crate::failure::{Failure, Result};
use crate::lock::locked;
use crate::workspace::Workspace;

/// A program that serves: ours, a peer, or one added on the command line.
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) program: Program,
}

pub(crate) enum Program {
    /// The demo of ws-server.
    Ours,
    /// A binary of `ws-bench/peers`.
    Peer(&'static Peer),
    /// The binary of `ws-bench/peers` that echoes octets, without WebSocket.
    Raw,
    /// The words of a command; `{port}` is replaced by the port.
    Added(Vec<String>),
}

/// A library, whose binary is `echo-NAME`.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// Its package, which has the version.
    package: &'static str,
    pub(crate) deflate: bool,
    pub(crate) broadcast: bool,
    pub(crate) build: Build,
}

/// Which build of `ws-bench/peers` has the binary.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    Usual,
    /// It needs the zlib in C.
    CZlib,
    /// It is inside axum, and measured only if it is named.
    Axum,
}

const OURS: &str = "ws-server";
const RAW: &str = "raw";

const fn peer(name: &'static str, deflate: bool, broadcast: bool) -> Peer {
    Peer { name, package: name, deflate, broadcast, build: Build::Usual }
}

const fn in_axum(name: &'static str, package: &'static str, deflate: bool) -> Peer {
    Peer { name, package, deflate, broadcast: false, build: Build::Axum }
}

/// All peers; to add one, add a line.
const PEERS: &[Peer] = &[
    peer("tokio-tungstenite", false, true),
    peer("fastwebsockets", false, false),
    peer("tokio-websockets", false, true),
    peer("yawc", true, true),
    peer("sockudo-ws", true, true),
    peer("soketto", false, false),
    Peer { build: Build::CZlib, ..peer("ratchet_rs", true, false) },
    peer("wtx", true, false),
    in_axum("ws-tower", "ws-tower", true),
    in_axum("axum", "axum", false),
    in_axum("fastwebsockets-axum", "fastwebsockets", false),
    in_axum("yawc-axum", "yawc", true),
    in_axum("sockudo-ws-axum", "sockudo-ws", true),
];

pub(crate) fn names() -> Vec<&'static str> {
    [OURS, RAW].into_iter().chain(PEERS.iter().map(|peer| peer.name)).collect()
}

/// Ours, the raw echo, and the peers, with the versions of their lock file.
pub(crate) fn known(workspace: &Workspace) -> Result<Vec<Server>> {
    let path = workspace.peers().join("Cargo.lock");
    let lock = fs::read_to_string(&path)
        .map_err(|error| Failure::system(format!("reading {}", path.display()), &error))?;
    let version = |package: &str| {
        // The newest: axum has an older tokio-tungstenite.
        let found = locked(&lock).filter(|(name, _)| *name == package).last();
        found.map_or("?", |(_, version)| version).to_owned()
    };
    let ours = Server { name: OURS.into(), version: String::new(), program: Program::Ours };
    let raw = Server {
        name: RAW.into(),
        version: format!("tokio {}", version("tokio")),
        program: Program::Raw,
    };
    let peers = PEERS.iter().map(|peer| Server {
        name: peer.name.into(),
        version: version(peer.package),
        program: Program::Peer(peer),
    });
    Ok([ours, raw].into_iter().chain(peers).collect())
}

impl Server {
    /// Parses `NAME=COMMAND`; the command is split at spaces.
    pub(crate) fn added(text: &str) -> Result<Self> {
        let (name, command) = text.split_once('=').unwrap_or_default();
        let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        if name.is_empty() || !words.iter().any(|word| word.contains("{port}")) {
            return Err(Failure::new(
                format!("--server {text:?} must be NAME=COMMAND, with {{port}} in the command"),
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

    /// Whether it takes part only if it is named.
    pub(crate) fn is_on_request(&self) -> bool {
        matches!(self.program, Program::Peer(peer) if peer.build == Build::Axum)
    }

    /// Whether it can take part in `case`.
    pub(crate) fn can(&self, case: &Case) -> bool {
        match (&self.program, case.mode()) {
            (Program::Ours, _) => true,
            (Program::Raw, _) => case.is_raw(),
            (Program::Peer(peer), Mode::Deflate) => peer.deflate,
            (Program::Peer(peer), Mode::Broadcast) => peer.broadcast,
            (Program::Added(words), Mode::Deflate | Mode::Broadcast) => {
                words.iter().any(|word| word.contains("{mode}"))
            }
            (Program::Peer(_) | Program::Added(_), Mode::Echo) => true,
        }
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

    #[test]
    fn servers_take_part_in_what_they_can() {
        let case = |name: &str| name.parse::<Case>().expect("a case");
        let raw = Server { name: RAW.into(), version: String::new(), program: Program::Raw };
        assert!(raw.can(&case("echo-1k")) && !raw.can(&case("handshake")));
        let plain = Server::added("mine=./echo {port}").expect("a server");
        assert!(plain.can(&case("handshake")) && !plain.can(&case("deflate-1k")));
        let all = Server::added("mine=./serve {mode} {port}").expect("a server");
        assert!(all.can(&case("deflate-1k")) && all.can(&case("fanout-1k-1000")));
    }
}
