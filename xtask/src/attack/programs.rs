//! Builds the servers and the attacker.

use std::path::{Path, PathBuf};

use super::subject::{Subject, case};
use super::{Attack, Needs};
use crate::bench::build;
use crate::failure::Result;
use crate::process::run;
use crate::subject::{DEMO, Profile, example};
use crate::workspace::{Workspace, cargo};

pub(crate) enum Programs {
    /// All as `cargo xtask bench` builds them.
    Compared { bench: build::Programs, attacker: PathBuf },
    /// Ours and the attacker, as `cargo xtask test` has built them.
    Ours { demo: PathBuf, attacker: PathBuf },
}

impl Programs {
    pub(crate) fn compared(workspace: &Workspace, subjects: &[Subject]) -> Result<Self> {
        let bench = build::Programs::build(workspace, subjects.iter().map(|one| &one.server))?;
        let attacker = bench.load.with_file_name(file("ws-attack"));
        Ok(Self::Compared { bench, attacker })
    }

    pub(crate) fn ours(workspace: &Workspace) -> Result<Self> {
        DEMO.build(workspace, None)?;
        let Self::Ours { attacker, .. } = Self::attacker_alone(workspace)? else {
            unreachable!("it has no others");
        };
        Ok(Self::Ours { demo: example(workspace, Profile::Optimized, DEMO.name), attacker })
    }

    /// Without a server.
    pub(crate) fn attacker_alone(workspace: &Workspace) -> Result<Self> {
        let words = ["build", "--workspace", "--all-features", "--bin", "ws-attack"];
        let mend = format!("run `cargo {}` alone", words.join(" "));
        run("cargo build", cargo().args(words).current_dir(&workspace.root), &mend)?;
        let attacker = workspace.target.join("debug").join(file("ws-attack"));
        Ok(Self::Ours { demo: PathBuf::new(), attacker })
    }

    pub(crate) fn attacker(&self) -> &Path {
        match self {
            Self::Compared { attacker, .. } | Self::Ours { attacker, .. } => attacker,
        }
    }

    /// The command that starts the server.
    pub(crate) fn words(&self, subject: &Subject, port: u16, attack: &Attack) -> Vec<String> {
        let mut words = match self {
            Self::Compared { bench, .. } => bench.words(&subject.server, port, &case(attack)),
            Self::Ours { demo, .. } => {
                let mut words = vec![demo.to_string_lossy().into_owned()];
                let listen = format!("127.0.0.1:{port}");
                words.extend(["--listen", &listen, "--quiet", "--threads", "1"].map(str::to_owned));
                if attack.needs != Needs::Deflate {
                    words.push("--no-deflate".to_owned());
                }
                words
            }
        };
        words.extend(subject.more.clone());
        words
    }
}

fn file(name: &str) -> String {
    format!("{name}{}", std::env::consts::EXE_SUFFIX)
}
