//! The extractor for axum.

use std::{
    any::Any,
    fmt,
    sync::{Mutex, PoisonError},
};

use axum::{
    body::Body,
    extract::{FromRef, FromRequestParts, OptionalFromRequestParts},
    response::Response,
};
use bytes::Bytes;
use http::{Version, request::Parts};
use ws_handshake::RequestView;
use ws_server::{
    Admit, ClientId, Inspected, Limits, Options, OriginPolicy, Outcome, Peer, Rejection, Service,
    Subprotocols, WebSocket,
};

use crate::{
    mount::no_upgrade,
    peer::FindPeer,
    upgrade::{Promise, UpgradeError, fit},
};

/// A request for a WebSocket, as a handler of axum extracts it: a valid one, for which there is room.
///
/// The [`Service`] is part of the router's state, or is it: all connections count in its limits and
/// metrics, and its shutdown closes them. `#[derive(FromRef)]` is in axum's feature `macros`.
///
/// ```
/// use axum::{Router, extract::{FromRef, State}, response::Response, routing::any};
/// use ws_server::{Server, Service, WebSocket};
/// use ws_tower::WebSocketUpgrade;
///
/// #[derive(Clone, FromRef)]
/// # struct Derived { service: Service }
/// # #[derive(Clone)]
/// struct App {
///     service: Service,
/// }
/// # impl FromRef<App> for Service { fn from_ref(app: &App) -> Self { app.service.clone() } }
///
/// async fn chat(State(_app): State<App>, upgrade: WebSocketUpgrade) -> Response {
///     upgrade.protocols(["chat.v2", "chat.v1"]).on_upgrade(|mut ws: WebSocket| async move {
///         ws.send("welcome").await?;
///         Ok(())
///     })
/// }
///
/// # fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let app = App { service: Server::new().service()? };
/// let router: Router = Router::new().route("/chat", any(chat)).with_state(app);
/// # Ok(())
/// # }
/// # run().unwrap();
/// ```
///
/// What is no opening handshake is refused before the handler runs: with 426 if it asks for no WebSocket
/// (over HTTP/2 with 405), and as [`Service::inspect`] says. `Option<WebSocketUpgrade>` is `None` for a
/// request that asks for none. Route it by `any`: over HTTP/2 a WebSocket is a CONNECT, and to a route
/// that takes GET alone a browser does not come back over HTTP/1.1.
///
/// **The routes of the [`Service`], with their gates, origins and limits, do not apply**: axum's router
/// found the handler, and its own extractors and layers decide who may connect.
///
/// Where the request comes from is a [`Peer`] among its extensions, which [`serve`](crate::serve()) and
/// layers of your own put there, or axum's `ConnectInfo<SocketAddr>`.
///
/// # Layers
/// What is around the handler sees the request, and an answer without a body; none of tower-http's layers
/// of traces, timeouts, CORS or compression touches the WebSocket after it. CORS admits no page: that is
/// [`origin`](Self::origin). A layer that puts another answer in place of a handler's ends the WebSocket
/// unopened where [`serve`](crate::serve()) or [`ConfirmLayer`](crate::ConfirmLayer) is outside of it.
///
/// # Coming from `axum::extract::ws`
/// | there | here |
/// |---|---|
/// | no state | the router's state has a [`Service`] (`FromRef`) |
/// | `get(handler)` | `any(handler)`, so that HTTP/2 comes through |
/// | `on_upgrade(\|socket: axum::..::WebSocket\| ..)` | `on_upgrade(\|ws: ws_server::WebSocket\| ..)`, whose future ends in `()` or `Result<(), HandlerError>` |
/// | `socket.recv().await`: `Option<Result<Message, Error>>` | `ws.recv().await`: `Option<Message>`; [`closed`](WebSocket::closed) says how it ended |
/// | `Message::{Text, Binary, Ping, Pong, Close}` | `Message::{Text, Binary}`: Pings are answered, and a Close is taken, while the handler waits |
/// | `socket.send(Message::Text(..))` | `ws.send("text")`; what was sent leaves without a flush |
/// | `socket.send(Message::Close(..))`, `Message::Ping` | [`ws.close(code, reason)`](WebSocket::close), [`ws.ping(payload)`](WebSocket::ping); a handler that returns closes with 1000 |
/// | `socket.split()` | [`WebSocket::sender`], or [`into_messages`](WebSocket) in the feature `futures` of `ws-server` |
/// | `.protocols([..])` | the same; without one in common it opens without a subprotocol, as there |
/// | `.requested_protocols()`, `.set_selected_protocol(..)` | [`offered_protocols`](Self::offered_protocols), [`protocol`](Self::protocol) |
/// | `.selected_protocol()`, `socket.protocol()` | `ws.request().subprotocol()` in the handler |
/// | `.max_message_size(..)`, `.max_frame_size(..)`, buffer sizes | [`limits`](Self::limits): 1 MiB by default, there 64 MiB |
/// | `.accept_unmasked_frames(..)` | none: RFC 6455 §5.1 has them fail the connection |
/// | `.on_failed_upgrade(..)` | the same, with an [`UpgradeError`] |
/// | any page may connect | pages of other sites get 403, unless [`origin`](Self::origin) says otherwise |
/// | 400 for a missing `Upgrade` or another version | 426, as RFC 9110 and RFC 6455 have it |
/// | 426 where the server does not upgrade | 500, and the log says what is missing |
#[must_use = "the client waits for an answer: call `on_upgrade`"]
pub struct WebSocketUpgrade {
    /// Boxed: it is moved many times before it is used once.
    inspected: Box<Inspected>,
    promise: Promise,
    options: Options,
    admit: Result<Admit, Rejection>,
    /// Behind a lock that is never taken, so that a handler may hold a reference across an await.
    failed: Mutex<Box<dyn FnOnce(UpgradeError) + Send>>,
}

impl WebSocketUpgrade {
    /// The id that the connection will have.
    pub fn id(&self) -> ClientId {
        self.inspected.id()
    }

    /// Where the connection comes from: behind a proxy that the server trusts, the client.
    pub fn peer(&self) -> Peer {
        self.inspected.peer()
    }

    /// The subprotocols that the client offers, in its order of preference.
    pub fn offered_protocols(&self) -> &Subprotocols {
        self.inspected.subprotocols()
    }

    /// The subprotocols that the handler speaks: the first that the client offered is agreed on, or none.
    /// Names that cannot be sent are the application's mistake: 500.
    pub fn protocols<S: AsRef<str>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        match Subprotocols::new(names) {
            Ok(names) => self.options = self.options.subprotocols(names),
            Err(error) => return self.change(|_| Err(Rejection::internal(error))),
        }
        self
    }

    /// Agrees on this subprotocol. One that the client does not [offer](Self::offered_protocols) is the
    /// application's mistake: 500.
    pub fn protocol(self, name: impl Into<Box<str>>) -> Self {
        self.change(|admit| Ok(admit.subprotocol(name)))
    }

    /// Adds a header line to the answer, such as `Set-Cookie`. One that cannot be sent is the
    /// application's mistake: 500.
    pub fn header(self, name: &str, value: &str) -> Self {
        self.change(|admit| admit.header(name, value).map_err(Rejection::internal))
    }

    /// Attaches a value, for [`WebSocket::data`] and [`Client::data`](ws_server::Client::data): who the
    /// user is, for example.
    pub fn data<T: Any + Send + Sync>(self, value: T) -> Self {
        self.change(|admit| Ok(admit.data(value)))
    }

    /// Subscribes the connection to `topic` before anybody can see it. A handler that subscribes begins
    /// after the client's `open`, and may miss what was published in between.
    pub fn subscribe(self, topic: impl Into<Box<str>>) -> Self {
        self.change(|admit| Ok(admit.subscribe(topic)))
    }

    /// The limits of this connection, in place of the service's.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.options = self.options.limits(limits);
        self
    }

    /// Which web pages may connect, in place of what the service says; others get 403.
    pub fn origin(mut self, policy: OriginPolicy) -> Self {
        self.options = self.options.origin(policy);
        self
    }

    /// Called if the connection is accepted and gets no stream: the client left, or a layer replaced the
    /// answer. That is logged, too.
    pub fn on_failed_upgrade(mut self, failed: impl FnOnce(UpgradeError) + Send + 'static) -> Self {
        self.failed = Mutex::new(Box::new(failed));
        self
    }

    fn change(mut self, change: impl FnOnce(Admit) -> Result<Admit, Rejection>) -> Self {
        self.admit = self.admit.and_then(change);
        self
    }

    /// Accepts the request, and lets `handler` run beside its connection once the answer has been sent.
    /// The answer is a 101, or a 200 over HTTP/2; or a refusal: 403 for a page of another site, 503 during
    /// the shutdown, and what else [`Inspected::accept`] says.
    ///
    /// The future ends in `()` or in `Result<(), HandlerError>`; `?` takes every error there. A function
    /// with an error of its own goes in by `async |ws| Ok(chat(ws).await?)`: were every `Result` taken, no
    /// `?` in a closure would know what it is to become.
    pub fn on_upgrade<F, Fut>(self, handler: F) -> Response
    where
        F: FnOnce(WebSocket) -> Fut + Send + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        let Self { inspected, promise, options, admit, failed } = self;
        let accepted = match admit {
            Ok(admit) => inspected.accept(options, admit),
            Err(mistake) => Err(inspected.reject(mistake)),
        };
        match accepted {
            Ok(accepted) => {
                let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
                promise.open(accepted.with(handler), failed)
            }
            Err(response) => refused(response, promise.version()),
        }
    }
}

fn refused(response: http::Response<Bytes>, version: Version) -> Response {
    fit(response.map(Body::from), version)
}

impl<S> FromRequestParts<S> for WebSocketUpgrade
where
    Service: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let promise = Promise::take(parts);
        let peer = FindPeer::default().find(parts);
        let inspected = Service::from_ref(state).inspect(parts, peer);
        let inspected = inspected.map_err(|response| refused(response, parts.version))?;
        let promise = promise.ok_or_else(|| refused(no_upgrade(), parts.version))?;
        Ok(Self {
            inspected: Box::new(inspected),
            promise,
            options: Options::default(),
            admit: Ok(Admit::new()),
            failed: Mutex::new(Box::new(|_| {})),
        })
    }
}

impl<S> OptionalFromRequestParts<S> for WebSocketUpgrade
where
    Service: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Response> {
        let is_connect = parts.extensions.get::<hyper::ext::Protocol>().is_some();
        if !is_connect && !parts.asks_for_upgrade() {
            return Ok(None);
        }
        <Self as FromRequestParts<S>>::from_request_parts(parts, state).await.map(Some)
    }
}

impl fmt::Debug for WebSocketUpgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketUpgrade")
            .field("inspected", &self.inspected)
            .field("options", &self.options)
            .field("admit", &self.admit)
            .finish_non_exhaustive()
    }
}
