//! `cargo xtask requirements`: every row that is due has a test that carries its id.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};
use crate::mentions::{Mention, Place, in_rust, in_text};
use crate::workspace::Workspace;

/// One line of `requirements.txt`.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    id: String,
    owner: String,
    later: bool,
}

impl Row {
    /// Rows of documentation and examples are met by a mention there.
    fn is_prose(&self) -> bool {
        matches!(self.owner.as_str(), "docs" | "example")
    }
}

/// What `requirements.txt`, `waivers.txt` and the sources say together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Coverage {
    met: usize,
    waived: usize,
    untested: Vec<String>,
    unknown: Vec<String>,
    needless_waivers: Vec<String>,
}

pub(crate) fn requirements(workspace: &Workspace) -> Result<()> {
    let read = |name: &str| {
        let path = workspace.xtask().join(name);
        fs::read_to_string(&path)
            .map_err(|error| Failure::system(format!("reading {}", path.display()), &error))
    };
    let rows = parse_rows(&read("requirements.txt")?)?;
    let waivers = read("waivers.txt")?;
    let waivers = parse_waivers(&waivers)?;
    let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    let mentions = search(workspace, &ids)?;
    let coverage = cover(&rows, &waivers, &mentions);

    for id in &coverage.untested {
        println!("  no test carries {id}");
    }
    for what in &coverage.unknown {
        println!("  {what}: there is no such id");
    }
    for id in &coverage.needless_waivers {
        println!("  {id} has a test: its waiver may go");
    }
    let later = rows.iter().filter(|row| row.later).count();
    println!(
        "requirements: {} met, {} waived, {} without a test, {} unknown; {later} wait for later",
        coverage.met,
        coverage.waived,
        coverage.untested.len(),
        coverage.unknown.len(),
    );
    if coverage.untested.is_empty() && coverage.unknown.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        format!(
            "{} ids without a test, {} unknown ids",
            coverage.untested.len(),
            coverage.unknown.len()
        ),
        "write the id in a `// ID` comment above its test (see xtask/README.md), \
         or put it into xtask/waivers.txt with a reason",
    ))
}

fn parse_rows(text: &str) -> Result<Vec<Row>> {
    let mut seen = BTreeSet::new();
    let mut rows = Vec::new();
    for line in lines(text) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (id, owner, later) = match words[..] {
            [id, owner] => (id, owner, false),
            [id, owner, "later"] => (id, owner, true),
            _ => return Err(bad("requirements.txt", line, "ID OWNER [later]")),
        };
        if !seen.insert(id) {
            return Err(bad("requirements.txt", line, "every id once"));
        }
        rows.push(Row { id: id.to_owned(), owner: owner.to_owned(), later });
    }
    Ok(rows)
}

fn parse_waivers(text: &str) -> Result<BTreeMap<&str, &str>> {
    lines(text)
        .map(|line| {
            line.split_once(char::is_whitespace)
                .map(|(id, reason)| (id, reason.trim()))
                .ok_or_else(|| bad("waivers.txt", line, "ID REASON"))
        })
        .collect()
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn bad(file: &str, line: &str, form: &str) -> Failure {
    Failure::new(format!("xtask/{file} has the line {line:?}"), format!("its form is: {form}"))
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

    const ROWS: &str = "# a comment\nR6455-5.2-a ws-core\nR6455C-7.3-a docs\n\nRT-13 ws-core\nR7692-4-a ws-ext-deflate later\n";

    fn mention(id: &str, place: Place) -> (String, Mention) {
        ("ws-core/tests/frames.rs".into(), Mention { id: id.into(), line: 7, place })
    }

    fn covered(
        waivers: &[(&'static str, &'static str)],
        mentions: &[(String, Mention)],
    ) -> Coverage {
        let rows = parse_rows(ROWS).expect("rows");
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
    fn waiver_of_a_tested_row_is_needless() {
        let coverage = covered(&[("RT-13", "later")], &[mention("RT-13", Place::Test)]);
        assert_eq!(coverage.needless_waivers, ["RT-13"]);
    }

    #[test]
    fn malformed_lines_are_refused() {
        assert!(parse_rows("R6455-5.2-a").is_err());
        assert!(parse_rows("R6455-5.2-a ws-core soon").is_err());
        assert!(parse_rows("RT-1 a\nRT-1 b").is_err());
        assert!(parse_waivers("RT-1").is_err());
    }
}
