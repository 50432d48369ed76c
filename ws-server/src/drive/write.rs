//! Writes encoded frames to the socket.

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
    output::{AHEAD, Output, shift},
};
use crate::leaves::linger;

/// Octets written in one turn before other tasks get theirs.
const WRITTEN: usize = 4 * AHEAD;
/// Pieces in one vectored write.
const SLICES: usize = 16;
/// A Pong with its header, masked.
const MAX_PONG: usize = 6 + 125;

/// The result of one write.
enum Written {
    /// So many octets.
    Some(usize),
    /// Nothing to write.
    Nothing,
    /// The extensions are at work, without output yet.
    Encoding,
}

impl Core {
    /// Encodes and writes as much as the socket takes. Returns whether it took anything.
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
                    // Work without output counts as much as work with output.
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
                Poll::Ready(Ok(())) => self.output.complete_flushes(),
                Poll::Ready(Err(error)) => self.unwritable(&error),
                Poll::Pending => {}
            }
        }
        if self.ws.is_ending() {
            // An extension failed while encoding. No read would report that.
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

    /// Writes to the socket itself, whatever the runtime knows of it. Returns whether it took
    /// anything.
    ///
    /// Linux reports a socket as writable once half of its send buffer is free, but takes more as
    /// soon as any of it is.
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

    /// Writes our last octets, the Close, before the socket is closed. The rest is left to
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

    /// Ends the connection, since nothing can be written any more, not even the answer to the
    /// peer's Close.
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
                    // Frames that were encoded with the Pong follow it, and are not waited for.
                    shift(
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

/// Writes frames, and the head of the handshake unless it was written, with one call.
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
