//! The output of a test run: everything goes into a file, failures also to the terminal.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};

/// A file for the output of programs under test. Expected output, such as a line for each rejected
/// client, would look like a failure on the terminal.
pub(crate) struct Log {
    path: PathBuf,
}

impl Log {
    /// Creates an empty one; `None` if everything is to be printed.
    pub(crate) fn new(path: PathBuf, verbose: bool) -> Result<Option<Self>> {
        if verbose {
            return Ok(None);
        }
        let failed =
            |error: &std::io::Error| Failure::system(format!("writing {}", path.display()), error);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(|error| failed(&error))?;
        }
        File::create(&path).map_err(|error| failed(&error))?;
        Ok(Some(Self { path }))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The lines that `wanted` picks.
    pub(crate) fn lines(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let text = fs::read(&self.path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        text.lines().filter(|line| wanted(line)).map(Into::into).collect()
    }

    /// The last lines, if there is nothing better to show.
    pub(crate) fn tail(&self, lines: usize) -> String {
        let all = self.lines(|_| true);
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

/// Filters the output of libtest: prints nothing of a program whose tests pass, and the details of
/// a failure.
#[derive(Default)]
pub(crate) struct Failures {
    /// The lines from `failures:` on.
    said: Option<Vec<String>>,
}

impl Failures {
    /// Takes a line. At the end of a program, returns the lines to print.
    pub(crate) fn take(&mut self, line: &str) -> Option<Vec<String>> {
        if line.starts_with("running ") {
            self.said = None;
        }
        if line == "failures:" {
            self.said.get_or_insert_default();
        }
        let said = self.said.as_mut()?;
        said.push(line.to_owned());
        if line.starts_with("test result: ") { self.said.take() } else { None }
    }
}

/// Appends a line of standard output; the log also receives standard error.
pub(crate) fn append(log: &Log, line: &str) -> Result<()> {
    File::options()
        .append(true)
        .open(log.path())
        .and_then(|mut file| writeln!(file, "{line}"))
        .map_err(|error| Failure::system(format!("writing {}", log.path().display()), &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_failed_is_shown() {
        let mut failures = Failures::default();
        let mut shown = Vec::new();
        for line in [
            "running 1 test",
            "test a ... ok",
            "test result: ok. 1 passed; 0 failed",
            "running 2 tests",
            "test b ... ok",
            "test c ... FAILED",
            "failures:",
            "---- c stdout ----",
            "no",
            "failures:",
            "    c",
            "test result: FAILED. 1 passed; 1 failed",
            "running 1 test",
            "test d ... ok",
            "test result: ok. 1 passed; 0 failed",
        ] {
            shown.extend(failures.take(line).into_iter().flatten());
        }
        assert_eq!(
            shown.join("|"),
            "failures:|---- c stdout ----|no|failures:|    c|test result: FAILED. 1 passed; 1 failed"
        );
    }

    #[test]
    fn log_is_made_anew_and_ends_in_its_last_lines() {
        let path = std::env::temp_dir().join(format!("xtask-log-{}/a.log", std::process::id()));
        let log = Log::new(path.clone(), false).expect("a file").expect("a log");
        for line in ["one", "two", "three"] {
            append(&log, line).expect("written");
        }
        assert_eq!(log.tail(2), "two\nthree");
        assert_eq!(log.lines(|line| line.starts_with('t')), ["two", "three"]);
        let log = Log::new(path.clone(), false).expect("a file").expect("a log");
        assert_eq!(log.tail(2), "");
        assert!(Log::new(path.clone(), true).expect("nothing to do").is_none());
        fs::remove_dir_all(path.parent().expect("a directory")).expect("it is there");
    }
}
