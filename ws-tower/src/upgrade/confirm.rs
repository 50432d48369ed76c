//! Whether the answer that was sent is the one that was given.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use http::{Method, Request, Response, StatusCode, request::Parts};
use hyper::upgrade::OnUpgrade;
use tokio::sync::oneshot;
use tower_layer::Layer;
use tower_service::Service;

/// Confirms that the answer which opens a WebSocket reaches the server as it was given, and ends the
/// WebSocket at once if it does not. **Put it outside of all other layers**;
/// [`serve`](crate::serve()) does so by itself.
///
/// hyper gives a stream of HTTP/1.1 to whoever waits for an upgrade once the connection ends, whatever
/// was answered: a client that a layer refused after the handler had accepted it need only ask for
/// `Connection: Upgrade, close`, and talks to the handler. Until then it has its place among the clients.
/// Where nobody confirms, that is logged once.
///
/// ```
/// # #[cfg(feature = "axum")]
/// # fn run() {
/// let app: axum::Router = axum::Router::new();
/// // Routes and other layers, and as the last one:
/// let app = app.layer(ws_tower::ConfirmLayer::default());
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct ConfirmLayer;

impl<S> Layer<S> for ConfirmLayer {
    type Service = Confirm<S>;

    fn layer(&self, service: S) -> Confirm<S> {
        Confirm { service }
    }
}

/// A service behind [`ConfirmLayer`].
#[derive(Clone, Debug)]
pub struct Confirm<S> {
    service: S,
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
        let is_connect = *request.method() == Method::CONNECT;
        let extensions = request.extensions_mut();
        // Of several the outermost decides.
        let is_first = extensions.get::<Expected>().is_none();
        let confirms = (is_first && extensions.get::<OnUpgrade>().is_some()).then(|| {
            let (confirms, confirmed) = oneshot::channel();
            extensions.insert(Expected(Arc::new(Mutex::new(Some(confirmed)))));
            confirms
        });
        Confirming { answer: Box::pin(self.service.call(request)), confirms, is_connect }
    }
}

/// The future of a [`Confirm`].
#[must_use = "futures do nothing unless polled"]
pub struct Confirming<F> {
    answer: Pin<Box<F>>,
    confirms: Option<oneshot::Sender<()>>,
    is_connect: bool,
}

impl<F, R, E> Future for Confirming<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let answer = std::task::ready!(self.answer.as_mut().poll(cx));
        if let Some(confirms) = self.confirms.take()
            && let Ok(response) = &answer
        {
            let opens = match self.is_connect {
                true => response.status().is_success(),
                false => response.status() == StatusCode::SWITCHING_PROTOCOLS,
            };
            // Another answer may have such a status, too: a page that a layer keeps, for example.
            if opens && response.extensions().get::<Opens>().is_some() {
                // Nobody waits if the request opened no WebSocket of ours.
                confirms.send(()).ok();
            }
        }
        Poll::Ready(answer)
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
