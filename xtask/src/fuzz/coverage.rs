//! What the corpus covers, region by region: a build with `-Cinstrument-coverage`, and llvm-cov.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{build, corpus, make_folder, target};
use crate::failure::{Failure, Result};
use crate::process::run;
use crate::tools;
use crate::workspace::Workspace;

/// Replays the corpus of each target and what was found since, and prints a table of our crates.
pub(super) fn coverage(workspace: &Workspace, targets: &[&str]) -> Result<()> {
    let program = build::covered(workspace)?;
    let profiles = target(workspace).join("profiles");
    if profiles.exists() {
        fs::remove_dir_all(&profiles)
            .map_err(|error| Failure::system(format!("emptying {}", profiles.display()), &error))?;
    }
    make_folder(&profiles)?;
    let mut raw = Vec::new();
    for name in targets {
        let folder = corpus::unpack_by(workspace, &program, name)?;
        let profile = profiles.join(format!("{name}.profraw"));
        let mut replay = Command::new(&program);
        replay.arg(name).arg(folder).env("LLVM_PROFILE_FILE", &profile);
        run("replay", &mut replay, "each input that fails is named above")?;
        raw.push(profile);
    }
    let all = profiles.join("all.profdata");
    let mut merge = Command::new(tools::llvm(workspace, "llvm-profdata")?);
    merge.args(["merge", "-sparse", "-o"]).arg(&all).args(raw);
    run(
        "llvm-profdata",
        &mut merge,
        "the tools of xtask/llvm-tools may be older than rustc's LLVM",
    )?;
    let mut export = Command::new(tools::llvm(workspace, "llvm-cov")?);
    export.args(["export", "-summary-only", "-instr-profile"]).arg(&all).arg(&program);
    let export = export
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Failure::system("starting llvm-cov", &error))?;
    let report: Value = serde_json::from_slice(&export.stdout).map_err(|error| {
        Failure::new(format!("llvm-cov made no report: {error}"), "see its message above")
    })?;
    let report = Report::of(&workspace.root, &report);
    println!("| crate | regions | of | covered |\n|---|---|---|---|");
    for (name, (covered, all)) in &report.crates {
        println!("| {name} | {covered} | {all} | {:.1} % |", percent(*covered, *all));
    }
    println!("\nthe files with the most regions that nothing covers:");
    for (path, missed, all) in report.files.iter().take(20) {
        println!("  {missed:4} of {all:4}  {path}");
    }
    Ok(())
}

fn percent(covered: u64, all: u64) -> f64 {
    covered as f64 * 100.0 / all.max(1) as f64
}

/// Regions that were run, and all, by crate; and the files by those that were not.
struct Report {
    crates: BTreeMap<String, (u64, u64)>,
    files: Vec<(String, u64, u64)>,
}

impl Report {
    fn of(root: &Path, report: &Value) -> Self {
        let mut found = Report { crates: BTreeMap::new(), files: Vec::new() };
        for file in report["data"][0]["files"].as_array().into_iter().flatten() {
            let path = Path::new(file["filename"].as_str().unwrap_or_default());
            let Ok(path) = path.strip_prefix(root) else { continue };
            let path = path.to_string_lossy().into_owned();
            let Some((name, _)) = path.split_once("/src/").filter(|(name, _)| *name != "fuzz")
            else {
                continue;
            };
            let regions = &file["summary"]["regions"];
            let number = |name: &str| regions[name].as_u64().unwrap_or_default();
            let (covered, all) = (number("covered"), number("count"));
            let of = found.crates.entry(name.to_owned()).or_default();
            *of = (of.0 + covered, of.1 + all);
            found.files.push((path, all - covered, all));
        }
        found.files.sort_by_key(|(_, missed, _)| std::cmp::Reverse(*missed));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_summed_by_crate() {
        let file = |name: &str, covered, count| {
            serde_json::json!({
                "filename": name,
                "summary": { "regions": { "count": count, "covered": covered } },
            })
        };
        let files = [
            file("/ws/ws-core/src/a.rs", 3, 4),
            file("/ws/ws-core/src/b/c.rs", 5, 8),
            file("/ws/fuzz/src/pair.rs", 1, 9),
            file("/elsewhere/bytes/src/lib.rs", 1, 9),
        ];
        let report =
            Report::of(Path::new("/ws"), &serde_json::json!({ "data": [{ "files": files }] }));
        assert_eq!(report.crates, BTreeMap::from([("ws-core".to_owned(), (8, 12))]));
        assert_eq!(report.files[0], ("ws-core/src/b/c.rs".to_owned(), 3, 8));
    }
}
