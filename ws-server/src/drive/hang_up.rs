//! Notices that the peer is gone without reading what it sent before.
//!
//! While reading is paused, no read reaches the end of the stream. The operating system reports the
//! hang-up beside the data, but tokio wakes no task for a socket that it already knows to be
//! readable. So the socket is marked as not readable: the next event, more data or the end, wakes
//! the task. The data left in the socket must then be read past tokio, which no longer knows of it.

#[cfg(unix)]
use std::{any::Any, io::Read, pin::pin, task::ready};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, ReadBuf};
#[cfg(unix)]
use tokio::{
    io::{Interest, Ready},
    net::{TcpStream, UnixStream},
};

use super::budget::Outside;
#[cfg(unix)]
use super::budget::poll_outside;

/// Whether the peer has closed its end or reset the connection. Wakes the task when that may have
/// changed. Works only if `io` is a socket and the system reports hang-ups.
#[cfg(unix)]
pub(super) fn poll<Io: 'static>(io: &Io, cx: &mut Context<'_>) -> Poll<()> {
    let io: &dyn Any = io;
    if let Some(socket) = io.downcast_ref::<TcpStream>() {
        return poll_socket(socket, cx);
    }
    if let Some(socket) = io.downcast_ref::<UnixStream>() {
        return poll_socket(socket, cx);
    }
    Poll::Pending
}

#[cfg(not(unix))]
pub(super) fn poll<Io: 'static>(_: &Io, _: &mut Context<'_>) -> Poll<()> {
    Poll::Pending
}

#[cfg(unix)]
fn poll_socket(socket: &impl Socket, cx: &mut Context<'_>) -> Poll<()> {
    // More data may arrive between the two calls, once or twice at most.
    for _ in 0..4 {
        socket.forget_readable();
        if ready!(poll_outside(cx, |cx| socket.poll_read_ready(cx))).is_err() {
            return Poll::Ready(());
        }
        match socket.readiness(cx) {
            Poll::Ready(Ok(ready)) if !ready.is_read_closed() => {}
            Poll::Ready(_) => return Poll::Ready(()),
            Poll::Pending => {}
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// The operations that tokio's sockets share.
#[cfg(unix)]
trait Socket {
    fn forget_readable(&self);
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Its readiness, as far as known now.
    fn readiness(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>>;
}

#[cfg(unix)]
macro_rules! socket {
    ($socket:ty) => {
        impl Socket for $socket {
            fn forget_readable(&self) {
                let blocked = || io::Result::<()>::Err(io::ErrorKind::WouldBlock.into());
                // `try_io` returns the `WouldBlock` that it was given.
                self.try_io(Interest::READABLE, blocked).ok();
            }

            fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_read_ready(cx)
            }

            fn readiness(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
                pin!(self.ready(Interest::READABLE)).poll(cx)
            }
        }
    };
}

#[cfg(unix)]
socket!(TcpStream);
#[cfg(unix)]
socket!(UnixStream);

/// Reads a socket that tokio may not know to be readable.
pub(super) struct Unmarked<'a, Io> {
    io: &'a mut Io,
    /// Whether the socket may hold data that tokio does not know of.
    unmarked: &'a mut bool,
}

impl<'a, Io> Unmarked<'a, Io> {
    pub(super) fn new(io: &'a mut Io, unmarked: &'a mut bool) -> Self {
        Self { io, unmarked }
    }
}

impl<Io: AsyncRead + Unpin + 'static> AsyncRead for Unmarked<'_, Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if *self.unmarked {
            match read_now(self.io, buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => *self.unmarked = false,
                result => return Poll::Ready(result),
            }
        }
        Pin::new(&mut Outside(self.io)).poll_read(cx, buffer)
    }
}

/// Reads the data that has arrived.
#[cfg(unix)]
fn read_now<Io: 'static>(io: &Io, buffer: &mut ReadBuf<'_>) -> io::Result<()> {
    let io: &dyn Any = io;
    let socket = match (io.downcast_ref::<TcpStream>(), io.downcast_ref::<UnixStream>()) {
        (Some(socket), _) => socket2::SockRef::from(socket),
        (_, Some(socket)) => socket2::SockRef::from(socket),
        (None, None) => return Err(io::ErrorKind::WouldBlock.into()),
    };
    loop {
        match (&*socket).read(buffer.initialize_unfilled()) {
            Ok(n) => {
                buffer.advance(n);
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(not(unix))]
fn read_now<Io: 'static>(_: &Io, _: &mut ReadBuf<'_>) -> io::Result<()> {
    Err(io::ErrorKind::WouldBlock.into())
}
