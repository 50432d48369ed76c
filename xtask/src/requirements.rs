//! `cargo xtask requirements`: checks that every row of the documents that is due has a test that
//! carries its id, that every id in the sources has a row, and that each row names its tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};
use crate::mentions::{Mention, Place, in_rust, in_text, is_id};
use crate::workspace::Workspace;

/// The documents with the tables.
const PAPERS: [&str; 2] = ["docs/requirements.md", "docs/threats.md"];

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Update the last column of the tables: the tests of each row
    #[arg(long)]
    write: bool,
}

/// One row of a table: `| ID | .. | .. | OWNER | TESTS |`, where OWNER may end in `, later`.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    id: String,
    owner: String,
    later: bool,
}

impl Row {
    /// A mention in documentation or an example meets these rows.
    fn is_prose(&self) -> bool {
        matches!(self.owner.as_str(), "docs" | "example")
    }
}

/// The combined result of the documents, `waivers.txt` and the sources.
#[derive(Debug, Default, PartialEq, Eq)]
struct Coverage {
    met: usize,
    waived: usize,
    untested: Vec<String>,
    unknown: Vec<String>,
    needless_waivers: Vec<String>,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    verify(workspace, options.write)
}

pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    verify(workspace, false)
}

fn verify(workspace: &Workspace, write: bool) -> Result<()> {
    let read = |path: PathBuf| {
        fs::read_to_string(&path)
            .map_err(|error| Failure::system(format!("reading {}", path.display()), &error))
    };
    let papers = PAPERS.map(|paper| read(workspace.root.join(paper)).map(|text| (paper, text)));
    let papers = papers.into_iter().collect::<Result<Vec<_>>>()?;
    let rows = parse_rows(papers.iter().map(|(_, text)| text.as_str()))?;
    let waivers = read(workspace.xtask().join("waivers.txt"))?;
    let waivers = parse_waivers(&waivers)?;
    let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    let mentions = search(workspace, &ids)?;
    let coverage = cover(&rows, &waivers, &mentions);

    let mut outdated = Vec::new();
    for (paper, text) in &papers {
        let filled = fill(text, &rows, &waivers, &mentions);
        if write {
            fs::write(workspace.root.join(paper), filled)
                .map_err(|error| Failure::system(format!("writing {paper}"), &error))?;
        } else if filled != *text {
            outdated.push(*paper);
        }
    }
    for id in &coverage.untested {
        println!("  no test carries {id}");
    }
    for what in &coverage.unknown {
        println!("  {what}: unknown id");
    }
    for id in &coverage.needless_waivers {
        println!("  {id} has a test: remove its waiver");
    }
    let later = rows.iter().filter(|row| row.later).count();
    println!(
        "requirements: {} met, {} waived, {} without a test, {} unknown; {later} planned for later",
        coverage.met,
        coverage.waived,
        coverage.untested.len(),
        coverage.unknown.len(),
    );
    if !coverage.untested.is_empty() || !coverage.unknown.is_empty() {
        return Err(Failure::new(
            format!(
                "{} ids without a test, {} unknown ids",
                coverage.untested.len(),
                coverage.unknown.len()
            ),
            "write the id in a `// ID` comment above its test (see xtask/README.md), add its row \
             to a table of docs, or put it into xtask/waivers.txt with a reason",
        ));
    }
    if outdated.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        format!("the column of tests is outdated in {}", outdated.join(", ")),
        "run `cargo xtask requirements --write`",
    ))
}

fn parse_rows<'t>(papers: impl Iterator<Item = &'t str>) -> Result<Vec<Row>> {
    let mut seen = BTreeSet::new();
    let mut rows = Vec::new();
    for line in papers.flat_map(str::lines) {
        let Some([id, _, _, owner, _]) = cells(line) else {
            continue;
        };
        let (owner, later) = match owner.strip_suffix(", later") {
            Some(owner) => (owner, true),
            None => (owner, false),
        };
        if owner.contains([',', ' ']) || !seen.insert(id) {
            return Err(Failure::new(
                format!("the documents have the malformed row {line:?}"),
                "write each id in one row, `| ID | .. | .. | OWNER | TESTS |`",
            ));
        }
        rows.push(Row { id: id.to_owned(), owner: owner.to_owned(), later });
    }
    Ok(rows)
}

/// The cells of a row that begins with an id.
fn cells(line: &str) -> Option<[&str; 5]> {
    let cells: Vec<&str> =
        line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
    cells.try_into().ok().filter(|[id, ..]: &[&str; 5]| is_id(id))
}

/// The document with the last column of its rows updated from the sources.
fn fill(
    text: &str,
    rows: &[Row],
    waivers: &BTreeMap<&str, &str>,
    mentions: &[(String, Mention)],
) -> String {
    let mut filled = String::with_capacity(text.len());
    for line in text.lines() {
        match cells(line) {
            Some([id, first, second, owner, _]) => {
                let prose = rows.iter().any(|row| row.id == id && row.is_prose());
                let files: BTreeSet<String> = mentions
                    .iter()
                    .filter(|(_, mention)| mention.id == id)
                    .filter(|(_, mention)| prose || mention.place == Place::Test)
                    .map(|(file, _)| format!("`{}`", file.replace('\\', "/")))
                    .collect();
                let tests = match waivers.get(id) {
                    Some(reason) => (*reason).to_owned(),
                    None if files.is_empty() => "-".to_owned(),
                    None => files.into_iter().collect::<Vec<_>>().join(", "),
                };
                filled.push_str(&format!("| {id} | {first} | {second} | {owner} | {tests} |"));
            }
            None => filled.push_str(line),
        }
        filled.push('\n');
    }
    filled
}

fn parse_waivers(text: &str) -> Result<BTreeMap<&str, &str>> {
    lines(text)
        .map(|line| {
            line.split_once(char::is_whitespace).map(|(id, reason)| (id, reason.trim())).ok_or_else(
                || {
                    let what = format!("xtask/waivers.txt has the malformed line {line:?}");
                    Failure::new(what, "write it as: ID REASON")
                },
            )
        })
        .collect()
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn cover(rows: &[Row], waivers: &BTreeMap<&str, &str>, mentions: &[(String, Mention)]) -> Coverage {
    let mut coverage = Coverage::default();
    let carried = |place: Place| -> BTreeSet<&str> {
        let here = mentions.iter().filter(|(_, mention)| mention.place == place);
        here.map(|(_, mention)| mention.id.as_str()).collect()
    };
    let (tests, prose) = (carried(Place::Test), carried(Place::Prose));
    for row in rows {
        let id = row.id.as_str();
        let met = tests.contains(id) || row.is_prose() && prose.contains(id);
        let waived = waivers.contains_key(id);
        if met && waived {
            coverage.needless_waivers.push(row.id.clone());
        }
        if met {
            coverage.met += 1;
        } else if waived {
            coverage.waived += 1;
        } else if !row.later {
            coverage.untested.push(format!("{id} ({})", row.owner));
        }
    }
    let known: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    for (file, mention) in mentions {
        if !known.contains(mention.id.as_str()) {
            coverage.unknown.push(format!("{file}:{}: {}", mention.line, mention.id));
        }
    }
    for id in waivers.keys().filter(|id| !known.contains(*id)) {
        coverage.unknown.push(format!("xtask/waivers.txt: {id}"));
    }
    coverage
}

/// Every mention of an id in the crates `ws-*` and the interop scripts, with its file.
fn search(workspace: &Workspace, known: &[&str]) -> Result<Vec<(String, Mention)>> {
    let mut files = Vec::new();
    for entry in entries(&workspace.root)? {
        let is_crate =
            entry.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ws-"));
        if is_crate && entry.is_dir() {
            for dir in ["src", "tests", "examples", "docs"] {
                collect(&entry.join(dir), &mut files)?;
            }
            files.push(entry.join("README.md"));
        }
    }
    collect(&workspace.xtask().join("interop"), &mut files)?;
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.is_file()) {
        let short = file.strip_prefix(&workspace.root).unwrap_or(file);
        let within = |dir: &str| short.components().any(|part| part.as_os_str() == dir);
        let extension = file.extension().and_then(|extension| extension.to_str());
        let read = || {
            fs::read_to_string(file)
                .map_err(|error| Failure::system(format!("reading {}", file.display()), &error))
        };
        let mentions = match extension {
            Some("rs") => in_rust(&read()?, within("tests"), known),
            Some("py" | "mjs") if within("interop") => in_text(&read()?, Place::Test),
            Some("md") => in_text(&read()?, Place::Prose),
            _ => continue,
        };
        found.extend(mentions.into_iter().map(|mention| (short.display().to_string(), mention)));
    }
    Ok(found)
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !dir.is_dir() {
        return Ok(());
    }
    for entry in entries(dir)? {
        if entry.is_dir() {
            collect(&entry, files)?;
        } else {
            files.push(entry);
        }
    }
    Ok(())
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let list = || {
        let mut paths = fs::read_dir(dir)?
            .map(|entry| Ok(entry?.path()))
            .collect::<std::io::Result<Vec<_>>>()?;
        paths.sort();
        Ok(paths)
    };
    list().map_err(|error| Failure::system(format!("reading {}", dir.display()), &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: &str = "# A heading\n\n| id | level | rule | owner | tests |\n|---|---|---|---|---|\n\
        | R6455-5.2-a | MUST | FIN. | ws-core | `gone.rs` |\n| R6455C-7.3-a | MAY | x | docs | - |\n\
        | RT-13 | x | y | ws-core | - |\n| R7692-4-a | MUST | z | ws-ext-deflate, later | - |\n";

    fn mention(id: &str, place: Place) -> (String, Mention) {
        ("ws-core/tests/frames.rs".into(), Mention { id: id.into(), line: 7, place })
    }

    fn covered(
        waivers: &[(&'static str, &'static str)],
        mentions: &[(String, Mention)],
    ) -> Coverage {
        let rows = parse_rows([ROWS].into_iter()).expect("rows");
        cover(&rows, &waivers.iter().copied().collect(), mentions)
    }

    #[test]
    fn row_without_a_test_is_reported_unless_it_waits() {
        let coverage = covered(&[("RT-13", "no such target")], &[]);
        assert_eq!(coverage.untested, ["R6455-5.2-a (ws-core)", "R6455C-7.3-a (docs)"]);
        assert_eq!((coverage.met, coverage.waived), (0, 1));
    }

    #[test]
    fn row_is_met_by_a_test_and_not_by_prose() {
        let coverage =
            covered(&[], &[mention("R6455-5.2-a", Place::Prose), mention("RT-13", Place::Test)]);
        assert_eq!(coverage.untested, ["R6455-5.2-a (ws-core)", "R6455C-7.3-a (docs)"]);
        assert_eq!(coverage.met, 1);
    }

    #[test]
    fn row_of_the_documentation_is_met_by_prose() {
        let coverage = covered(&[], &[mention("R6455C-7.3-a", Place::Prose)]);
        assert_eq!(coverage.met, 1);
    }

    #[test]
    fn unknown_id_is_reported_with_its_place() {
        let coverage = covered(
            &[("R6455-9-z", "never was")],
            &[mention("R6455-5.2-ab", Place::Test), mention("R7692-4-a", Place::Test)],
        );
        assert_eq!(
            coverage.unknown,
            ["ws-core/tests/frames.rs:7: R6455-5.2-ab", "xtask/waivers.txt: R6455-9-z"]
        );
    }

    #[test]
    fn last_column_is_filled_from_the_sources() {
        let rows = parse_rows([ROWS].into_iter()).expect("rows");
        let mentions = [mention("R6455-5.2-a", Place::Test), mention("R6455C-7.3-a", Place::Prose)];
        let waivers = BTreeMap::from([("RT-13", "no such target")]);
        let filled = fill(ROWS, &rows, &waivers, &mentions);
        let last: Vec<&str> = filled.lines().filter_map(cells).map(|[.., tests]| tests).collect();
        assert_eq!(
            last,
            ["`ws-core/tests/frames.rs`", "`ws-core/tests/frames.rs`", "no such target", "-"]
        );
    }

    #[test]
    fn waiver_of_a_tested_row_is_needless() {
        let coverage = covered(&[("RT-13", "later")], &[mention("RT-13", Place::Test)]);
        assert_eq!(coverage.needless_waivers, ["RT-13"]);
    }

    #[test]
    fn malformed_lines_are_refused() {
        let row = "| RT-1 | a | b | ws-core | - |";
        assert!(parse_rows(["| RT-1 | a | b | ws-core soon | - |"].into_iter()).is_err());
        assert!(parse_rows([row, row].into_iter()).is_err());
        assert_eq!(parse_rows(["| RT-1 | too | short |"].into_iter()).expect("rows"), []);
        assert!(parse_waivers("RT-1").is_err());
    }
}
