//! CPU time of the server and of this process, and memory of the server, as Linux counts them.
//! Other systems have none of these.

use std::fs;
use std::time::Duration;

/// The counts up to now.
pub(super) struct Accounts {
    server: Option<Usage>,
    load: Option<Usage>,
    machine: Option<Machine>,
}

/// The difference of two counts.
pub(super) struct Spent {
    pub(super) server: Option<Usage>,
    pub(super) load: Option<Usage>,
    /// The share of the machine's time that its host took, 0 to 1.
    pub(super) stolen: Option<f64>,
}

/// The CPU time of a process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Usage {
    pub(crate) running: Duration,
    /// How long it was ready to run while another process did: the sign of a disturbed run.
    pub(crate) waiting: Option<Duration>,
}

struct Machine {
    all: u64,
    stolen: u64,
}

/// The memory of a process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Memory {
    /// Private pages without a file: its heap and stacks.
    pub(super) private: u64,
    /// All resident pages.
    pub(super) resident: u64,
}

impl Memory {
    pub(super) fn of(process: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?)
    }

    fn parse(rollup: &str) -> Option<Self> {
        let line = |name: &str| rollup.lines().find_map(|line| line.strip_prefix(name));
        let bytes = |name| Some(1024 * line(name)?.split_whitespace().next()?.parse::<u64>().ok()?);
        Some(Self { private: bytes("Anonymous:")?, resident: bytes("Rss:")? })
    }
}

impl Accounts {
    pub(super) fn now(server: Option<u32>) -> Self {
        Self {
            server: server.and_then(|pid| Usage::of(&pid.to_string())),
            load: Usage::of("self"),
            machine: fs::read_to_string("/proc/stat").ok().and_then(|text| Machine::parse(&text)),
        }
    }

    pub(super) fn since(&self, before: &Self) -> Spent {
        let stolen = self.machine.as_ref().zip(before.machine.as_ref()).map(|(now, before)| {
            (now.stolen - before.stolen) as f64 / (now.all - before.all).max(1) as f64
        });
        Spent {
            server: Usage::between(before.server, self.server),
            load: Usage::between(before.load, self.load),
            stolen,
        }
    }
}

impl Usage {
    pub(crate) fn of(process: &str) -> Option<Self> {
        Self::by_scheduler(process).or_else(|| Self::by_ticks(process))
    }

    /// Nanoseconds, summed over the present threads.
    fn by_scheduler(process: &str) -> Option<Self> {
        let mut sum = (0, 0);
        for task in fs::read_dir(format!("/proc/{process}/task")).ok()?.flatten() {
            // A thread may have ended since the directory was read.
            if let Ok(text) = fs::read_to_string(task.path().join("schedstat")) {
                let mut numbers = text.split_whitespace().map(str::parse::<u64>);
                sum.0 += numbers.next()?.ok()?;
                sum.1 += numbers.next()?.ok()?;
            }
        }
        // A kernel without these statistics reports 0.
        (sum.0 > 0).then(|| Self {
            running: Duration::from_nanos(sum.0),
            waiting: Some(Duration::from_nanos(sum.1)),
        })
    }

    /// Hundredths of a second.
    fn by_ticks(process: &str) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        Some(Self { running: Duration::from_millis(10 * ticks(&text)?), waiting: None })
    }

    fn between(before: Option<Self>, after: Option<Self>) -> Option<Self> {
        let (before, after) = before.zip(after)?;
        Some(Self {
            running: after.running.saturating_sub(before.running),
            waiting: after.waiting.zip(before.waiting).map(|(a, b)| a.saturating_sub(b)),
        })
    }
}

/// `utime` and `stime` of `/proc/PID/stat`, fields 14 and 15. The second field is the name of the
/// program in parentheses, which may itself contain spaces and parentheses.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

impl Machine {
    /// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal. The
    /// later fields are included in user and nice.
    fn parse(text: &str) -> Option<Self> {
        let numbers = text.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(8);
        let numbers: Vec<u64> = numbers.map(|number| number.parse().ok()).collect::<Option<_>>()?;
        Some(Self { all: numbers.iter().sum(), stolen: *numbers.get(7)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_any_name() {
        let stat = "77 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 120 30 0 0 20 0 1 0";
        assert_eq!(ticks(stat), Some(150));
        assert_eq!(ticks("77 (a"), None);
    }

    #[test]
    fn memory_is_that_of_the_rollup() {
        let rollup =
            "5581-7ffe ---p 0 00:00 0  [rollup]\nRss:        2048 kB\nAnonymous:   512 kB\n";
        let memory = Memory { private: 512 * 1024, resident: 2048 * 1024 };
        assert_eq!(Memory::parse(rollup), Some(memory));
        assert_eq!(Memory::parse("Rss: 1 kB"), None);
    }

    #[test]
    fn stolen_time_is_the_eighth_number() {
        let machine = Machine::parse("cpu  1 2 3 4 5 6 7 8 100 100\ncpu0 1").expect("a line");
        assert_eq!((machine.all, machine.stolen), (36, 8));
    }
}
