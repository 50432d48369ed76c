//! `cargo xtask new-extension NAME`: makes a crate for an extension, which builds, passes the
//! conformance kit, and has a server that speaks it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};
use crate::workspace::Workspace;

/// Names that are registered for other purposes (IANA, WebSocket Extension Name Registry).
const REGISTERED: &[&str] = &["permessage-deflate", "bbf-usp-protocol"];
const LONGEST: usize = 40;

/// The files and their templates.
const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../new-extension/manifest.toml")),
    ("README.md", include_str!("../new-extension/README.md")),
    ("src/lib.rs", include_str!("../new-extension/lib.rs")),
    ("tests/contract.rs", include_str!("../new-extension/contract.rs")),
    ("examples/server.rs", include_str!("../new-extension/server.rs")),
];

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The token of the extension in Sec-WebSocket-Extensions, such as x-gauge: lower case letters,
    /// digits and -, beginning with a letter. The crate becomes ws-ext-NAME
    name: String,

    /// Put the crate into its own folder below DIR, outside of this workspace, on which it then
    /// depends by path
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn new_extension(workspace: &Workspace, options: &Options) -> Result<()> {
    let name = options.name.as_str();
    let crate_name = format!("ws-ext-{name}");
    check(name)?;
    let members: Vec<&str> =
        workspace.packages.iter().map(|package| package.name.as_str()).collect();
    if members.contains(&crate_name.as_str()) {
        return Err(Failure::new(
            format!("the workspace already has a {crate_name}"),
            "choose another name",
        ));
    }
    let (home, root) = match &options.dir {
        Some(dir) => (dir.join(&crate_name), slashes(&workspace.root)),
        None => (workspace.root.join(&crate_name), "..".to_owned()),
    };
    if home.exists() {
        return Err(Failure::new(
            format!("{} already exists", home.display()),
            "choose another name, or remove it if you do not need it",
        ));
    }
    let manifest = workspace.root.join("Cargo.toml");
    let listed = match options.dir {
        Some(_) => None,
        None => Some(with_member(&read(&manifest)?, &crate_name)?),
    };

    let made = write_all(&home, name, &root, options.dir.is_some())
        .and_then(|()| listed.map_or(Ok(()), |text| write(&manifest, &text)));
    if let Err(failure) = made {
        // Leaves nothing half-made. If it was not created, it cannot be removed either.
        fs::remove_dir_all(&home).ok();
        return Err(failure);
    }
    let place = match &options.dir {
        Some(_) => format!("in {}", home.display()),
        None => format!("with -p {crate_name}"),
    };
    println!("made {}", home.display());
    println!(
        "next, {place}: `cargo test` checks the contract, `cargo run --example server` starts a server"
    );
    Ok(())
}

/// RFC 6455 §9.1: an extension's name is a token. A crate's name allows fewer characters.
fn check(name: &str) -> Result<()> {
    let of_letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_valid = name.len() <= LONGEST
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.ends_with(|c: char| c != '-')
        && name.chars().all(of_letters);
    if !is_valid {
        return Err(Failure::new(
            format!("{name:?} cannot name an extension and its crate"),
            format!(
                "use at most {LONGEST} lower case letters, digits and -, beginning with a letter: x-gauge"
            ),
        ));
    }
    if REGISTERED.contains(&name) {
        return Err(Failure::new(
            format!("{name} is registered for another purpose"),
            "choose another name; those that begin with x- are free",
        ));
    }
    Ok(())
}

fn write_all(home: &Path, name: &str, root: &str, alone: bool) -> Result<()> {
    for (file, template) in FILES {
        let mut text = fill(template, name, root);
        if alone && *file == "Cargo.toml" {
            text.push_str("\n# Not a member of an enclosing workspace.\n[workspace]\n");
        }
        write(&home.join(file), &text)?;
    }
    Ok(())
}

fn fill(template: &str, name: &str, root: &str) -> String {
    template
        .replace("MODULE", &format!("ws-ext-{name}").replace('-', "_"))
        .replace("CRATE", &format!("ws-ext-{name}"))
        .replace("TYPE", &camel(name))
        .replace("NAME", name)
        .replace("ROOT", root)
}

/// The name as a type: `XGauge` for `x-gauge`.
fn camel(name: &str) -> String {
    name.split('-')
        .flat_map(|word| {
            let (first, rest) = word.split_at(word.len().min(1));
            [first.to_ascii_uppercase(), rest.to_owned()]
        })
        .collect()
}

/// The workspace's manifest with one more member, in order.
fn with_member(manifest: &str, member: &str) -> Result<String> {
    let list = || -> Option<(usize, usize)> {
        let from = manifest.find("members = [")? + "members = [".len();
        Some((from, from + manifest.get(from..)?.find(']')?))
    };
    let (from, to) = list().ok_or_else(|| {
        Failure::new(
            "the workspace's Cargo.toml has no list of members",
            "add `members = [..]` to [workspace]",
        )
    })?;
    let (before, members, after) = (&manifest[..from], &manifest[from..to], &manifest[to..]);
    let new = format!("{member:?}");
    let mut members: Vec<&str> =
        members.split(',').map(str::trim).filter(|member| !member.is_empty()).collect();
    members.push(&new);
    members.sort_unstable();
    Ok(format!("{before}{}{after}", members.join(", ")))
}

fn slashes(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "/")
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path)
        .map_err(|error| Failure::system(format!("reading {}", path.display()), &error))
}

fn write(path: &Path, text: &str) -> Result<()> {
    let parent = path.parent().map_or(Ok(()), fs::create_dir_all);
    parent
        .and_then(|()| fs::write(path, text))
        .map_err(|error| Failure::system(format!("writing {}", path.display()), &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_extensions_that_are_crates_too_are_taken() {
        for name in ["x-gauge", "gauge", "x2", "a-b-c"] {
            assert!(check(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn other_names_are_refused() {
        let long = "x".repeat(LONGEST + 1);
        for name in ["", "-x", "x-", "X-gauge", "x gauge", "x/../y", "2x", "x_y", "x;y", "é", &long]
        {
            assert!(check(name).is_err(), "{name}");
        }
        assert!(check("permessage-deflate").is_err());
    }

    #[test]
    fn member_is_listed_in_order() {
        let manifest = "[workspace]\nmembers = [\"a\", \"ws-server\"]\nresolver = \"3\"\n";
        let expected =
            "[workspace]\nmembers = [\"a\", \"ws-ext-x\", \"ws-server\"]\nresolver = \"3\"\n";
        assert_eq!(with_member(manifest, "ws-ext-x").ok().as_deref(), Some(expected));
        assert!(with_member("[package]", "ws-ext-x").is_err());
    }

    #[test]
    fn type_is_named_after_the_token() {
        assert_eq!(camel("x-gauge-2"), "XGauge2");
    }

    #[test]
    fn no_placeholder_is_left() {
        for (file, template) in FILES {
            let text = fill(template, "x-gauge", "..");
            for word in ["MODULE", "CRATE", "TYPE", "NAME", "ROOT"] {
                assert!(!text.contains(word), "{word} in {file}");
            }
        }
    }
}
