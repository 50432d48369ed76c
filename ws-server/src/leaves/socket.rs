//! What a socket of the operating system can do, and a stream around one cannot.

use std::{any::Any, io, mem::MaybeUninit, pin::pin, time::Duration};

use socket2::SockRef;
use tokio::{net::TcpStream, task::unconstrained, time::timeout};

/// Bytes that the operating system may hold for a connection without having sent them, where it can
/// be told so. More only makes a slow client's Pongs and Closes late: what is sent and not
/// acknowledged is not counted, so a fast link is kept busy.
pub(crate) const UNSENT: u32 = 128 * 1024;

/// Bounds what is held unsent of each connection of a listener, or of one.
#[cfg_attr(not(any(target_os = "linux", target_os = "android")), expect(unused_variables))]
pub(crate) fn bound_unsent(socket: &SockRef<'_>) {
    // Where it fails all else is as before.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_notsent_lowat(UNSENT).ok();
}

/// Whether what is held unsent is bounded, or cannot be.
#[cfg_attr(not(any(target_os = "linux", target_os = "android")), expect(unused_variables))]
pub(crate) fn is_unsent_bounded(socket: &SockRef<'_>) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return socket.tcp_notsent_lowat().is_ok_and(|lowat| lowat == UNSENT);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    true
}

/// The socket that `io` is, if it is TCP's.
pub(crate) fn tcp<Io: 'static>(io: &Io) -> Option<SockRef<'_>> {
    (io as &dyn Any).downcast_ref::<TcpStream>().map(SockRef::from)
}

/// The socket that `io` is, if it is one.
fn socket<Io: 'static>(io: &Io) -> Option<SockRef<'_>> {
    #[cfg(unix)]
    if let Some(unix) = (io as &dyn Any).downcast_ref::<tokio::net::UnixStream>() {
        return Some(SockRef::from(unix));
    }
    tcp(io)
}

/// The runtime looks at sockets and timers in one pass; where the process was stopped meanwhile at
/// timers alone. In so much time it makes a pass.
pub(crate) const PASS: Duration = Duration::from_millis(1);
/// Passes until it has told of what lies in a stream that is no socket.
const PASSES: u16 = 2;
/// Passes until it has told of all sockets, however many have something.
const MOST_PASSES: u16 = 1000;

/// Passes to wait for before it is sure that nothing lies in `io`, the end of the stream included, when
/// a read has just got nothing.
pub(crate) fn passes<Io: 'static>(io: &Io) -> u16 {
    let Some(socket) = socket(io) else {
        return PASSES;
    };
    match socket.peek(&mut [MaybeUninit::uninit()]) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        _ => MOST_PASSES,
    }
}

/// As [`timeout`], but what lies in a socket when the time is over is looked at.
///
/// Outside of the task's budget, which a handler or the caller may have spent: without one the time
/// does not count.
pub(crate) async fn timeout_when_heard<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let heard = async {
        if let Ok(output) = timeout(limit, &mut future).await {
            return Some(output);
        }
        for _ in 0..PASSES {
            if let Ok(output) = timeout(PASS, &mut future).await {
                return Some(output);
            }
        }
        None
    };
    unconstrained(heard).await
}
/// Bytes that a socket holds at most until they are read.
pub(crate) fn receive_buffer<Io: 'static>(io: &Io) -> Option<usize> {
    socket(io)?.recv_buffer_size().ok()
}
