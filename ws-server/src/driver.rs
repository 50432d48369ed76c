//! Drives a connection and its handler in one task.
//!
//! Every wake-up is one turn: read once and decode, let the handler have its turn, encode what is to
//! be sent and write it with one call. So a burst of messages costs two system calls, whatever their
//! number, and what the handler sent goes out as soon as it waits for anything.

mod control_rate;
mod deadlines;
mod handling;
mod input;
mod output;

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, timeout},
};
use tracing::{debug, info};
use ws_core::{CloseCode, Closed, ClosedBy, Connection, Event};

use crate::{
    linger::linger,
    link::{Attention, Link},
};
use deadlines::{Deadlines, Expired};
pub(crate) use handling::Handling;
use input::Input;
use output::Output;

/// Bytes that are read in one turn before other tasks get theirs.
const TURN: usize = 64 * 1024;

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

/// Drives until TCP is closed and the handler has returned. `ended` is called in between, when the
/// connection is over.
pub(crate) async fn drive<Io>(opened: Opened<Io>, ended: impl FnOnce()) -> Closed
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    let _end = EndWhenDropped(Arc::clone(&opened.link));
    let mut driver = Driver::new(opened);
    let closed = poll_fn(|cx| driver.poll(cx)).await;
    let Driver { mut io, handling, link, gone, ws, .. } = driver;
    let server = ws.role().is_server();
    // Its buffers, and what its extensions hold.
    drop(ws);
    link.end(&closed);
    ended();
    tell(&closed);
    let rest = async {
        if let Some(mut handling) = handling {
            poll_fn(|cx| handling::poll(&mut handling, cx)).await.log();
        }
    };
    // A handler that has something left to do keeps neither the socket nor the client waiting.
    let lingering = async {
        if !gone && closed.code != CloseCode::ABNORMAL {
            if !server {
                await_end(&mut io, link.limits.close_timeout).await;
            }
            linger(&mut io, &link.limits).await;
        }
        drop(io);
    };
    tokio::join!(rest, lingering);
    closed
}

/// RFC 6455 §7.1.1: "when a server is instructed to _Close the WebSocket Connection_ it SHOULD
/// initiate a TCP Close immediately, and when a client is instructed to do the same, it SHOULD wait
/// for a TCP Close from the server."
async fn await_end<Io: AsyncRead + Unpin>(io: &mut Io, limit: Duration) {
    let mut nowhere = tokio::io::sink();
    // However it ends, what follows is the same.
    timeout(limit, tokio::io::copy(io, &mut nowhere)).await.ok();
}

fn tell(closed: &Closed) {
    match &closed.fault {
        Some(fault) => info!(code = closed.code.get(), %fault, "the connection failed"),
        None => debug!(code = closed.code.get(), by = ?closed.by, "the connection closed"),
    }
}

struct Driver<Io> {
    io: Io,
    ws: Connection,
    link: Arc<Link>,
    /// The handler, until it has returned.
    handling: Option<Handling>,
    input: Input,
    output: Output,
    deadlines: Deadlines,
    stage: Stage,
    /// The peer does not answer any more: nothing is waited for.
    gone: bool,
}

/// How far the connection has come.
#[derive(Debug)]
enum Stage {
    Open,
    /// The peer's Close or fault was read. It is answered when the handler has had its turn.
    Closing,
    /// Over, but for what is to be written.
    Over(Closed),
}

/// A connection that is given up with its task or its runtime leaves nobody waiting.
struct EndWhenDropped(Arc<Link>);

impl Drop for EndWhenDropped {
    fn drop(&mut self) {
        self.0.end(&Closed::abnormal(ClosedBy::Local));
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Driver<Io> {
    fn new(opened: Opened<Io>) -> Self {
        let Opened { io, ws, head, input, link, handling } = opened;
        Self {
            io,
            ws,
            handling: Some(handling),
            input: Input::new(input),
            output: Output::new(head),
            deadlines: Deadlines::new(Instant::now(), &link.limits),
            stage: Stage::Open,
            gone: false,
            link,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Closed> {
        let now = Instant::now();
        self.link.begin(cx.waker());
        let mut budget = TURN;
        // Whatever woke this task, it may be what the handler waits for.
        let mut handler_due = true;
        loop {
            let read = self.read(cx, now, &mut budget);
            if read || handler_due {
                self.let_handler_work(cx);
                handler_due = false;
            }
            self.answer_close();
            let wrote = self.write(cx, now, &mut budget);
            if let Some(closed) = self.over() {
                return Poll::Ready(closed);
            }
            if budget == 0 {
                // The others' turn.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if read || wrote {
                continue;
            }
            if let Poll::Ready(expired) = self.deadlines.poll(&self.link.limits, now, cx) {
                self.expire(expired, now);
            } else if self.link.rest(self.output.is_blocked()) {
                self.output.rest();
                return Poll::Pending;
            }
        }
    }

    fn let_handler_work(&mut self, cx: &mut Context<'_>) {
        let Some(handling) = &mut self.handling else {
            return;
        };
        if let Poll::Ready(ended) = handling::poll(handling, cx) {
            self.handling = None;
            ended.log();
            self.link.order_close(ended.close_code());
        } else if self.link.attention() == Attention::Gone {
            self.link.order_close(CloseCode::NORMAL);
        }
    }

    /// Answers the peer's Close or fault when the handler has had its turn.
    fn answer_close(&mut self) {
        if !matches!(self.stage, Stage::Closing) {
            return;
        }
        let turn_over = self.deadlines.is_turn_over();
        let waits = self.handling.is_none() || self.link.attention() != Attention::Busy;
        if !turn_over && !waits {
            return;
        }
        // RFC 6455 §5.5.1 lets replies to earlier messages go out before the Close.
        self.encode();
        if turn_over || !self.output.has_more(&self.link) {
            self.settle();
        }
    }

    /// Lets the engine say how the connection ended.
    fn settle(&mut self) {
        let mut nothing = BytesMut::new();
        while let Some(event) = self.ws.poll_event(&mut nothing) {
            if let Event::Closed(closed) = event {
                self.end(closed);
            }
        }
    }

    /// Nothing more is received, and nothing more is taken for sending.
    fn end(&mut self, closed: Closed) {
        self.link.stop_sending();
        self.deadlines.over();
        self.stage = Stage::Over(closed);
    }

    /// How it ended, when everything is written, or cannot be.
    fn over(&mut self) -> Option<Closed> {
        match &self.stage {
            Stage::Over(closed)
                if closed.code == CloseCode::ABNORMAL
                    || self.gone
                    || self.output.is_written(&self.ws) =>
            {
                Some(closed.clone())
            }
            _ => None,
        }
    }

    fn expire(&mut self, expired: Expired, now: Instant) {
        debug!(?expired, "a deadline passed");
        match expired {
            Expired::Ping => {
                self.deadlines.pinged(now);
                // Fails only if we are closing anyway.
                self.ws.ping("").ok();
            }
            Expired::Pong => {
                self.gone = true;
                self.fail(CloseCode::INTERNAL_ERROR, "no answer to a Ping");
            }
            Expired::Message => self.fail(CloseCode::POLICY_VIOLATION, "message too slow"),
            Expired::CloseTurn => self.deadlines.turn_over(),
            // A Close could not be written, or was not answered: all that is left is to hang up.
            Expired::Write | Expired::Close => {
                self.gone = true;
                self.lost(None);
                self.settle();
            }
        }
    }

    fn fail(&mut self, code: CloseCode, reason: &str) {
        // Fails only if we are closing anyway.
        self.ws.fail(code, reason).ok();
        self.settle();
    }
}
