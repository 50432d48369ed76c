//! From messages to frames: the sending half of a connection.

mod context;
mod encoding;
mod queue;
#[cfg(feature = "std")]
mod sharing;

use alloc::{boxed::Box, vec::Vec};

use crate::{
    Broadcast, CloseCode, Message, MessageKind, Opcode, Payload, SendError, WORK_PER_CALL,
    extension::{ChainError, Compression, Direction},
    message_head::MessageHead,
    utf8::Utf8Validator,
};
pub(crate) use context::{Context, FrameWriter};
pub(crate) use encoding::FRAME;
use encoding::{Encoding, Step};
use queue::{Queue, Queued};
#[cfg(feature = "std")]
use sharing::Sent;

/// Encoding pauses while this many bytes wait to be written.
pub(crate) const AHEAD: usize = 64 * 1024;

/// The sending half.
#[derive(Debug, Default)]
pub(crate) struct Sender {
    /// A message that the caller sends in pieces. Boxed: most connections have none.
    streamed: Option<Box<Streamed>>,
    /// A message that extensions are encoding. Boxed: most connections have none.
    encoding: Option<Box<Encoding>>,
    /// What follows it. Boxed: most connections have none.
    queue: Option<Box<Queue<Queued>>>,
}

#[derive(Debug)]
struct Streamed {
    kind: MessageKind,
    first: bool,
    utf8: Utf8Validator,
    /// Broadcasts that wait for its end.
    waiting: Queue<Broadcast>,
}

/// Whether a piece is the last of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    Yes,
    No,
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
            cx.frames.push_plain(message.kind().into(), message.into_payload(), Last::Yes);
            return Ok(());
        }
        if !self.may_begin(cx) {
            return self.enqueue(Queued::Message(message, compression), cx);
        }
        let mut work = WORK_PER_CALL;
        self.encoding = Encoding::whole(message, compression, &mut work, cx)?;
        self.go_on(work, cx)
    }

    /// Queues a message to many, after a message in pieces that is not complete.
    pub(crate) fn broadcast(
        &mut self,
        broadcast: &Broadcast,
        cx: &mut Context<'_>,
    ) -> Result<(), ChainError> {
        if let Some(streamed) = &mut self.streamed {
            streamed.waiting.push_back(broadcast.clone());
            return Ok(());
        }
        let message = broadcast.message();
        if cx.stack.is_empty()
            && (cx.frames.push_shared(broadcast) || cx.frames.push_whole(message))
        {
            return Ok(());
        }
        #[cfg(feature = "std")]
        if !cx.stack.is_empty() && cx.frames.role.is_server() {
            if !self.may_begin(cx) {
                return self.enqueue(Queued::Broadcast(broadcast.clone()), cx);
            }
            let mut work = WORK_PER_CALL;
            self.begin_broadcast(broadcast, &mut work, cx)?;
            return self.go_on(work, cx);
        }
        self.message(message.clone(), broadcast.compression(), cx)
    }

    /// Begins a broadcast, or puts it back at the front of the queue. Returns whether it began.
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

    /// Continues a message after one call of the only extension, which took `taken` bytes of it. Its
    /// output is in the stack's buffer.
    #[cold]
    pub(crate) fn resume(
        &mut self,
        message: Message,
        head: MessageHead,
        taken: usize,
        work: usize,
        cx: &mut Context<'_>,
    ) -> Result<(), ChainError> {
        let gathered = cx.stack.take_spare();
        self.encoding = Some(Encoding::rest(message.into(), head, taken, gathered));
        self.go_on(work, cx)
    }

    /// Begins a message in pieces.
    pub(crate) fn start(
        &mut self,
        kind: MessageKind,
        compression: Compression,
        cx: &mut Context<'_>,
    ) -> Result<(), ChainError> {
        let utf8 = Utf8Validator::default();
        let waiting = Queue::default();
        self.streamed = Some(Box::new(Streamed { kind, first: true, utf8, waiting }));
        if cx.stack.is_empty() {
            return Ok(());
        }
        self.enqueue(Queued::Start(kind, compression), cx)
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
            cx.frames.push_plain(opcode, data, last);
        } else {
            self.enqueue(Queued::Chunk(data, last), cx)?;
        }
        let mut waiting = ended.iter().flat_map(|streamed| streamed.waiting.iter());
        waiting.try_for_each(|broadcast| self.broadcast(broadcast, cx))
    }

    /// Queues a Ping or Pong of the caller after what was queued before.
    pub(crate) fn control(&mut self, opcode: Opcode, payload: Payload, cx: &mut Context<'_>) {
        if self.has_work() {
            self.queue().push_back(Queued::Control(opcode, payload));
        } else {
            cx.frames.push_control(opcode, payload);
        }
    }

    /// Queues a Close after everything else. A message that was sent in part ends there.
    pub(crate) fn close(
        &mut self,
        code: Option<CloseCode>,
        reason: &str,
        cx: &mut Context<'_>,
    ) -> Result<(), ChainError> {
        // Broadcasts that wait for it are dropped too: no message may follow an incomplete one.
        self.streamed = None;
        self.enqueue(Queued::Close(close_body(code, reason)), cx)
    }

    /// Gives up a message that was sent in part, and broadcasts that wait for it, where no Close will be
    /// sent. What was queued before still goes out.
    pub(crate) fn give_up_message(&mut self) {
        if self.streamed.take().is_some() && !self.is_idle() {
            self.queue().push_back(Queued::GiveUp);
        }
    }

    /// Drops what is not encoded: the stack can no longer be used.
    pub(crate) fn abandon(&mut self) {
        *self = Self::default();
    }

    /// Whether the caller is sending a message in pieces.
    pub(crate) fn is_streaming(&self) -> bool {
        self.streamed.is_some()
    }

    /// Whether no message is being encoded and none waits.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.encoding.is_none() && !self.has_queued()
    }

    #[inline]
    fn has_queued(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| !queue.is_empty())
    }

    /// Whether a message may be encoded at once.
    fn may_begin(&self, cx: &Context<'_>) -> bool {
        self.is_idle() && cx.frames.output.len() < AHEAD
    }

    fn enqueue(&mut self, queued: Queued, cx: &mut Context<'_>) -> Result<(), ChainError> {
        self.queue().push_back(queued);
        self.advance(cx)
    }

    fn queue(&mut self) -> &mut Queue<Queued> {
        self.queue.get_or_insert_default()
    }

    /// Whether anything is left to encode.
    pub(crate) fn has_work(&self) -> bool {
        self.has_queued() || self.encoding.as_ref().is_some_and(|encoding| encoding.has_input())
    }

    /// Whether a message is only partly encoded.
    pub(crate) fn is_between_messages(&self) -> bool {
        self.encoding.is_none() && self.streamed.is_none()
    }

    /// Encodes what is queued, up to the limits of one call: `AHEAD` and `WORK_PER_CALL`.
    pub(crate) fn advance(&mut self, cx: &mut Context<'_>) -> Result<(), ChainError> {
        self.work(WORK_PER_CALL, cx)
    }

    /// Encodes what is left of a message that was begun.
    #[inline]
    fn go_on(&mut self, work: usize, cx: &mut Context<'_>) -> Result<(), ChainError> {
        if self.encoding.is_some() { self.work(work, cx) } else { Ok(()) }
    }

    fn work(&mut self, mut work: usize, cx: &mut Context<'_>) -> Result<(), ChainError> {
        while work > 0 && cx.frames.output.len() < AHEAD {
            let Some(encoding) = &mut self.encoding else {
                match self.queue.as_mut().and_then(|queue| queue.pop_front()) {
                    None => break,
                    Some(Queued::Message(message, compression)) => {
                        self.encoding = Encoding::whole(message, compression, &mut work, cx)?;
                    }
                    #[cfg(feature = "std")]
                    Some(Queued::Broadcast(broadcast)) => {
                        if !self.begin_broadcast(&broadcast, &mut work, cx)? {
                            break;
                        }
                    }
                    Some(Queued::Start(kind, compression)) => {
                        self.encoding = Some(Box::new(Encoding::streamed(kind, compression, cx)?));
                    }
                    Some(Queued::Control(opcode, payload)) => {
                        cx.frames.push_control(opcode, payload);
                    }
                    Some(Queued::Close(body)) => cx.frames.push_control(Opcode::Close, body),
                    // Its message was given up.
                    Some(Queued::Chunk(..) | Queued::GiveUp) => {}
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
                    Some(Queued::Control(opcode, payload)) => {
                        cx.frames.push_control(opcode, payload);
                    }
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

    /// Bytes that are not encoded, including those of messages in progress.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.waiting())
            + self.streamed.as_ref().map_or(0, |streamed| streamed.waiting.waiting())
            + self.encoding.as_ref().map_or(0, |encoding| encoding.waiting())
    }

    pub(crate) fn memory_usage(&self) -> usize {
        let queue = |queue: &Queue<Queued>| size_of_val(queue) + queue.memory_usage();
        let streamed =
            |streamed: &Streamed| size_of_val(streamed) + streamed.waiting.memory_usage();
        self.queue.as_deref().map_or(0, queue)
            + self.streamed.as_deref().map_or(0, streamed)
            + self.encoding.as_ref().map_or(0, |encoding| encoding.memory_usage())
    }
}

/// The body of a Close frame; empty without a code.
fn close_body(code: Option<CloseCode>, reason: &str) -> Payload {
    let Some(code) = code else {
        return Payload::new();
    };
    let mut body = Vec::with_capacity(2 + reason.len());
    body.extend_from_slice(&code.get().to_be_bytes());
    body.extend_from_slice(reason.as_bytes());
    body.into()
}
