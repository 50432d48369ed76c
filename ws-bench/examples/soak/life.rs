//! One life of one client.

use std::{fmt::Display, net::Ipv4Addr, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until, timeout};
use ws_bench::json::Random;
use ws_server::{CloseCode, Connect, ConnectError, Deflate, Limits, Message, WebSocket};

use crate::{
    tally::Tally,
    transport::{Server, Transport},
};

/// A good client waits so long for what must come. A machine that has much else to do is slow, but what
/// does not come in this time never does.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Why a life of a good client did not come to its end.
pub(crate) enum Gone {
    /// The server was full (503), which it says when others hold all that they may.
    TurnedAway,
    /// Something that must not be.
    Complains(String),
}

impl From<String> for Gone {
    fn from(what: String) -> Self {
        Self::Complains(what)
    }
}

impl From<&str> for Gone {
    fn from(what: &str) -> Self {
        Self::Complains(what.to_owned())
    }
}

/// What all clients share.
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) tally: Tally,
}

/// What a client does until its time is over. An error is something that a good client must not see.
pub(crate) struct Life {
    pub(crate) world: Arc<World>,
    pub(crate) random: Random,
    /// Its time is over then.
    pub(crate) until: Instant,
    pub(crate) over: Transport,
    pub(crate) from: Ipv4Addr,
}

impl Life {
    /// The request of a good client, with compression for half of them.
    pub(crate) fn request(&mut self, path: &str) -> Connect {
        let scheme =
            if matches!(self.over, Transport::Tls | Transport::Http2) { "wss" } else { "ws" };
        let request = Connect::new(&format!("{scheme}://localhost{path}"));
        match self.random.below(2) {
            0 => request,
            _ => request.extension(Deflate::default()),
        }
    }

    pub(crate) async fn open(&mut self, path: &str) -> Result<WebSocket, Gone> {
        let request = self.request(path);
        self.connect(request).await.map_err(|error| unopened(path, &error))
    }

    /// For messages in pieces.
    pub(crate) async fn open_streaming(&mut self, path: &str) -> Result<WebSocket, Gone> {
        let request = self.request(path).limits(Limits::default().streaming(true));
        self.connect(request).await.map_err(|error| unopened(path, &error))
    }

    pub(crate) async fn connect(&self, request: Connect) -> Result<WebSocket, ConnectError> {
        let dialled = self.world.server.dial(self.over, self.from, None, true);
        request.over(dialled.await.map_err(ConnectError::Io)?).await
    }

    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    /// Waits for so many milliseconds at most, or for its end.
    pub(crate) async fn pause(&mut self, most: usize) {
        let pause = Duration::from_millis(self.random.below(most) as u64);
        sleep_until(self.until.min(Instant::now() + pause)).await;
    }

    /// The next message, which must come.
    pub(crate) async fn receive(&self, ws: &mut WebSocket) -> Result<Message, String> {
        match timeout(PATIENCE, ws.recv()).await {
            Ok(Some(message)) => Ok(message),
            Ok(None) => Err(format!("closed instead of a message: {:?}", ws.closed().await)),
            Err(_) => Err(format!("no message for {PATIENCE:?}")),
        }
    }

    /// Sends it, and checks that it comes back.
    pub(crate) async fn echo(&self, ws: &mut WebSocket, message: Message) -> Result<(), String> {
        send(ws, message.clone()).await?;
        let answer = self.receive(ws).await?;
        if answer != message {
            return Err(format!("{} octets came back as others, {}", message.len(), answer.len()));
        }
        Ok(())
    }

    /// Ends it as it is to end.
    pub(crate) async fn close(self, mut ws: WebSocket) -> Result<(), Gone> {
        ws.close(CloseCode::NORMAL, "").map_err(told)?;
        let closing = async {
            while ws.recv().await.is_some() {}
            ws.closed().await
        };
        match timeout(PATIENCE, closing).await {
            Ok(closed) if closed.clean && closed.code == CloseCode::NORMAL => Ok(()),
            Ok(closed) => Err(format!("closed otherwise than with 1000: {closed:?}").into()),
            Err(_) => Err(format!("not closed after {PATIENCE:?}").into()),
        }
    }
}

fn unopened(path: &str, error: &ConnectError) -> Gone {
    match error {
        ConnectError::Refused(refusal) if refusal.status == 503 => Gone::TurnedAway,
        error => Gone::Complains(format!("opening {path}: {error}")),
    }
}

/// Sends a message, which must be taken in time.
pub(crate) async fn send(ws: &mut WebSocket, message: Message) -> Result<(), String> {
    match timeout(PATIENCE, ws.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("sending: {error}; {:?}", ws.closed().await)),
        Err(_) => Err(format!("a message was not taken for {PATIENCE:?}")),
    }
}

pub(crate) fn told(error: impl Display) -> String {
    error.to_string()
}
