//! What all tasks of a node share.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use tokio::runtime::Handle;
use tracing::error;
use ws_server::{Clients, Publication, Published, Refused};

use crate::{
    Config, Position, inspector::Inspector, link::ReadingLink, log_limiter::LogLimiter,
    metrics::Counters, refill::Reader, subject::Subjects, track::Place,
};

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) config: Config,
    pub(crate) subjects: Subjects,
    pub(crate) stream: String,
    /// The random number of this start.
    pub(crate) incarnation: u64,
    pub(crate) counters: Arc<Counters>,
    pub(crate) link: ReadingLink,
    pub(crate) inspector: Arc<Inspector>,
    /// Where all tasks run: whoever subscribes may be outside of a runtime, or in one that ends.
    pub(crate) runtime: Handle,
    pub(crate) reader: Reader,
    /// For what others cause.
    pub(crate) log: LogLimiter,
}

impl Node {
    pub(crate) fn position(&self, epoch: u64, place: Place) -> Position {
        Position { epoch, sequence: place.sequence, time: place.time }
    }

    /// Calls a function of the application. `None` if it panics: that is logged, and costs what it was
    /// to make, not the task of its topic.
    pub(crate) fn call<T>(&self, field: &str, function: impl FnOnce() -> T) -> Option<T> {
        let made = catch_unwind(AssertUnwindSafe(function)).ok();
        if made.is_none()
            && let Some(left_out) = self.log.admit()
        {
            error!(left_out, "Config::{field} panicked");
        }
        made
    }
}

/// Delivers to the subscribers here.
///
/// Only another publisher of this process, past the backplane, can be in the way; it is waited for.
pub(crate) async fn deliver(clients: &Clients, topic: &str, publication: &Publication) {
    while let Published::Refused(Refused::Full) = clients.publish_here(topic, publication.clone()) {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}
