//! Rooms of a library: the folders of `src` and the single files at its top. No two of them import
//! each other, directly or through others.

mod arrows;
mod circles;
mod modules;

use std::path::Path;

use self::arrows::arrows;
use self::circles::circles;
use self::modules::Modules;
use crate::failure::Result;

/// The rooms that are known to be in circles, of each crate: to be taken apart, and out of here.
const KNOWN: &[(&str, &[&str])] = &[];

/// What breaks the rule in the library `name` whose root file is `root`, one entry each.
pub(crate) fn breaches(name: &str, root: &Path) -> Result<Vec<String>> {
    let known = KNOWN.iter().find(|(of, _)| *of == name).map_or(&[][..], |(_, rooms)| rooms);
    breaches_but(name, root, known)
}

fn breaches_but(name: &str, root: &Path, known: &[&str]) -> Result<Vec<String>> {
    let found = circles(&arrows(&Modules::read(root)?));
    let mut breaches: Vec<String> = found
        .iter()
        .filter(|circle| !circle.rooms().iter().all(|room| known.contains(room)))
        .map(|circle| format!("{name}: {circle}"))
        .collect();
    for room in known {
        if !found.iter().any(|circle| circle.rooms().contains(room)) {
            breaches.push(format!(
                "{name}: {room} is in no circle any more: remove it from KNOWN in xtask/src/rooms.rs"
            ));
        }
    }
    Ok(breaches)
}

#[cfg(test)]
mod tests;
