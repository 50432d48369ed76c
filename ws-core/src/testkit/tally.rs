//! Counts the messages that an extension marks.

use std::{cell::Cell, rc::Rc};

use crate::extension::Mark;

/// A count that all its clones share.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    marked: Rc<Cell<usize>>,
    all: Rc<Cell<usize>>,
}

impl Tally {
    pub(super) fn count(&self, mark: Mark) {
        self.marked.update(|marked| marked + usize::from(mark == Mark::Marked));
        self.all.update(|all| all + 1);
    }

    /// The marked messages, and all messages.
    pub(super) fn counted(&self) -> (usize, usize) {
        (self.marked.get(), self.all.get())
    }
}
