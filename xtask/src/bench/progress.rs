//! The progress of a run, and an estimate of the remaining time.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on a terminal; elsewhere a line for each case.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// `total` is an estimate for the whole run.
    pub(crate) fn new(total: Duration) -> Self {
        let bar = ProgressBar::new(total.as_millis() as u64);
        let style = ProgressStyle::with_template("{bar:30} {percent:>3} %, {eta} left, {wide_msg}");
        bar.set_style(style.expect("a valid template").progress_chars("█▌░"));
        bar.enable_steady_tick(Duration::from_millis(500));
        Self { bar }
    }

    /// Shows the current measurement.
    pub(crate) fn at(&self, what: String) {
        self.bar.set_message(what);
    }

    /// Notes that a step planned for `time` is done.
    pub(crate) fn done(&self, time: Duration) {
        self.bar.inc(time.as_millis() as u64);
    }

    /// Adds an unplanned step.
    pub(crate) fn more(&self, time: Duration) {
        self.bar.inc_length(time.as_millis() as u64);
    }

    /// Prints above the bar.
    pub(crate) fn say(&self, text: &str) {
        self.bar.suspend(|| println!("{text}"));
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
