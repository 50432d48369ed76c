//! A client in the same process, without a socket: for an application's own tests.

use tokio::io::duplex;

use crate::{Connect, ConnectError, Peer, Service, WebSocket};

/// What is on its way between the two.
const PIPE: usize = 64 * 1024;

impl Service {
    /// Connects a client to this service in memory, through everything that a connection over TCP goes
    /// through: the request, routes and gate, the handshake, limits. With `tokio::time::pause` a test
    /// needs no real time.
    ///
    /// ```
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// use ws_server::{Server, WebSocket};
    ///
    /// let service = Server::new()
    ///     .route("/room/{room}", |mut ws: WebSocket| async move {
    ///         let room = ws.request().param("room").unwrap_or_default().to_owned();
    ///         ws.send(format!("welcome to {room}")).await?;
    ///         Ok(())
    ///     })
    ///     .service()?;
    /// let mut client = service.test_client("/room/7").await?;
    /// assert_eq!(client.recv().await, Some("welcome to 7".into()));
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
    /// ```
    ///
    /// The client has no address ([`Peer::Other`]) and asks the host `test`. For headers, subprotocols
    /// and extensions there is [`test_client_with`](Self::test_client_with).
    ///
    /// # Errors
    /// [`ConnectError`]: a rejection is [`ConnectError::Refused`].
    ///
    /// # Panics
    /// Outside of a tokio runtime with time.
    pub async fn test_client(&self, path: &str) -> Result<WebSocket, ConnectError> {
        self.test_client_with(Connect::new(&format!("ws://test{path}")), Peer::Other).await
    }

    /// As [`test_client`](Self::test_client), for what `connect` asks, from where `peer` says.
    ///
    /// # Errors
    /// As [`test_client`](Self::test_client).
    ///
    /// # Panics
    /// As [`test_client`](Self::test_client).
    pub async fn test_client_with(
        &self,
        connect: Connect,
        peer: Peer,
    ) -> Result<WebSocket, ConnectError> {
        let (client, server) = duplex(PIPE);
        tokio::spawn(self.serve_connection(server, peer));
        connect.over(client).await
    }
}
