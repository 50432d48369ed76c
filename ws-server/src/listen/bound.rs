//! A server that listens.

use std::{
    fmt,
    future::{pending, poll_fn},
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use tokio::task::unconstrained;

use crate::{
    Clients, Listener, Report, Service,
    listen::{
        accept::{self, Tasks},
        watchdog::Watchdog,
    },
};

/// A [`Server`](crate::Server) that listens: clients can connect, and are answered once it serves.
/// Made by [`Server::bind`](crate::Server::bind) and its like.
///
/// No error ends it while it serves: if the operating system runs out of file descriptors, it waits
/// and goes on.
#[must_use = "clients connect, but get no answer until it serves"]
pub struct BoundServer {
    service: Service,
    accepting: Vec<Accepting>,
    addresses: Vec<SocketAddr>,
    /// Tells the accept loops to end, when they are polled next.
    closing: Arc<AtomicBool>,
}

/// The accept loop of one listener.
type Accepting = Pin<Box<dyn Future<Output = Tasks> + Send>>;

impl BoundServer {
    pub(super) fn new(listener: impl Listener, service: Service) -> Self {
        let none =
            Self { service, accepting: Vec::new(), addresses: Vec::new(), closing: Arc::default() };
        none.and(listener)
    }

    /// Serves the connections of `listener`, too: the same routes, under the same limits.
    ///
    /// ```no_run
    /// # #[cfg(unix)]
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// use ws_server::{Server, Unix, WebSocket};
    ///
    /// let server = Server::new()
    ///     .any(|_: WebSocket| async { Ok(()) })
    ///     .bind("127.0.0.1:9001")
    ///     .await?
    ///     .and(Unix::bind_with_mode("/run/chat.sock", 0o660)?);
    /// server.serve().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn and(mut self, listener: impl Listener) -> Self {
        self.addresses.extend(listener.local_addr());
        let (service, closing) = (self.service.clone(), Arc::clone(&self.closing));
        self.accepting.push(Box::pin(accept::run(listener, service, closing)));
        self
    }

    /// The first address of TCP that it listens on.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.addresses.first().copied()
    }

    /// All addresses of TCP that it listens on, in the order in which they were added.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The connections, for handlers and other tasks.
    pub fn clients(&self) -> Clients {
        self.service.clients()
    }

    /// Serves streams and requests from other sources under the same limits, and ends with this
    /// server.
    pub fn service(&self) -> Service {
        self.service.clone()
    }

    /// Serves until the future is dropped, which ends all connections without a Close.
    ///
    /// # Cancel safety
    /// Not cancel safe: dropping the future drops the server.
    pub async fn serve(self) -> ! {
        self.serve_until(pending()).await;
        pending().await
    }

    /// Serves until `shutdown` is ready, and then closes the listeners and
    /// [shuts down](Service::shutdown).
    ///
    /// # Cancel safety
    /// As [`serve`](Self::serve).
    pub async fn serve_until(self, shutdown: impl Future<Output = ()>) -> Report {
        let Self { service, mut accepting, closing, .. } = self;
        let _watchdog = Watchdog::start();
        let mut shutdown = pin!(shutdown);
        poll_fn(|cx| {
            if shutdown.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            poll_all(&mut accepting, cx);
            Poll::Pending
        })
        .await;
        closing.store(true, Ordering::Release);
        // Whatever this task has spent of its budget: each loop must see that it is to end.
        let tasks = unconstrained(poll_fn(|cx| Poll::Ready(poll_all(&mut accepting, cx)))).await;
        debug_assert_eq!(tasks.len(), accepting.len(), "every accept loop ends");
        drop(accepting);
        accept::close(tasks, &service).await
    }
}

/// Lets each listener accept. Returns the tasks of those that are closed.
fn poll_all(accepting: &mut [Accepting], cx: &mut Context<'_>) -> Vec<Tasks> {
    // Another one goes first each time, so that a busy listener does not starve the others.
    accepting.rotate_left(1);
    let ended = accepting.iter_mut().map(|accepting| accepting.as_mut().poll(cx));
    ended
        .filter_map(|poll| if let Poll::Ready(tasks) = poll { Some(tasks) } else { None })
        .collect()
}

impl fmt::Debug for BoundServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundServer")
            .field("listeners", &self.accepting.len())
            .field("addresses", &self.addresses)
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}
