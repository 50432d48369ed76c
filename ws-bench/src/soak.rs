//! What a soak found: its samples, the verdict over them, and the page that draws them.
//!
//! The example `soak` makes the samples, one line of JSON for each second.

mod judge;
mod lines;
mod page;
mod record;
mod trend;

pub use self::judge::{Check, GAUGES, KEPT, judge};
pub use self::page::page;
pub use self::record::{Phase, Record, Sample};

#[cfg(test)]
mod tests;
