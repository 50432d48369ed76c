//! What all tasks of a node share.

use std::sync::Arc;

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
    pub(crate) reader: Reader,
    /// For what others cause.
    pub(crate) log: LogLimiter,
}

impl Node {
    pub(crate) fn position(&self, epoch: u64, place: Place) -> Position {
        Position { epoch, sequence: place.sequence, time: place.time }
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
