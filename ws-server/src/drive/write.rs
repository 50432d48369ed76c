//! Writes what was encoded to the socket.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Buf;
use tokio::io::AsyncWrite;
use ws_core::Outgoing;

use super::{
    core::Core,
    output::{AHEAD, Output, overtake},
};
use crate::leaves::linger;

/// Bytes that are written in one turn before other tasks get theirs.
const WRITTEN: usize = 4 * AHEAD;
/// Pieces in one vectored write.
const SLICES: usize = 16;
/// A Pong with its header, masked.
const MAX_PONG: usize = 6 + 125;

/// What one write came to.
enum Written {
    /// So many octets.
    Some(usize),
    /// There was nothing to write.
    Nothing,
    /// The extensions are at work, and nothing came of it yet.
    Encoding,
}

impl Core {
    /// Encodes and writes as much as the socket takes. Whether it took anything.
    pub(super) fn write<Io: AsyncWrite + Unpin>(
        &mut self,
        io: &mut Io,
        cx: &mut Context<'_>,
        budget: &mut usize,
    ) -> bool {
        if !self.output.blocked && !self.output.is_flush_due() && !self.has_output() {
            return false;
        }
        let (mut progress, mut octets) = (false, 0);
        let blocked = loop {
            self.encode();
            if self.output.is_spent() {
                *budget = 0;
            }
            let written = if self.has_output() {
                self.write_once(io, cx)
            } else {
                // The stream may have a buffer of its own.
                Pin::new(&mut *io).poll_flush(cx).map_ok(|()| Written::Nothing)
            };
            match written {
                Poll::Ready(Ok(Written::Some(n))) => {
                    progress = true;
                    octets += n;
                    if octets >= WRITTEN {
                        *budget = 0;
                        break false;
                    }
                }
                Poll::Ready(Ok(Written::Nothing)) => break false,
                Poll::Ready(Ok(Written::Encoding)) => {
                    // Work that gave nothing yet counts as much as work that did.
                    *budget = budget.saturating_sub(AHEAD);
                    progress = true;
                    break false;
                }
                Poll::Ready(Err(error)) => {
                    self.unwritable(&error);
                    break false;
                }
                Poll::Pending => break true,
            }
        };
        if self.output.is_flush_due() {
            // The stream may have a buffer of its own.
            match Pin::new(io).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.output.tell_flushed(),
                Poll::Ready(Err(error)) => self.unwritable(&error),
                Poll::Pending => {}
            }
        }
        if self.ws.is_ending() {
            // An extension failed at what was to be encoded. Nothing that is read would tell.
            self.settle();
        }
        self.output.blocked = blocked;
        let limits = &self.outbox.limits;
        self.deadlines.written(blocked, progress, self.output.written, limits, self.now);
        if self.ws.is_close_awaited() && self.output.is_written(&self.ws) {
            self.deadlines.close_sent(self.output.written, limits, self.now);
        }
        progress
    }

    /// Writes to the socket itself, whatever the runtime knows of it. Whether it took anything.
    ///
    /// Linux says that a socket is writable when half of what may be unsent has left, and takes more
    /// when anything has.
    pub(super) fn write_now<Io: 'static>(&mut self, io: &Io) -> bool {
        if self.output.head.is_some() {
            return false;
        }
        let Outgoing::Write(frames) = self.ws.poll_output_bounded() else {
            return false;
        };
        let n = linger::write_now(io, frames.chunk());
        frames.advance(n);
        self.output.written += n as u64;
        let limits = &self.outbox.limits;
        self.deadlines.written(true, n > 0, self.output.written, limits, self.now);
        n > 0
    }

    /// Writes our Close, with which the socket is to be closed. What is not taken is left to
    /// [`write`](Self::write).
    pub(super) fn write_last<Io: 'static>(&mut self, io: &Io) {
        if self.output.head.is_none()
            && let Outgoing::Write(frames) = self.ws.poll_output_bounded()
        {
            let n = linger::write_last(io, frames.chunk());
            frames.advance(n);
            self.output.written += n as u64;
        }
    }

    /// Whether there is anything to encode or write.
    #[inline]
    fn has_output(&self) -> bool {
        !self.output.is_written(&self.ws) || self.ws.is_pong_owed() || self.has_more_to_encode()
    }

    /// Nothing more can be written, what is owed for the peer's Close included.
    fn unwritable(&mut self, error: &io::Error) {
        self.deadlines.gone = true;
        self.lost(Some(error));
        self.settle();
    }

    fn write_once<Io: AsyncWrite + Unpin>(
        &mut self,
        io: &mut Io,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Written>> {
        let Self { ws, output: Output { head, written, flushes, .. }, .. } = self;
        let io = Pin::new(io);
        let before_pong = ws.is_pong_owed().then(|| ws.encoded());
        let frames = match ws.poll_output_bounded() {
            Outgoing::Write(frames) => {
                if let Some(before) = before_pong {
                    // What was encoded with it follows it, and is not waited for.
                    overtake(
                        flushes.as_deref_mut(),
                        frames.len().saturating_sub(before).min(MAX_PONG),
                    );
                }
                Some(frames)
            }
            Outgoing::Yield => return Poll::Ready(Ok(Written::Encoding)),
            Outgoing::Idle if head.is_none() => return Poll::Ready(Ok(Written::Nothing)),
            Outgoing::Idle => None,
        };
        let unwritten = head.as_ref().map(|head| &head[..]).unwrap_or_default();
        let n = match ready!(poll_write(io, cx, unwritten, frames.as_deref()))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            n => n,
        };
        let of_head = n.min(unwritten.len());
        if let Some(rest) = head {
            rest.advance(of_head);
            if rest.is_empty() {
                *head = None;
            }
        }
        if let Some(frames) = frames {
            frames.advance(n - of_head);
            *written += (n - of_head) as u64;
        }
        Poll::Ready(Ok(Written::Some(n)))
    }
}

/// Writes the head of the handshake, if it is still there, and frames with one call.
fn poll_write<Io: AsyncWrite>(
    io: Pin<&mut Io>,
    cx: &mut Context<'_>,
    head: &[u8],
    frames: Option<&ws_core::Output>,
) -> Poll<io::Result<usize>> {
    let first = frames.map(Buf::chunk).unwrap_or_default();
    if head.is_empty() && frames.is_some_and(|frames| frames.len() == first.len()) {
        return io.poll_write(cx, first);
    }
    let mut slices = [IoSlice::new(&[]); SLICES];
    let mut count = 0;
    if !head.is_empty() {
        slices[0] = IoSlice::new(head);
        count = 1;
    }
    if let Some(frames) = frames {
        count += frames.chunks_vectored(&mut slices[count..]);
    }
    // A plain write is the cheaper call.
    match &slices[..count] {
        [only] => io.poll_write(cx, only),
        slices => io.poll_write_vectored(cx, slices),
    }
}
