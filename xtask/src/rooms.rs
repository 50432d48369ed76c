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

/// The violations in the library `name` with the root file `root`, one entry each.
pub(crate) fn breaches(name: &str, root: &Path) -> Result<Vec<String>> {
    let found = circles(&arrows(&Modules::read(root)?));
    Ok(found.iter().map(|circle| format!("{name}: {circle}")).collect())
}

#[cfg(test)]
mod tests;
