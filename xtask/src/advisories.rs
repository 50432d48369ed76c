//! `cargo xtask advisories`: published vulnerabilities of what is locked.
//!
//! A command of its own and no step of `ci`, since its database comes by git alone.

use crate::ci::tool_step;
use crate::failure::{Failure, Result};
use crate::workspace::Workspace;

pub(crate) fn advisories(workspace: &Workspace) -> Result<()> {
    tool_step(workspace, "cargo-deny", &["fetch", "db"], &[]).map_err(|_| {
        Failure::new(
            "nothing was checked: the database of advisories cannot be fetched, see above",
            "run it where git reaches the database of RustSec",
        )
    })?;
    let words = ["--workspace", "--locked", "check", "--disable-fetch", "advisories"];
    tool_step(workspace, "cargo-deny", &words, &[]).map_err(|_| {
        Failure::new(
            "what is locked has published vulnerabilities, see above",
            "`cargo update -p NAME`, and a floor in deny.toml",
        )
    })
}
