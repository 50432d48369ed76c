//! The programs of a cell: a server, a client, and the relay between them.

use std::path::PathBuf;

use crate::failure::{Failure, Result};
use crate::process::{run, tied};
use crate::tools;
use crate::workspace::{Workspace, cargo};

pub(super) struct Programs {
    pub(super) server: PathBuf,
    pub(super) client: PathBuf,
    pub(super) python: PathBuf,
    pub(super) relay: PathBuf,
}

impl Programs {
    /// Builds the client, and the server unless there is `another`.
    pub(super) fn build(workspace: &Workspace, another: Option<&PathBuf>) -> Result<Self> {
        let example = |name: &str| workspace.target.join("release/examples").join(name);
        let mut words = vec!["build", "--release", "-p", "ws-bench", "--example", CLIENT];
        if another.is_none() {
            words.extend(["--example", SERVER]);
        }
        let shown = format!("cargo {}", words.join(" "));
        println!("xtask slow-paths: {shown}");
        let mut command = tied(cargo().get_program());
        command.args(words).current_dir(&workspace.root);
        run(&shown, &mut command, &format!("run `{shown}` alone"))?;
        tools::iproute2()?;
        let server = another.cloned().unwrap_or_else(|| example(SERVER));
        if !server.is_file() {
            return Err(Failure::new(
                format!("the program {} does not exist", server.display()),
                "give --server the path of a built ws-bench/examples/slow_path_server.rs",
            ));
        }
        Ok(Programs {
            server,
            client: example(CLIENT),
            python: tools::bare_python()?,
            relay: workspace.xtask().join("slow-paths/relay.py"),
        })
    }
}

const SERVER: &str = "slow_path_server";
const CLIENT: &str = "slow_path_client";
