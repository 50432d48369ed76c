//! The programs that prove the crates against foreign peers.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Result;
use crate::process::{run, tied, tied_words};
use crate::workspace::{Workspace, cargo};

/// An example that is an echo server and an echo client.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) package: &'static str,
    /// The Autobahn cases that it is meant to pass, as the suite's patterns.
    pub(crate) cases: &'static [&'static str],
    /// How many these are, so that a suite that lost some is noticed.
    pub(crate) count: usize,
}

/// Every program that `cargo xtask conformance` runs; another one is another entry.
pub(crate) const SUBJECTS: &[Subject] = &[
    Subject {
        name: "own_io",
        package: "ws-handshake",
        cases: &["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"],
        count: 301,
    },
    DEFLATE,
];

/// The one that compresses.
pub(crate) const DEFLATE: Subject =
    Subject { name: "own_io_deflate", package: "ws-ext-deflate", cases: &["*"], count: 517 };

/// Group 9 sends messages of 16 MiB, and 4 MiB in fragments of 64 octets.
const AUTOBAHN_LIMITS: [&str; 4] = ["--max-message", "16777216", "--max-fragments", "100000"];

/// A subject that was built, or what was named in its place.
pub(crate) struct Program {
    path: PathBuf,
    limits: Vec<&'static str>,
}

impl Subject {
    pub(crate) fn build(&self, workspace: &Workspace, binary: Option<&Path>) -> Result<Program> {
        let path = match binary {
            Some(path) => path.to_owned(),
            None => {
                let words = ["build", "--release", "-p", self.package, "--example", self.name];
                println!("xtask: cargo {}", words.join(" "));
                let mend = format!("run `cargo {}` alone", words.join(" "));
                run("cargo build", cargo().args(words).current_dir(&workspace.root), &mend)?;
                let file = format!("{}{}", self.name, std::env::consts::EXE_SUFFIX);
                workspace.target.join("release/examples").join(file)
            }
        };
        Ok(Program { path, limits: Vec::new() })
    }
}

impl Program {
    pub(crate) fn with_autobahn_limits(mut self) -> Self {
        self.limits = AUTOBAHN_LIMITS.to_vec();
        self
    }

    /// `PROGRAM server [limits] 127.0.0.1:0`, which prints `listening on ADDRESS`.
    pub(crate) fn server(&self) -> Command {
        let mut command = tied(&self.path);
        command.arg("server").args(&self.limits).arg("127.0.0.1:0");
        command
    }

    /// `PROGRAM client [limits] URL`, which echoes until the server closes.
    pub(crate) fn client(&self, url: &str) -> Command {
        let mut command = tied(&self.path);
        command.arg("client").args(&self.limits).arg(url);
        command
    }

    /// The words of [`Program::client`] without the URL, for a peer that starts it itself.
    pub(crate) fn client_words(&self) -> Vec<std::ffi::OsString> {
        let mut words = tied_words(&self.path);
        words.push("client".into());
        words.extend(self.limits.iter().map(Into::into));
        words
    }
}
