//! The routes of a server as a service of tower.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, request::Parts};
use http_body_util::Full;
use tower_service::Service;
use tracing::error;
use ws_server::Peer;

use crate::{
    peer::FindPeer,
    upgrade::{NO_UPGRADES, Promise, fit},
};

/// The routes of a [`ws_server::Server`], with their gates and limits, as a service of tower: for
/// `axum::Router::route_service` and `nest_service`, for hyper by `TowerToHyperService`, for tonic in the
/// router that `Routes::into_axum_router` gives.
///
/// ```
/// # #[cfg(feature = "axum")]
/// # fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use ws_server::{Server, WebSocket};
///
/// let service = Server::new()
///     .route("/room/{room}", |mut ws: WebSocket| async move {
///         let room = ws.request().param("room").unwrap_or_default().to_owned();
///         ws.send(format!("welcome to {room}")).await?;
///         Ok(())
///     })
///     .service()?;
/// let app: axum::Router = axum::Router::new().route_service("/room/{room}", ws_tower::service(&service));
/// # Ok(())
/// # }
/// # #[cfg(feature = "axum")]
/// # run().unwrap();
/// ```
///
/// It is always ready and never fails: what is refused has its status, 503 where there is no room. A
/// request that asks for no WebSocket gets 426, and over HTTP/2 405. Route it for every method: over
/// HTTP/2 a WebSocket is a CONNECT.
///
/// `nest_service` takes the path that it is nested at from the request, so the routes of the server begin
/// after it.
pub fn service(service: &ws_server::Service) -> MountedService {
    MountedService { service: service.clone(), find: FindPeer::default() }
}

/// Made by [`service`](service()).
#[derive(Clone, Debug)]
pub struct MountedService {
    service: ws_server::Service,
    find: FindPeer,
}

impl MountedService {
    /// Says where a request comes from, for the limits per address and the handlers: of what the
    /// application's server puts into the extensions of a request, for example. `None` counts with nobody
    /// else. Without this it is a [`Peer`] among the extensions, or axum's `ConnectInfo` in the feature
    /// `axum`. Behind a proxy it is the proxy's, and
    /// [`Server::trust_proxies`](ws_server::Server::trust_proxies) does the rest.
    #[must_use]
    pub fn peer(mut self, find: impl Fn(&Parts) -> Option<Peer> + Send + Sync + 'static) -> Self {
        self.find = FindPeer::by(find);
        self
    }
}

impl<B> Service<Request<B>> for MountedService {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut parts, _) = request.into_parts();
        let promise = Promise::take(&mut parts);
        let peer = self.find.find(&parts);
        let service = self.service.clone();
        Box::pin(async move {
            let response = match service.upgrade(&parts, peer).await {
                Ok(accepted) => match promise {
                    Some(promise) => return Ok(promise.open(accepted, |_| {})),
                    None => no_upgrade(),
                },
                Err(response) => response,
            };
            Ok(fit(response.map(Full::new), parts.version))
        })
    }
}

/// The answer to a request that the server cannot upgrade.
pub(crate) fn no_upgrade() -> Response<Bytes> {
    error!("{NO_UPGRADES}");
    let text =
        "this server does not let its connections be upgraded; its log says what is missing\n";
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}
