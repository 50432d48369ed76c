//! The location of the workspace, its target directory and its packages.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::failure::{Failure, Result};

pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
    pub(crate) packages: Vec<Package>,
}

/// A member of the workspace, as `cargo metadata` describes it.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) published: bool,
    /// The oldest Rust that builds it, if it says so.
    pub(crate) rust_version: Option<String>,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) has_default_features: bool,
    /// The root file of its library, if it has one.
    pub(crate) library: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// The required version; `*` if none is given.
    pub(crate) requirement: String,
    pub(crate) by_path: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Dev,
    Build,
}

/// The cargo that runs this program, so that nested calls use the same toolchain.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

impl Workspace {
    pub(crate) fn load() -> Result<Self> {
        let here = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let output = cargo()
            .args(["metadata", "--format-version", "1", "--no-deps"])
            .current_dir(&here)
            .output()
            .map_err(|error| Failure::system("starting cargo", &error))?;
        if !output.status.success() {
            return Err(Failure::new(
                format!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr)),
                "run `cargo metadata --no-deps` and repair the manifest that it names",
            ));
        }
        let metadata = serde_json::from_slice(&output.stdout).map_err(|error| unread(&error))?;
        Self::from_metadata(&metadata)
            .ok_or_else(|| unread(&"a field that it always had is missing"))
    }

    fn from_metadata(metadata: &Value) -> Option<Self> {
        let packages = metadata["packages"].as_array()?;
        Some(Workspace {
            root: metadata["workspace_root"].as_str()?.into(),
            target: metadata["target_directory"].as_str()?.into(),
            packages: packages.iter().map(Package::from_metadata).collect::<Option<_>>()?,
        })
    }

    /// The crates that are published to a registry.
    pub(crate) fn libraries(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.published && package.library.is_some())
    }

    pub(crate) fn xtask(&self) -> PathBuf {
        self.root.join("xtask")
    }

    /// The package outside of the workspace that builds the peers.
    pub(crate) fn peers(&self) -> PathBuf {
        self.root.join("ws-bench/peers")
    }

    /// `path` relative to the root, for messages.
    pub(crate) fn short<'p>(&self, path: &'p Path) -> std::path::Display<'p> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }
}

impl Package {
    pub(crate) fn from_metadata(package: &Value) -> Option<Self> {
        let is_library = |target: &&Value| {
            target["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "lib"))
        };
        let library = package["targets"].as_array()?.iter().find(is_library);
        Some(Package {
            name: package["name"].as_str()?.to_owned(),
            rust_version: package["rust_version"].as_str().map(str::to_owned),
            published: package["publish"].as_array().is_none_or(|to| !to.is_empty()),
            dependencies: package["dependencies"]
                .as_array()?
                .iter()
                .map(Dependency::from_metadata)
                .collect::<Option<_>>()?,
            has_default_features: package["features"]["default"].is_array(),
            library: library.and_then(|target| Some(target["src_path"].as_str()?.into())),
        })
    }
}

impl Dependency {
    fn from_metadata(dependency: &Value) -> Option<Self> {
        Some(Dependency {
            name: dependency["name"].as_str()?.to_owned(),
            kind: match dependency["kind"].as_str() {
                None => Kind::Normal,
                Some("dev") => Kind::Dev,
                Some(_) => Kind::Build,
            },
            requirement: dependency["req"].as_str()?.to_owned(),
            by_path: dependency["path"].is_string(),
        })
    }
}

fn unread(why: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        format!("the answer of cargo metadata is not understood: {why}"),
        "use the toolchain that the workspace names as rust-version, or a newer one",
    )
}
