//! `cargo xtask ci`: the checks that every commit must pass, step by step.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::failure::{Failure, Result};
use crate::packaging::Packaging;
use crate::process::run;
use crate::times::{Watch, table};
use crate::workspace::{Package, Workspace, cargo};
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
    ("deny", deny),
    ("features", features),
    // After `features`, which has checked the same dependencies.
    ("api", public_api),
    ("no-std", no_std),
    ("requirements", requirements::check),
    ("papers", papers),
    ("package", package),
];

/// The names of the steps, in order.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    STEPS.iter().map(|(name, _)| *name)
}

/// Whether the step takes minutes of the processors, or installs something.
pub(crate) fn compiles(step: &str) -> bool {
    !["format", "imports", "rooms", "requirements", "papers"].contains(&step)
}

/// Runs one step.
pub(crate) fn step(workspace: &Workspace, step: &str) -> Result<()> {
    match STEPS.iter().find(|(name, _)| *name == step) {
        Some((_, check)) => check(workspace),
        None => Err(Failure::new(format!("no step is called {step:?}"), step_names())),
    }
}

/// The names of the steps, for `--help`.
pub(crate) fn step_names() -> String {
    let names: Vec<&str> = names().collect();
    format!("Steps, in order: {}.\nAfter a failed step, the others still run.", names.join(", "))
}

pub(crate) fn ci(workspace: &Workspace, options: &Options) -> Result<()> {
    if let Some(stranger) =
        options.steps.iter().find(|name| !STEPS.iter().any(|(step, _)| step == name))
    {
        return Err(Failure::new(format!("no step is called {stranger:?}"), step_names()));
    }
    let chosen: Vec<&(&str, Check)> = STEPS
        .iter()
        .filter(|(name, _)| {
            options.steps.is_empty() || options.steps.iter().any(|step| step == name)
        })
        .collect();
    let mut failed = Vec::new();
    let mut times = Vec::new();
    for (number, (name, check)) in (1..).zip(&chosen) {
        println!("xtask ci: [{number}/{}] {name}", chosen.len());
        let watch = Watch::start();
        let outcome = check(workspace);
        let took = watch.took();
        times.push((*name, took));
        match outcome {
            Ok(()) => println!("xtask ci: {name} passed; {took}"),
            Err(failure) => {
                println!("xtask ci: {name} FAILED; {took}: {failure}");
                println!("  to repeat it: `cargo xtask ci {name}`");
                failed.push(*name);
            }
        }
    }
    if times.len() > 1 {
        println!("\n{}", table(times));
    }
    println!("xtask ci: {} steps passed, {} failed", chosen.len() - failed.len(), failed.len());
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

/// Runs `NAME WORDS` in the workspace; NAME is a cargo tool.
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
    run(name, &mut command, &format!("run `{shown}`; {name} is in target/tools/cargo-tools"))
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
    breaches.extend(imports::other_rust(&workspace.packages));
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
        "the allowed dependencies are in xtask/src/imports.rs: follow them, or change them with a reason",
    )
}

fn rooms(workspace: &Workspace) -> Result<()> {
    let mut breaches = Vec::new();
    for package in workspace.libraries() {
        if let Some(root) = &package.library {
            breaches.extend(rooms::breaches(&package.name, root)?);
        }
    }
    none_of(&breaches, "move the shared items into the lower room, or into a new one below both")
}

fn public_api(workspace: &Workspace) -> Result<()> {
    api::api(workspace, &api::Options::default())
}

/// The rules of deny.toml: licences, sources, versions, and which crate may depend on which.
fn deny(workspace: &Workspace) -> Result<()> {
    let words = ["--workspace", "--locked", "check", "bans", "licenses", "sources"];
    tool_step(workspace, "cargo-deny", &words, &[]).map_err(|_| {
        Failure::new(
            "the dependencies violate deny.toml, see above: each error shows its rule and the crates that depend on the crate",
            "use another crate or version, or change the rule with a reason",
        )
    })
}

/// Checks each library without its default features, with each feature alone, and with all (the step
/// `package` has the default ones); and tests the documentation without the default features, where
/// there are any. Dependencies are only checked too, as those of clippy are.
fn features(workspace: &Workspace) -> Result<()> {
    let packages = |wanted: fn(&Package) -> bool| {
        let all = workspace.libraries().filter(move |package| wanted(package));
        all.flat_map(|package| ["-p", package.name.as_str()]).collect::<Vec<&str>>()
    };
    let check = ["hack", "clippy", "--lib", "--each-feature", "--exclude-features", "default"];
    let rest = ["--keep-going", "--", "-D", "warnings"];
    let words = [&check[..], &packages(|_| true), &rest].concat();
    tool_step(workspace, "cargo-hack", &words, &[])?;
    let test = ["hack", "test", "--doc", "--no-default-features", "--keep-going"];
    let words = [&test[..], &packages(|package| package.has_default_features)].concat();
    tool_step(workspace, "cargo-hack", &words, &[])
}

/// Builds a program without std that links ws-core. It can only be linked for Linux.
fn no_std(workspace: &Workspace) -> Result<()> {
    if !cfg!(target_os = "linux") {
        println!("  NOT RUN: the program can only be linked for Linux");
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

/// Checks the files and items that the documents name.
fn papers(workspace: &Workspace) -> Result<()> {
    none_of(
        &papers::dangling(workspace)?,
        "update the documents to the current places, as `path/file.rs::item`",
    )
}

/// Packages each library as for a registry, and checks what was packaged, with its default features.
/// Cargo also reports locked versions that were yanked.
fn package(workspace: &Workspace) -> Result<()> {
    let mut words = vec!["package", "--workspace", "--no-verify"];
    for package in workspace.packages.iter().filter(|package| !package.published) {
        words.extend(["--exclude", package.name.as_str()]);
    }
    if is_dirty(workspace) {
        println!("  packaging with uncommitted changes");
        words.push("--allow-dirty");
    }
    let packaging = Packaging::new(workspace);
    let target = packaging.target.to_string_lossy();
    words.extend(["--target-dir", &target]);
    let yanked = packaged(workspace, &words)?;
    packaging.check(workspace)?;
    none_of(&yanked, "run `cargo update -p NAME`: its authors yanked that version")
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
            // The tests are left out, with one warning each.
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
        Err(Failure::new(format!("{} violations, see above", breaches.len()), mend))
    }
}
