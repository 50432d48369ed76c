//! Accepts a request or rejects it, whoever parsed it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use http::{
    HeaderName, StatusCode,
    header::{HOST, ORIGIN, SEC_WEBSOCKET_PROTOCOL},
};
use tracing::{Level, Span, debug, error, field::display, info};
use ws_core::{Connection, ObservedFrame, Role, extension::Extensions};
use ws_handshake::{Cause, OriginRefusal, Rejection, RequestView, Upgrade};

use crate::{
    ClientId, Handler, Opening, Options, Peer, Request, leaves::log_limiter::Escaped,
    open::shared::Shared, outbox::Outbox,
};

/// An accepted request, before its connection is driven.
pub(crate) struct Agreement {
    /// Writes the 101. Its extensions are those of `ws`.
    pub(crate) handshake: ws_handshake::Accepted,
    pub(crate) ws: Connection,
    pub(crate) outbox: Arc<Outbox>,
}

/// Accepts a request for one of the routes, and finds its handler.
pub(crate) fn route(
    request: &impl RequestView,
    shared: &Shared,
    id: ClientId,
    peer: Peer,
) -> Result<(Agreement, Arc<dyn Handler>), Rejection> {
    let Some(handler) = shared.routes.find(request.uri().path()) else {
        return Err(Rejection::new(StatusCode::NOT_FOUND).body("there is nothing at this path\n"));
    };
    let agreement = accept(request, shared, id, peer, &Options::default())?;
    Ok((agreement, Arc::clone(handler)))
}

/// Accepts a request for whatever path. The current span is that of the connection.
pub(crate) fn accept(
    request: &impl RequestView,
    shared: &Shared,
    id: ClientId,
    peer: Peer,
    options: &Options,
) -> Result<Agreement, Rejection> {
    let upgrade = Upgrade::inspect_within(request, &shared.server_limits.head)?;
    let offers_subprotocols = !upgrade.subprotocols().is_empty();
    let mut handshake = upgrade.accept(&options.over(&shared.accept))?;

    let extensions = handshake.extensions_header();
    let subprotocol = handshake.subprotocol.as_deref();
    let span = Span::current();
    span.record("extensions", extensions);
    span.record("subprotocol", subprotocol);
    if offers_subprotocols && subprotocol.is_none() {
        log_no_subprotocol(request, shared);
    }
    if tracing::enabled!(Level::DEBUG) {
        for line in handshake.report.to_string().lines() {
            debug!("extension {}", Escaped(line));
        }
        debug!("open");
    }

    let seen = Request::new(request.uri(), request.header_lines(), peer, extensions, subprotocol);
    let negotiated = std::mem::replace(&mut handshake.extensions, Extensions::none());
    let mut ws = Connection::new(Role::Server, Arc::clone(&shared.config), negotiated);
    if let Some(observe) = &shared.observe {
        let opening = Opening { id, request: &seen, report: &handshake.report };
        // A panic costs this request and nothing else.
        match catch_unwind(AssertUnwindSafe(|| observe(&opening))) {
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
    let stats = Some(Arc::clone(&shared.clients.registry.stats));
    let outbox = Outbox::new(id, seen, Arc::clone(&shared.limits), stats);
    Ok(Agreement { handshake, ws, outbox })
}

/// Says that browsers will fail this connection, and why.
fn log_no_subprotocol(request: &impl RequestView, shared: &Shared) {
    if let Some(offered) = value(request, &SEC_WEBSOCKET_PROTOCOL)
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

/// Counts a rejection and logs it.
pub(crate) fn log(rejection: &Rejection, request: Option<&impl RequestView>, shared: &Shared) {
    let stats = &shared.clients.registry.stats;
    stats.counters.rejected(rejection.status(), rejection.cause());
    let Some(left_out) = stats.client_log.admit() else { return };
    match rejection.cause() {
        Cause::Application => info!(left_out, "rejected with {}", rejection.status()),
        cause @ (Cause::Origin(_) | Cause::OtherHost) => {
            let [origin, host] = request.map_or_else(Default::default, compared);
            let (origin, host) = (origin.as_deref().map(Escaped), host.as_deref().map(Escaped));
            let (origin, host) = (origin.as_ref().map(display), host.as_ref().map(display));
            let hint = match cause {
                Cause::Origin(OriginRefusal::CrossSite) => {
                    "; if it is your own, a proxy changes Host: let it through, or see Server::origin"
                }
                _ => "",
            };
            info!(origin, host, left_out, "rejected with {rejection}{hint}");
        }
        _ => info!(left_out, "rejected with {rejection}"),
    }
}

/// The origin of a request, and the host that it was compared with.
fn compared(request: &impl RequestView) -> [Option<String>; 2] {
    let authority = request.uri().authority().map(|authority| authority.as_str().to_owned());
    [value(request, &ORIGIN), authority.or_else(|| value(request, &HOST))]
}

/// The first header line of a name, for a log.
fn value(request: &impl RequestView, name: &HeaderName) -> Option<String> {
    let name = name.as_str().as_bytes();
    let (_, value) = request.header_lines().find(|(own, _)| *own == name)?;
    Some(String::from_utf8_lossy(value).into_owned())
}
