//! The progress of a long command, and an estimate of the remaining time.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::Result;
use crate::times::Watch;
use crate::workspace::Workspace;

/// The stages of a long command, in order.
pub(crate) struct Stages {
    command: String,
    /// The key under which its times are stored.
    key: String,
    /// Each with an estimate in seconds, if known.
    stages: Vec<(String, Option<f64>)>,
    done: usize,
    times: PathBuf,
}

impl Stages {
    /// For a command whose stages take about so many seconds, until they have run once in this
    /// variant.
    pub(crate) fn new(
        workspace: &Workspace,
        command: &str,
        variant: &str,
        stages: &[(&str, Option<f64>)],
    ) -> Self {
        let key = format!("{command}{variant}");
        let times = workspace.target.join("xtask/times.txt");
        let last = fs::read_to_string(&times).unwrap_or_default();
        let stages = stages
            .iter()
            .map(|&(name, seconds)| (name.to_owned(), last_time(&last, &key, name).or(seconds)))
            .collect();
        Self { command: command.to_owned(), key, stages, done: 0, times }
    }

    /// Runs the next stage, and stores its time for the next run.
    pub(crate) fn run<T>(&mut self, stage: impl FnOnce() -> Result<T>) -> Result<T> {
        let Some((name, _)) = self.stages.get(self.done) else { return stage() };
        println!("xtask {}: {}", self.command, self.heading());
        let watch = Watch::start();
        let outcome = stage();
        let took = watch.took();
        println!("xtask {}: {name} took {took}", self.command);
        if outcome.is_ok() {
            remember(&self.times, &self.key, name, took.wall);
        }
        self.done += 1;
        outcome
    }

    /// `[2/5] doc tests; about 7 min to go`.
    fn heading(&self) -> String {
        let (name, _) = &self.stages[self.done];
        let place = format!("[{}/{}] {name}", self.done + 1, self.stages.len());
        let left: Option<f64> = self.stages[self.done..].iter().map(|(_, seconds)| *seconds).sum();
        match left {
            Some(left) => format!("{place}; about {} to go", in_words(left)),
            None => place,
        }
    }
}

/// Rounded to the accuracy of an estimate.
fn in_words(seconds: f64) -> String {
    if seconds < 55.0 {
        format!("{:.0} s", (seconds / 10.0).ceil() * 10.0)
    } else {
        format!("{:.0} min", (seconds / 60.0).max(1.0))
    }
}

/// The key of a stage: `test/doc tests=31.4`.
fn key(command: &str, name: &str) -> String {
    format!("{command}/{name}=")
}

fn last_time(times: &str, command: &str, name: &str) -> Option<f64> {
    let key = key(command, name);
    times.lines().find_map(|line| line.strip_prefix(&key)?.parse().ok())
}

fn remember(times: &Path, command: &str, name: &str, took: f64) {
    let key = key(command, name);
    let before = fs::read_to_string(times).unwrap_or_default();
    let mut lines: Vec<&str> = before.lines().filter(|line| !line.starts_with(&key)).collect();
    let line = format!("{key}{took:.1}");
    lines.push(&line);
    // Only an estimate is lost.
    if let Some(directory) = times.parent() {
        let _ = fs::create_dir_all(directory);
    }
    let _ = fs::write(times, lines.join("\n") + "\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stages(done: usize, seconds: &[Option<f64>]) -> Stages {
        let stages = seconds.iter().map(|seconds| ("doc tests".to_owned(), *seconds)).collect();
        Stages {
            command: "test".to_owned(),
            key: String::new(),
            stages,
            done,
            times: PathBuf::new(),
        }
    }

    #[test]
    fn heading_says_which_stage_of_how_many_and_what_is_left() {
        let all = [Some(60.0), Some(20.0), Some(100.0)];
        assert_eq!(stages(0, &all).heading(), "[1/3] doc tests; about 3 min to go");
        assert_eq!(stages(1, &all).heading(), "[2/3] doc tests; about 2 min to go");
        assert_eq!(stages(1, &[None, Some(12.0)]).heading(), "[2/2] doc tests; about 20 s to go");
        assert_eq!(stages(0, &[Some(12.0), None]).heading(), "[1/2] doc tests");
    }

    #[test]
    fn time_of_the_last_run_is_what_the_next_one_is_said_to_take() {
        let directory = std::env::temp_dir().join(format!("xtask-times-{}", std::process::id()));
        let times = directory.join("times.txt");
        remember(&times, "test", "doc tests", 31.4);
        remember(&times, "interop", "doc tests", 7.0);
        remember(&times, "test", "doc tests", 29.0);
        let kept = fs::read_to_string(&times).expect("it was written");
        assert_eq!(last_time(&kept, "test", "doc tests"), Some(29.0));
        assert_eq!(last_time(&kept, "interop", "doc tests"), Some(7.0));
        assert_eq!(last_time(&kept, "test", "models"), None);
        assert_eq!(kept.lines().count(), 2);
        fs::remove_dir_all(&directory).expect("it is there");
    }
}
