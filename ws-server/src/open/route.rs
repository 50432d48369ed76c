//! A route: a handler, and the rules of its path.

use std::{fmt, sync::Arc};

use ws_core::ExtensionFactory;
use ws_handshake::{AcceptOptions, ExtensionSet, OriginPolicy, Subprotocols};

use crate::{ConfigError, Gate, Handler, Limits, open::terms::Terms};

/// A handler, with the rules that hold for its path alone. For a rule that is not set, that of the
/// [`Server`](crate::Server) holds. A bare [`Handler`] is a route, too.
///
/// ```
/// use ws_server::{Limits, OriginPolicy, Route, Server, WebSocket};
///
/// let feed = |mut ws: WebSocket| async move {
///     while ws.recv().await.is_some() {}
///     Ok(())
/// };
/// let server = Server::new().route(
///     "/feed/{channel}",
///     Route::new(feed)
///         .origin(OriginPolicy::any())
///         .require_subprotocol(["feed.v2", "feed.v1"])
///         .limits(Limits::default().max_message(4096)),
/// );
/// ```
#[must_use = "Server::route takes it"]
pub struct Route {
    pub(super) handler: Arc<dyn Handler>,
    pub(super) gate: Option<Arc<dyn Gate>>,
    origin: Option<OriginPolicy>,
    subprotocols: Option<(Subprotocols, bool)>,
    extensions: Option<ExtensionSet>,
    limits: Option<Limits>,
    mistake: Option<ConfigError>,
}

impl Route {
    /// A route that is served by `handler`.
    pub fn new(handler: impl Handler) -> Self {
        Self {
            handler: Arc::new(handler),
            gate: None,
            origin: None,
            subprotocols: None,
            extensions: None,
            limits: None,
            mistake: None,
        }
    }

    /// Asks `gate` who may connect. Default: every client with a valid opening handshake.
    pub fn gate(mut self, gate: impl Gate) -> Self {
        self.gate = Some(Arc::new(gate));
        self
    }

    /// Which web pages may connect, in place of [`Server::origin`](crate::Server::origin).
    pub fn origin(mut self, policy: OriginPolicy) -> Self {
        self.origin = Some(policy);
        self
    }

    /// The subprotocols that the handler speaks, in place of
    /// [`Server::subprotocols`](crate::Server::subprotocols): the first that the client offers is taken.
    pub fn subprotocols<S: AsRef<str>>(self, names: impl IntoIterator<Item = S>) -> Self {
        self.speak(names, false)
    }

    /// As [`subprotocols`](Self::subprotocols), but a client that offers none of them gets 400. Takes
    /// several: a handler may speak two versions of one protocol.
    pub fn require_subprotocol<S: AsRef<str>>(self, names: impl IntoIterator<Item = S>) -> Self {
        self.speak(names, true)
    }

    fn speak<S: AsRef<str>>(mut self, names: impl IntoIterator<Item = S>, required: bool) -> Self {
        let outcome = Subprotocols::new(names)
            .map(|names| self.subprotocols = Some((names, required)))
            .map_err(ConfigError::Subprotocols);
        self.note(outcome);
        self
    }

    /// Offers an extension, after those that were added to the route before, nearer to the wire. A
    /// route that names extensions has no others: not those of the server.
    pub fn extension(mut self, factory: impl ExtensionFactory + 'static) -> Self {
        let outcome =
            self.extensions.get_or_insert_default().push(factory).map_err(ConfigError::Extensions);
        self.note(outcome);
        self
    }

    /// Offers no extension, whatever the server does.
    pub fn without_extensions(mut self) -> Self {
        self.extensions = Some(ExtensionSet::new());
        self
    }

    /// The limits of its connections, in place of [`Server::limits`](crate::Server::limits).
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Keeps the first mistake.
    fn note(&mut self, outcome: Result<(), ConfigError>) {
        if let (Err(mistake), None) = (outcome, &self.mistake) {
            self.mistake = Some(mistake);
        }
    }

    pub(super) fn take_mistake(&mut self) -> Result<(), ConfigError> {
        self.mistake.take().map_or(Ok(()), Err)
    }

    /// What its connections agree to, where `server` says the rest.
    pub(super) fn terms(&mut self, server: &Arc<Terms>) -> Result<Arc<Terms>, ConfigError> {
        let (origin, subprotocols) = (self.origin.take(), self.subprotocols.take());
        let (extensions, limits) = (self.extensions.take(), self.limits.take());
        if origin.is_none() && subprotocols.is_none() && extensions.is_none() && limits.is_none() {
            return Ok(Arc::clone(server));
        }
        let mut accept: AcceptOptions = server.accept.clone();
        if let Some(policy) = origin {
            accept = accept.origin(policy);
        }
        accept = match subprotocols {
            None => accept,
            Some((names, false)) => accept.subprotocols(names),
            Some((names, true)) => accept.require_subprotocol(names),
        };
        if let Some(extensions) = extensions {
            accept = accept.extensions(extensions);
        }
        match limits {
            Some(limits) => Ok(Arc::new(Terms::new(accept, limits)?)),
            None => Ok(Arc::new(server.with(accept))),
        }
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("gate", &self.gate.is_some())
            .field("origin", &self.origin)
            .field("subprotocols", &self.subprotocols)
            .field("extensions", &self.extensions)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// A [`Route`], or a bare [`Handler`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not handle connections",
    label = "neither a `Handler` nor a `Route`",
    note = "a handler is a closure `|mut ws: WebSocket| async move {{ ..; Ok(()) }}`, an `async fn(WebSocket) -> Result<(), HandlerError>`, or implements `Handler`"
)]
pub trait IntoRoute {
    /// Converts it.
    fn into_route(self) -> Route;
}

impl IntoRoute for Route {
    fn into_route(self) -> Route {
        self
    }
}

impl<H: Handler> IntoRoute for H {
    fn into_route(self) -> Route {
        Route::new(self)
    }
}
