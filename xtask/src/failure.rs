//! An error of a task, and its remedy.

use std::fmt;

/// A failed task: what happened, and what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    mend: String,
}

pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub(crate) fn new(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Failure { what: what.into(), mend: mend.into() }
    }

    /// A failed system call on a file or process.
    pub(crate) fn system(doing: impl fmt::Display, error: &std::io::Error) -> Self {
        Failure::new(format!("{doing}: {error}"), "see the system error above")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  to mend: {}", self.what, self.mend)
    }
}
