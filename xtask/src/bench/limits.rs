//! What this machine lets a process have.

use std::fs;

use super::case::{Case, Kind};

/// Descriptors that a server or the load needs besides those of its connections. Ours takes no
/// connection beyond 64 less than it may have, and the case has 16 more than it is named after.
const SPARE: u64 = 96;

/// What a connection with deflate may take in the dearest library, with room to spare.
const WITH_DEFLATE: u64 = 1 << 20;

/// Reduces the idle connections of `case` to what the machine has room for, and says so.
pub(crate) fn fit(case: &mut Case) -> Option<String> {
    let Kind::Idle { deflate } = case.kind else {
        return None;
    };
    let descriptors = descriptors()?.saturating_sub(SPARE);
    let memory = if deflate { free_memory()? / WITH_DEFLATE } else { u64::MAX };
    let most = descriptors.min(memory).max(1);
    if case.connections <= most {
        return None;
    }
    let why = if descriptors <= memory { "descriptors (`ulimit -n`)" } else { "free memory" };
    let said = format!("{case}: {most} connections in place of {}, for {why}", case.connections);
    case.connections = most;
    Some(said)
}

fn descriptors() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn free_memory() -> Option<u64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(1024 * line.split_whitespace().next()?.parse::<u64>().ok()?)
}
