//! The public API of each library as a text file in its crate, so that a review shows every change
//! of it.

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::{env, fs};

use crate::failure::{Failure, Result};
use crate::process::run;
use crate::workspace::{Package, Workspace, cargo};

#[derive(Default, clap::Args)]
pub(crate) struct Options {
    /// Rewrite the files
    #[arg(long)]
    bless: bool,
}

pub(crate) fn api(workspace: &Workspace, options: &Options) -> Result<()> {
    for package in workspace.libraries() {
        let Some(file) = file(package) else { continue };
        let now = listing(workspace, package)?;
        let shown = workspace.short(&file);
        if options.bless {
            fs::write(&file, now)
                .map_err(|error| Failure::system(format!("writing {shown}"), &error))?;
            println!("  wrote {shown}");
            continue;
        }
        let reviewed = fs::read_to_string(&file).unwrap_or_default();
        let changes = changes(&reviewed, &now);
        if !changes.is_empty() {
            println!("{}", changes.join("\n"));
            return Err(Failure::new(
                format!("the public API of {} differs from {shown}, see above", package.name),
                "if the change is intended, run `cargo xtask api --bless` and add a line to CHANGELOG.md",
            ));
        }
    }
    Ok(())
}

/// The rustdoc that this program is to run, instead of its tasks.
const RUSTDOC: &str = "XTASK_RUSTDOC";

/// Runs rustdoc with the same arguments and its unstable options, if this program was started for it.
pub(crate) fn as_rustdoc() -> Option<ExitCode> {
    let status = Command::new(env::var_os(RUSTDOC)?)
        .args(env::args_os().skip(1))
        .env("RUSTC_BOOTSTRAP", "1")
        .status();
    Some(if status.is_ok_and(|it| it.success()) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The file `api.txt` in the folder of the crate.
fn file(package: &Package) -> Option<PathBuf> {
    Some(package.library.as_ref()?.parent()?.parent()?.join("api.txt"))
}

/// Every public item with its type, one on each line, as rustdoc reports it. The JSON format is
/// unstable; stable tools enable it by `RUSTC_BOOTSTRAP`. Only rustdoc gets that, through this
/// program: many a build script looks at it too, and all dependencies would be checked anew.
fn listing(workspace: &Workspace, package: &Package) -> Result<String> {
    let own =
        env::current_exe().map_err(|error| Failure::system("finding this program", &error))?;
    let mut rustdoc = cargo();
    rustdoc
        .args(["rustdoc", "--quiet", "--lib", "--all-features", "-p", &package.name])
        .args(["--", "-Z", "unstable-options", "--output-format", "json", "--cap-lints", "allow"])
        .env(RUSTDOC, env::var_os("RUSTDOC").unwrap_or_else(|| "rustdoc".into()))
        .env("RUSTDOC", own)
        .current_dir(&workspace.root);
    run("cargo rustdoc", &mut rustdoc, "see the message above")?;
    let json =
        workspace.target.join("doc").join(package.name.replace('-', "_")).with_extension("json");
    let api = public_api::Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .map_err(|error| {
            Failure::new(
                format!("cannot read the JSON of rustdoc: {error}"),
                "use Rust 1.95, or update public-api in Cargo.toml and run `cargo xtask api --bless`",
            )
        })?;
    Ok(api.to_string())
}

/// The removed and added lines, each with its sign.
fn changes(before: &str, after: &str) -> Vec<String> {
    let only = |these: &str, those: &str, sign: char| {
        let those: std::collections::HashSet<String> = those.lines().map(str::to_owned).collect();
        let these: Vec<String> = these
            .lines()
            .filter(|line| !those.contains(*line))
            .map(|line| format!("  {sign} {line}"))
            .collect();
        these
    };
    [only(before, after, '-'), only(after, before, '+')].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_gone_and_new_are_named() {
        assert_eq!(changes("a\nb\n", "b\nc\n"), ["  - a", "  + c"]);
        assert!(changes("a\nb\n", "a\nb\n").is_empty());
    }
}
