//! A topic as a task of the application receives it.

use std::{
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use tokio::task::coop::poll_proceed;
use ws_core::Message;

use crate::{
    ClientId, Clients, SubscribeError,
    leaves::error::Lagged,
    outbox::{Outbox, Queued, SendQueue},
    registry::Registry,
};

impl Clients {
    /// Receives what is published to a topic, in any task: in a handler whose protocol wraps each
    /// message for its subscriber, as STOMP and GraphQL do, or in a task without a connection, such as
    /// a log.
    ///
    /// It gets what is published from now on until it is dropped, in the order in which all
    /// subscribers see it. What it has not received waits, plain, within
    /// [`Limits::max_send_buffer`](crate::Limits::max_send_buffer) of the
    /// [server](crate::Server::limits), or the default of 1 MiB before the server listens; beyond it the publication's
    /// [`SlowConsumer`](crate::SlowConsumer) policy decides, as for a client. A
    /// [publisher that waits](Self::publish_wait) waits for it too, and passes it over after
    /// [`Limits::write_timeout`](crate::Limits::write_timeout) in which it receives nothing.
    ///
    /// ```
    /// # use ws_server::{HandlerError, WebSocket};
    /// async fn prices(mut ws: WebSocket) -> Result<(), HandlerError> {
    ///     let clients = ws.clients().ok_or("a client has no topics")?;
    ///     let mut prices = clients.listen("prices")?;
    ///     loop {
    ///         tokio::select! {
    ///             price = prices.recv() => {
    ///                 let line = format!("MESSAGE\nid:7\n\n{}", price?.as_text().unwrap_or(""));
    ///                 ws.send(line).await?;
    ///             }
    ///             message = ws.recv() => match message {
    ///                 Some(_) => {}
    ///                 None => return Ok(()),
    ///             },
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// [`SubscribeError::TopicTooLong`] beyond [`Limits::max_topic`](crate::Limits::max_topic).
    pub fn listen(&self, topic: &str) -> Result<Subscription, SubscribeError> {
        let (registry, id) = (Arc::clone(&self.registry), self.registry.next_id());
        let outbox = Outbox::without_connection(id, registry.limits());
        let topic = registry.subscribe(&outbox, topic)?;
        Ok(Subscription {
            topic,
            outbox,
            registry,
            taken: SendQueue::default(),
            waker: None,
            ended: false,
        })
    }
}

/// What is published to a topic, as a task of the application [receives](Self::recv) it. Made by
/// [`Clients::listen`]; dropping it ends the subscription. With the feature `futures` it is a `Stream`.
#[must_use = "dropping it ends the subscription"]
pub struct Subscription {
    topic: Arc<str>,
    /// One without a connection: the policies for slow consumers are those of an outbox.
    outbox: Arc<Outbox>,
    registry: Arc<Registry>,
    /// The message that was taken from the outbox.
    taken: SendQueue,
    /// The waker that the outbox has.
    waker: Option<Waker>,
    ended: bool,
}

impl Subscription {
    /// The next message. It waits for ever if nothing is published: the topic outlives connections and
    /// the server's shutdown.
    ///
    /// # Errors
    /// [`Lagged`] once this did not keep up with a message whose policy is
    /// [`SlowConsumer::Close`](crate::SlowConsumer::Close): what waited is dropped, and the
    /// subscription has ended.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped call loses no message.
    pub fn recv(&mut self) -> impl Future<Output = Result<Message, Lagged>> + Send {
        poll_fn(|cx| self.poll_next_message(cx))
    }

    fn poll_next_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Lagged>> {
        let coop = ready!(poll_proceed(cx));
        loop {
            if self.ended {
                return Poll::Ready(Err(Lagged));
            }
            self.outbox.begin();
            if self.outbox.has_outbound() {
                // One at a time, so that a policy and a key find all others.
                self.outbox.take_outbound(&mut self.taken, 1);
            }
            match self.taken.pop_front() {
                Some(Queued::Broadcast(broadcast)) => {
                    coop.made_progress();
                    return Poll::Ready(Ok(broadcast.message().clone()));
                }
                Some(Queued::Close(..)) => {
                    self.ended = true;
                    self.registry.leave_topics(&self.outbox);
                }
                // Nobody else has a handle that queues anything here.
                Some(_) => {}
                None => {
                    if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                        self.outbox.set_driver(cx.waker());
                        self.waker = Some(cx.waker().clone());
                    }
                    if self.outbox.rest(false) {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Its number among the connections of its server, for
    /// [`Publication::except`](crate::Publication::except).
    pub fn id(&self) -> ClientId {
        self.outbox.id
    }

    /// The number of messages that it did not get because it does not keep up.
    pub fn dropped(&self) -> u64 {
        self.outbox.dropped()
    }
}

#[cfg(feature = "futures")]
impl futures_core::Stream for Subscription {
    type Item = Result<Message, Lagged>;

    /// [`recv`](Self::recv), and the end after [`Lagged`].
    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.poll_next_message(cx).map(Some)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.registry.leave_topics(&self.outbox);
        self.outbox.over(Default::default());
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("topic", &self.topic)
            .field("id", &self.outbox.id)
            .finish_non_exhaustive()
    }
}
