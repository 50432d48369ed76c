//! Connections of HTTP/2, each shared by several WebSockets.

use std::{io, net::Ipv4Addr, time::Duration};

use bytes::Bytes;
use h2::client::{self, SendRequest};
use tokio::{
    io::{DuplexStream, duplex},
    sync::Mutex,
    time::{sleep, timeout},
};

use crate::{transport::Server, tunnel::tunnel};

/// WebSockets that share a connection, one after the other or at the same time.
const SHARED_BY: usize = 6;

/// Octets that wait between a client and its stream.
const AHEAD: usize = 16 * 1024;

/// How long the server may take for its settings.
const PATIENCE: Duration = Duration::from_secs(30);

/// The connection that takes new streams.
#[derive(Default)]
pub(crate) struct Http2(Mutex<Option<(SendRequest<Bytes>, usize)>>);

impl Http2 {
    /// A stream on which HTTP/1.1 is spoken, as the other transports have it.
    pub(crate) async fn open(&self, server: &Server, from: Ipv4Addr) -> io::Result<DuplexStream> {
        let ask = self.connection(server, from).await?;
        let (ours, theirs) = duplex(AHEAD);
        tokio::spawn(tunnel(theirs, ask));
        Ok(ours)
    }

    async fn connection(&self, server: &Server, from: Ipv4Addr) -> io::Result<SendRequest<Bytes>> {
        let mut shared = self.0.lock().await;
        if let Some((ask, left)) = shared.as_mut()
            && *left > 0
            && let Ok(ready) = ask.clone().ready().await
        {
            *left -= 1;
            return Ok(ready);
        }
        let ask = handshake(server, from).await?;
        *shared = Some((ask.clone(), SHARED_BY - 1));
        Ok(ask)
    }

    /// No stream comes any more.
    pub(crate) async fn leave(&self) {
        *self.0.lock().await = None;
    }
}

async fn handshake(server: &Server, from: Ipv4Addr) -> io::Result<SendRequest<Bytes>> {
    let io = server.dial_http2(from).await?;
    let mut builder = client::Builder::new();
    builder.initial_window_size(64 * 1024).initial_connection_window_size(4 << 20);
    let (ask, connection) = builder.handshake(io).await.map_err(io::Error::other)?;
    // It ends with the last stream, once nobody can ask for another.
    tokio::spawn(connection);
    let settings = async {
        let mut ask = ask.ready().await.map_err(io::Error::other)?;
        while !ask.is_extended_connect_protocol_enabled() {
            sleep(Duration::from_millis(1)).await;
            ask = ask.ready().await.map_err(io::Error::other)?;
        }
        Ok(ask)
    };
    timeout(PATIENCE, settings).await?
}
