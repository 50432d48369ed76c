//! `cargo xtask ci`: what has to hold for every commit, one step after another.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::failure::{Failure, Result};
use crate::packaging::Packaging;
use crate::process::run;
use crate::workspace::{Workspace, cargo};
use crate::{api, imports, papers, requirements, rooms, tools};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run only these steps (see the list in --help)
    #[arg(value_name = "STEP")]
    steps: Vec<String>,
}

type Check = fn(&Workspace) -> Result<()>;

const STEPS: &[(&str, Check)] = &[
    ("format", format),
    ("clippy", clippy),
    ("docs", docs),
    ("imports", imports),
    ("rooms", rooms),
    ("api", public_api),
    ("deny", deny),
    ("features", features),
    ("no-std", no_std),
    ("requirements", requirements::check),
    ("papers", papers),
    ("package", package),
];

/// The names of the steps, for `--help`.
pub(crate) fn step_names() -> String {
    let names: Vec<&str> = STEPS.iter().map(|(name, _)| *name).collect();
    format!(
        "Steps, in their order: {}.\nA failed step does not stop the ones behind it.",
        names.join(", ")
    )
}

pub(crate) fn ci(workspace: &Workspace, options: &Options) -> Result<()> {
    if let Some(stranger) =
        options.steps.iter().find(|name| !STEPS.iter().any(|(step, _)| step == name))
    {
        return Err(Failure::new(format!("there is no step {stranger:?}"), step_names()));
    }
    let chosen: Vec<&(&str, Check)> = STEPS
        .iter()
        .filter(|(name, _)| {
            options.steps.is_empty() || options.steps.iter().any(|step| step == name)
        })
        .collect();
    let mut failed = Vec::new();
    for (number, (name, check)) in (1..).zip(&chosen) {
        println!("xtask ci: [{number}/{}] {name}", chosen.len());
        let started = Instant::now();
        let outcome = check(workspace);
        let seconds = started.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => println!("xtask ci: {name} is fine; {seconds:.1} s"),
            Err(failure) => {
                println!("xtask ci: {name} FAILED; {seconds:.1} s: {failure}");
                println!("  alone: `cargo xtask ci {name}`");
                failed.push(*name);
            }
        }
    }
    println!("xtask ci: {} steps fine, {} failed", chosen.len() - failed.len(), failed.len());
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        format!("failed: {}", failed.join(", ")),
        format!("run `cargo xtask ci {}`", failed.join(" ")),
    ))
}

/// Runs `cargo WORDS` in the workspace.
fn cargo_step(workspace: &Workspace, words: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    let mut command = cargo();
    command.args(words).current_dir(&workspace.root).envs(environment.iter().copied());
    let mut shown =
        environment.iter().map(|(key, value)| format!("{key}='{value}' ")).collect::<String>();
    shown += &format!("cargo {}", words.join(" "));
    println!("  {shown}");
    run(&format!("cargo {}", words.first().unwrap_or(&"")), &mut command, &format!("run `{shown}`"))
}

/// Runs `NAME WORDS` in the workspace, where NAME is a tool of cargo.
pub(crate) fn tool_step(
    workspace: &Workspace,
    name: &str,
    words: &[&str],
    environment: &[(&str, &str)],
) -> Result<()> {
    let mut command = tools::cargo_tool(workspace, name)?;
    command.args(words).envs(environment.iter().copied());
    let shown = format!("{name} {}", words.join(" "));
    println!("  {shown}");
    run(name, &mut command, &format!("run `{shown}`; {name} lies in target/tools/cargo-tools"))
}

fn format(workspace: &Workspace) -> Result<()> {
    cargo_step(workspace, &["fmt", "--all", "--check"], &[])
        .map_err(|_| Failure::new("the code is not formatted, see above", "run `cargo fmt --all`"))
}

fn clippy(workspace: &Workspace) -> Result<()> {
    let words =
        ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    cargo_step(workspace, &words, &[])
}

fn docs(workspace: &Workspace) -> Result<()> {
    let words = ["doc", "--workspace", "--no-deps", "--all-features"];
    cargo_step(workspace, &words, &[("RUSTDOCFLAGS", "-D warnings")])
}

fn imports(workspace: &Workspace) -> Result<()> {
    let mut breaches = imports::breaches(&workspace.packages);
    for package in workspace.libraries() {
        let Some(path) = &package.library else {
            continue;
        };
        let source = fs::read_to_string(path)
            .map_err(|error| Failure::system(format!("reading {}", path.display()), &error))?;
        if !imports::forbids_unsafe(&source) {
            breaches.push(format!("{} has no #![forbid(unsafe_code)]", workspace.short(path)));
        }
    }
    none_of(
        &breaches,
        "who may import whom stands in xtask/src/imports.rs: follow it, or change it with a reason",
    )
}

fn rooms(workspace: &Workspace) -> Result<()> {
    let mut breaches = Vec::new();
    for package in workspace.libraries() {
        if let Some(root) = &package.library {
            breaches.extend(rooms::breaches(&package.name, root)?);
        }
    }
    none_of(&breaches, "move what both rooms need into the lower one, or into a new one below both")
}

fn public_api(workspace: &Workspace) -> Result<()> {
    api::api(workspace, &api::Options::default())
}

/// What deny.toml says of licences, sources, versions and who may take whom.
fn deny(workspace: &Workspace) -> Result<()> {
    let words = ["--workspace", "--locked", "check", "bans", "licenses", "sources"];
    tool_step(workspace, "cargo-deny", &words, &[]).map_err(|_| {
        Failure::new(
            "deny.toml is not obeyed, see above: each error shows its rule and who takes the crate",
            "take another crate or version, or change the rule with a reason",
        )
    })
}

/// Each library without its default features, with each feature alone, and with all; and what its
/// documentation shows, without the default features.
fn features(workspace: &Workspace) -> Result<()> {
    let packages: Vec<&str> =
        workspace.libraries().flat_map(|package| ["-p", package.name.as_str()]).collect();
    let build = ["hack", "build", "--lib", "--each-feature"];
    let words = [&build[..], &["--keep-going"], &packages].concat();
    tool_step(workspace, "cargo-hack", &words, &[("RUSTFLAGS", "-D warnings")])?;
    let test = ["hack", "test", "--doc", "--no-default-features", "--keep-going"];
    tool_step(workspace, "cargo-hack", &[&test[..], &packages].concat(), &[])
}

/// A program without std that links ws-core; it can only be linked for Linux as it stands.
fn no_std(workspace: &Workspace) -> Result<()> {
    if !cfg!(target_os = "linux") {
        println!("  NOT RUN: the program is linked for Linux alone");
        return Ok(());
    }
    let target = workspace.target.join("no-std");
    let target = target.to_string_lossy();
    let words = [
        "build",
        "--locked",
        "--manifest-path",
        "xtask/no-std/Cargo.toml",
        "--target-dir",
        &target,
    ];
    cargo_step(workspace, &words, &[]).map_err(|_| {
        Failure::new(
            "the program without std does not build",
            "`duplicate lang item` names what brought std into ws-core; \
             if its dependencies changed: `cargo update --manifest-path xtask/no-std/Cargo.toml ws-core`",
        )
    })?;
    run(
        "xtask/no-std",
        &mut Command::new(workspace.target.join("no-std/debug/no-std")),
        "run it by hand",
    )
}

/// The files and items that the papers name.
fn papers(workspace: &Workspace) -> Result<()> {
    none_of(&papers::dangling(workspace)?, "name what there is now, as `path/file.rs::item`")
}

/// What a registry would get, each library built from its package alone; and whether what is locked was
/// yanked, which cargo looks up then.
fn package(workspace: &Workspace) -> Result<()> {
    let mut words = vec!["package", "--workspace"];
    for package in workspace.packages.iter().filter(|package| !package.published) {
        words.extend(["--exclude", package.name.as_str()]);
    }
    if is_dirty(workspace) {
        println!("  there are uncommitted changes: packaged with them");
        words.push("--allow-dirty");
    }
    let packaging = Packaging::new(workspace);
    let target = packaging.target.to_string_lossy();
    words.extend(["--target-dir", &target]);
    let yanked = packaged(workspace, &words)?;
    none_of(&yanked, "`cargo update -p NAME`: its authors took that version back")
}

/// Runs `cargo package`, and returns the versions in its lock files that were yanked.
fn packaged(workspace: &Workspace, words: &[&str]) -> Result<Vec<String>> {
    println!("  cargo {}", words.join(" "));
    let mut command = cargo();
    command.args(words).current_dir(&workspace.root).stderr(Stdio::piped());
    let failed = |error: &io::Error| Failure::system("running cargo package", error);
    let mut child = command.spawn().map_err(|error| failed(&error))?;
    let mut yanked = Vec::new();
    for line in child.stderr.take().into_iter().flat_map(|stderr| BufReader::new(stderr).lines()) {
        let line = line.map_err(|error| failed(&error))?;
        if line.contains("is yanked in registry") {
            yanked.push(line);
        } else if !line.contains("is not included in the published package") {
            // The tests are left out, each with a warning.
            eprintln!("{line}");
        }
    }
    if child.wait().map_err(|error| failed(&error))?.success() {
        return Ok(yanked);
    }
    Err(Failure::new("cargo package failed, see above", "run `cargo xtask ci package`"))
}

fn is_dirty(workspace: &Workspace) -> bool {
    let mut git = Command::new("git");
    git.args(["status", "--porcelain"]).current_dir(&workspace.root);
    git.output().is_ok_and(|output| !output.stdout.is_empty())
}

fn none_of(breaches: &[String], mend: &str) -> Result<()> {
    for breach in breaches {
        println!("  {breach}");
    }
    if breaches.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(format!("{} of these, see above", breaches.len()), mend))
    }
}
