//! The limits of this machine for a process.

use std::fs;

use super::case::{Case, Kind};

/// Descriptors that a server or the load needs besides its connections. Our server keeps 64 in
/// reserve, and the case has 16 connections more than its name says.
const SPARE: u64 = 96;

/// The memory of a connection with deflate in the most expensive library, with a margin.
const WITH_DEFLATE: u64 = 1 << 20;

/// Reduces the idle connections of `case` to the capacity of the machine. Returns a note if it did.
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
    let said =
        format!("{case}: {most} connections instead of {}, limited by {why}", case.connections);
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
