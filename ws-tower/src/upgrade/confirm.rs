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
/// WebSocket at once if it does not.
///
/// hyper gives a stream to whoever waits for an upgrade, even if a layer put another answer in its place:
/// after a 403 with `Connection: close`, a client could go on and talk to the handler. So put this outside
/// of all layers that may replace an answer. [`serve`](crate::serve()) does so by itself.
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
        let confirms = request.extensions().get::<OnUpgrade>().is_some().then(|| {
            let (confirms, confirmed) = oneshot::channel();
            request.extensions_mut().insert(Expected(Arc::new(Mutex::new(Some(confirmed)))));
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
            if opens {
                // Nobody waits if the request opened no WebSocket of ours.
                confirms.send(()).ok();
            }
        }
        Poll::Ready(answer)
    }
}

/// The confirmation that a request is to expect. Where a layer is there twice the outer one counts last.
#[derive(Clone)]
struct Expected(Arc<Mutex<Option<oneshot::Receiver<()>>>>);

/// Takes the confirmation that a request expects, if anybody gives it.
pub(super) fn take(parts: &mut Parts) -> Option<oneshot::Receiver<()>> {
    let Expected(confirmed) = parts.extensions.remove()?;
    confirmed.lock().unwrap_or_else(PoisonError::into_inner).take()
}
