//! What a stage of a long command takes: wall time, and time of the processors.

use std::fmt;
use std::fs;
use std::time::Instant;

/// Measures from its start on.
pub(crate) struct Watch {
    started: Instant,
    cpu: Option<f64>,
}

/// Both in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Took {
    pub(crate) wall: f64,
    /// Of this process and of the children that have ended and were waited for; only Linux tells.
    pub(crate) cpu: Option<f64>,
}

impl Watch {
    pub(crate) fn start() -> Self {
        Self { started: Instant::now(), cpu: cpu() }
    }

    pub(crate) fn took(&self) -> Took {
        let cpu = cpu().zip(self.cpu).map(|(now, then)| now - then);
        Took { wall: self.started.elapsed().as_secs_f64(), cpu }
    }
}

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cpu {
            Some(cpu) => write!(f, "{:.0} s, CPU {cpu:.0} s", self.wall),
            None => write!(f, "{:.0} s", self.wall),
        }
    }
}

fn cpu() -> Option<f64> {
    cpu_of(&fs::read_to_string("/proc/self/stat").ok()?)
}

/// proc(5): utime, stime, cutime and cstime, fields 14 to 17, in ticks of which a second has 100.
fn cpu_of(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks: Vec<u32> =
        fields.split(' ').skip(11).take(4).map(str::parse).collect::<Result<_, _>>().ok()?;
    (ticks.len() == 4).then(|| ticks.into_iter().map(f64::from).sum::<f64>() / 100.0)
}

/// A table of what took how long, the longest first.
pub(crate) fn table<'r>(rows: impl IntoIterator<Item = (&'r str, Took)>) -> String {
    let mut rows: Vec<(&str, Took)> = rows.into_iter().collect();
    rows.sort_by(|(_, one), (_, other)| other.wall.total_cmp(&one.wall));
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default().max(5);
    let mut table = format!("  {:<width$}  {:>6}  {:>6}\n", "stage", "wall", "CPU");
    for (name, Took { wall, cpu }) in rows {
        let cpu = cpu.map_or_else(|| "-".to_owned(), |cpu| format!("{cpu:.0} s"));
        table += &format!("  {name:<width$}  {:>6}  {cpu:>6}\n", format!("{wall:.0} s"));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_of_a_process_and_its_children_are_added() {
        let stat = "7 (a ) b) R 1 7 7 0 -1 4194304 9 9 0 0 110 20 300 4000 20 0 1 0 9 9 9";
        assert_eq!(cpu_of(stat), Some(44.3));
        assert_eq!(cpu_of("7 (a) R 1"), None);
    }

    #[test]
    fn longest_stage_is_first() {
        let took = |wall, cpu| Took { wall, cpu };
        let rows = [("doc tests", took(48.2, Some(60.0))), ("interop", took(296.0, None))];
        assert_eq!(
            table(rows),
            "  stage        wall     CPU\n  interop     296 s       -\n  doc tests    48 s    60 s\n"
        );
        assert_eq!(took(48.2, Some(60.0)).to_string(), "48 s, CPU 60 s");
    }
}
