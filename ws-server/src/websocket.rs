//! A connection as its handler sees it.

use std::sync::Arc;

use ws_core::Message;

use crate::{RecvError, SendError, link::Link};

/// One end of an open connection.
pub struct WebSocket {}

impl WebSocket {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        let _ = link;
        Self {}
    }

    /// The next message.
    pub async fn recv(&mut self) -> Result<Option<Message>, RecvError> {
        std::future::pending().await
    }

    /// Sends a message.
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<(), SendError> {
        let _ = message.into();
        std::future::pending().await
    }
}
