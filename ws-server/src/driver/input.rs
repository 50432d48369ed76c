//! From the socket to messages for the handler.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use tokio_util::io::poll_read_buf;
use ws_core::{CloseCode, Event, Message};

use super::{Driver, Stage, control_rate::ControlRate};
use crate::link::{Load, shrink};

/// What one read takes at most.
const READ: usize = 64 * 1024;
/// What is left of a read is copied out of it if it is no more than this.
const LEFTOVER: usize = 4096;

thread_local! {
    /// What connections of this thread read into, one after the other. An idle one holds no buffer.
    static BUFFER: RefCell<BytesMut> = RefCell::default();
}

/// The receiving side of a connection.
pub(super) struct Input {
    /// What was read and not decoded: an unfinished header, or what came behind the limit on
    /// messages ahead of the handler.
    left: BytesMut,
    /// Whether `left` has to be decoded before more is read.
    undecoded: bool,
    ended: bool,
    /// What the handler was given and may not have handled.
    ahead: Load,
    /// Messages on their way to it.
    batch: VecDeque<Message>,
    load: Load,
    control: ControlRate,
}

impl Input {
    pub(super) fn new(left: BytesMut) -> Self {
        Self {
            undecoded: !left.is_empty(),
            left,
            ended: false,
            ahead: Load::default(),
            batch: VecDeque::new(),
            load: Load::default(),
            control: ControlRate::new(),
        }
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Driver<Io> {
    /// Reads once, decodes, and hands over what came. Whether anything did.
    pub(super) fn read(&mut self, cx: &mut Context<'_>, now: Instant, budget: &mut usize) -> bool {
        if !matches!(self.stage, Stage::Open) {
            return false;
        }
        self.input.ahead = self.link.ahead();
        let paused = self.is_full();
        self.deadlines.paused(paused, now);
        if paused {
            return false;
        }
        let mut came = false;
        if self.input.undecoded || self.input.ended {
            let mut left = std::mem::take(&mut self.input.left);
            came |= self.decode(&mut left, now);
            self.keep(left);
        }
        if !self.input.undecoded && !self.input.ended && matches!(self.stage, Stage::Open) {
            came |= self.read_once(cx, now, budget);
        }
        if !self.input.batch.is_empty() {
            let load = std::mem::take(&mut self.input.load);
            self.link.deliver(&mut self.input.batch, load, cx);
            shrink(&mut self.input.batch);
        }
        came
    }

    fn read_once(&mut self, cx: &mut Context<'_>, now: Instant, budget: &mut usize) -> bool {
        // A header that is cut goes on where it began; everything else into the thread's buffer.
        let own = !self.input.left.is_empty();
        let mut buffer = if own {
            std::mem::take(&mut self.input.left)
        } else {
            BUFFER.with(|buffer| std::mem::take(&mut *buffer.borrow_mut()))
        };
        buffer.reserve(READ);
        let came = match poll_read_buf(Pin::new(&mut self.io), cx, &mut buffer) {
            Poll::Pending => false,
            Poll::Ready(Ok(n)) if n > 0 => {
                *budget = budget.saturating_sub(n);
                self.deadlines.heard(now);
                self.decode(&mut buffer, now);
                true
            }
            Poll::Ready(result) => {
                self.lost(result.err());
                self.decode(&mut buffer, now);
                true
            }
        };
        if own || !buffer.is_empty() {
            self.keep(buffer);
        } else {
            BUFFER.with(|place| *place.borrow_mut() = buffer);
        }
        came
    }

    /// The transport ended, in order or not: for a WebSocket both are an end without a Close.
    pub(super) fn lost(&mut self, error: Option<io::Error>) {
        if let Some(error) = error {
            tracing::debug!(%error, "the transport failed");
        }
        self.input.ended = true;
        self.ws.input_ended();
    }

    /// Keeps what was read and not decoded.
    fn keep(&mut self, mut rest: BytesMut) {
        if rest.is_empty() {
            self.input.undecoded = false;
        } else if rest.len() <= LEFTOVER && rest.capacity() > 2 * LEFTOVER {
            // It must not keep a whole read alive.
            self.input.left = BytesMut::from(&*rest);
            rest.advance(rest.len());
            BUFFER.with(|place| *place.borrow_mut() = rest);
        } else {
            self.input.left = rest;
        }
    }

    fn decode(&mut self, input: &mut BytesMut, now: Instant) -> bool {
        let mut came = false;
        self.input.undecoded = true;
        while !self.is_full() {
            let Some(event) = self.ws.poll_event(input) else {
                self.input.undecoded = false;
                break;
            };
            came = true;
            match event {
                Event::Message(_) if self.is_ahead() => {}
                Event::Message(message) => {
                    self.deadlines.message_complete();
                    self.input.load.messages += 1;
                    self.input.load.bytes += message.len();
                    self.input.batch.push_back(message);
                }
                Event::Ping(_) | Event::Pong(_) => {
                    if !self.input.control.allow(now, &self.link.limits) {
                        // Fails only if we are closing anyway.
                        self.ws.fail(CloseCode::POLICY_VIOLATION, "too many control frames").ok();
                    }
                }
                Event::Closing => {
                    self.stage = Stage::Closing;
                    self.deadlines.closing(now);
                    break;
                }
                Event::Closed(closed) => {
                    self.end(closed);
                    break;
                }
                // Yield: the work is bounded by the size of one read.
                _ => {}
            }
        }
        self.deadlines.unfinished(self.ws.unfinished(), now);
        came
    }

    /// Whether enough was decoded ahead of the handler. One message always is.
    ///
    /// While our Close waits for the peer's, reading goes on and what is too much is thrown away.
    fn is_full(&self) -> bool {
        self.is_ahead() && !self.ws.is_close_awaited()
    }

    fn is_ahead(&self) -> bool {
        let (limits, ahead, load) = (&self.link.limits, self.input.ahead, self.input.load);
        ahead.messages + load.messages >= limits.receive_ahead_messages
            || ahead.bytes + load.bytes >= limits.receive_ahead
    }
}
