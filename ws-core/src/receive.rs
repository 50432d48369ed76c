//! From bytes to messages: the receiving half of a connection.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

mod at_hand;
mod close_body;
mod incoming;
mod plain;
mod transformed;

use alloc::{boxed::Box, vec::Vec};

use bytes::{Buf, BufMut, BytesMut};

use crate::{
    CloseCode, Config, Event, Opcode, Payload, Receive, Text, WORK_PER_CALL,
    extension::{Extensions, Failure, Rsv},
    fault::Fault,
    frame::{self, FrameHeader},
    mask::apply_mask,
    observer::{FrameDirection, ObservedFrame, Observer},
};
use incoming::Incoming;
pub(crate) use incoming::{message, take_decoded, take_small};
pub(crate) use plain::take_payload;
use plain::unmask_piece;
pub(crate) use transformed::begin_fault;

/// The receiving half.
#[derive(Debug, Default)]
pub(crate) struct Receiver {
    /// In a box, because an idle connection has none.
    progress: Option<Box<Progress>>,
}

/// What came in part: a frame, a message, or both.
#[derive(Debug, Default)]
struct Progress {
    state: State,
    message: Option<Incoming>,
}

/// What is expected next.
#[derive(Debug, Default)]
enum State {
    #[default]
    Header,
    Control {
        header: FrameHeader,
        payload: Vec<u8>,
    },
    Data(DataFrame),
}

/// A data frame in progress.
#[derive(Debug)]
struct DataFrame {
    header: FrameHeader,
    /// Payload bytes taken from the input.
    received: u64,
    /// Whether extensions decode it.
    transformed: bool,
    /// Taken from the input and not handed on yet: of a message in one frame that nobody decodes, all
    /// that came.
    piece: BytesMut,
    /// Bytes of message data that came of it: what is unmasked and checked, or decoded.
    data_len: u64,
    /// In a box, because hardly any frame has it.
    between: Option<Box<Between>>,
    /// Whether the extensions are done with it.
    decoded: bool,
}

/// What waits inside of the extensions: output of those of frame scope on its way to those of message
/// scope, and failures that come behind it.
#[derive(Debug, Default)]
struct Between {
    bytes: Vec<u8>,
    /// Whether that is all that the frame gave.
    done: bool,
    /// The failure that ends it.
    fault: Option<Fault>,
    /// The failure of one of frame scope, behind what those next to it have to work on.
    of_frames: Option<Box<Failure>>,
    /// The same of one of message scope, or of frame scope where there are no others.
    failure: Option<Box<Failure>>,
}

impl DataFrame {
    fn new(header: FrameHeader, transformed: bool) -> Self {
        Self {
            header,
            received: 0,
            transformed,
            piece: BytesMut::new(),
            data_len: 0,
            between: None,
            decoded: false,
        }
    }

    fn remaining(&self) -> u64 {
        self.header.len.saturating_sub(self.received)
    }

    /// The same, as memory counts.
    fn room(&self) -> usize {
        usize::try_from(self.remaining()).unwrap_or(usize::MAX)
    }

    /// So many bytes of payload came.
    fn came(&mut self, message: &mut Incoming, n: usize) {
        self.received = self.received.saturating_add(n as u64);
        message.received = message.received.saturating_add(n as u64);
    }
}

/// What the receiver needs of its connection.
pub(crate) struct Context<'a> {
    pub(crate) server: bool,
    pub(crate) config: &'a Config,
    pub(crate) stack: &'a mut Extensions,
    pub(crate) observer: &'a mut Option<Observer>,
}

impl Context<'_> {
    fn observe(&mut self, header: FrameHeader, data_len: u64) {
        if let Some(observer) = self.observer {
            observer.frame(&ObservedFrame {
                direction: FrameDirection::Received,
                header,
                data_len,
            });
        }
    }

    fn streams(&self) -> bool {
        self.config.receive == Receive::Streaming
    }
}

/// What was received.
#[derive(Debug)]
pub(crate) enum Received {
    Event(Event),
    Ping(Payload),
    Close {
        code: Option<CloseCode>,
        reason: Text,
    },
    /// More input is needed.
    Starved,
    /// The work of one call is done.
    Yield,
}

/// The size of the unfinished frame and message, for deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unfinished {
    /// Payload bytes received of the frame in progress, zero between frames.
    pub frame_received: u64,
    /// Payload bytes that the frame in progress announced, zero between frames.
    pub frame_len: u64,
    /// Payload bytes received of the message in progress, as on the wire.
    pub message_received: u64,
    /// Whether a data message is in progress, and not a control frame alone.
    pub in_message: bool,
}

impl Receiver {
    /// Takes from `input` until there is something to tell.
    pub(crate) fn poll(
        &mut self,
        input: &mut BytesMut,
        cx: &mut Context<'_>,
    ) -> Result<Received, Fault> {
        if !cx.stack.is_empty() {
            return self.decode_at_hand(input, cx);
        }
        match self.message_at_hand(input, cx)? {
            Some(message) => Ok(Received::Event(Event::Message(message))),
            None => self.read(input, WORK_PER_CALL, cx),
        }
    }

    /// The general way: a header, a payload, and on.
    fn read(
        &mut self,
        input: &mut BytesMut,
        work: usize,
        cx: &mut Context<'_>,
    ) -> Result<Received, Fault> {
        if self.progress.is_none() && input.is_empty() {
            return Ok(Received::Starved);
        }
        let mut progress = self.progress.take().unwrap_or_default();
        let received = progress.read(input, work, cx);
        if !progress.is_between_messages() {
            self.progress = Some(progress);
        }
        received
    }

    /// Reads more of a large message of one frame into the buffer where it is gathered. `None`: there
    /// is none in progress.
    #[inline]
    pub(crate) fn read_more<R>(
        &mut self,
        allocate: impl FnOnce(usize, usize) -> BytesMut,
        read: impl FnOnce(&mut dyn BufMut) -> R,
    ) -> Option<R> {
        self.progress.as_mut()?.read_more(allocate, read)
    }

    #[inline]
    pub(crate) fn is_between_messages(&self) -> bool {
        self.progress.is_none()
    }

    /// What is incomplete.
    #[inline]
    pub(crate) fn unfinished(&self) -> Option<Unfinished> {
        self.progress.as_ref()?.unfinished()
    }

    pub(crate) fn memory_usage(&self) -> usize {
        self.progress.as_ref().map_or(0, |progress| progress.memory_usage())
    }
}

impl Progress {
    fn read(
        &mut self,
        input: &mut BytesMut,
        mut work: usize,
        cx: &mut Context<'_>,
    ) -> Result<Received, Fault> {
        loop {
            let step = match &mut self.state {
                State::Header => self.read_header(input, &mut work, cx)?,
                State::Control { header, payload } => match read_control(*header, payload, input) {
                    None => return Ok(Received::Starved),
                    Some((header, payload)) => {
                        self.state = State::Header;
                        cx.observe(header, payload.len() as u64);
                        Some(control(header.opcode, payload)?)
                    }
                },
                State::Data(frame) => {
                    let message = self.message.get_or_insert_default();
                    let step = if frame.transformed {
                        transformed::read(frame, message, input, &mut work, cx)?
                    } else if cx.streams() {
                        plain::stream(frame, message, input, &mut work)?
                    } else {
                        plain::gather(frame, message, input, &mut work, cx.config)?
                    };
                    match step {
                        DataStep::Complete(payload) => self.finish_frame(payload, cx),
                        DataStep::Event(event) => Some(Received::Event(event)),
                        DataStep::Starved => return Ok(Received::Starved),
                        DataStep::Yield => return Ok(Received::Yield),
                    }
                }
            };
            if let Some(received) = step {
                return Ok(received);
            }
            if work == 0 {
                return Ok(Received::Yield);
            }
        }
    }

    fn read_more<R>(
        &mut self,
        allocate: impl FnOnce(usize, usize) -> BytesMut,
        read: impl FnOnce(&mut dyn BufMut) -> R,
    ) -> Option<R> {
        match (&mut self.state, &mut self.message) {
            (State::Data(frame), Some(message)) if !frame.transformed => {
                plain::read_more(frame, message, allocate, read)
            }
            _ => None,
        }
    }

    fn is_between_messages(&self) -> bool {
        matches!(self.state, State::Header) && self.message.is_none()
    }

    fn unfinished(&self) -> Option<Unfinished> {
        let (frame_received, frame_len) = match &self.state {
            State::Header => (0, 0),
            State::Control { header, payload } => (payload.len() as u64, header.len),
            State::Data(frame) => (frame.received, frame.header.len),
        };
        let between_frames = matches!(self.state, State::Header);
        if between_frames && self.message.is_none() {
            return None;
        }
        Some(Unfinished {
            frame_received,
            frame_len,
            message_received: self.message.as_ref().map_or(0, |message| message.received),
            in_message: self.message.is_some(),
        })
    }

    fn memory_usage(&self) -> usize {
        let frame = match &self.state {
            State::Header => 0,
            State::Control { payload, .. } => payload.capacity(),
            State::Data(frame) => {
                let between = frame.between.as_ref().map_or(0, |between| between.bytes.capacity());
                frame.piece.capacity().saturating_add(between)
            }
        };
        let message = self.message.as_ref().map_or(0, |message| message.buffer.capacity());
        size_of::<Self>().saturating_add(frame).saturating_add(message)
    }

    /// Judges as much of the header as is there, and takes it when it is complete.
    fn read_header(
        &mut self,
        input: &mut BytesMut,
        work: &mut usize,
        cx: &mut Context<'_>,
    ) -> Result<Option<Received>, Fault> {
        let Some(&first) = input.first() else {
            return Ok(Some(Received::Starved));
        };
        let (fin, rsv, opcode) = frame::first_octet(first)?;
        self.check_place(opcode, rsv, cx)?;
        let Some(&second) = input.get(1) else {
            return Ok(Some(Received::Starved));
        };
        // RFC 6455 §5.1: "The server MUST close the connection upon receiving a frame that is not
        // masked." and "A client MUST close a connection if it detects a masked frame."
        match (cx.server, frame::is_masked(second)) {
            (true, false) => return Err(Fault::Unmasked),
            (false, true) => return Err(Fault::Masked),
            _ => {}
        }
        frame::check_control_length(opcode, second)?;
        let Some((len, at)) = frame::length(input)? else {
            return Ok(Some(Received::Starved));
        };
        if !opcode.is_control() {
            self.check_size(len, cx)?;
        }
        let Some((mask, header_len)) = frame::masking_key(input, second, at) else {
            return Ok(Some(Received::Starved));
        };
        let header = FrameHeader { fin, rsv, opcode, mask, len };
        input.advance(header_len);
        *work = work.saturating_sub(header_len);
        if opcode.is_control() {
            self.state = State::Control { header, payload: Vec::new() };
            return Ok(None);
        }
        let first = self.message.is_none();
        let message = self.message.get_or_insert_with(|| Incoming::new(opcode));
        message.count_frame(len, cx.config)?;
        let transformed =
            !cx.stack.is_empty() && transformed::begin(message.kind, header, first, cx.stack)?;
        if !transformed && !cx.streams() {
            // Where no extension decodes it, the data is as long as the frame says.
            let limit = cx.config.max_message;
            if len.saturating_add(message.buffer.len() as u64) > limit as u64 {
                return Err(Fault::MessageTooBig { limit });
            }
        }
        if first && cx.streams() {
            let kind = message.kind;
            self.state = State::Data(DataFrame::new(header, transformed));
            return Ok(Some(Received::Event(Event::Start(kind))));
        }
        self.state = State::Data(DataFrame::new(header, transformed));
        Ok(None)
    }

    /// RSV bits, and the order of fragments.
    fn check_place(&self, opcode: Opcode, rsv: Rsv, cx: &Context<'_>) -> Result<(), Fault> {
        // RFC 6455 §5.2: RSV1, RSV2, RSV3 "MUST be 0 unless an extension is negotiated that defines
        // meanings for non-zero values." RFC 7692 §6.1: not on control frames.
        let unclaimed = rsv.without(cx.stack.claimed());
        if !unclaimed.is_empty() {
            return Err(Fault::ReservedBits(unclaimed));
        }
        if opcode.is_control() {
            return transformed::check_none(rsv, cx.stack);
        }
        // RFC 6455 §5.4: "The fragments of one message MUST NOT be interleaved between the
        // fragments of another message unless an extension has been negotiated that can interpret
        // the interleaving."
        match (opcode == Opcode::Continuation, self.message.is_some()) {
            (true, false) => Err(Fault::UnexpectedContinuation),
            (false, true) => Err(Fault::UnfinishedMessage),
            (_, in_message) => transformed::check_marks(rsv, !in_message, cx.stack),
        }
    }

    /// RFC 6455 §10.4: implementations that have "limitations regarding the frame size or total
    /// message size after reassembly from multiple frames MUST protect themselves against exceeding
    /// those limits."
    fn check_size(&self, len: u64, cx: &Context<'_>) -> Result<(), Fault> {
        if cx.streams() && !cx.stack.gathers_frames() {
            return Ok(());
        }
        let limit = cx.config.frame_limit();
        if usize::try_from(len).map_or(true, |len| len > limit) {
            return Err(Fault::FrameTooBig { limit });
        }
        // Behind an extension the size of a message is known only when it was decoded.
        let limit = cx.config.max_message;
        let before = self.message.as_ref().map_or(0, |message| message.buffer.len());
        if cx.stack.is_empty() && len.saturating_add(before as u64) > limit as u64 {
            return Err(Fault::MessageTooBig { limit });
        }
        Ok(())
    }

    /// A data frame is complete: so is the message, or the next frame is awaited.
    fn finish_frame(&mut self, payload: Option<Payload>, cx: &mut Context<'_>) -> Option<Received> {
        let State::Data(frame) = core::mem::take(&mut self.state) else {
            return None;
        };
        cx.observe(frame.header, frame.data_len);
        if !frame.header.fin {
            return None;
        }
        let message = self.message.take()?;
        let event = if cx.streams() { Event::End } else { Event::Message(message.finish(payload)) };
        Some(Received::Event(event))
    }
}

/// How far the payload of a data frame came.
enum DataStep {
    /// The frame is complete, and its payload is the message if it is given here.
    Complete(Option<Payload>),
    Event(Event),
    Starved,
    Yield,
}

/// Gathers the payload of a control frame, at most 125 bytes. `None`: more input is needed.
fn read_control(
    header: FrameHeader,
    gathered: &mut Vec<u8>,
    input: &mut BytesMut,
) -> Option<(FrameHeader, Payload)> {
    let len = usize::try_from(header.len).ok()?;
    let n = len.saturating_sub(gathered.len()).min(input.len());
    if gathered.is_empty() && n == len {
        return Some((header, take_payload(input, 0, len, header.mask)));
    }
    let offset = gathered.len();
    let piece = input.get_mut(..n).unwrap_or_default();
    if let Some(key) = header.mask {
        apply_mask(piece, key, offset as u64);
    }
    gathered.extend_from_slice(piece);
    input.advance(n);
    (gathered.len() == len).then(|| (header, core::mem::take(gathered).into()))
}

/// A control frame is complete.
fn control(opcode: Opcode, payload: Payload) -> Result<Received, Fault> {
    Ok(match opcode {
        Opcode::Ping => Received::Ping(payload),
        Opcode::Close => close_body::parse(&payload)?,
        _ => Received::Event(Event::Pong(payload)),
    })
}
