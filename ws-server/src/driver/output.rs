//! From queued messages to the socket.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::oneshot,
    time::Instant,
};
use ws_core::{Connection, Outgoing};

use super::Driver;
use crate::link::{Link, Queued, shrink};

/// Encoding runs so far ahead of the socket and no further: what is not encoded can be dropped.
const AHEAD: usize = 64 * 1024;
/// Pieces in one vectored write.
const SLICES: usize = 32;

/// The sending side of a connection.
pub(super) struct Output {
    /// The 101, until it is written.
    head: BytesMut,
    /// Taken from the link, and not encoded.
    queue: VecDeque<Queued>,
    /// Whom to tell when so many bytes are written.
    flushes: VecDeque<(u64, oneshot::Sender<()>)>,
    /// Bytes of frames that were written.
    written: u64,
    /// Whether the socket takes no more for now.
    blocked: bool,
}

impl Output {
    pub(super) fn new(head: BytesMut) -> Self {
        Self { head, queue: VecDeque::new(), flushes: VecDeque::new(), written: 0, blocked: false }
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Whether there are messages that are not encoded.
    pub(super) fn has_more(&self, link: &Link) -> bool {
        !self.queue.is_empty() || link.has_outbound()
    }

    pub(super) fn is_written(&self, ws: &Connection) -> bool {
        self.head.is_empty() && ws.unwritten() == 0 && !ws.has_more_to_encode()
    }

    /// Gives back what is not needed while the connection rests.
    pub(super) fn rest(&mut self) {
        shrink(&mut self.queue);
        shrink(&mut self.flushes);
    }

    /// Tells those whose messages are with the operating system.
    fn tell_flushed(&mut self) {
        while let Some((at, _)) = self.flushes.front()
            && *at <= self.written
            && let Some((_, told)) = self.flushes.pop_front()
        {
            // Whoever asked may have gone.
            told.send(()).ok();
        }
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Driver<Io> {
    /// Encodes what is queued, in order, as far ahead of the socket as is allowed.
    pub(super) fn encode(&mut self) {
        while self.ws.unwritten() < AHEAD && !self.ws.has_more_to_encode() {
            if self.output.queue.is_empty() {
                let room = AHEAD - self.ws.unwritten();
                self.link.take_outbound(&mut self.output.queue, room);
            }
            match self.output.queue.pop_front() {
                None => return,
                // An error means that the connection is ending, and the engine says how.
                Some(Queued::Message(message, compression)) => {
                    self.ws.send_with(message, compression).ok();
                }
                Some(Queued::Ping(payload)) => {
                    self.ws.ping(payload).ok();
                }
                Some(Queued::Close(code, reason)) => {
                    self.ws.close(code, &reason).ok();
                }
                Some(Queued::Flush(told)) => {
                    let at = self.output.written + self.ws.unwritten() as u64;
                    self.output.flushes.push_back((at, told));
                }
            }
        }
    }

    /// Encodes and writes as much as the socket takes. Whether it took anything.
    pub(super) fn write(&mut self, cx: &mut Context<'_>, now: Instant, budget: &mut usize) -> bool {
        let mut progress = false;
        let blocked = loop {
            self.encode();
            match self.write_once(cx) {
                Poll::Ready(Ok(Written::Some)) => progress = true,
                Poll::Ready(Ok(Written::Nothing)) => break false,
                Poll::Ready(Ok(Written::Encoding)) => {
                    // Work for nothing yet counts as much as work that gave output.
                    *budget = budget.saturating_sub(AHEAD);
                    progress = true;
                    break false;
                }
                Poll::Ready(Err(error)) => {
                    self.lost(Some(error));
                    self.settle();
                    break false;
                }
                Poll::Pending => break true,
            }
        };
        self.output.tell_flushed();
        self.output.blocked = blocked;
        self.deadlines.written(blocked, progress, now);
        if self.ws.is_close_awaited() {
            self.deadlines.close_sent(now);
        }
        progress
    }

    fn write_once(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Written>> {
        let Self { io, ws, output: Output { head, written, .. }, .. } = self;
        let io = Pin::new(io);
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0;
        if !head.is_empty() {
            slices[0] = IoSlice::new(head);
            count = 1;
        }
        let frames = match ws.poll_output() {
            Outgoing::Write(frames) => Some(frames),
            Outgoing::Yield => return Poll::Ready(Ok(Written::Encoding)),
            Outgoing::Idle if count == 0 => {
                return io.poll_flush(cx).map_ok(|()| Written::Nothing);
            }
            Outgoing::Idle => None,
        };
        if let Some(frames) = &frames {
            count += frames.chunks_vectored(&mut slices[count..]);
        }
        let n = match std::task::ready!(match &slices[..count] {
            [one] => io.poll_write(cx, one),
            several => io.poll_write_vectored(cx, several),
        })? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            n => n,
        };
        let of_head = n.min(head.len());
        head.advance(of_head);
        if head.is_empty() {
            *head = BytesMut::new();
        }
        if let Some(frames) = frames {
            frames.advance(n - of_head);
            *written += (n - of_head) as u64;
        }
        Poll::Ready(Ok(Written::Some))
    }
}

/// What one write came to.
enum Written {
    Some,
    /// There was nothing to write.
    Nothing,
    /// The extensions are at work, and nothing came of it yet.
    Encoding,
}
