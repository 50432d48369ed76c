//! Drives a connection and its handler in one task. This room imports the outbox and the leaves; it
//! knows the connection's owner only as an [`Endpoint`].
//!
//! Every wake-up is one turn: read once, poll the handler, decode what it left, encode the queued
//! messages, and write everything with one call. So a burst of messages costs two system calls,
//! whatever their number, and whatever the handler sent goes out as soon as it waits for anything.

mod budget;
mod control_rate;
mod core;
mod deadlines;
mod endpoint;
mod expired;
mod final_read;
mod grace;
mod handling;
mod hang_up;
mod input;
mod output;
mod page_offset;
mod pending;
mod pool;
mod pressure;
mod receive;
mod receive_queue;
mod round_trip;
pub(crate) mod turn;
mod unread;
mod write;

use std::{
    collections::VecDeque,
    future::poll_fn,
    io, mem,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::unconstrained,
    time::{Instant, timeout},
};
use ws_core::{CloseCode, Closed, ClosedBy};

use self::{budget::Outside, hang_up::Unmarked};
pub(crate) use self::{
    core::Core,
    endpoint::{Endpoint, HandlerFuture, Start},
    handling::Handling,
};
use crate::leaves::linger::{self, linger};

/// Octets read in one turn before other tasks get theirs.
const TURN: usize = 64 * 1024;

/// A connection whose opening handshake was accepted.
pub(crate) struct Opened<Io, E: Endpoint> {
    pub(crate) io: Io,
    pub(crate) core: Box<Core>,
    pub(crate) handling: Handling<E::Handler>,
    pub(crate) endpoint: E,
}

/// Drives until TCP is closed and the handler has returned or was dropped.
///
/// Written by hand, because an async function reserves room even for values that it has moved away.
/// An open connection holds little more than the driver, stored in the task itself.
pub(crate) struct Drive<Io, E: Endpoint>(Phase<Io, E>);

enum Phase<Io, E: Endpoint> {
    Open(Open<Io, E>),
    /// The connection is over. Boxed, since few are in this phase.
    Finishing(Finishing),
    Done,
}

type Finishing = Pin<Box<dyn Future<Output = Closed> + Send>>;

/// Fields are dropped in this order.
struct Open<Io, E: Endpoint> {
    driver: Driver<Io, E::Handler>,
    endpoint: EndWhenDropped<E>,
}

/// Drives a connection whose handler has not started yet.
pub(crate) fn drive<Io, E: Endpoint>(opened: Opened<Io, E>) -> Drive<Io, E> {
    let Opened { io, core, handling, endpoint } = opened;
    let driver = Driver { io, core: Some(core), handling: Some(handling) };
    Drive(Phase::Open(Open { driver, endpoint: EndWhenDropped(endpoint) }))
}

impl<Io, E> Future for Drive<Io, E>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    E: Endpoint,
{
    type Output = Closed;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Closed> {
        let Self(phase) = self.get_mut();
        if let Phase::Open(open) = phase {
            let over = open.driver.poll(cx);
            if over.is_pending() && open.endpoint.0.is_aborted() {
                *phase = Phase::Done;
                return Poll::Ready(Closed::abnormal(ClosedBy::Local));
            }
            let (closed, tcp_close) = ready!(over);
            let Phase::Open(open) = mem::replace(phase, Phase::Done) else {
                return Poll::Pending;
            };
            match open.over(closed, tcp_close, cx) {
                Ok(closed) => return Poll::Ready(closed),
                Err(finish) => *phase = Phase::Finishing(finish),
            }
        }
        match phase {
            Phase::Finishing(finish) => finish.as_mut().poll(cx),
            // `Future::poll`: once it was ready, "clients should not poll it again".
            Phase::Open(_) | Phase::Done => Poll::Pending,
        }
    }
}

impl<Io, E> Open<Io, E>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    E: Endpoint,
{
    /// Announces that the connection is over. `Err` contains the work left before it has ended.
    fn over(
        self,
        closed: Closed,
        tcp_close: TcpClose,
        cx: &mut Context<'_>,
    ) -> Result<Closed, Finishing> {
        let Self { driver: Driver { io, mut handling, .. }, mut endpoint } = self;
        let outbox = Arc::clone(endpoint.0.outbox());
        if E::SERVER {
            outbox.end(&closed);
        }
        endpoint.0.close(&closed);
        let lingering = match tcp_close {
            TcpClose::AtOnce => {
                drop(io);
                outbox.end(&closed);
                // Most handlers return once they learn of it.
                if let Some(Poll::Ready(ended)) =
                    handling.as_mut().map(|handling| handling::poll(handling, cx))
                {
                    handling = None;
                    ended.log(&outbox);
                }
                if handling.is_none() {
                    return Ok(closed);
                }
                None
            }
            TcpClose::InStages { reading } => Some((io, reading)),
        };
        Err(Box::pin(finish(closed, lingering, handling, endpoint)))
    }
}

/// How to close TCP.
#[derive(Clone, Copy, Debug)]
enum TcpClose {
    /// At once: the peer has disappeared, or everything that it sent was read.
    AtOnce,
    /// In stages: closing with unread octets would reset the connection, and the peer may take this
    /// long to read the rest.
    InStages { reading: Duration },
}

/// Closes TCP in stages, if it is open, and waits for the handler.
async fn finish<Io: AsyncRead + AsyncWrite + Unpin, E: Endpoint>(
    closed: Closed,
    lingering: Option<(Io, Duration)>,
    handling: Option<Handling<E::Handler>>,
    mut endpoint: EndWhenDropped<E>,
) -> Closed {
    let outbox = Arc::clone(endpoint.0.outbox());
    // A handler that still has work to do delays neither the socket nor the client, and spends only
    // its own budget.
    let lingering = unconstrained(async {
        if let Some((mut io, reading)) = lingering {
            if !E::SERVER {
                await_end(&mut io, outbox.limits.close_timeout.saturating_add(reading)).await;
            }
            linger(&mut io, &outbox.limits, reading).await;
        }
        // RFC 6455 §7.1.4: "When the underlying TCP connection is closed, it is said that _The
        // WebSocket Connection is Closed_". So a program that waits for this and then exits cuts
        // nothing off. The handler is told earlier, at once.
        outbox.end(&closed);
    });
    let mut aborted = pin!(endpoint.0.aborted());
    let rest = async {
        let mut rest = pin!(grace::run(handling, &mut endpoint.0, &outbox, lingering));
        poll_fn(|cx| match aborted.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => rest.as_mut().poll(cx),
        })
        .await;
    };
    rest.await;
    closed
}

/// RFC 6455 §7.1.1: "when a server is instructed to _Close the WebSocket Connection_ it SHOULD
/// initiate a TCP Close immediately, and when a client is instructed to do the same, it SHOULD wait
/// for a TCP Close from the server."
async fn await_end<Io: AsyncRead + Unpin>(io: &mut Io, limit: Duration) {
    // The next step is the same, however this ends.
    timeout(limit, linger::discard(io, usize::MAX)).await.ok();
}

struct Driver<Io, S> {
    io: Io,
    /// The connection, except while the handler works on it or after it is over.
    core: Option<Box<Core>>,
    /// The handler, until it returns.
    handling: Option<Handling<S>>,
}

/// Ends a connection that is dropped with its task or runtime, so that no task waits for it
/// forever.
struct EndWhenDropped<E: Endpoint>(E);

impl<E: Endpoint> Drop for EndWhenDropped<E> {
    fn drop(&mut self) {
        let outbox = self.0.outbox();
        outbox.over(VecDeque::new());
        outbox.end(&Closed::abnormal(ClosedBy::Local));
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin + 'static, S: Start> Driver<Io, S> {
    /// Returns how the connection ended and how to close TCP.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Closed, TcpClose)> {
        let Some(mut core) = self.core.take() else {
            return Poll::Ready((Closed::abnormal(ClosedBy::Local), TcpClose::AtOnce));
        };
        core.now = Instant::now();
        if core.output.set_task(cx.waker()) {
            core.outbox.set_driver(cx.waker());
            core.deadlines.disarm();
        }
        core.outbox.begin();
        core.input.begin();
        if core.outbox.is_ordered() {
            let written_before = core.output.written();
            if let Some((closed, tcp_close)) = self.obey(&mut core, cx) {
                return Poll::Ready((core.finish(closed, 0, written_before), tcp_close));
            }
        }
        let mut budget = TURN;
        let (mut octets_read, written_before) = (0, core.output.written());
        // The handler may wait for whatever woke this task.
        let mut handler_due = true;
        // Whether there may be work besides what is read now.
        let mut due = true;
        // Whether the last read would have blocked: the socket then wakes this task.
        let mut asked = false;
        loop {
            let most = if asked { 0 } else { core.may_read() };
            let read = most > 0 && self.read(&mut core, cx, most, &mut budget, &mut octets_read);
            asked |= most > 0 && !read;
            if !read && !due {
                if core.is_reading_stopped() || core.is_held_up() {
                    self.poll_hang_up(&mut core, cx);
                }
                if let Poll::Ready(expired) = core.poll_deadlines(cx) {
                    core.enforce(&self.io, expired, false, cx);
                } else if core.outbox.rest(core.output.is_blocked()) {
                    break;
                }
                due = true;
                continue;
            }
            if read {
                core.wake_handler();
            }
            if read || handler_due {
                handler_due = false;
                core = match self.poll_handler(core, cx) {
                    Some(core) => core,
                    None => {
                        return Poll::Ready((Closed::abnormal(ClosedBy::Local), TcpClose::AtOnce));
                    }
                };
            }
            if self.handling.is_some() && core.outbox.is_receiver_gone() {
                core.outbox.order_close(CloseCode::NORMAL);
            }
            core.decode_ahead();
            if core.is_closing() {
                core.answer_close(self.handling.is_some());
            }
            let at_once = core.has_read_all() && linger::is_socket(&self.io);
            if at_once && core.ws.encoded() > 0 {
                core.write_last(&self.io);
            }
            let wrote = core.write(&mut Outside(&mut self.io), cx, &mut budget);
            if let Some(closed) = core.over() {
                let closed = closed.clone();
                let gone = core.deadlines.gone || closed.code == CloseCode::ABNORMAL;
                let tcp_close = if at_once || gone {
                    TcpClose::AtOnce
                } else {
                    TcpClose::InStages { reading: core.time_to_read(&closed) }
                };
                return Poll::Ready((core.finish(closed, octets_read, written_before), tcp_close));
            }
            let used_up = core.input.is_work_used_up();
            if used_up {
                // The handler took everything that was decoded, and needs another turn.
                core.wake_handler();
            }
            if budget == 0 || used_up {
                // Yield to other tasks. Deadlines are checked even while more input keeps coming.
                // If nothing was read, the handler or the output used up the turn.
                let more = octets_read > 0 && !asked;
                if let Poll::Ready(expired) = core.poll_deadlines(cx) {
                    core.enforce(&self.io, expired, more, cx);
                }
                if used_up || core.has_worked() {
                    budget::yield_turn(cx);
                } else {
                    cx.waker().wake_by_ref();
                }
                break;
            }
            // The write may have made room to decode more, or to answer the peer's Close.
            due = wrote && (!core.is_open() || core.may_decode());
        }
        core.rest();
        core.count(octets_read, written_before);
        self.core = Some(core);
        Poll::Pending
    }

    /// Reads once. Returns whether anything came.
    fn read(
        &mut self,
        core: &mut Core,
        cx: &mut Context<'_>,
        most: usize,
        budget: &mut usize,
        octets_read: &mut u64,
    ) -> bool {
        let read = if core.input.unmarked {
            self.read_unmarked(core, cx, most)
        } else {
            core.read(Pin::new(&mut Outside(&mut self.io)), cx, most)
        };
        match read {
            Poll::Pending => false,
            Poll::Ready(Ok(n)) if n > 0 => {
                *budget = budget.saturating_sub(n);
                *octets_read += n as u64;
                core.deadlines.heard(n, core.now);
                core.input.filled(n);
                true
            }
            Poll::Ready(result) => {
                core.lost(result.err().as_ref());
                true
            }
        }
    }

    /// Reads once from a socket that tokio does not know to be readable.
    #[cold]
    fn read_unmarked(
        &mut self,
        core: &mut Core,
        cx: &mut Context<'_>,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let mut unmarked = true;
        let mut io = Unmarked::new(&mut self.io, &mut unmarked);
        let read = core.read(Pin::new(&mut io), cx, most);
        core.input.unmarked = unmarked;
        read
    }

    /// Checks whether the peer is gone, while reading is paused.
    #[cold]
    fn poll_hang_up(&mut self, core: &mut Core, cx: &mut Context<'_>) {
        core.input.unmarked = linger::is_socket(&self.io);
        if hang_up::poll(&self.io, cx).is_ready() {
            core.hung_up();
        }
    }

    fn poll_handler(&mut self, core: Box<Core>, cx: &mut Context<'_>) -> Option<Box<Core>> {
        let Some(handling) = &mut self.handling else {
            return Some(core);
        };
        let (core, poll) = turn::enter(core, || handling::poll(handling, cx));
        let core = core?;
        if let Poll::Ready(ended) = poll {
            self.handling = None;
            ended.log(&core.outbox);
            core.outbox.order_close(ended.close_code());
        }
        Some(core)
    }
}
