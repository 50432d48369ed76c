//! The programs that are tested against foreign peers.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Result;
use crate::lanes::BUILT;
use crate::process::{run, tied, tied_words};
use crate::workspace::{Workspace, cargo};

/// An example that is an echo server, an echo client, or both.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) ends: Ends,
    /// The subprotocol that its server speaks, if it speaks one.
    pub(crate) subprotocol: Option<&'static str>,
    /// The Autobahn cases that it must pass, as the suite's patterns.
    pub(crate) cases: &'static [&'static str],
    /// The number of these cases, to notice a suite that lost some.
    pub(crate) count: usize,
}

/// The end that a subject takes; the foreign peer is the other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Server,
    Client,
}

/// The ends that a subject offers, and so its command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// `server [limits] ADDRESS` and `client [limits] URL`.
    Both,
    /// `[limits] --listen ADDRESS`.
    Server,
    /// `[limits] URL`.
    Client,
}

impl Ends {
    pub(crate) fn has(self, end: End) -> bool {
        match self {
            Self::Both => true,
            Self::Server => end == End::Server,
            Self::Client => end == End::Client,
        }
    }
}

/// Every program that `cargo xtask conformance` runs; another one is another entry.
pub(crate) const SUBJECTS: &[Subject] = &[
    Subject {
        name: "own_io",
        ends: Ends::Both,
        subprotocol: Some("echo.v1"),
        cases: &["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"],
        count: 301,
    },
    Subject {
        name: "own_io_deflate",
        ends: Ends::Both,
        subprotocol: Some("echo.v1"),
        cases: &["*"],
        count: 517,
    },
    DEMO,
    AXUM,
    Subject { name: "client", ends: Ends::Client, subprotocol: None, cases: &["*"], count: 517 },
];

/// The server that people run.
pub(crate) const DEMO: Subject = Subject {
    name: "demo",
    ends: Ends::Server,
    subprotocol: Some("echo.v1"),
    cases: &["*"],
    count: 517,
};

/// The server inside axum, over HTTP/1.1, and HTTP/2 as well.
pub(crate) const AXUM: Subject = Subject {
    name: "axum_echo",
    ends: Ends::Server,
    subprotocol: Some("echo.v1"),
    cases: &["*"],
    count: 517,
};

/// The path on which all subjects echo; some echo on every path.
pub(crate) const PATH: &str = "/echo";

/// A free port of this machine.
const LISTEN: &str = "127.0.0.1:0";

/// Group 9 sends messages of 16 MiB, and 4 MiB in fragments of 64 octets.
const AUTOBAHN_LIMITS: [&str; 4] = ["--max-message", "16777216", "--max-fragments", "100000"];

/// A subject that was built, or the program named instead.
pub(crate) struct Program {
    path: PathBuf,
    ends: Ends,
    /// Arguments besides those of its end.
    more: Vec<&'static str>,
}

impl Subject {
    pub(crate) fn build(&self, workspace: &Workspace, binary: Option<&Path>) -> Result<Program> {
        let path = match binary {
            Some(path) => path.to_owned(),
            None => {
                build_examples(workspace, Profile::Optimized, [self.name])?;
                example(workspace, Profile::Optimized, self.name)
            }
        };
        Ok(Program { path, ends: self.ends, more: Vec::new() })
    }
}

/// How an example is built.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Profile {
    /// For many octets: the workspace as for a release, dependencies less (see Cargo.toml).
    Optimized,
    /// For what is measured.
    #[allow(
        dead_code,
        reason = "every example that is built here is for octets or by cargo's tests"
    )]
    Release,
    /// As cargo's own tests have built it.
    Dev,
}

/// Builds examples of any package. The features are those of the whole workspace, whichever are
/// named: otherwise cargo would build the dependencies anew for each package.
pub(crate) fn build_examples(
    workspace: &Workspace,
    profile: Profile,
    names: impl IntoIterator<Item = &'static str>,
) -> Result<()> {
    if profile == Profile::Dev && env::var_os(BUILT).is_some() {
        return Ok(());
    }
    let mut words = vec!["build", "--workspace", "--all-features"];
    match profile {
        Profile::Optimized => words.extend(["--profile", "optimized"]),
        Profile::Release => words.push("--release"),
        Profile::Dev => {}
    }
    words.extend(names.into_iter().flat_map(|name| ["--example", name]));
    println!("xtask: cargo {}", words.join(" "));
    let mend = format!("run `cargo {}` alone", words.join(" "));
    run("cargo build", cargo().args(&words).current_dir(&workspace.root), &mend)
}

/// Where an example is, once it is built.
pub(crate) fn example(workspace: &Workspace, profile: Profile, name: &str) -> PathBuf {
    let folder = match profile {
        Profile::Optimized => "optimized/examples",
        Profile::Release => "release/examples",
        Profile::Dev => "debug/examples",
    };
    workspace.target.join(folder).join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

impl Program {
    pub(crate) fn with_autobahn_limits(self) -> Self {
        self.with_words(&AUTOBAHN_LIMITS)
    }

    pub(crate) fn with_words(mut self, words: &[&'static str]) -> Self {
        self.more = words.to_vec();
        self
    }

    /// The program itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// An echo server, which prints `listening on ADDRESS`.
    pub(crate) fn server(&self) -> Command {
        let mut command = tied(&self.path);
        command.args(self.words(End::Server));
        if self.ends == Ends::Server {
            command.arg("--listen");
        }
        command.arg(LISTEN);
        command
    }

    /// An echo client, which ends when the server closes.
    pub(crate) fn client(&self, url: &str) -> Command {
        let mut command = tied(&self.path);
        command.args(self.words(End::Client)).arg(url);
        command
    }

    /// The arguments that start an end, without its address or URL, for a peer that starts it
    /// itself.
    pub(crate) fn start_words(&self, end: End) -> Vec<OsString> {
        let mut words = tied_words(&self.path);
        words.extend(self.words(end).map(Into::into));
        words
    }

    fn words(&self, end: End) -> impl Iterator<Item = &'static str> {
        let end = match end {
            End::Server => "server",
            End::Client => "client",
        };
        let end = (self.ends == Ends::Both).then_some(end);
        end.into_iter().chain(self.more.clone())
    }
}
