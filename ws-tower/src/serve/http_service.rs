//! What a server of HTTP serves.

use std::{convert::Infallible, future::poll_fn};

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tower_service::Service;

use super::BoxError;

/// A service of tower that [`serve`](crate::serve()) takes, such as a router of axum. Implemented for all of
/// them, and by nobody else.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be served",
    label = "not a service of tower for requests of hyper",
    note = "of axum it is a `Router` that has its state, without `into_make_service()`; others answer a `Request<Incoming>`, their error is `Infallible`, and they are `Clone + Send + 'static`"
)]
pub trait HttpService: Sealed + Clone + Send + 'static {
    /// The body of its answers.
    #[doc(hidden)]
    type Body: Body<Data: Send, Error: Into<BoxError>> + Send + 'static;

    #[doc(hidden)]
    fn answer(
        self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Self::Body>, Infallible>> + Send;
}

/// Its bounds are those of [`HttpService`], and will grow with them.
pub trait Sealed {}

impl<S, B> Sealed for S where S: Service<Request<Incoming>, Response = Response<B>> {}

impl<S, B> HttpService for S
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Body = B;

    async fn answer(mut self, request: Request<Incoming>) -> Result<Response<B>, Infallible> {
        poll_fn(|cx| self.poll_ready(cx)).await?;
        self.call(request).await
    }
}
