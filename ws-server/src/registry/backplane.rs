//! The way of publications through other servers.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use tracing::error;

use super::{Registry, delivery::Delivery};
use crate::{Publication, Published, Refused, leaves::log_limiter::Escaped};

/// Carries what is published to the topics of a server to other servers, and what is published there
/// back to this one, so that a topic spans them all. Set by [`Server::backplane`](crate::Server::backplane).
///
/// With it, what [`Clients::publish`](crate::Clients::publish), [`Topic::publish`](crate::Topic::publish)
/// and their sisters publish goes to [`publish`](Self::publish) and to no subscriber. The backplane
/// delivers it, to every server that it joins, by [`Clients::publish_here`](crate::Clients::publish_here),
/// in the order that it chooses. Messages to all, to a path or by a predicate stay in their server.
///
/// Both methods are called from handlers and from the tasks of connections, so they must not block. No
/// lock is held: they may call whatever [`Clients`](crate::Clients) offers, and publish. They may be
/// called by several tasks at a time. A panic is logged and costs no connection.
///
/// # Example
/// Two servers in one process. Without an order over both, since each delivers by itself:
///
/// ```
/// use std::sync::{Arc, OnceLock};
/// use ws_server::{Backplane, Clients, Publication, Refused, Server};
///
/// /// What joins one server, by its index, to all.
/// struct Joined(usize, Arc<OnceLock<Vec<Clients>>>);
///
/// impl Backplane for Joined {
///     fn publish(&self, topic: &str, publication: Publication) -> Result<(), Refused> {
///         let Self(own, servers) = self;
///         for (index, clients) in servers.get().ok_or(Refused::Away)?.iter().enumerate() {
///             // Encoded once for the subscribers of both.
///             let mut copy = publication.clone();
///             if index != *own {
///                 // Who is left out is a connection of the server that published.
///                 copy = copy.except(None);
///             }
///             clients.publish_here(topic, copy);
///         }
///         Ok(())
///     }
///
///     // One that listens to a network would start or stop to listen for this topic.
///     fn interest(&self, _topic: &str) {}
/// }
///
/// let all = Arc::new(OnceLock::new());
/// let servers = [0, 1].map(|index| Server::new().backplane(Arc::new(Joined(index, all.clone()))));
/// all.set(servers.iter().map(Server::clients).collect()).ok();
///
/// let [mut ann, mut bob] = servers.each_ref().map(|server| server.clients().listen("room").unwrap());
/// servers[0].clients().publish("room", "hello");
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// assert_eq!(ann.recv().await.unwrap(), "hello".into());
/// assert_eq!(bob.recv().await.unwrap(), "hello".into());
/// # });
/// ```
///
/// # Memory
/// A server keeps its backplane for as long as a [`Clients`](crate::Clients) of it exists. One that
/// keeps `Clients` itself should drop them when it is shut down, or neither is ever freed.
pub trait Backplane: Send + Sync + 'static {
    /// Takes a publication for all subscribers of `topic`, those of this server included. It never
    /// blocks; what it takes it delivers later, or at once.
    ///
    /// The connection that a publication [excepts](Publication::except) is one of this server: elsewhere
    /// its id is that of somebody else, so it must not be carried there.
    ///
    /// # Errors
    /// [`Refused`], where the publication cannot be taken now. Then it goes to nobody, and never will.
    fn publish(&self, topic: &str, publication: Publication) -> Result<(), Refused>;

    /// The number of subscribers that `topic` has in this server was 0 and is not any more, or became
    /// 0. Which of the two, [`Clients::subscribers`](crate::Clients::subscribers) says: by the time of
    /// this call it may have changed again, and then another call follows.
    ///
    /// Connections subscribe and end, and so do tasks that [listen](crate::Clients::listen). Calls for
    /// one topic may overlap, so the number has to be read where they cannot: under a lock of the
    /// backplane, or in its one task that acts on it.
    fn interest(&self, topic: &str);
}

impl Registry {
    /// Sets the backplane, and tells it of the topics that have subscribers. Returns whether there
    /// was none.
    pub(crate) fn set_backplane(&self, backplane: Arc<dyn Backplane>) -> bool {
        let is_first = self.backplane.set(backplane).is_ok();
        if is_first {
            // A topic that gets its first subscriber from now on finds the backplane, since it is
            // listed under the lock under which this list is made.
            for (topic, _) in self.topics.list() {
                self.interest(&topic);
            }
        }
        is_first
    }

    /// Tells the backplane that a topic got its first subscriber or lost its last one. No lock may be
    /// held.
    #[inline]
    pub(super) fn interest(&self, topic: &str) {
        if let Some(backplane) = self.backplane.get() {
            self.tell(&**backplane, topic);
        }
    }

    #[cold]
    fn tell(&self, backplane: &dyn Backplane, topic: &str) {
        // The end of a connection calls it too, where nobody would catch a panic.
        if catch_unwind(AssertUnwindSafe(|| backplane.interest(topic))).is_err()
            && let Some(left_out) = self.stats.handler_log.admit()
        {
            error!(topic = %Escaped(topic), left_out, "the backplane panicked: it may not know who subscribes");
        }
    }

    /// Gives a publication to the backplane.
    #[cold]
    pub(super) fn hand_over(
        &self,
        backplane: &dyn Backplane,
        topic: &str,
        publication: Publication,
    ) -> Delivery {
        let taken = catch_unwind(AssertUnwindSafe(|| backplane.publish(topic, publication)));
        let taken = taken.unwrap_or_else(|_| {
            if let Some(left_out) = self.stats.handler_log.admit() {
                error!(topic = %Escaped(topic), left_out, "the backplane panicked: a publication is lost");
            }
            Err(Refused::Away)
        });
        let published = match taken {
            Ok(()) => Published::Handed,
            Err(reason) => Published::Refused(reason),
        };
        // Work left to others counts as work.
        Delivery { published, copies: 1 }
    }
}
