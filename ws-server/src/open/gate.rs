//! A look at the request before the answer.

use std::{
    any::Any,
    borrow::Cow,
    fmt,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

use async_trait::async_trait;
use http::StatusCode;
use tokio::time::timeout;
use tracing::error;
use ws_handshake::{
    AcceptOptions, Cause, InvalidHeader, Rejection, ResponseHeaders, Subprotocols, Upgrade,
};

use crate::{
    ClientId, Peer, Request,
    leaves::{client::Client, data::Value},
    open::{admission::RETRY_AFTER, shared::Shared},
};

/// Decides who may connect, before the opening handshake is answered.
///
/// Every `Fn(Opening) -> impl Future<Output = Result<Admit, Rejection>> + Send` is one. A closure
/// must name the type of its parameter, and what it needs is cloned in it for each connection, as in a
/// [`Handler`](crate::Handler):
///
/// ```
/// use ws_server::{Admit, Opening, Rejection, Route, Server, WebSocket};
///
/// # #[derive(Clone)] struct Sessions;
/// # impl Sessions { async fn user(&self, _: &str) -> Result<Option<User>, std::io::Error> { Ok(None) } }
/// struct User { name: String }
///
/// # let sessions = Sessions;
/// let gate = move |opening: Opening| {
///     let sessions = sessions.clone();
///     async move {
///         let token = opening.request().header("x-token").unwrap_or_default();
///         let found = sessions.user(token).await.map_err(Rejection::internal)?; // 500, and the log says why
///         let Some(user) = found else {
///             return Err(Rejection::unauthorized("Token"));
///         };
///         Ok(Admit::new().subscribe(format!("user/{}", user.name)).data(user))
///     }
/// };
/// let chat = |mut ws: WebSocket| async move {
///     let user = ws.data::<User>().ok_or("the gate admits nobody without a user")?;
///     ws.send(format!("hello, {}", user.name)).await?;
///     Ok(())
/// };
/// let server = Server::new().route("/room/{room}", Route::new(chat).gate(gate));
/// ```
///
/// It is asked about valid opening handshakes alone, from pages that may connect
/// ([`Route::origin`](crate::Route::origin)), and has
/// [`ServerLimits::gate_timeout`](crate::ServerLimits::gate_timeout) (10 s) to decide; beyond it, the
/// client gets 503. Meanwhile the connection counts as pending
/// ([`ServerLimits::max_pending`](crate::ServerLimits::max_pending)). If the client leaves, the future
/// is dropped where it waits. A panic is answered with 500.
///
/// A connection is listed from the moment in which its gate has decided: access that is revoked after
/// that, by a Close to all connections of a user, is revoked for it too. Access that is revoked while the
/// gate decides is the gate's to notice.
// R6455-4.2.2-c
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not decide who may connect",
    label = "not a `Gate`",
    note = "a gate is a closure `|opening: Opening| async move {{ ..; Ok(Admit::new()) }}`, an `async fn(Opening) -> Result<Admit, Rejection>`, or implements `Gate`"
)]
#[async_trait]
pub trait Gate: Send + Sync + 'static {
    /// Admits a client, or rejects it.
    ///
    /// # Errors
    /// The answer for the client.
    async fn admit(&self, opening: Opening) -> Result<Admit, Rejection>;
}

#[async_trait]
impl<F, Fut> Gate for F
where
    F: Fn(Opening) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Admit, Rejection>> + Send + 'static,
{
    async fn admit(&self, opening: Opening) -> Result<Admit, Rejection> {
        self(opening).await
    }
}

/// An opening handshake that a [`Gate`] decides on.
pub struct Opening {
    id: ClientId,
    request: Request,
    subprotocols: Subprotocols,
}

impl Opening {
    pub(super) fn new(id: ClientId, request: Request, upgrade: &Upgrade) -> Self {
        Self { id, request, subprotocols: upgrade.subprotocols().clone() }
    }

    /// The id that the connection will have.
    pub fn id(&self) -> ClientId {
        self.id
    }

    /// The request. It has no [`subprotocol`](Request::subprotocol) and no
    /// [`extensions`](Request::extensions) yet.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Where the connection comes from.
    pub fn peer(&self) -> Peer {
        self.request.peer()
    }

    /// A parameter of the path, as [`Request::param`] returns it.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.request.param(name)
    }

    /// The subprotocols that the client offers, in its order of preference.
    pub fn subprotocols(&self) -> &Subprotocols {
        &self.subprotocols
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening")
            .field("id", &self.id)
            .field("request", &self.request)
            .field("subprotocols", &self.subprotocols)
            .finish()
    }
}

/// What a [`Gate`] gives a client that it admits.
#[derive(Default)]
#[must_use = "a gate returns it"]
pub struct Admit {
    pub(super) headers: ResponseHeaders,
    pub(super) data: Vec<Value>,
    pub(super) topics: Vec<Box<str>>,
    pub(super) subprotocol: Option<Box<str>>,
}

impl Admit {
    /// The client is admitted, and nothing more.
    pub fn new() -> Self {
        Self::default()
    }

    /// Attaches a value, for [`WebSocket::data`](crate::WebSocket::data) and
    /// [`Client::data`](crate::Client::data): who the user is, for example. Of two values of one type
    /// the first remains.
    pub fn data<T: Any + Send + Sync>(mut self, value: T) -> Self {
        self.data.push(Box::new(value));
        self
    }

    /// Subscribes the connection to `topic` before anybody can see it: a tag, by which
    /// [`Clients::subscribed`](crate::Clients::subscribed) and
    /// [`Clients::publish`](crate::Clients::publish) find all connections of a user, for example. A
    /// topic too many or too long is the application's mistake: 500.
    pub fn subscribe(mut self, topic: impl Into<Box<str>>) -> Self {
        self.topics.push(topic.into());
        self
    }

    /// Adds a header line to the 101, such as `Set-Cookie`.
    ///
    /// # Errors
    /// [`InvalidHeader`] for a value that would break out of its line, and for the headers that the
    /// handshake writes itself. `?` in a gate makes it a 500.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, InvalidHeader> {
        self.headers.append(name, value)?;
        Ok(self)
    }

    /// Agrees on this subprotocol, in place of the route's choice. One that the client does not
    /// [offer](Opening::subprotocols) is the application's mistake: 500.
    pub fn subprotocol(mut self, name: impl Into<Box<str>>) -> Self {
        self.subprotocol = Some(name.into());
        self
    }

    /// What is agreed to with the subprotocol that was chosen, if one was.
    pub(super) fn choose<'o>(&mut self, options: Cow<'o, AcceptOptions>) -> Cow<'o, AcceptOptions> {
        match self.subprotocol.take() {
            None => options,
            Some(name) => {
                let chosen = move |_: &Upgrade| Some(name.to_string());
                Cow::Owned(options.into_owned().select_subprotocol(chosen))
            }
        }
    }
}

impl fmt::Debug for Admit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admit")
            .field("headers", &self.headers)
            .field("topics", &self.topics)
            .field("subprotocol", &self.subprotocol)
            .finish_non_exhaustive()
    }
}

/// Asks a gate, within its deadline and the limit on pending connections.
///
/// # Cancel safety
/// A dropped call drops the gate's future where it waits.
pub(super) async fn ask(
    gate: &dyn Gate,
    opening: Opening,
    client: Option<Client>,
    shared: &Shared,
) -> Result<Admit, Rejection> {
    let Some(pending) = shared.admission.begin(client) else {
        return Err(Cause::NoRoom.into());
    };
    let (id, peer) = (opening.id, opening.peer());
    let limit = shared.server_limits.gate_timeout;
    let mut admit = pin!(async { gate.admit(opening).await });
    // After a panic it is never polled again, so its broken state is never seen.
    let decided = timeout(
        limit,
        poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| admit.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Some),
            Err(_) => Poll::Ready(None),
        }),
    );
    let decided = tokio::select! {
        biased;
        decided = decided => decided,
        () = pending.ended() => return Err(Cause::NoRoom.into()),
    };
    let (failure, rejection) = match decided {
        Ok(Some(decided)) => return decided,
        Ok(None) => ("the gate panicked", Rejection::new(StatusCode::INTERNAL_SERVER_ERROR)),
        Err(_) => (
            "the gate took longer than ServerLimits::gate_timeout",
            Rejection::unavailable(RETRY_AFTER),
        ),
    };
    if let Some(left_out) = shared.clients.registry.stats.handler_log.admit() {
        error!(%id, %peer, left_out, ?limit, "{failure}");
    }
    Err(rejection)
}
