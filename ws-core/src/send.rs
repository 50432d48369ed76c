//! From messages to frames: the sending half of a connection.

mod encoding;
mod queue;
#[cfg(feature = "std")]
mod sharing;

use alloc::{boxed::Box, vec::Vec};

#[cfg(feature = "std")]
use bytes::Bytes;

use crate::{
    Broadcast, CloseCode, Config, Message, MessageKind, Opcode, Payload, Role, SendError,
    WORK_PER_CALL,
    extension::{ChainError, Compression, Direction, Extensions, Rsv},
    frame::FrameHeader,
    message_head::MessageHead,
    observer::{FrameDirection, ObservedFrame, Observer},
    output::{Output, PASS_THROUGH_FROM},
    utf8::Utf8Validator,
};
pub(crate) use encoding::FRAME;
use encoding::{Encoding, Step};
use queue::{Held, Queue, Queued};
#[cfg(feature = "std")]
use sharing::Sent;

/// Encoding pauses while so much is waiting to be written.
pub(crate) const AHEAD: usize = 64 * 1024;

/// The sending half.
#[derive(Debug, Default)]
pub(crate) struct Sender {
    /// A message that is sent in pieces by the caller. Boxed: most connections have none.
    streamed: Option<Box<Streamed>>,
    /// A message that extensions are encoding. Boxed: most connections have none.
    encoding: Option<Box<Encoding>>,
    /// What comes behind it. Boxed: most connections have none.
    queue: Option<Box<Queue>>,
}

#[derive(Debug)]
struct Streamed {
    kind: MessageKind,
    first: bool,
    utf8: Utf8Validator,
    /// Broadcasts that wait for its end.
    held: Held,
}

/// Whether a piece is the last of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    Yes,
    No,
}

/// What the sender needs of its connection.
pub(crate) struct Context<'a> {
    pub(crate) role: &'a mut Role,
    pub(crate) config: &'a Config,
    pub(crate) stack: &'a mut Extensions,
    pub(crate) output: &'a mut Output,
    pub(crate) observer: &'a mut Option<Observer>,
}

impl Context<'_> {
    /// Queues a frame for writing; `data_len` bytes of message data went into it.
    fn push(&mut self, fin: bool, rsv: Rsv, opcode: Opcode, payload: Payload, data_len: u64) {
        let header = FrameHeader { fin, rsv, opcode, mask: None, len: payload.len() as u64 };
        let header = self.output.push(header, payload, self.role);
        self.observe(header, data_len);
    }

    /// Queues a frame with what is in `buffer`, which is left empty.
    fn push_buffer(
        &mut self,
        fin: bool,
        rsv: Rsv,
        opcode: Opcode,
        buffer: &mut Vec<u8>,
        data_len: u64,
    ) {
        if buffer.len() >= PASS_THROUGH_FROM {
            self.push(fin, rsv, opcode, core::mem::take(buffer).into(), data_len);
            return;
        }
        let header = FrameHeader { fin, rsv, opcode, mask: None, len: buffer.len() as u64 };
        let header = self.output.push_copied(header, buffer, self.role);
        self.observe(header, data_len);
        buffer.clear();
    }

    /// Queues a frame that is encoded with its header, unmasked; `data_len` bytes of message data
    /// went into it.
    #[cfg(feature = "std")]
    fn push_frame(&mut self, header: FrameHeader, frame: &Bytes, data_len: u64) {
        self.output.push_frame(frame);
        self.observe(header, data_len);
    }

    /// Queues a broadcast as it is, if it is of a size at which a common frame pays. Whether it is.
    #[cfg(feature = "std")]
    fn push_shared(&mut self, broadcast: &Broadcast) -> bool {
        let len = broadcast.message().len();
        if !self.role.is_server() || len > self.max_frame() {
            return false;
        }
        let Some((header, frame)) = broadcast.plain_frame() else {
            return false;
        };
        self.push_frame(header, frame, len as u64);
        true
    }

    #[cfg(not(feature = "std"))]
    fn push_shared(&mut self, _: &Broadcast) -> bool {
        false
    }

    fn observe(&mut self, header: FrameHeader, data_len: u64) {
        if let Some(observer) = self.observer {
            observer.frame(&ObservedFrame { direction: FrameDirection::Sent, header, data_len });
        }
    }

    pub(crate) fn push_control(&mut self, opcode: Opcode, payload: Payload) {
        let len = payload.len() as u64;
        self.push(true, Rsv::NONE, opcode, payload, len);
    }

    /// Queues a Pong in front of the data that is not being written yet.
    pub(crate) fn push_pong(&mut self, payload: &[u8]) {
        let len = payload.len() as u64;
        let header =
            FrameHeader { fin: true, rsv: Rsv::NONE, opcode: Opcode::Pong, mask: None, len };
        let header = self.output.push_ahead(header, payload, self.role);
        self.observe(header, len);
    }

    fn max_frame(&self) -> usize {
        self.config.max_sent_frame.max(1)
    }

    /// Queues a small message as one frame, if no extension is to see it. Whether it was one.
    #[inline]
    pub(crate) fn push_small(&mut self, message: &Message) -> bool {
        let payload = message.as_bytes();
        if !self.stack.is_empty() || payload.len() >= PASS_THROUGH_FROM.min(self.max_frame()) {
            return false;
        }
        let len = payload.len() as u64;
        let opcode = message.kind().into();
        let header = FrameHeader { fin: true, rsv: Rsv::NONE, opcode, mask: None, len };
        let header = self.output.push_copied(header, payload, self.role);
        self.observe(header, len);
        true
    }

    /// Queues plain data as one frame, or as several where the configuration asks for it.
    fn push_plain(&mut self, opcode: Opcode, mut payload: Payload, last: Last) {
        let mut opcode = opcode;
        while payload.len() > self.max_frame() {
            let (head, tail) = payload.split_at(self.max_frame());
            let len = head.len() as u64;
            self.push(false, Rsv::NONE, opcode, head, len);
            (payload, opcode) = (tail, Opcode::Continuation);
        }
        let len = payload.len() as u64;
        self.push(last == Last::Yes, Rsv::NONE, opcode, payload, len);
    }
}

impl Sender {
    /// Queues a whole message.
    #[inline]
    pub(crate) fn message(
        &mut self,
        message: Message,
        compression: Compression,
        cx: &mut Context<'_>,
    ) -> Result<(), ChainError> {
        if cx.stack.is_empty() {
            // RFC 6455 §5.4: "An unfragmented message consists of a single frame with the FIN bit
            // set (Section 5.2) and an opcode other than 0."
            cx.push_plain(message.kind().into(), message.into_payload(), Last::Yes);
            return Ok(());
        }
        if !self.is_idle() || cx.output.len() >= AHEAD {
            self.queue().push_back(Queued::Message(message.detached(), compression));
            return self.advance(cx);
        }
        let mut work = WORK_PER_CALL;
        self.encoding = Encoding::whole(message, compression, &mut work, cx)?;
        if self.encoding.is_some() { self.work(work, cx) } else { Ok(()) }
    }

    /// Queues a message that goes to many, behind one that is sent in pieces.
    pub(crate) fn broadcast(
        &mut self,
        broadcast: &Broadcast,
        cx: &mut Context<'_>,
    ) -> Result<(), ChainError> {
        if let Some(streamed) = &mut self.streamed {
            streamed.held.push(broadcast);
            return Ok(());
        }
        if cx.stack.is_empty() && (cx.push_shared(broadcast) || cx.push_small(broadcast.message()))
        {
            return Ok(());
        }
        if cx.stack.is_empty() || !cx.role.is_server() {
            return self.message(broadcast.message().clone(), broadcast.compression(), cx);
        }
        if !self.is_idle() || cx.output.len() >= AHEAD {
            self.queue().push_back(Queued::Broadcast(broadcast.clone()));
            return self.advance(cx);
        }
        let mut work = WORK_PER_CALL;
        self.begin_broadcast(broadcast, &mut work, cx)?;
        if self.encoding.is_some() { self.work(work, cx) } else { Ok(()) }
    }

    /// Begins a broadcast, or puts it back in front of the queue. Whether it is begun.
    #[cfg(feature = "std")]
    fn begin_broadcast(
        &mut self,
        broadcast: &Broadcast,
        work: &mut usize,
        cx: &mut Context<'_>,
    ) -> Result<bool, ChainError> {
        match sharing::send(broadcast, work, cx)? {
            Sent::Begun(encoding) => {
                self.encoding = encoding;
                Ok(true)
            }
            Sent::Awaited => {
                self.queue().push_front(Queued::Broadcast(broadcast.clone()));
                Ok(false)
            }
        }
    }

    #[cfg(not(feature = "std"))]
    fn begin_broadcast(
        &mut self,
        broadcast: &Broadcast,
        work: &mut usize,
        cx: &mut Context<'_>,
    ) -> Result<bool, ChainError> {
        let message = broadcast.message().clone();
        self.encoding = Encoding::whole(message, broadcast.compression(), work, cx)?;
        Ok(true)
    }

    /// Goes on with a small message, where the only extension was called once: `taken` bytes of it
    /// were taken, and what came of them is in the stack's buffer.
    #[cold]
    pub(crate) fn encode_small_on(
        &mut self,
        message: Message,
        head: MessageHead,
        taken: usize,
        complete: bool,
        work: usize,
        cx: &mut Context<'_>,
    ) -> Result<(), ChainError> {
        let gathered = cx.stack.take_spare();
        self.encoding = Encoding::push_whole(message.into(), head, taken, gathered, complete, cx);
        if self.encoding.is_some() { self.work(work, cx) } else { Ok(()) }
    }

    /// Begins a message in pieces.
    pub(crate) fn start(
        &mut self,
        kind: MessageKind,
        compression: Compression,
        cx: &mut Context<'_>,
    ) -> Result<(), ChainError> {
        let utf8 = Utf8Validator::default();
        self.streamed = Some(Box::new(Streamed { kind, first: true, utf8, held: Held::default() }));
        if cx.stack.is_empty() {
            return Ok(());
        }
        self.queue().push_back(Queued::Start(kind, compression));
        self.advance(cx)
    }

    /// Checks a piece of the message in progress.
    pub(crate) fn check_chunk(&mut self, data: &[u8], last: Last) -> Result<(), SendError> {
        let streamed = self.streamed.as_mut().ok_or(SendError::NoMessageInProgress)?;
        if streamed.kind == MessageKind::Text {
            let mut utf8 = streamed.utf8.clone();
            if !utf8.feed(data) || (last == Last::Yes && !utf8.is_complete()) {
                return Err(SendError::InvalidUtf8);
            }
            streamed.utf8 = utf8;
        }
        Ok(())
    }

    /// Queues a piece that was checked.
    pub(crate) fn chunk(
        &mut self,
        data: Payload,
        last: Last,
        cx: &mut Context<'_>,
    ) -> Result<(), ChainError> {
        let Some(streamed) = &mut self.streamed else {
            return Ok(());
        };
        let opcode = if streamed.first { streamed.kind.into() } else { Opcode::Continuation };
        if data.is_empty() && last == Last::No {
            return Ok(());
        }
        streamed.first = false;
        let ended = if last == Last::Yes { self.streamed.take() } else { None };
        if cx.stack.is_empty() {
            cx.push_plain(opcode, data, last);
        } else {
            // It is kept until it is encoded, as a whole message is.
            self.queue().push_back(Queued::Chunk(data.detached(), last));
            self.advance(cx)?;
        }
        let mut held = ended.iter().flat_map(|streamed| streamed.held.iter());
        held.try_for_each(|broadcast| self.broadcast(broadcast, cx))
    }

    /// Queues a Ping or Pong of the caller behind what was queued before it.
    pub(crate) fn control(&mut self, opcode: Opcode, payload: Payload, cx: &mut Context<'_>) {
        if self.has_work() {
            self.queue().push_back(Queued::Control(opcode, payload));
        } else {
            cx.push_control(opcode, payload);
        }
    }

    /// Queues a Close behind everything else. A message that was sent in part ends there.
    pub(crate) fn close(
        &mut self,
        code: Option<CloseCode>,
        reason: &str,
        cx: &mut Context<'_>,
    ) -> Result<(), ChainError> {
        // What it held goes with it: no other message may follow one that is not complete.
        self.streamed = None;
        self.queue().push_back(Queued::Close(close_body(code, reason)));
        self.advance(cx)
    }

    /// Drops what was not encoded: the stack can no longer be used.
    pub(crate) fn abandon(&mut self) {
        *self = Self::default();
    }

    /// Whether the caller is sending a message in pieces.
    pub(crate) fn is_streaming(&self) -> bool {
        self.streamed.is_some()
    }

    /// Whether no message is being encoded, and none waits.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.encoding.is_none() && !self.has_queued()
    }

    #[inline]
    fn has_queued(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| !queue.is_empty())
    }

    fn queue(&mut self) -> &mut Queue {
        self.queue.get_or_insert_default()
    }

    /// Whether there is something left to encode.
    pub(crate) fn has_work(&self) -> bool {
        self.has_queued() || self.encoding.as_ref().is_some_and(|encoding| encoding.has_input())
    }

    /// Whether a message is only partly encoded.
    pub(crate) fn is_between_messages(&self) -> bool {
        self.encoding.is_none() && self.streamed.is_none()
    }

    /// Encodes what is queued, at most so far ahead of the writer and so much at a time.
    pub(crate) fn advance(&mut self, cx: &mut Context<'_>) -> Result<(), ChainError> {
        self.work(WORK_PER_CALL, cx)
    }

    fn work(&mut self, mut work: usize, cx: &mut Context<'_>) -> Result<(), ChainError> {
        while work > 0 && cx.output.len() < AHEAD {
            let Some(encoding) = &mut self.encoding else {
                match self.queue.as_mut().and_then(|queue| queue.pop_front()) {
                    None => break,
                    Some(Queued::Message(message, compression)) => {
                        self.encoding = Encoding::whole(message, compression, &mut work, cx)?;
                    }
                    Some(Queued::Broadcast(broadcast)) => {
                        if !self.begin_broadcast(&broadcast, &mut work, cx)? {
                            break;
                        }
                    }
                    Some(Queued::Start(kind, compression)) => {
                        self.encoding = Some(Box::new(Encoding::streamed(kind, compression, cx)?));
                    }
                    Some(Queued::Control(opcode, payload)) => cx.push_control(opcode, payload),
                    Some(Queued::Close(body)) => cx.push_control(Opcode::Close, body),
                    // The message it belongs to was given up.
                    Some(Queued::Chunk(..)) => {}
                }
                continue;
            };
            match encoding.step(&mut work, cx)? {
                Step::Complete => self.encoding = None,
                Step::Frame => {}
                Step::Suspended => break,
                Step::Starved => match self.queue.as_mut().and_then(|queue| queue.pop_front()) {
                    None => break,
                    Some(Queued::Chunk(data, last)) => encoding.feed(data, last),
                    // RFC 6455 §5.4: control frames "MAY be injected in the middle of a
                    // fragmented message".
                    Some(Queued::Control(opcode, payload)) => cx.push_control(opcode, payload),
                    Some(other) => {
                        // RFC 6455 §5.5.1 allows a Close in the middle of a fragmented message.
                        self.encoding = None;
                        cx.stack.drop_unit(Direction::Encode);
                        self.queue().push_front(other);
                    }
                },
            }
        }
        if !self.has_queued() {
            self.queue = None;
        }
        Ok(())
    }

    /// Bytes that are not encoded, those of messages in the making included.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.waiting())
            + self.streamed.as_ref().map_or(0, |streamed| streamed.held.waiting())
            + self.encoding.as_ref().map_or(0, |encoding| encoding.waiting())
    }

    pub(crate) fn memory_usage(&self) -> usize {
        let streamed = |streamed: &Streamed| streamed.held.memory_usage() + size_of::<Streamed>();
        self.queue.as_ref().map_or(0, |queue| queue.memory_usage())
            + self.streamed.as_deref().map_or(0, streamed)
            + self.encoding.as_ref().map_or(0, |encoding| encoding.memory_usage())
    }
}

/// The body of a Close frame; empty without a code.
fn close_body(code: Option<CloseCode>, reason: &str) -> Payload {
    let Some(code) = code else {
        return Payload::new();
    };
    let mut body = alloc::vec::Vec::with_capacity(2 + reason.len());
    body.extend_from_slice(&code.get().to_be_bytes());
    body.extend_from_slice(reason.as_bytes());
    body.into()
}
