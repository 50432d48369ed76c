//! One core for the server and one for the load.

use std::fmt;
use std::fs;
use std::process::Command;

use crate::process::{find_program, tied};

pub(crate) enum Cores {
    /// `taskset` pins the server to the first and the load to the second.
    Pinned { server: u32, load: u32, siblings: bool },
    /// Nothing is pinned, for this reason.
    Free(&'static str),
}

impl Cores {
    pub(crate) fn find() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let Some(allowed) = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        else {
            return Cores::Free("this system does not list its cores");
        };
        let allowed = cores(allowed);
        let (Some(&server), Some(&second)) = (allowed.first(), allowed.get(1)) else {
            return Cores::Free("there is only one core");
        };
        if !find_program("taskset") {
            return Cores::Free("taskset (util-linux) is not installed");
        }
        // Two hardware threads of one core would compete.
        let topology = format!("/sys/devices/system/cpu/cpu{server}/topology/thread_siblings_list");
        let siblings = cores(&fs::read_to_string(topology).unwrap_or_default());
        let other = allowed[1..].iter().find(|core| !siblings.contains(core));
        Cores::Pinned { server, load: other.copied().unwrap_or(second), siblings: other.is_none() }
    }

    /// Makes a command that runs on the server's core.
    pub(crate) fn server(&self, words: &[String]) -> Command {
        match self {
            Cores::Pinned { server, .. } => pinned(*server, words),
            Cores::Free(_) => free(words),
        }
    }

    /// Makes a command that runs on the load's core.
    pub(crate) fn load(&self, words: &[String]) -> Command {
        match self {
            Cores::Pinned { load, .. } => pinned(*load, words),
            Cores::Free(_) => free(words),
        }
    }
}

/// The started process replaces itself with the program, so that its id is the program's.
fn pinned(core: u32, words: &[String]) -> Command {
    let mut command = tied("taskset");
    command.args(["-c", &core.to_string()]).args(words);
    command
}

fn free(words: &[String]) -> Command {
    let mut command = tied(&words[0]);
    command.args(&words[1..]);
    command
}

/// A list of the kernel: `0-1,4`.
fn cores(list: &str) -> Vec<u32> {
    let ranges = list.trim().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse::<u32>().ok()?..=last.parse::<u32>().ok()?)
    });
    ranges.flatten().collect()
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cores::Pinned { server, load, siblings } => {
                write!(f, "the server has core {server}, the load core {load}")?;
                if *siblings {
                    write!(f, "; they are two threads of the same core")
                } else {
                    Ok(())
                }
            }
            Cores::Free(why) => write!(f, "nothing is pinned to a core: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_the_kernel_are_read() {
        assert_eq!(cores("\t0-2,5,7-8\n"), [0, 1, 2, 5, 7, 8]);
        assert_eq!(cores(""), [0; 0]);
    }
}
