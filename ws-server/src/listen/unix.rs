//! Connections over a Unix socket.

use std::{
    fs,
    future::poll_fn,
    io,
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
    path::Path,
};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{UnixListener, UnixStream};

use crate::{Immediate, Listener, Peer, ServeError, leaves::error::UNIX};

/// Listens on a Unix socket. Its connections have no address, so that
/// [`ServerLimits::max_per_ip`](crate::ServerLimits::max_per_ip) does not count them.
#[derive(Debug)]
pub struct Unix {
    listener: UnixListener,
}

impl Unix {
    /// Listens on `path`, which must not exist; the file remains at the end. Who may connect is what the
    /// `umask` of the process says; see [`bind_with_mode`](Self::bind_with_mode).
    ///
    /// # Errors
    /// [`ServeError::Bind`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn bind(path: impl AsRef<Path>) -> Result<Self, ServeError> {
        let path = path.as_ref();
        match UnixListener::bind(path) {
            Ok(listener) => Ok(Self { listener }),
            Err(error) => Err(failure(path, error)),
        }
    }

    /// As [`bind`](Self::bind), for those whom `mode` lets write to the socket's file: `0o660` for its
    /// user and group, for example. Nobody else can connect, not even for a moment.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    ///
    /// # Panics
    /// As [`bind`](Self::bind).
    pub fn bind_with_mode(path: impl AsRef<Path>, mode: u32) -> Result<Self, ServeError> {
        let path = path.as_ref();
        match listen(path, mode) {
            Ok(listener) => Ok(Self { listener }),
            Err(error) => Err(failure(path, error)),
        }
    }
}

fn listen(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // A client that connects before it listens is refused.
    let listens = fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .and_then(|()| socket.listen(BACKLOG))
        .and_then(|()| socket.set_nonblocking(true));
    if let Err(error) = listens {
        fs::remove_file(path).ok();
        return Err(error);
    }
    UnixListener::from_std(OwnedFd::from(socket).into())
}

/// Connections that wait to be accepted: the number that tokio uses, too.
const BACKLOG: i32 = 1024;

fn failure(path: &Path, error: io::Error) -> ServeError {
    ServeError::Bind { address: format!("{UNIX}{}", path.display()).into(), error }
}

impl From<UnixListener> for Unix {
    fn from(listener: UnixListener) -> Self {
        Self { listener }
    }
}

impl Listener for Unix {
    type Pending = Immediate<UnixStream>;

    async fn accept(&mut self) -> io::Result<(Immediate<UnixStream>, Peer)> {
        let (io, _) = poll_fn(|cx| self.listener.poll_accept(cx)).await?;
        Ok((Immediate(io), Peer::Unix))
    }
}
