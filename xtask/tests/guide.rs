//! The guide to extensions as a stranger meets it. What it shows of other crates are files that are
//! built and run elsewhere: those that `cargo xtask new-extension` makes, and anchors of an example.
//! Its `rust` blocks are doctests of `ws-core`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const EXAMPLE: &str = "ws-server/examples/extension_ends.rs";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn guide() -> String {
    read("ws-core/src/extension/guide.md")
}

/// The code blocks of the guide in `language`.
fn blocks(language: &str) -> Vec<String> {
    let guide = guide();
    let fenced = guide.split("\n```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'));
    fenced.filter(|(info, _)| *info == language).map(|(_, text)| format!("{text}\n")).collect()
}

/// The text between two anchors of the example, without what all of its lines are indented by.
fn anchored(name: &str) -> String {
    let example = read(EXAMPLE);
    let inside = |from: &str, to: &str| {
        let (_, rest) = example.split_once(from)?;
        Some(rest.split_once(to)?.0.to_owned())
    };
    if let Some(text) =
        inside(&format!("\n// ANCHOR: {name}\n"), &format!("// ANCHOR_END: {name}\n"))
    {
        return text;
    }
    let start = format!("\n    // ANCHOR: {name}\n");
    let text = inside(&start, &format!("    // ANCHOR_END: {name}\n")).expect("an anchor");
    text.lines().map(|line| line.strip_prefix("    ").unwrap_or(line).to_owned() + "\n").collect()
}

/// What the command makes of the name in the guide.
fn made() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guide");
    fs::remove_dir_all(&dir).ok();
    fs::create_dir_all(&dir).expect("a directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["new-extension", "x-scramble", "--dir"]).arg(&dir).current_dir(root());
    assert!(command.output().expect("xtask starts").status.success());
    dir.join("ws-ext-x-scramble")
}

#[test]
fn skeleton_and_listings_are_those_that_are_built() {
    let home = made();
    let clone = root().to_string_lossy().replace('\\', "/");
    let manifest = read(home.join("Cargo.toml")).replace(&clone, "../websocket");
    assert_eq!(blocks("toml"), [manifest], "Cargo.toml");
    let listings = [
        read(home.join("tests/contract.rs")),
        read(home.join("examples/server.rs")),
        anchored("why_not"),
        anchored("both_ends"),
        anchored("by_hand"),
    ];
    assert_eq!(blocks("rs"), listings);

    let library = read(home.join("src/lib.rs"));
    let (_, extension) = library.split_once("\n\n").expect("what is behind the head");
    assert!(blocks("rust")[0].starts_with(extension), "the guide begins with\n{extension}");
    let lines = extension.lines().filter(|line| !line.trim().is_empty()).count();
    assert!(lines <= 40, "the smallest extension has {lines} lines");
}

#[test]
fn report_of_a_negotiation_is_the_one_that_the_example_prints() {
    let report = blocks("text").into_iter().find(|block| block.contains("declined")).expect("it");
    let example = read(EXAMPLE);
    for line in report.lines() {
        assert!(example.contains(&format!("//! {line}\n")), "{line}");
    }
}

#[test]
fn links_within_the_guide_lead_somewhere() {
    let guide = guide();
    let anchor = |heading: &str| -> String {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-'].contains(c));
        kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
    };
    let headings = guide.lines().filter_map(|line| line.strip_prefix("## ")).map(anchor);
    let headings: Vec<String> = headings.collect();
    let links: Vec<&str> = guide
        .split("](#")
        .skip(1)
        .map(|rest| rest.split_once(')').expect("the end of a link").0)
        .collect();
    assert!(links.len() >= headings.len(), "the contents name every section");
    for link in links {
        assert!(headings.iter().any(|heading| heading == link), "#{link}");
    }
}
