//! Encodes the handler's messages in its turn, and the queued ones.

use std::{
    collections::VecDeque,
    mem,
    task::{Context, Waker},
};

use bytes::BytesMut;
use tokio::sync::oneshot;
use ws_core::{Broadcast, Connection, Message, MessageKind, extension::Compression};

use super::{budget::yield_turn, core::Core, input::WORK};
use crate::{
    SendError, Traffic,
    outbox::{Queued, SendQueue},
};

/// Octets encoded ahead of the socket at most: messages that are not encoded can still be dropped.
pub(super) const AHEAD: usize = 64 * 1024;

/// Messages of the handler that are encoded in one turn.
const SENDS: u16 = 256;
/// All messages that are encoded in one turn. A queued message costs less than one that the handler
/// has yet to make.
const MESSAGES: u16 = 1024;

/// The sending side of a connection.
pub(super) struct Output {
    /// The 101 response, until it is written. The box is freed with it.
    pub(super) head: Option<Box<BytesMut>>,
    /// Messages taken from the outbox but not encoded.
    pub(super) to_encode: SendQueue,
    /// The last large broadcast, until it is written: so long it counts.
    broadcast: Option<Broadcast>,
    /// Boxed, since hardly any connection has one.
    pub(super) flushes: Option<Box<Flushes>>,
    /// Octets of frames that were written.
    pub(super) written: u64,
    /// Messages and pieces of messages encoded in this turn.
    pub(super) messages: u16,
    /// Those of them that are text.
    pub(super) texts: u16,
    /// Those of them that are only pieces, and no ends, of messages.
    pub(super) pieces: u16,
    /// Octets of these messages.
    pub(super) payload: u64,
    /// Whether a message came too late to be encoded.
    pub(super) dropped: bool,
    /// Whether the socket takes no more for now.
    pub(super) blocked: bool,
    /// The waker of the connection's task.
    pub(super) task: Option<Waker>,
}

/// Waiters, each with the octet count at which its flush completes.
type Flushes = VecDeque<(u64, oneshot::Sender<()>)>;

impl Output {
    pub(super) fn new(head: BytesMut) -> Self {
        Self {
            head: (!head.is_empty()).then(|| Box::new(head)),
            to_encode: SendQueue::default(),
            broadcast: None,
            flushes: None,
            written: 0,
            messages: 0,
            texts: 0,
            pieces: 0,
            payload: 0,
            dropped: false,
            blocked: false,
            task: None,
        }
    }

    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Counts an encoded message.
    #[inline]
    fn count(&mut self, len: usize, text: bool) {
        self.messages = self.messages.wrapping_add(1);
        if text {
            self.texts = self.texts.wrapping_add(1);
        }
        self.payload = self.payload.wrapping_add(len as u64);
    }

    /// Returns what was encoded in this turn, without its octets on the wire. Starts the count of
    /// the next turn.
    pub(super) fn sent(&mut self) -> Traffic {
        let pieces = mem::take(&mut self.pieces);
        Traffic {
            messages: u64::from(mem::take(&mut self.messages) - pieces),
            texts: u64::from(mem::take(&mut self.texts)),
            payload: mem::take(&mut self.payload),
            wire: 0,
        }
    }

    /// Whether enough was encoded in this turn.
    pub(super) fn is_spent(&self) -> bool {
        self.messages >= MESSAGES
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Stores the waker of the task. Returns whether it is a new one.
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

    /// The octets of frames that will have been written once all encoded frames are.
    pub(super) fn end(&self, ws: &Connection) -> u64 {
        self.written + ws.encoded() as u64
    }

    pub(super) fn is_written(&self, ws: &Connection) -> bool {
        self.head.is_none() && ws.encoded() == 0 && !ws.has_more_to_encode()
    }

    /// Gives back what the connection does not need while it rests.
    pub(super) fn rest(&mut self) {
        self.to_encode.shrink();
        if !self.blocked {
            self.broadcast = None;
        }
        if self.flushes.as_ref().is_some_and(|flushes| flushes.is_empty()) {
            self.flushes = None;
        }
    }

    /// Notes that octets were put before those to be flushed.
    pub(super) fn shift_flushes(&mut self, bytes: usize) {
        shift(self.flushes.as_deref_mut(), bytes);
    }

    pub(super) fn is_flush_due(&self) -> bool {
        let first = self.flushes.as_ref().and_then(|flushes| flushes.front());
        first.is_some_and(|(at, _)| *at <= self.written)
    }

    /// Notifies the waiters whose messages the operating system has.
    pub(super) fn complete_flushes(&mut self) {
        while self.is_flush_due()
            && let Some((_, told)) = self.flushes.as_mut().and_then(|flushes| flushes.pop_front())
        {
            // The waiter may be gone.
            told.send(()).ok();
        }
    }
}

pub(super) fn shift(flushes: Option<&mut Flushes>, bytes: usize) {
    for (at, _) in flushes.into_iter().flatten() {
        *at += bytes as u64;
    }
}

#[inline]
fn is_text(message: &Message) -> bool {
    matches!(message, Message::Text(_))
}

impl Core {
    /// Encodes a message of the handler in its turn, if no other waits before it and the socket
    /// keeps up. `None`: the message must be queued, or wait for the next turn if this one
    /// [`yields`](Self::yields).
    ///
    /// By reference, since a message is large to move and every message comes this way.
    #[inline]
    pub(crate) fn send(
        &mut self,
        message: &Message,
        compression: Compression,
    ) -> Option<Result<(), SendError>> {
        if self.output.messages >= SENDS {
            return None;
        }
        if self.is_anything_before() {
            self.encode();
            if self.is_anything_before() {
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
        match self.ws.send_ref(message, compression) {
            Ok(()) => {
                self.output.count(message.len(), is_text(message));
                Some(Ok(()))
            }
            // A message in pieces goes first.
            Err(ws_core::SendError::MessageInProgress) => None,
            // The connection is closing: nothing follows a Close.
            Err(_) => Some(Err(SendError::Closed)),
        }
    }

    /// Whether the handler sent enough in this turn. If so, wakes it for its next one.
    #[cold]
    pub(crate) fn yields(&self, cx: &mut Context<'_>) -> bool {
        let compressed = !self.ws.extensions().is_empty() && self.output.payload >= WORK as u64;
        let yields = self.output.messages >= SENDS || compressed;
        if yields {
            yield_turn(cx);
        }
        yields
    }

    /// Whether anything goes before a message that the handler sends now.
    fn is_anything_before(&self) -> bool {
        !self.output.to_encode.is_empty() || self.outbox.is_anything_before()
    }

    /// Whether messages wait to be encoded.
    pub(super) fn has_more_to_encode(&self) -> bool {
        !self.output.to_encode.is_empty() || self.outbox.has_outbound()
    }

    /// Encodes queued messages, in order, as far ahead of the socket as allowed.
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
                    let (len, text) = (message.len(), is_text(&message));
                    let sent = self.ws.send_with(message, compression).is_ok();
                    self.encoded(len, text, sent);
                }
                Some(Queued::Broadcast(broadcast)) => {
                    let sent = self.ws.send_broadcast(&broadcast).is_ok();
                    let message = broadcast.message();
                    let len = message.len();
                    self.encoded(len, is_text(message), sent);
                    if len >= AHEAD {
                        self.output.broadcast = Some(broadcast);
                    }
                }
                Some(Queued::Start(kind, compression)) => {
                    // Fails only if we are closing anyway.
                    self.ws.start_message_with(kind, compression).ok();
                }
                Some(Queued::Chunk(data)) => {
                    let len = data.len();
                    let sent = self.ws.send_chunk(data).is_ok();
                    self.encoded(len, false, sent);
                    self.output.pieces += u16::from(sent);
                }
                Some(Queued::End(kind)) => {
                    let sent = self.ws.finish_message("").is_ok();
                    self.encoded(0, kind == MessageKind::Text, sent);
                }
                Some(Queued::Ping(payload)) => {
                    self.ws.ping(payload).ok();
                }
                Some(Queued::Close(code, reason)) => {
                    self.ws.close_within_message(code, &reason).ok();
                }
                Some(Queued::Fail(code, reason)) => {
                    self.ws.fail(code, &reason).ok();
                }
                // The waiter learns by the end of the channel.
                Some(Queued::Flush(_)) if self.output.dropped => {}
                Some(Queued::Flush(told)) => {
                    let at = self.output.end(&self.ws);
                    let flushes = self.output.flushes.get_or_insert_default();
                    if flushes.len() == flushes.capacity() {
                        // Waiters may be gone.
                        flushes.retain(|(_, told)| !told.is_closed());
                    }
                    flushes.push_back((at, told));
                }
            }
        }
    }

    /// Counts a sent message. If it was not sent, the connection is ending, and the engine says
    /// how.
    fn encoded(&mut self, len: usize, text: bool, sent: bool) {
        self.passed();
        self.output.dropped |= !sent;
        if sent {
            self.output.count(len, text);
        }
    }
}
