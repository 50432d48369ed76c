//! Whether the answer that was sent is the one that was given.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use http::{Request, Response, StatusCode, Uri, request::Parts};
use hyper::{ext::Protocol, upgrade::OnUpgrade};
use tokio::sync::oneshot;
use tower_layer::Layer;
use tower_service::Service;
use tracing::warn;

/// Confirms that the answer which opens a WebSocket reaches the server as it was given, and ends the
/// WebSocket at once if it does not. **Put it outside of all other layers**;
/// [`serve`](crate::serve()) does so by itself.
///
/// hyper gives a stream of HTTP/1.1 to whoever waits for an upgrade once the connection ends, whatever
/// was answered: a client that a layer refused after the handler had accepted it need only ask for
/// `Connection: Upgrade, close`, and talks to the handler. Until then it has its place among the clients.
/// Where nobody confirms, that is logged once.
///
/// It also tells the log, once, of a WebSocket over HTTP/2 that is answered 405: its route takes GET
/// alone.
///
/// ```
/// # #[cfg(feature = "axum")]
/// # fn run() {
/// let app: axum::Router = axum::Router::new();
/// // Routes and other layers, and as the last one:
/// let app = app.layer(ws_tower::ConfirmLayer::default());
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct ConfirmLayer {
    told: Told,
}

impl<S> Layer<S> for ConfirmLayer {
    type Service = Confirm<S>;

    fn layer(&self, service: S) -> Confirm<S> {
        Confirm { service, told: self.told.clone() }
    }
}

/// A service behind [`ConfirmLayer`].
#[derive(Clone, Debug)]
pub struct Confirm<S> {
    service: S,
    told: Told,
}

impl<S, B, R> Service<Request<B>> for Confirm<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Confirming<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let expecting = Expecting::of(&mut request, &self.told);
        Confirming { answer: Box::pin(self.service.call(request)), expecting }
    }
}

/// The future of a [`Confirm`].
#[must_use = "futures do nothing unless polled"]
pub struct Confirming<F> {
    answer: Pin<Box<F>>,
    expecting: Option<Expecting>,
}

impl<F, R, E> Future for Confirming<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let answer = std::task::ready!(self.answer.as_mut().poll(cx));
        if let (Some(expecting), Ok(response)) = (self.expecting.take(), &answer) {
            expecting.see(response);
        }
        Poll::Ready(answer)
    }
}

/// Whether the log has been told of a route that takes GET alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told(Arc<AtomicBool>);

/// A request that may open a WebSocket, whose answer is yet to be seen.
pub(crate) struct Expecting {
    confirms: oneshot::Sender<()>,
    /// What an extended CONNECT for a WebSocket asks for, as long as the log may be told of it.
    over_http2: Option<(Uri, Told)>,
    is_connect: bool,
}

impl Expecting {
    /// Promises the confirmation to a request, if nobody further out has.
    pub(crate) fn of<B>(request: &mut Request<B>, told: &Told) -> Option<Self> {
        let extensions = request.extensions();
        // Of several the outermost decides.
        if extensions.get::<Expected>().is_some() || extensions.get::<OnUpgrade>().is_none() {
            return None;
        }
        let protocol = extensions.get::<Protocol>();
        let asks = protocol.is_some_and(|protocol| protocol.as_str() == "websocket");
        let over_http2 = (asks && !told.0.load(Ordering::Relaxed))
            .then(|| (request.uri().clone(), told.clone()));
        let is_connect = *request.method() == http::Method::CONNECT;
        let (confirms, confirmed) = oneshot::channel();
        request.extensions_mut().insert(Expected(Arc::new(Mutex::new(Some(confirmed)))));
        Some(Self { confirms, over_http2, is_connect })
    }

    /// Confirms the answer if it opens the WebSocket.
    pub(crate) fn see<R>(self, response: &Response<R>) {
        let Self { confirms, over_http2, is_connect } = self;
        let status = response.status();
        let opens = match is_connect {
            true => status.is_success(),
            false => status == StatusCode::SWITCHING_PROTOCOLS,
        };
        // Another answer may have such a status, too: a page that a layer keeps, for example.
        if opens && response.extensions().get::<Opens>().is_some() {
            // Nobody waits if the request opened no WebSocket of ours.
            confirms.send(()).ok();
        } else if status == StatusCode::METHOD_NOT_ALLOWED
            && let Some((uri, told)) = over_http2
            && !told.0.swap(true, Ordering::Relaxed)
        {
            warn!(
                path = uri.path(),
                "a WebSocket over HTTP/2 is answered 405, and a browser does not come back over \
                 HTTP/1.1: over HTTP/2 it is a CONNECT, so route it by any(..) and not by get(..)"
            );
        }
    }
}

/// Marks an answer that opens a WebSocket.
#[derive(Clone, Copy)]
pub(super) struct Opens;

/// The confirmation that a request is to expect.
#[derive(Clone)]
struct Expected(Arc<Mutex<Option<oneshot::Receiver<()>>>>);

/// Takes the confirmation that a request expects, if anybody gives it.
pub(super) fn take(parts: &mut Parts) -> Option<oneshot::Receiver<()>> {
    let Expected(confirmed) = parts.extensions.remove()?;
    confirmed.lock().unwrap_or_else(PoisonError::into_inner).take()
}
