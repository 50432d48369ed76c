//! What is to be written: encodes the handler's messages in its turn, and those that are queued.

use std::{
    collections::VecDeque,
    mem,
    task::{Context, Waker},
};

use bytes::BytesMut;
use tokio::sync::oneshot;
use ws_core::{Connection, Message, extension::Compression};

use super::{budget::yield_turn, core::Core, input::WORK};
use crate::{
    SendError,
    outbox::{Queued, SendQueue},
};

/// Encoding runs so far ahead of the socket and no further: what is not encoded can be dropped.
pub(super) const AHEAD: usize = 64 * 1024;

/// Messages of the handler's that are encoded in one turn.
const SENDS: u32 = 256;
/// Messages that are encoded in one turn in all. One that was queued costs less than one that has yet
/// to be made.
const MESSAGES: u32 = 1024;

/// The sending side of a connection.
pub(super) struct Output {
    /// The 101, until it is written. In a box, which goes with it.
    pub(super) head: Option<Box<BytesMut>>,
    /// Taken from the outbox, and not encoded.
    pub(super) to_encode: SendQueue,
    /// In a box, since hardly any connection has one.
    pub(super) flushes: Option<Box<Flushes>>,
    /// Bytes of frames that were written.
    pub(super) written: u64,
    /// Messages that were encoded in this turn.
    pub(super) messages: u32,
    /// Their bytes.
    pub(super) payload: u64,
    /// Whether a message came too late to be encoded.
    pub(super) dropped: bool,
    /// Whether the socket takes no more for now.
    pub(super) blocked: bool,
    /// The waker of the connection's task.
    pub(super) task: Option<Waker>,
}

/// Whom to tell when so many bytes are written.
type Flushes = VecDeque<(u64, oneshot::Sender<()>)>;

impl Output {
    pub(super) fn new(head: BytesMut) -> Self {
        Self {
            head: (!head.is_empty()).then(|| Box::new(head)),
            to_encode: SendQueue::default(),
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
        self.to_encode.shrink();
        if self.flushes.as_ref().is_some_and(|flushes| flushes.is_empty()) {
            self.flushes = None;
        }
    }

    /// So many bytes were put before what is to be flushed.
    pub(super) fn overtaken(&mut self, bytes: usize) {
        overtake(self.flushes.as_deref_mut(), bytes);
    }

    pub(super) fn is_flush_due(&self) -> bool {
        let first = self.flushes.as_ref().and_then(|flushes| flushes.front());
        first.is_some_and(|(at, _)| *at <= self.written)
    }

    /// Tells those whose messages are with the operating system.
    pub(super) fn tell_flushed(&mut self) {
        while self.is_flush_due()
            && let Some((_, told)) = self.flushes.as_mut().and_then(|flushes| flushes.pop_front())
        {
            // Whoever asked may have gone.
            told.send(()).ok();
        }
    }
}

pub(super) fn overtake(flushes: Option<&mut Flushes>, bytes: usize) {
    for (at, _) in flushes.into_iter().flatten() {
        *at += bytes as u64;
    }
}

impl Core {
    /// Encodes a message of the handler's in its turn, if nothing waits before it and the socket
    /// keeps up. `None`: it has to be queued, or to wait for the next turn if this one
    /// [`yields`](Self::yields).
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
        !self.output.to_encode.is_empty() || self.outbox.has_outbound()
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
            let queue = &mut self.output.to_encode;
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
}
