//! What one opening asks for in place of its server's configuration.

use ws_handshake::{OriginPolicy, Subprotocols};

/// What [`Service::open`](crate::Service::open) agrees to, where it is not what the
/// [`Server`](crate::Server) was configured with.
///
/// ```
/// use ws_server::{Options, OriginPolicy};
///
/// let options = Options::default().origin(OriginPolicy::any());
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// The subprotocols that the handler speaks: the first that the client offered is taken. Default
    /// `None`: those of [`Server::subprotocols`](crate::Server::subprotocols).
    pub subprotocols: Option<Subprotocols>,
    /// Which web pages may connect; others get 403. Default `None`: what
    /// [`Server::origin`](crate::Server::origin) says.
    pub origin: Option<OriginPolicy>,
}

impl Options {
    /// Sets [`subprotocols`](Self#structfield.subprotocols).
    #[must_use]
    pub fn subprotocols(mut self, subprotocols: Subprotocols) -> Self {
        self.subprotocols = Some(subprotocols);
        self
    }

    /// Sets [`origin`](Self#structfield.origin).
    #[must_use]
    pub fn origin(mut self, origin: OriginPolicy) -> Self {
        self.origin = Some(origin);
        self
    }
}
