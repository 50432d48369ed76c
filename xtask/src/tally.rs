//! The numbers of passed and failed cases.

use std::fmt;
use std::ops::AddAssign;

use crate::failure::{Failure, Result};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
}

impl Tally {
    /// A failure if anything failed.
    pub(crate) fn verdict(self, mend: &str) -> Result<()> {
        if self.failed == 0 { Ok(()) } else { Err(Failure::new(self.to_string(), mend)) }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}
