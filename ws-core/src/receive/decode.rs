//! Frames that extensions decode.
use alloc::{boxed::Box, vec::Vec};

use bytes::{Buf, BytesMut};

use super::{
    Context, Incoming,
    data_frame::{DataFrame, DataStep},
    plain::unmask_piece,
};
use crate::{
    Config, Event, MessageKind, UNLIMITED, WORK_PER_CALL,
    extension::{
        Chain, ChainError, ChainStatus, Compression, Direction, Failure, Flow, Layer, Mark,
        MessageInfo, Rsv, RsvClaim, Scope,
    },
    fault::Fault,
    frame::FrameHeader,
};

/// How much output of frame-scope extensions may wait for those of message scope.
const STEP: usize = 16 * 1024;

/// What waits between the extensions: output of those of frame scope for those of message scope, and
/// failures that follow it.
#[derive(Debug, Default)]
pub(crate) struct Between {
    pub(super) bytes: Vec<u8>,
    /// Whether this is all the output of the frame.
    done: bool,
    /// The fault that follows the bytes.
    fault: Option<Fault>,
    /// A failure of a frame-scope extension; its neighbours first work on what it gave before.
    of_frames: Option<Box<Failure>>,
    /// The same for message scope, or for frame scope if there are no others.
    failure: Option<Box<Failure>>,
}

/// A message in one frame that the short lane decoded in part.
#[derive(Debug)]
pub(crate) struct DecodedPart {
    /// What the extensions have not taken, unmasked.
    pub(crate) left: BytesMut,
    /// What they decoded.
    pub(crate) out: Vec<u8>,
    pub(crate) between: Option<Box<Between>>,
    /// Whether they have decoded all of it.
    pub(crate) complete: Result<bool, Box<Fault>>,
}

/// Tells the extensions that a frame, and perhaps a message, begins. Whether any will decode it.
pub(super) fn begin(
    kind: MessageKind,
    header: FrameHeader,
    first: bool,
    layers: &mut [Layer],
) -> Result<bool, ChainError> {
    let mut len = Some(header.len);
    let mut marks = header.rsv;
    let mut any = false;
    for layer in layers.iter_mut().rev() {
        let frames = layer.scope == Scope::Frame;
        let bits = layer.claim.bits();
        marks = marks.without(bits);
        if first || (frames && !matches!(layer.claim, RsvClaim::FirstFrame(_))) {
            let marked = !bits.is_empty() && header.rsv.contains(bits);
            let unit = MessageInfo {
                kind,
                len: len.filter(|_| frames || header.fin),
                marks,
                compression: Compression::Auto,
            };
            layer.begin_decode(&unit, if marked { Mark::Marked } else { Mark::Unmarked })?;
        }
        if layer.decode.is_active() {
            any = true;
            len = None;
        }
    }
    Ok(any)
}

/// The same for a message in one frame.
#[inline(always)]
pub(crate) fn begin_whole(
    kind: MessageKind,
    header: FrameHeader,
    layers: &mut [Layer],
) -> Result<bool, ChainError> {
    let [layer] = layers else {
        return begin(kind, header, true, layers);
    };
    let unit = MessageInfo::new(kind, Some(header.len), Compression::Auto);
    layer
        .begin_decode(&unit, if header.rsv == Rsv::NONE { Mark::Unmarked } else { Mark::Marked })?;
    Ok(layer.decode.is_active())
}

/// The fault for an extension that failed at the beginning of a unit.
#[cold]
pub(crate) fn begin_fault(error: ChainError) -> Fault {
    message_fault(error, UNLIMITED)
}

/// Decodes what has arrived of a frame, within the work of one call.
pub(super) fn read(
    frame: &mut DataFrame,
    message: &mut Incoming,
    input: &mut BytesMut,
    work: &mut usize,
    cx: &mut Context<'_>,
) -> Result<DataStep, Fault> {
    if frame.decoded {
        message.check_end(frame.header.fin)?;
        return Ok(DataStep::Complete(None));
    }
    let mut taken = 0;
    if frame.piece.is_empty() {
        taken = unmask_piece(frame, input, *work);
        message.received = message.received.saturating_add(taken as u64);
    }
    let mut feed =
        if frame.piece.is_empty() { input.get(..taken).unwrap_or_default() } else { &frame.piece };
    let offered = feed.len();
    let last = frame.header.len == frame.received;

    let streams = cx.streams();
    let limit = cx.config.max_message;
    let mut chunk = Vec::new();
    let (out, room) = if streams {
        (&mut chunk, WORK_PER_CALL)
    } else {
        let room = limit.saturating_add(1).saturating_sub(message.buffer.len());
        (&mut message.buffer, room)
    };
    let before = out.len();
    let mut run = Run::new(&mut frame.between, frame.header.fin, cx.stack.split(), cx.config);
    let complete = run.decode(&mut feed, last, out, room, work);

    let new = if streams {
        // Faults act in stream order: what was decoded before a failure is checked before it.
        message.check_text(&chunk)?;
        chunk.len()
    } else {
        message.judge(before, limit)?;
        message.buffer.len().saturating_sub(before)
    };
    let complete = complete?;

    // The frame keeps what was not consumed.
    let consumed = offered.saturating_sub(feed.len());
    if frame.piece.is_empty() {
        input.advance(consumed);
        let left = taken.saturating_sub(consumed);
        if left > 0 {
            frame.piece = input.split_to(left);
        }
    } else {
        frame.piece.advance(consumed);
    }
    frame.data_len = frame.data_len.saturating_add(new as u64);
    frame.decoded = matches!(complete, Decoded::Frame);
    if !chunk.is_empty() {
        return Ok(DataStep::Event(Event::Chunk(chunk.into())));
    }
    Ok(match complete {
        Decoded::Frame => {
            message.check_end(frame.header.fin)?;
            DataStep::Complete(None)
        }
        Decoded::Starved if input.is_empty() => DataStep::Starved,
        // What the frame kept is used up, and more follows in the input.
        Decoded::Starved => DataStep::Yield,
        Decoded::Suspended => DataStep::Yield,
    })
}

/// Decodes a message that is whole in `feed`, within the work of one call. Whether it is complete.
#[inline(always)]
pub(crate) fn decode_whole(
    feed: &mut &[u8],
    out: &mut Vec<u8>,
    between: &mut Option<Box<Between>>,
    work: &mut usize,
    (layers, of_messages): (&mut [Layer], usize),
    config: &Config,
) -> Result<bool, Box<Fault>> {
    let limit = config.max_message;
    let room = limit.saturating_add(1);
    if let [layer] = layers {
        let passed = layer.pass(Direction::Decode, feed, true, out, room, work);
        return passed.map_err(|error| Box::new(message_fault(error, limit)));
    }
    let layers = layers.split_at_mut(of_messages);
    Run::new(between, true, layers, config).decode_whole(feed, out, room, work)
}

enum Decoded {
    /// All of the frame was decoded.
    Frame,
    /// More input is needed.
    Starved,
    /// The work or the room is used up.
    Suspended,
}

struct Run<'a> {
    frames: Chain<'a>,
    messages: Chain<'a>,
    between: &'a mut Option<Box<Between>>,
    fin: bool,
    max_frame: usize,
    max_message: usize,
}

impl<'a> Run<'a> {
    fn new(
        between: &'a mut Option<Box<Between>>,
        fin: bool,
        (messages, frames): (&'a mut [Layer], &'a mut [Layer]),
        config: &Config,
    ) -> Self {
        Self {
            frames: Chain::new(frames, Direction::Decode),
            messages: Chain::new(messages, Direction::Decode),
            between,
            fin,
            max_frame: config.frame_limit(),
            max_message: config.max_message,
        }
    }

    /// The failure kept from an earlier call.
    fn take_failure(&mut self) -> Option<Box<Failure>> {
        self.between.as_mut().and_then(|between| between.failure.take())
    }

    fn keep_failure(&mut self, failure: Option<Box<Failure>>) {
        if failure.is_some() {
            self.between.get_or_insert_default().failure = failure;
        }
    }

    #[inline(never)]
    fn decode_whole(
        mut self,
        feed: &mut &[u8],
        out: &mut Vec<u8>,
        room: usize,
        work: &mut usize,
    ) -> Result<bool, Box<Fault>> {
        let decoded = self.decode(feed, true, out, room, work)?;
        Ok(matches!(decoded, Decoded::Frame))
    }

    fn decode(
        &mut self,
        feed: &mut &[u8],
        last: bool,
        out: &mut Vec<u8>,
        room: usize,
        work: &mut usize,
    ) -> Result<Decoded, Fault> {
        let (max_frame, max_message) = (self.max_frame, self.max_message);
        let of_message = |error| message_fault(error, max_message);
        let of_frame = |error| frame_fault(error, max_frame);
        let full_at = out.len().saturating_add(room);
        if !self.frames.is_active() {
            let mut failure = self.take_failure();
            let (ends, limit) = (last && self.fin, max_message);
            let flow = Flow { feed, last: ends, out, room, work, limit, failure: &mut failure };
            let status = self.messages.run(flow).map_err(of_message)?;
            self.keep_failure(failure);
            return Ok(match status {
                ChainStatus::Full => Decoded::Suspended,
                ChainStatus::Starved if !last => Decoded::Starved,
                _ => Decoded::Frame,
            });
        }
        if !self.messages.is_active() {
            let mut failure = self.take_failure();
            let limit = max_frame;
            let flow = Flow { feed, last, out, room, work, limit, failure: &mut failure };
            let status = self.frames.run(flow).map_err(of_frame)?;
            self.keep_failure(failure);
            return Ok(match status {
                ChainStatus::Full => Decoded::Suspended,
                ChainStatus::Starved => Decoded::Starved,
                ChainStatus::Finished => Decoded::Frame,
            });
        }
        let between = self.between.get_or_insert_default();
        loop {
            let mut starved = false;
            if !between.done && between.bytes.is_empty() && between.fault.is_none() {
                let (out, limit, failure) = (&mut between.bytes, max_frame, &mut between.of_frames);
                let flow = Flow { feed, last, out, room: STEP, work, limit, failure };
                match self.frames.run(flow) {
                    Ok(status) => {
                        between.done = status == ChainStatus::Finished;
                        starved = status == ChainStatus::Starved;
                    }
                    // Faults act in stream order: what was decoded before it is passed on first.
                    Err(error) => between.fault = Some(of_frame(error)),
                }
            }
            let mut unit = between.bytes.as_slice();
            let last = between.done && self.fin;
            let room = full_at.saturating_sub(out.len());
            let (feed, limit, failure) = (&mut unit, max_message, &mut between.failure);
            let flow = Flow { feed, last, out, room, work, limit, failure };
            let status = self.messages.run(flow).map_err(of_message)?;
            let taken = between.bytes.len().saturating_sub(unit.len());
            between.bytes.drain(..taken);
            match status {
                ChainStatus::Full => return Ok(Decoded::Suspended),
                ChainStatus::Finished => return Ok(Decoded::Frame),
                ChainStatus::Starved if between.fault.is_some() => {
                    return between.fault.take().map_or(Ok(Decoded::Starved), Err);
                }
                ChainStatus::Starved if between.done => return Ok(Decoded::Frame),
                ChainStatus::Starved if starved => return Ok(Decoded::Starved),
                ChainStatus::Starved => {}
            }
        }
    }
}

#[cold]
fn message_fault(error: ChainError, limit: usize) -> Fault {
    match error {
        ChainError::Extension(failure) => {
            let Failure { name, code, reason } = *failure;
            Fault::Extension { name, code, reason }
        }
        ChainError::TooBig => Fault::MessageTooBig { limit },
    }
}

fn frame_fault(error: ChainError, limit: usize) -> Fault {
    match error {
        ChainError::TooBig => Fault::FrameTooBig { limit },
        error => message_fault(error, limit),
    }
}
