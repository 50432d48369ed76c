//! A client in the same process, without a socket: for an application's own tests.

use tokio::io::duplex;
use ws_server::{Connect, ConnectError, Peer, WebSocket};

use crate::serve::{HttpService, http::Http};

/// What is on its way between the two.
const PIPE: usize = 64 * 1024;

/// Connects a client to a router, or another service of tower, in memory: over HTTP/1.1, through all of
/// its layers, and without a socket. With `tokio::time::pause` a test needs no real time.
///
/// ```
/// # #[cfg(feature = "axum")]
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{Router, routing::any};
/// use ws_server::{Server, WebSocket};
/// use ws_tower::WebSocketUpgrade;
///
/// let hello = |upgrade: WebSocketUpgrade| async {
///     upgrade.on_upgrade(|mut ws: WebSocket| async move { Ok(ws.send("hello").await?) })
/// };
/// let app = Router::new().route("/", any(hello)).with_state(Server::new().service()?);
/// let mut client = ws_tower::test_client(app, "/").await?;
/// assert_eq!(client.recv().await, Some("hello".into()));
/// # Ok(())
/// # }
/// # #[cfg(feature = "axum")]
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
///
/// # Errors
/// [`ConnectError`]: a rejection is [`ConnectError::Refused`].
///
/// # Panics
/// Outside of a tokio runtime with time.
pub async fn test_client(app: impl HttpService, path: &str) -> Result<WebSocket, ConnectError> {
    test_client_with(app, Connect::new(&format!("ws://test{path}")), Peer::Other).await
}

/// As [`test_client`], for what `connect` asks, from where `peer` says.
///
/// # Errors
/// As [`test_client`].
///
/// # Panics
/// As [`test_client`].
pub async fn test_client_with(
    app: impl HttpService,
    connect: Connect,
    peer: Peer,
) -> Result<WebSocket, ConnectError> {
    let (client, server) = duplex(PIPE);
    tokio::spawn(async move { Http::default().serve_one(server, peer, app).await });
    connect.over(client).await
}
