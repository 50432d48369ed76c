//! How often a parser looks at an octet, for the tests that hold every parser to one pass.

/// A count that only tests keep; elsewhere it is empty, and adding to it does nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Looks {
    #[cfg(test)]
    count: usize,
}

impl Looks {
    #[cfg(test)]
    pub(crate) fn add(&mut self, looks: usize) {
        self.count += looks;
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "the count is kept in tests alone")]
    pub(crate) fn add(&mut self, _looks: usize) {}

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
