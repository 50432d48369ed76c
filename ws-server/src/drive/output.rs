//! From queued messages to octets.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    mem,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, BytesMut};
use tokio::{io::AsyncWrite, sync::oneshot};
use ws_core::{Connection, Message, Outgoing, extension::Compression};

use super::{budget::yield_turn, core::Core, input::WORK};
use crate::{
    SendError,
    leaves::linger,
    outbox::{Queue, Queued},
};

/// Encoding runs so far ahead of the socket and no further: what is not encoded can be dropped.
const AHEAD: usize = 64 * 1024;
/// Bytes that are written in one turn before other tasks get theirs.
const WRITTEN: usize = 4 * AHEAD;
/// Pieces in one vectored write.
const SLICES: usize = 16;

/// Messages of the handler's that are encoded in one turn.
const SENDS: u32 = 256;
/// Messages that are encoded in one turn in all. One that was queued costs less than one that has yet
/// to be made.
const MESSAGES: u32 = 1024;

/// A Pong with its header, masked.
const MAX_PONG: usize = 6 + 125;

/// The sending side of a connection.
pub(super) struct Output {
    /// The 101, until it is written. In a box, which goes with it.
    head: Option<Box<BytesMut>>,
    /// Taken from the outbox, and not encoded.
    pub(super) queue: Queue,
    /// In a box, since hardly any connection has one.
    flushes: Option<Box<Flushes>>,
    /// Bytes of frames that were written.
    written: u64,
    /// Messages that were encoded in this turn.
    messages: u32,
    /// Their bytes.
    payload: u64,
    /// Whether a message came too late to be encoded.
    dropped: bool,
    /// Whether the socket takes no more for now.
    blocked: bool,
    /// The waker of the connection's task.
    task: Option<Waker>,
}

/// Whom to tell when so many bytes are written.
type Flushes = VecDeque<(u64, oneshot::Sender<()>)>;

impl Output {
    pub(super) fn new(head: BytesMut) -> Self {
        Self {
            head: (!head.is_empty()).then(|| Box::new(head)),
            queue: Queue::default(),
            flushes: None,
            written: 0,
            messages: 0,
            payload: 0,
            dropped: false,
            blocked: false,
            task: None,
        }
    }

    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// A message was encoded.
    #[inline]
    fn count(&mut self, len: usize) {
        self.messages = self.messages.wrapping_add(1);
        self.payload = self.payload.wrapping_add(len as u64);
    }

    /// The messages that were encoded in this turn, and their bytes. The next one begins.
    pub(super) fn sent(&mut self) -> (u64, u64) {
        (u64::from(mem::take(&mut self.messages)), mem::take(&mut self.payload))
    }

    /// Whether enough was encoded in this turn. Others get theirs.
    pub(super) fn is_spent(&self) -> bool {
        self.messages >= MESSAGES
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Notes the waker of the task. Whether it is a new one.
    pub(super) fn set_task(&mut self, waker: &Waker) -> bool {
        let new = !self.is_task(waker);
        if new {
            self.task = Some(waker.clone());
        }
        new
    }

    pub(super) fn is_task(&self, waker: &Waker) -> bool {
        self.task.as_ref().is_some_and(|task| task.will_wake(waker))
    }

    /// Bytes of frames that will have been written with everything that is encoded.
    pub(super) fn end(&self, ws: &Connection) -> u64 {
        self.written + ws.encoded() as u64
    }

    pub(super) fn is_written(&self, ws: &Connection) -> bool {
        self.head.is_none() && ws.encoded() == 0 && !ws.has_more_to_encode()
    }

    /// Gives back what is not needed while the connection rests.
    pub(super) fn rest(&mut self) {
        self.queue.shrink();
        if self.flushes.as_ref().is_some_and(|flushes| flushes.is_empty()) {
            self.flushes = None;
        }
    }

    /// So many bytes were put before what is to be flushed.
    pub(super) fn overtaken(&mut self, bytes: usize) {
        overtake(self.flushes.as_deref_mut(), bytes);
    }

    fn is_flush_due(&self) -> bool {
        let first = self.flushes.as_ref().and_then(|flushes| flushes.front());
        first.is_some_and(|(at, _)| *at <= self.written)
    }

    /// Tells those whose messages are with the operating system.
    fn tell_flushed(&mut self) {
        while self.is_flush_due()
            && let Some((_, told)) = self.flushes.as_mut().and_then(|flushes| flushes.pop_front())
        {
            // Whoever asked may have gone.
            told.send(()).ok();
        }
    }
}

fn overtake(flushes: Option<&mut Flushes>, bytes: usize) {
    for (at, _) in flushes.into_iter().flatten() {
        *at += bytes as u64;
    }
}

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
    /// Encodes a message of the handler's in its turn, if nothing waits before it and the socket is
    /// not too far behind. `None`: it has to be queued, or wait for
    /// the next turn where this one [`yields`](Self::yields).
    ///
    /// By reference, since a message is large to move and this is the way of every one.
    #[inline]
    pub(crate) fn send(
        &mut self,
        message: &Message,
        compression: Compression,
    ) -> Option<Result<(), SendError>> {
        if self.output.messages >= SENDS {
            return None;
        }
        if self.has_more_to_encode() {
            self.encode();
            if self.has_more_to_encode() {
                return None;
            }
        }
        if self.ws.encoded() >= AHEAD || self.ws.has_more_to_encode() {
            return None;
        }
        if !self.ws.extensions().is_empty() {
            if self.output.payload >= WORK as u64 {
                return None;
            }
            self.deadlines.passed(self.now);
        }
        let sent = self.ws.send_ref(message, compression);
        if sent.is_ok() {
            self.output.count(message.len());
        }
        // An error means that it is closing: nothing follows a Close.
        Some(sent.map_err(|_| SendError::Closed))
    }

    /// Whether the handler sent enough in this turn. It is woken for its next one then.
    #[cold]
    pub(crate) fn yields(&self, cx: &mut Context<'_>) -> bool {
        let compressed = !self.ws.extensions().is_empty() && self.output.payload >= WORK as u64;
        let yields = self.output.messages >= SENDS || compressed;
        if yields {
            yield_turn(cx);
        }
        yields
    }

    /// Whether there are messages that are not encoded.
    pub(super) fn has_more_to_encode(&self) -> bool {
        !self.output.queue.is_empty() || self.outbox.has_outbound()
    }

    /// Encodes what is queued, in order, as far ahead of the socket as is allowed.
    #[inline]
    pub(super) fn encode(&mut self) {
        if self.has_more_to_encode() {
            self.encode_queued();
        }
    }

    fn encode_queued(&mut self) {
        while self.ws.encoded() < AHEAD && !self.ws.has_more_to_encode() && !self.output.is_spent()
        {
            let queue = &mut self.output.queue;
            if queue.is_empty() {
                if !self.outbox.has_outbound() {
                    return;
                }
                let room = AHEAD - self.ws.encoded();
                self.outbox.take_outbound(queue, room);
            }
            match queue.pop_front() {
                None => return,
                Some(Queued::Message(message, compression)) => {
                    let len = message.len();
                    let sent = self.ws.send_with(message, compression).is_ok();
                    self.encoded(len, sent);
                }
                Some(Queued::Broadcast(broadcast)) => {
                    let sent = self.ws.send_broadcast(&broadcast).is_ok();
                    self.encoded(broadcast.message().len(), sent);
                }
                Some(Queued::Ping(payload)) => {
                    self.ws.ping(payload).ok();
                }
                Some(Queued::Close(code, reason)) => {
                    self.ws.close(code, &reason).ok();
                }
                // Whoever waits learns by the end of the channel.
                Some(Queued::Flush(_)) if self.output.dropped => {}
                Some(Queued::Flush(told)) => {
                    let at = self.output.end(&self.ws);
                    let flushes = self.output.flushes.get_or_insert_default();
                    if flushes.len() == flushes.capacity() {
                        // Those who waited for it may have gone.
                        flushes.retain(|(_, told)| !told.is_closed());
                    }
                    flushes.push_back((at, told));
                }
            }
        }
    }

    /// A message was sent. If it was not, the connection is ending, and the engine says how.
    fn encoded(&mut self, len: usize, sent: bool) {
        self.passed();
        self.output.dropped |= !sent;
        if sent {
            self.output.count(len);
        }
    }

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
                    // What was encoded meanwhile went behind, and is not waited for.
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
