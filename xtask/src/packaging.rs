//! `cargo package` in a way that always verifies the current sources.
//!
//! Cargo unpacks packages that depend on each other into a registry in the cargo home, named after
//! the path of the target directory, and reuses its content from an earlier run with the same
//! version. So every run has its own target directory, and removes both afterwards.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::workspace::Workspace;

/// A target directory for one run. Dropping it removes it, and everything that cargo unpacked with
/// it.
pub(crate) struct Packaging {
    pub(crate) target: PathBuf,
    unpacked: Option<PathBuf>,
    before: BTreeSet<PathBuf>,
}

impl Packaging {
    pub(crate) fn new(workspace: &Workspace) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("package-{}-{}", process::id(), since.as_nanos());
        let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| {
            let home = env::var_os(if cfg!(windows) { "USERPROFILE" } else { "HOME" })?;
            Some(Path::new(&home).join(".cargo"))
        });
        let unpacked = home.map(|home| home.join("registry/src"));
        let before = unpacked.as_deref().map(temporary).unwrap_or_default();
        Self { target: workspace.target.join(name), unpacked, before }
    }
}

impl Drop for Packaging {
    fn drop(&mut self) {
        // A leftover does no harm: the next run does not use it.
        let _ = fs::remove_dir_all(&self.target);
        for left in self.unpacked.as_deref().map(temporary).unwrap_or_default() {
            if !self.before.contains(&left) {
                let _ = fs::remove_dir_all(left);
            }
        }
    }
}

/// The sources of registries without a host, which belong to `cargo package`.
fn temporary(sources: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(sources).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with('-'))
        .map(|entry| entry.path())
        .collect()
}
