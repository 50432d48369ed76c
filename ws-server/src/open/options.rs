//! Options of one opening, in place of its server's configuration.

use std::borrow::Cow;

use ws_handshake::{AcceptOptions, OriginPolicy, Subprotocols};

use crate::Limits;

/// What [`Service::open`](crate::Service::open) agrees to, if other than what the
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
    /// The limits of the connection. Default `None`: those of
    /// [`Server::limits`](crate::Server::limits).
    pub limits: Option<Limits>,
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

    /// Sets [`limits`](Self#structfield.limits).
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Applies these options over `configured`.
    pub(crate) fn over<'a>(&self, configured: &'a AcceptOptions) -> Cow<'a, AcceptOptions> {
        let mut options = Cow::Borrowed(configured);
        if let Some(subprotocols) = &self.subprotocols {
            options = Cow::Owned(options.into_owned().subprotocols(subprotocols.clone()));
        }
        if let Some(origin) = &self.origin {
            options = Cow::Owned(options.into_owned().origin(origin.clone()));
        }
        options
    }
}
