//! Drives a connection and its handler in one task.

use std::{pin::Pin, sync::Arc};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};
use ws_core::{Closed, Connection};

use crate::{HandlerError, link::Link};

/// The handler at work.
pub(crate) type Handling = Pin<Box<dyn Future<Output = Result<(), HandlerError>> + Send>>;

/// A connection whose opening handshake was accepted.
pub(crate) struct Opened<Io> {
    pub(crate) io: Io,
    pub(crate) ws: Connection,
    /// The 101, which is not written yet: it goes out with the first frames.
    pub(crate) head: BytesMut,
    /// Octets that were read behind the head of the request.
    pub(crate) input: BytesMut,
    pub(crate) link: Arc<Link>,
    pub(crate) handling: Handling,
}

/// Drives until TCP is closed and the handler has returned.
pub(crate) async fn drive<Io>(opened: Opened<Io>) -> Closed
where
    Io: AsyncRead + AsyncWrite + Unpin + Send,
{
    let _ = opened;
    std::future::pending().await
}
