//! `cargo xtask ci papers`: checks that everything the documents point to exists.
//!
//! The documents write a place in the code as `ws-core/src/mask.rs::apply_mask`: a path from the
//! root and, optionally, an item that the file defines. Links to files count as well.

use std::fs;
use std::path::Path;

use crate::failure::{Failure, Result};
use crate::workspace::Workspace;

/// The documents at the root; those below `docs` count too.
const PAPERS: [&str; 4] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"];

/// The beginnings of paths from the root.
const ROOTS: [&str; 5] = ["ws-", "xtask/", "docs/", "fuzz/", ".ci/"];

/// The beginnings of definitions.
const KEYWORDS: [&str; 9] =
    ["fn", "struct", "enum", "trait", "const", "static", "type", "mod", "macro_rules!"];

/// One line for each place that a document names but that does not exist.
pub(crate) fn dangling(workspace: &Workspace) -> Result<Vec<String>> {
    let root = &workspace.root;
    let docs = root.join("docs");
    let listed = fs::read_dir(&docs)
        .map_err(|error| Failure::system(format!("reading {}", docs.display()), &error))?;
    let listed = listed.flatten().map(|entry| entry.path());
    let mut papers: Vec<_> = PAPERS.iter().map(|name| root.join(name)).chain(listed).collect();
    papers.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    papers.sort();
    let mut dangling = Vec::new();
    for paper in papers {
        let text = fs::read_to_string(&paper)
            .map_err(|error| Failure::system(format!("reading {}", paper.display()), &error))?;
        let mut tell = |line: usize, place: &str| {
            dangling.push(format!("{}:{line}: {place}", workspace.short(&paper)));
        };
        for (line, text) in prose(&text) {
            places(text).filter(|place| !exists(root, place)).for_each(|place| tell(line, place));
            let beside = paper.parent().unwrap_or(root);
            let broken = links(text).filter(|link| !beside.join(link).exists());
            broken.for_each(|link| tell(line, link));
        }
    }
    Ok(dangling)
}

/// The lines outside of code blocks, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut listing = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        listing ^= fence;
        !listing && !fence
    })
}

/// The places in the code that a line names: paths in backquotes, optionally with an item.
fn places(line: &str) -> impl Iterator<Item = &str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | ':');
    line.split('`').skip(1).step_by(2).filter(move |code| {
        ROOTS.iter().any(|root| code.starts_with(root))
            && code.contains('/')
            && code.chars().all(plain)
    })
}

/// The files that a line links to.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split([')', '#', ' ']).next());
    targets.filter(|target| !target.is_empty() && !target.contains(':'))
}

fn exists(root: &Path, place: &str) -> bool {
    let (path, items) = match place.split_once("::") {
        Some((path, items)) => (path, Some(items)),
        None => (place, None),
    };
    match items {
        None => root.join(path).exists(),
        Some(items) => fs::read_to_string(root.join(path)).is_ok_and(|source| {
            items.split("::").all(|item| source.lines().any(|line| defines(line, item)))
        }),
    }
}

/// Whether a line of Rust defines an item, a field or a variant of this name.
fn defines(line: &str, item: &str) -> bool {
    let code = line.trim_start();
    if code.starts_with("//") {
        return false;
    }
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let named = |rest: &str| rest.strip_prefix(item).is_some_and(|rest| !rest.starts_with(is_name));
    let after_keyword = KEYWORDS.iter().any(|keyword| {
        code.match_indices(keyword).any(|(at, _)| {
            let whole = code[..at].is_empty() || code[..at].ends_with(' ');
            let rest = &code[at + keyword.len()..];
            whole && rest.starts_with(' ') && named(rest.trim_start())
        })
    });
    let field = code.strip_prefix("pub ").or_else(|| code.strip_prefix("pub(crate) "));
    let field = field.unwrap_or(code);
    let ends = |rest: &str| rest.starts_with([':', ',', '(', ' ']) || rest.is_empty();
    after_keyword
        || field.strip_prefix(item).is_some_and(|rest| ends(rest) && !rest.starts_with("::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_paths_in_backquotes_outside_of_listings() {
        let text = "See `ws-core/src/mask.rs::apply_mask` and `Bytes`.\n```\n`ws-core/no.rs`\n```\n`docs/`";
        let found: Vec<_> =
            prose(text).flat_map(|(line, text)| places(text).map(move |it| (line, it))).collect();
        assert_eq!(found, [(1, "ws-core/src/mask.rs::apply_mask"), (5, "docs/")]);
    }

    #[test]
    fn links_to_files_are_found_and_others_are_not() {
        let line = "[a](docs/tour.md#frames) [b](https://example.org/x) [c](#here) [d](ws-core)";
        assert_eq!(links(line).collect::<Vec<_>>(), ["docs/tour.md", "ws-core"]);
    }

    #[test]
    fn an_item_is_defined_by_its_keyword_or_as_a_field() {
        assert!(defines("    pub(crate) const fn close_code(&self) -> CloseCode {", "close_code"));
        assert!(defines("pub struct Config {", "Config"));
        assert!(defines("    pub max_message: usize,", "max_message"));
        assert!(defines("    Header,", "Header"));
        assert!(!defines("    pub max_message: usize,", "max"));
        assert!(!defines("pub struct Configuration;", "Config"));
        assert!(!defines("// fn close_code", "close_code"));
    }
}
