//! Counts how often a parser visits an octet, for the tests that every parser makes a single pass.

/// A count that only tests keep; elsewhere it is empty, and adding to it does nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Visits {
    #[cfg(test)]
    count: usize,
}

impl Visits {
    #[cfg(test)]
    pub(crate) fn add(&mut self, visits: usize) {
        self.count += visits;
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "only tests keep the count")]
    pub(crate) fn add(&mut self, _visits: usize) {}

    /// Adds the count of another parser.
    pub(crate) fn add_all(&mut self, others: Self) {
        #[cfg(test)]
        self.add(others.count);
        #[cfg(not(test))]
        let _ = others;
    }

    #[cfg(test)]
    pub(crate) fn count(self) -> usize {
        self.count
    }
}
