//! Accepts or rejects a request, whichever HTTP implementation parsed it.

use std::{
    borrow::Cow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use http::{
    HeaderName, StatusCode,
    header::{HOST, ORIGIN, SEC_WEBSOCKET_PROTOCOL},
};
use tracing::{Level, Span, debug, error, field::display, info, warn};
use ws_core::{Connection, ObservedFrame, Role, extension::Extensions};
use ws_handshake::{AcceptOptions, Cause, OriginRefusal, Rejection, RequestView, Upgrade};

use crate::{
    AdmissionLimit, Admit, Agreed, ClientId, Limits, Opening, Peer, Request, SubscribeError,
    leaves::{
        client::Client,
        error::error_chain,
        log_limiter::Escaped,
        request::{Param, Source},
    },
    open::{gate, routes::Served, shared::Shared, terms::Terms},
    outbox::Outbox,
};

/// A valid opening handshake for one of the routes, which its gate may decide on.
pub(crate) struct Asked<'r> {
    pub(crate) route: &'r Served,
    params: Vec<Param<'r>>,
    upgrade: Upgrade,
}

/// An accepted request, before its connection is driven.
pub(crate) struct Agreement {
    /// Writes the 101. Its extensions are those of `ws`.
    pub(crate) handshake: ws_handshake::Accepted,
    pub(crate) ws: Connection,
    pub(crate) outbox: Arc<Outbox>,
    /// What it subscribes to from the start.
    pub(crate) topics: Vec<Box<str>>,
}

/// Finds the route of a request.
pub(crate) fn route<'r>(
    request: &'r impl RequestView,
    source: &Source,
    shared: &'r Shared,
) -> Result<Asked<'r>, Rejection> {
    let Some((route, params)) = shared.routes.find(request.uri().path())? else {
        return Err(Cause::NoRoute.into());
    };
    Ok(Asked { route, params, upgrade: inspect(request, source, shared)? })
}

/// Whether a request is a valid opening handshake.
pub(crate) fn inspect(
    request: &impl RequestView,
    source: &Source,
    shared: &Shared,
) -> Result<Upgrade, Rejection> {
    let upgrade = Upgrade::inspect_within(request, &shared.server_limits.head)?;
    let upgrade = match &source.host {
        Some(host) => upgrade.for_authority(host.clone()),
        None => upgrade,
    };
    Ok(match source.forwarded_secure {
        Some(is_secure) => upgrade.over_tls(is_secure),
        None => upgrade,
    })
}

impl<'r> Asked<'r> {
    /// Asks the gate of the route, if it has one.
    ///
    /// # Cancel safety
    /// A dropped call drops the gate's future where it waits.
    pub(crate) async fn ask(
        &self,
        request: &impl RequestView,
        shared: &Shared,
        id: ClientId,
        source: &Source,
        client: Option<Client>,
    ) -> Result<Admit, Rejection> {
        let Some(gate) = &self.route.gate else { return Ok(Admit::new()) };
        let Terms { accept, .. } = &*self.route.terms;
        // A gate may be costly, and sees none of those that are refused anyway.
        self.upgrade.check(accept)?;
        let (uri, headers) = (request.uri(), request.header_lines());
        let seen = Request::new(uri, headers, source, &self.params, None, None);
        gate::ask(&**gate, Opening::new(id, seen, &self.upgrade), client, shared).await
    }

    /// What is to be agreed on, once the gate admits the client.
    pub(crate) fn admit(
        self,
        request: &impl RequestView,
        id: ClientId,
        source: Source,
        mut admit: Admit,
    ) -> Decision<'r, impl FnOnce(Option<&str>, Option<&str>) -> Request> {
        let Self { route, params, upgrade } = self;
        let terms = &*route.terms;
        let options = admit.choose(Cow::Borrowed(&terms.accept));
        let peer = source.peer;
        let seen = move |extensions: Option<&str>, subprotocol: Option<&str>| {
            let (uri, headers) = (request.uri(), request.header_lines());
            Request::new(uri, headers, &source, &params, extensions, subprotocol)
        };
        Decision { id, peer, upgrade, options, terms, admit, seen }
    }
}

/// What is agreed on, as far as the server is concerned.
pub(crate) struct Decision<'r, F> {
    pub(crate) id: ClientId,
    pub(crate) peer: Peer,
    pub(crate) upgrade: Upgrade,
    pub(crate) options: Cow<'r, AcceptOptions>,
    pub(crate) terms: &'r Terms,
    pub(crate) admit: Admit,
    /// The request as the application sees it, once extensions and subprotocol are agreed on.
    pub(crate) seen: F,
}

/// Agrees to what a client offers, on whatever path. The current span is that of the connection.
pub(crate) fn accept(
    shared: &Shared,
    decision: Decision<'_, impl FnOnce(Option<&str>, Option<&str>) -> Request>,
) -> Result<Agreement, Rejection> {
    let Decision { id, peer, upgrade, options, terms, admit, seen } = decision;
    let offers_subprotocols = !upgrade.subprotocols().is_empty();
    let mut handshake = upgrade.accept(&options)?.headers(admit.headers);

    let extensions = handshake.extensions_header();
    let subprotocol = handshake.subprotocol.as_deref();
    let span = Span::current();
    span.record("extensions", extensions);
    span.record("subprotocol", subprotocol);
    let seen = seen(extensions, subprotocol);
    if offers_subprotocols && subprotocol.is_none() {
        log_no_subprotocol(&seen, shared);
    }
    if tracing::enabled!(Level::DEBUG) {
        for line in handshake.report.to_string().lines() {
            debug!("extension {}", Escaped(line));
        }
        debug!("open");
    }

    let negotiated = std::mem::replace(&mut handshake.extensions, Extensions::none());
    let mut ws = Connection::new(Role::Server, Arc::clone(&terms.config), negotiated);
    if let Some(observe) = &shared.observe {
        let agreed = Agreed { id, request: &seen, report: &handshake.report };
        // A panic costs this request and nothing else.
        match catch_unwind(AssertUnwindSafe(|| observe(&agreed))) {
            Ok(Some(mut observer)) => {
                ws.observe_frames(move |frame: &ObservedFrame| observer.frame(frame));
            }
            Ok(None) => {}
            Err(_) => {
                error!(%id, %peer, "the application panicked when it was shown the opening");
                return Err(Rejection::new(StatusCode::INTERNAL_SERVER_ERROR));
            }
        }
    }
    check_topics(&admit.topics, &terms.limits).map_err(Rejection::internal)?;
    let stats = Some(Arc::clone(&shared.clients.registry.stats));
    let outbox = Outbox::new(id, seen, Arc::clone(&terms.limits), stats);
    for value in admit.data {
        outbox.data.insert(value);
    }
    Ok(Agreement { handshake, ws, outbox, topics: admit.topics })
}

/// Whether a connection may subscribe to all of these.
fn check_topics(topics: &[Box<str>], limits: &Limits) -> Result<(), SubscribeError> {
    let limit = limits.max_topic;
    if let Some(long) = topics.iter().find(|topic| topic.len() > limit) {
        return Err(SubscribeError::TopicTooLong { len: long.len(), limit });
    }
    let limit = limits.max_subscriptions;
    if topics.len() > limit { Err(SubscribeError::TooMany { limit }) } else { Ok(()) }
}

/// Says that browsers will fail this connection, and why.
fn log_no_subprotocol(request: &Request, shared: &Shared) {
    if let Some(offered) = text(request, &SEC_WEBSOCKET_PROTOCOL)
        && let Some(left_out) = shared.clients.registry.stats.subprotocol_log.admit()
    {
        info!(
            offered = %Escaped(&offered),
            left_out,
            "no subprotocol that the client offers is spoken here, for which browsers and others fail \
             the connection: see Server::subprotocols"
        );
    }
}

/// Counts a rejection and logs it. `compared` is the origin, and the host that it was compared with.
pub(crate) fn log(
    rejection: &Rejection,
    compared: impl FnOnce() -> [Option<String>; 2],
    shared: &Shared,
) {
    let stats = &shared.clients.registry.stats;
    match rejection.cause() {
        // Those that wait for a gate count as pending.
        Cause::NoRoom => stats.counters.kept_out(AdmissionLimit::MaxPending),
        cause => stats.counters.rejected(rejection.status(), cause),
    }
    let Some(left_out) = stats.client_log.admit() else { return };
    match rejection.cause() {
        Cause::Application => match rejection.error() {
            Some(error) => {
                let error = error_chain(error);
                warn!(error = %Escaped(&error), left_out, "rejected with {}", rejection.status());
            }
            None => info!(left_out, "rejected with {}", rejection.status()),
        },
        cause @ (Cause::Origin(_) | Cause::OtherHost) => {
            let [origin, host] = compared();
            let (origin, host) = (origin.as_deref().map(Escaped), host.as_deref().map(Escaped));
            let (origin, host) = (origin.as_ref().map(display), host.as_ref().map(display));
            let hint = match cause {
                Cause::Origin(OriginRefusal::CrossSite) => {
                    "; if it is your own, a proxy changes Host or names another scheme: mend that, or see Server::origin"
                }
                _ => "",
            };
            info!(origin, host, left_out, "rejected with {rejection}{hint}");
        }
        Cause::NoRoom => {
            let limit = AdmissionLimit::MaxPending.explain(&shared.server_limits);
            info!(left_out, "rejected with {rejection}: {limit}");
        }
        _ => info!(left_out, "rejected with {rejection}"),
    }
}

/// The origin of a request, and the host that it was compared with.
pub(crate) fn compared(request: &impl RequestView) -> [Option<String>; 2] {
    let authority = request.uri().authority().map(|authority| authority.as_str().to_owned());
    [value(request, &ORIGIN), authority.or_else(|| value(request, &HOST))]
}

/// As [`compared`], of a request that the application has seen.
pub(crate) fn compared_of(request: &Request, authority: Option<&str>) -> [Option<String>; 2] {
    let host = authority.map(str::to_owned).or_else(|| text(request, &HOST));
    [text(request, &ORIGIN), host]
}

/// The first header line of a name, for a log.
fn text(request: &Request, name: &HeaderName) -> Option<String> {
    let value = request.header_all(name.as_str()).next()?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// The first header line of a name, for a log.
fn value(request: &impl RequestView, name: &HeaderName) -> Option<String> {
    let name = name.as_str().as_bytes();
    let (_, value) = request.header_lines().find(|(own, _)| *own == name)?;
    Some(String::from_utf8_lossy(value).into_owned())
}
