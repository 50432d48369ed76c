//! What the servers inside axum share: the router, and `axum::serve` on one thread.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::handler::Handler;
use axum::routing::any;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;

use crate::server::{Failure, Options, on_one_thread};

/// Serves `/echo` by `handler`, for ever.
///
/// # Errors
/// If the port cannot be had.
pub fn serve<H, T, S>(options: Options, handler: H, state: S) -> Result<(), Failure>
where
    H: Handler<T, S>,
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    on_one_thread(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
        println!("listening on {}", listener.local_addr()?);
        // A client that has left already is nothing to report.
        let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap_or_default());
        let app = Router::new().route("/echo", any(handler)).with_state(state);
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        Ok(axum::serve(listener, app).await?)
    })
}
