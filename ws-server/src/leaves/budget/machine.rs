//! How much memory this process may use, as far as the operating system says.

use std::{fmt, fs, path::Path};

/// What is said, and who says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowed {
    pub(super) bytes: u64,
    pub(super) by: By,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// A control group of Linux: a container, a service of systemd.
    Cgroup,
    /// The memory of the machine.
    Machine,
    /// Nobody.
    Assumed,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cgroup => "its control group",
            Self::Machine => "the machine",
            Self::Assumed => "assumption, since this system was not asked",
        })
    }
}

/// What is assumed where nobody says.
const ASSUMED: Allowed = Allowed { bytes: 4 << 30, by: By::Assumed };

/// What this process may use.
pub(super) fn allowed() -> Allowed {
    read(Path::new("/")).unwrap_or(ASSUMED)
}

/// The same by the files of Linux below `root`.
fn read(root: &Path) -> Option<Allowed> {
    let machine = machine(root).map(|bytes| Allowed { bytes, by: By::Machine });
    let cgroup = cgroup(root).map(|bytes| Allowed { bytes, by: By::Cgroup });
    // A group may be allowed more than there is: version 1 says "no limit" by a number.
    machine.into_iter().chain(cgroup).min_by_key(|allowed| allowed.bytes)
}

fn machine(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The least that the process's control groups and those around them allow.
fn cgroup(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let limits = text.lines().filter_map(|line| {
        // `hierarchy-ID:controller-list:cgroup-path`, as cgroups(7) has it. Version 2 is 0 and has no list.
        let (id, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let (mount, file) = match controllers {
            "" if id == "0" => ("sys/fs/cgroup", "memory.max"),
            list if list.split(',').any(|it| it == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        let mount = root.join(mount);
        // In a namespace the path may be another one than the one that is mounted: what is above counts
        // as far as it can be seen.
        let own = mount.join(path.trim_start_matches('/'));
        let groups = own.ancestors().take_while(|group| group.starts_with(&mount));
        groups.filter_map(|group| number(&group.join(file))).min()
    });
    limits.min()
}

/// The number in a file. `max` is none.
fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// A directory of this test, with these files.
    fn files(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let root = std::env::temp_dir().join(format!("ws-server-{name}-{}", std::process::id()));
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn read_of(name: &str, list: &[(&str, &str)]) -> Option<Allowed> {
        let root = files(name, list);
        let allowed = read(&root);
        fs::remove_dir_all(root).ok();
        allowed
    }

    const MEMINFO: (&str, &str) =
        ("proc/meminfo", "MemTotal:       16384 kB\nMemFree:         1024 kB\n");

    #[test]
    fn least_of_the_groups_counts_before_the_machine() {
        let v2 = [
            MEMINFO,
            ("proc/self/cgroup", "0::/system.slice/chat.service\n"),
            ("sys/fs/cgroup/system.slice/chat.service/memory.max", "max\n"),
            ("sys/fs/cgroup/system.slice/memory.max", "4194304\n"),
        ];
        assert_eq!(read_of("v2", &v2), Some(Allowed { bytes: 4 << 20, by: By::Cgroup }));
        let container =
            [MEMINFO, ("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "2097152\n")];
        let expected = Some(Allowed { bytes: 2 << 20, by: By::Cgroup });
        assert_eq!(read_of("container", &container), expected);
        let v1 = [
            MEMINFO,
            ("proc/self/cgroup", "3:cpu,cpuacct:/a\n2:memory:/docker/0123\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "1048576\n"),
        ];
        assert_eq!(read_of("v1", &v1), Some(Allowed { bytes: 1 << 20, by: By::Cgroup }));
    }

    #[test]
    fn machine_counts_where_no_group_allows_less() {
        let machine = Some(Allowed { bytes: 16 << 20, by: By::Machine });
        assert_eq!(read_of("none", &[MEMINFO]), machine);
        let unlimited = [
            MEMINFO,
            ("proc/self/cgroup", "2:memory:/\n0::/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory.max", "max\n"),
        ];
        assert_eq!(read_of("unlimited", &unlimited), machine);
        assert_eq!(read_of("nonsense", &[("proc/self/cgroup", "x\n:\n::\n")]), None);
    }
}
