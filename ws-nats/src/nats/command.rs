//! Orders to all nodes, as the application gives them.

use ws_server::CloseCode;

use crate::{
    Nats,
    orders::{Obeyed, Order, OrderError},
};

/// Orders to all nodes.
///
/// They are obeyed here at once. The other nodes get them once, by core NATS: one that is cut off does
/// not, and is among the [silent nodes](Obeyed::silent_nodes).
impl Nats {
    /// Starts to close the subscribers of `topic` on all nodes, as
    /// [`Clients::close_subscribed`](ws_server::Clients::close_subscribed) does on this one: all
    /// connections of a user, by a [tag](ws_server::Clients#topics) such as `user/ann`. Waits for the
    /// answers of the other nodes, 2 s at most.
    ///
    /// # Errors
    /// [`OrderError`]: a code that may not be sent, or a reason that is too long.
    ///
    /// # Cancel safety
    /// A dropped call was obeyed here once it was polled, and may have been elsewhere.
    pub async fn kick(
        &self,
        topic: &str,
        code: CloseCode,
        reason: &str,
    ) -> Result<Obeyed, OrderError> {
        Ok(self.orders.give(Order::close(topic, code, reason)?).await)
    }

    /// Ends all subscriptions of connections to `topic`, on all nodes. Tasks that
    /// [listen](ws_server::Clients::listen) go on. Waits for the answers of the other nodes, 2 s at most.
    ///
    /// # Cancel safety
    /// As [`kick`](Self::kick).
    pub async fn unsubscribe_all(&self, topic: &str) -> Obeyed {
        self.orders.give(Order::unsubscribe(topic)).await
    }
}
