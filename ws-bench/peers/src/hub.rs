//! Who is connected, for a message of one that goes to all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A queue for each connection, as in the chat example of tokio-tungstenite.
///
/// Messages are cheap to clone: their payload is counted.
#[derive(Debug)]
pub struct Hub<M>(Arc<Mutex<Queues<M>>>);

#[derive(Debug)]
struct Queues<M> {
    next: u64,
    all: HashMap<u64, UnboundedSender<M>>,
}

/// The place of one connection; dropped, it is gone from the hub.
#[derive(Debug)]
pub struct Seat<M> {
    hub: Hub<M>,
    id: u64,
    /// What the others and the connection itself have sent.
    pub queue: UnboundedReceiver<M>,
}

impl<M> Default for Hub<M> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Queues { next: 0, all: HashMap::new() })))
    }
}

impl<M> Clone for Hub<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M: Clone> Hub<M> {
    /// A place for one more connection.
    pub fn join(&self) -> Seat<M> {
        let (sender, queue) = unbounded_channel();
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let id = queues.next;
        queues.next += 1;
        queues.all.insert(id, sender);
        Seat { hub: self.clone(), id, queue }
    }
}

impl<M: Clone> Seat<M> {
    /// Sends to every connection, this one too.
    pub fn publish(&self, message: &M) {
        let queues = self.hub.0.lock().unwrap_or_else(PoisonError::into_inner);
        for sender in queues.all.values() {
            // One that is leaving takes its queue away in a moment.
            let _ = sender.send(message.clone());
        }
    }
}

impl<M> Drop for Seat<M> {
    fn drop(&mut self) {
        self.hub.0.lock().unwrap_or_else(PoisonError::into_inner).all.remove(&self.id);
    }
}
