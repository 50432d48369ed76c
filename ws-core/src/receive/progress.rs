//! A frame and a message in progress: the general lane.

use alloc::vec::Vec;

use bytes::{Buf, BytesMut};

use super::{
    Context, DecodedPart, Incoming, Received, Unfinished, close_body,
    data_frame::{DataFrame, DataStep},
    decode,
    judge::{Judge, check_size},
    plain, take_payload,
};
use crate::{Event, Opcode, Payload, fault::Fault, frame::FrameHeader, mask::apply_mask};

/// A frame in progress, a message in progress, or both.
#[derive(Debug, Default)]
pub(super) struct Progress {
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

impl Progress {
    /// A message in one frame that was taken from the input and decoded in part.
    pub(super) fn decoding(
        header: FrameHeader,
        part: DecodedPart,
        cx: &Context<'_>,
    ) -> Result<Self, Fault> {
        let mut message = Incoming::new(header.opcode);
        message.count_frame(header.len, cx.config)?;
        message.received = header.len;
        message.buffer = part.out;
        message.judge(0, cx.config.max_message)?;
        let frame = DataFrame {
            received: header.len,
            piece: part.left,
            data_len: message.buffer.len() as u64,
            between: part.between,
            decoded: part.complete.map_err(|fault| *fault)?,
            ..DataFrame::new(header, true)
        };
        Ok(Self { state: State::Data(frame), message: Some(message) })
    }

    pub(super) fn read(
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
                    let step = if frame.extended {
                        decode::read(frame, message, input, &mut work, cx)?
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

    /// The data frame in progress that no extension decodes.
    pub(super) fn plain_frame(&mut self) -> Option<(&mut DataFrame, &mut Incoming)> {
        match (&mut self.state, &mut self.message) {
            (State::Data(frame), Some(message)) if !frame.extended => Some((frame, message)),
            _ => None,
        }
    }

    pub(super) fn is_between_messages(&self) -> bool {
        matches!(self.state, State::Header) && self.message.is_none()
    }

    pub(super) fn unfinished(&self) -> Option<Unfinished> {
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

    pub(super) fn memory_usage(&self) -> usize {
        let frame = match &self.state {
            State::Header => 0,
            State::Control { payload, .. } => payload.capacity(),
            State::Data(frame) => frame.memory_usage(),
        };
        let message = self.message.as_ref().map_or(0, |message| message.buffer.capacity());
        size_of::<Self>().saturating_add(frame).saturating_add(message)
    }

    /// Judges as much of the header as has arrived, and takes it once it is complete.
    fn read_header(
        &mut self,
        input: &mut BytesMut,
        work: &mut usize,
        cx: &mut Context<'_>,
    ) -> Result<Option<Received>, Fault> {
        let (server, config, message) = (cx.server, cx.config, self.message.as_ref());
        let judge = Judge { server, config, stack: cx.stack, message };
        let Some((header, header_len)) = FrameHeader::read(input, &judge)? else {
            return Ok(Some(Received::Starved));
        };
        input.advance(header_len);
        *work = work.saturating_sub(header_len);
        if header.opcode.is_control() {
            self.state = State::Control { header, payload: Vec::new() };
            return Ok(None);
        }
        let first = self.message.is_none();
        let message = self.message.get_or_insert_with(|| Incoming::new(header.opcode));
        message.count_frame(header.len, cx.config)?;
        let kind = message.kind;
        let mut decoded = false;
        if !cx.stack.is_empty() {
            decoded = decode::begin(kind, header, first, cx.stack.layers_mut())
                .map_err(decode::begin_fault)?;
            if !decoded && !cx.streams() {
                check_size(header.len, Some(message.buffer.len()), cx.config)?;
            }
        }
        self.state = State::Data(DataFrame::new(header, decoded));
        let starts = first && cx.streams();
        Ok(starts.then_some(Received::Event(Event::Start(kind))))
    }

    /// Ends a data frame, and with the last one the message.
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

/// Gathers the payload of a control frame, at most 125 bytes. `None` if more input is needed.
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

/// What a complete control frame says.
fn control(opcode: Opcode, payload: Payload) -> Result<Received, Fault> {
    Ok(match opcode {
        Opcode::Ping => Received::Ping(payload),
        Opcode::Close => close_body::parse(&payload)?,
        _ => Received::Event(Event::Pong(payload)),
    })
}
