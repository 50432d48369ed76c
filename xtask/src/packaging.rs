//! `cargo package` in a way that always verifies the current sources, and builds no dependency anew.
//!
//! Cargo unpacks packages that depend on each other into a registry in the cargo home, named after
//! the path of the target directory, and reuses its content from an earlier run with the same
//! version. So every run has its own target directory, and removes both afterwards.

use std::{
    collections::BTreeSet,
    env, fs, io,
    path::{Path, PathBuf},
    process::{self, Command},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::failure::{Failure, Result};
use crate::process::run;
use crate::workspace::{Workspace, cargo};

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

impl Packaging {
    /// Checks each package alone, from what was packaged: the others are its dependencies as if they
    /// came from the registry. With the target directory of the workspace, since `cargo package`
    /// itself would build all dependencies anew, for minutes.
    pub(crate) fn check(&self, workspace: &Workspace) -> Result<()> {
        let home = self.target.join("unpacked");
        let failed = |error: &io::Error| Failure::system("unpacking the packages", error);
        fs::create_dir_all(&home).map_err(|error| failed(&error))?;
        let mut names = Vec::new();
        for entry in fs::read_dir(self.target.join("package")).map_err(|error| failed(&error))? {
            let path = entry.map_err(|error| failed(&error))?.path();
            if path.extension().is_none_or(|extension| extension != "crate") {
                continue;
            }
            let mut unpack = Command::new("tar");
            unpack.arg("-xzf").arg(&path).arg("-C").arg(&home);
            run("tar", &mut unpack, "see the message of tar above")?;
            let folder = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let (name, _) = folder.rsplit_once('-').unwrap_or((&folder, ""));
            names.push((name.to_owned(), folder));
        }
        names.sort();
        let members: Vec<String> = names.iter().map(|(_, folder)| format!("{folder:?}")).collect();
        let mut manifest = format!(
            "[workspace]\nresolver = \"3\"\nmembers = [{}]\n\n[patch.crates-io]\n",
            members.join(", ")
        );
        for (name, folder) in &names {
            manifest += &format!("{name} = {{ path = {folder:?} }}\n");
        }
        fs::write(home.join("Cargo.toml"), manifest).map_err(|error| failed(&error))?;
        let lock = workspace.root.join("Cargo.lock");
        fs::copy(lock, home.join("Cargo.lock")).map_err(|error| failed(&error))?;
        let packaged = names.iter().map(|(name, _)| name);
        let wanted = workspace.libraries().map(|package| &package.name);
        if !packaged.eq(wanted.collect::<BTreeSet<_>>()) {
            return Err(Failure::new(
                format!("other libraries were packaged: {names:?}"),
                "compare them with `publish` in each Cargo.toml",
            ));
        }
        for (name, _) in &names {
            println!("  cargo check -p {name}, as it was packaged");
            let mut check = cargo();
            check.args(["check", "--quiet", "-p", name, "--target-dir"]).arg(&workspace.target);
            let mend = "its package lacks a file, or a dependency has no version";
            run(&format!("cargo check -p {name}"), check.current_dir(&home), mend)?;
        }
        Ok(())
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
