//! A message on its way through the extensions.

use alloc::{borrow::Cow, boxed::Box, vec::Vec};

use super::{Context, Last};
use crate::{
    Message, MessageKind, Opcode, UNLIMITED,
    extension::{
        Chain, ChainError, ChainStatus, Compression, Direction, Flow, Mark, MessageInfo, Rsv,
        RsvClaim, keep_small,
    },
    frame::FrameHeader,
    message_head::MessageHead,
    output::Body,
    payload::Payload,
};

/// The size of frames for a message whose encoded length is not known.
pub(crate) const FRAME: usize = 64 * 1024;

/// The message in progress: data, through the extensions of message scope, is cut into frames,
/// each of which passes those of frame scope.
#[derive(Debug)]
pub(super) struct Encoding {
    head: MessageHead,
    first_frame: bool,
    /// Input, and how much of it was taken.
    input: Option<(Payload, Last)>,
    taken: usize,
    /// Whether the input is a form of the message and not the message itself. Then all of the message
    /// counts with the first frame, because no byte of it can be told apart in the form.
    is_form: bool,
    /// Output of the extensions of message scope for the next frame.
    gathered: Vec<u8>,
    /// The frame that is passing the extensions of frame scope.
    frame: Option<Frame>,
    /// Bytes of message data that went into the next frame.
    data_len: u64,
}

/// What enters the extensions: a message, or a form of it.
pub(super) struct Data {
    pub(super) payload: Payload,
    /// For a form: the length of the message that it encodes.
    pub(super) form_of: Option<u64>,
}

impl Data {
    fn data_len(&self) -> u64 {
        self.form_of.unwrap_or(self.payload.len() as u64)
    }
}

impl From<Message> for Data {
    fn from(message: Message) -> Self {
        Self { payload: message.into_payload(), form_of: None }
    }
}

#[derive(Debug)]
struct Frame {
    data: Payload,
    taken: usize,
    last: Last,
    bits: Rsv,
    encoded: Vec<u8>,
}

impl Frame {
    fn waiting(&self) -> usize {
        self.data.len().saturating_sub(self.taken) + self.encoded.len()
    }
}

pub(super) enum Step {
    /// The last frame is queued.
    Complete,
    /// A frame is queued, and not the last.
    Frame,
    /// More data of the message is needed.
    Starved,
    /// The work of one call is done.
    Suspended,
}

impl Encoding {
    /// Encodes a whole message. Returns what is left to do, which is nothing if it is small.
    pub(super) fn whole(
        message: Message,
        compression: Compression,
        work: &mut usize,
        cx: &mut Context<'_>,
    ) -> Result<Option<Box<Self>>, ChainError> {
        let len = message.len();
        let head = MessageHead::new(message.kind(), Some(len as u64), compression);
        let room = cx.frames.max_frame().min(FRAME);
        let Some((layer, spare)) = cx.stack.single().filter(|_| len <= room.min(*work)) else {
            return Self::through_several(message, head, room, work, cx);
        };
        // The common case: one call of one extension.
        let mut head = head;
        head.begin_layer(layer, Some(len as u64))?;
        if !layer.encode.is_active() {
            *work = work.saturating_sub(len.max(1));
            let body = Body::Payload(Cow::Owned(message.into_payload()));
            cx.frames.push(head.header(len), body, len as u64);
            return Ok(None);
        }
        let mut feed = message.as_bytes();
        let complete = layer.pass(Direction::Encode, &mut feed, true, spare, room, work)?;
        if complete {
            cx.frames.write(head.header(spare.len()), Body::Buffer(spare), len as u64);
            keep_small(spare);
            return Ok(None);
        }
        let taken = len - feed.len();
        let gathered = core::mem::take(spare);
        Ok(Some(Self::rest(message.into(), head, taken, gathered)))
    }

    fn through_several(
        message: Message,
        head: MessageHead,
        room: usize,
        work: &mut usize,
        cx: &mut Context<'_>,
    ) -> Result<Option<Box<Self>>, ChainError> {
        let len = head.info.len;
        let head = head.begin(cx.stack.split().0, len)?;
        Self::through_rest(message.into(), head, room, work, cx)
    }

    /// Encodes `data` through the extensions that began it, as far as one call allows.
    pub(super) fn through_rest(
        data: Data,
        head: MessageHead,
        room: usize,
        work: &mut usize,
        cx: &mut Context<'_>,
    ) -> Result<Option<Box<Self>>, ChainError> {
        let (messages, frames) = cx.stack.split();
        if !frames.is_empty() {
            return Ok(Some(Box::new(Self::of_whole(head, data))));
        }
        let len = data.payload.len();
        if !Chain::new(messages, Direction::Encode).is_active() {
            if len > cx.frames.max_frame() {
                return Ok(Some(Box::new(Self::of_whole(head, data))));
            }
            *work = work.saturating_sub(len.max(1));
            let data_len = data.data_len();
            cx.frames.push(head.header(len), Body::Payload(Cow::Owned(data.payload)), data_len);
            return Ok(None);
        }
        let mut gathered = cx.stack.take_spare();
        let mut feed = data.payload.as_slice();
        let status = Chain::new(cx.stack.split().0, Direction::Encode).run(Flow {
            feed: &mut feed,
            last: true,
            out: &mut gathered,
            room,
            work,
            limit: UNLIMITED,
            failure: &mut None,
        })?;
        if status == ChainStatus::Finished {
            let header = head.header(gathered.len());
            cx.frames.push(header, Body::Buffer(&mut gathered), data.data_len());
            cx.stack.keep_spare(gathered);
            return Ok(None);
        }
        let taken = len - feed.len();
        Ok(Some(Self::rest(data, head, taken, gathered)))
    }

    /// The rest of a message of which `taken` bytes were encoded to `gathered`.
    pub(super) fn rest(
        data: Data,
        head: MessageHead,
        taken: usize,
        gathered: Vec<u8>,
    ) -> Box<Self> {
        let mut rest = Box::new(Self { gathered, ..Self::of_whole(head, data) });
        rest.take(taken);
        rest
    }

    pub(super) fn streamed(
        kind: MessageKind,
        compression: Compression,
        cx: &mut Context<'_>,
    ) -> Result<Self, ChainError> {
        let head = MessageHead::new(kind, None, compression);
        Ok(Self::new(head.begin(cx.stack.split().0, None)?))
    }

    fn of_whole(head: MessageHead, data: Data) -> Self {
        Self {
            input: Some((data.payload, Last::Yes)),
            is_form: data.form_of.is_some(),
            data_len: data.form_of.unwrap_or(0),
            ..Self::new(head)
        }
    }

    fn new(head: MessageHead) -> Self {
        Self {
            head,
            first_frame: true,
            input: None,
            taken: 0,
            is_form: false,
            gathered: Vec::new(),
            frame: None,
            data_len: 0,
        }
    }

    /// Notes that `taken` bytes of the input were taken.
    fn take(&mut self, taken: usize) {
        self.taken += taken;
        self.count(taken);
    }

    /// Notes that `taken` bytes of the input go into the next frame.
    fn count(&mut self, taken: usize) {
        if !self.is_form {
            self.data_len += taken as u64;
        }
    }

    /// Sets the next input, after all of the last was taken.
    pub(super) fn feed(&mut self, data: Payload, last: Last) {
        self.input = Some((data, last));
        self.taken = 0;
    }

    pub(super) fn has_input(&self) -> bool {
        self.frame.is_some() || self.input.is_some()
    }

    /// Bytes that are not queued for writing.
    pub(super) fn waiting(&self) -> usize {
        let input =
            self.input.as_ref().map_or(0, |(data, _)| data.len().saturating_sub(self.taken));
        let frame = self.frame.as_ref().map_or(0, Frame::waiting);
        input + frame + self.gathered.len()
    }

    pub(super) fn memory_usage(&self) -> usize {
        let input = self.input.as_ref().map_or(0, |(data, _)| data.len());
        let frame =
            self.frame.as_ref().map_or(0, |frame| frame.data.len() + frame.encoded.capacity());
        size_of::<Self>() + input + frame + self.gathered.capacity()
    }

    /// Queues one frame, or gets as far as the work of one call allows.
    pub(super) fn step(
        &mut self,
        work: &mut usize,
        cx: &mut Context<'_>,
    ) -> Result<Step, ChainError> {
        if self.frame.is_none() {
            let (data, last) = match self.cut_frame(work, cx)? {
                Ok(cut) => cut,
                Err(step) => return Ok(step),
            };
            let len = data.as_ref().map_or(self.gathered.len(), Payload::len);
            let bits = self.begin_frame(len, cx)?;
            if Chain::new(cx.stack.split().1, Direction::Encode).is_active() {
                let data = data.unwrap_or_else(|| core::mem::take(&mut self.gathered).into());
                let encoded = core::mem::take(&mut self.gathered);
                self.frame = Some(Frame { data, taken: 0, last, bits, encoded });
            } else {
                return Ok(self.push(bits, data, last, cx));
            }
        }
        let Some(frame) = &mut self.frame else {
            return Ok(Step::Starved);
        };
        let mut feed = frame.data.get(frame.taken..).unwrap_or_default();
        let flow = Flow {
            feed: &mut feed,
            last: true,
            out: &mut frame.encoded,
            room: UNLIMITED,
            work,
            limit: UNLIMITED,
            failure: &mut None,
        };
        let status = Chain::new(cx.stack.split().1, Direction::Encode).run(flow)?;
        frame.taken = frame.data.len() - feed.len();
        if status != ChainStatus::Finished {
            return Ok(Step::Suspended);
        }
        let (bits, last) = (frame.bits, frame.last);
        self.gathered = core::mem::take(&mut frame.encoded);
        self.frame = None;
        Ok(self.push(bits, None, last, cx))
    }

    /// Queues a frame of `data`, or of what was gathered.
    fn push(&mut self, bits: Rsv, data: Option<Payload>, last: Last, cx: &mut Context<'_>) -> Step {
        // RFC 6455 §5.4: a fragmented message "consists of a single frame with the FIN bit clear
        // and an opcode other than 0, followed by zero or more frames with the FIN bit clear and
        // the opcode set to 0, and terminated by a single frame with the FIN bit set and an opcode
        // of 0."
        let opcode = if self.first_frame { self.head.opcode() } else { Opcode::Continuation };
        self.first_frame = false;
        let fin = last == Last::Yes;
        let data_len = core::mem::take(&mut self.data_len);
        let (len, body) = match data {
            Some(data) => (data.len(), Body::Payload(Cow::Owned(data))),
            None => (self.gathered.len(), Body::Buffer(&mut self.gathered)),
        };
        cx.frames.push(FrameHeader::new(fin, bits, opcode, len), body, data_len);
        if fin { Step::Complete } else { Step::Frame }
    }

    /// The data of the next frame, or why there is none yet. `None` means what was gathered.
    fn cut_frame(
        &mut self,
        work: &mut usize,
        cx: &mut Context<'_>,
    ) -> Result<Result<(Option<Payload>, Last), Step>, ChainError> {
        let size = cx.frames.max_frame();
        let mut chain = Chain::new(cx.stack.split().0, Direction::Encode);
        let Some((data, last)) = &mut self.input else {
            return Ok(Err(Step::Starved));
        };
        if !chain.is_active() {
            let ends = if data.len() > size { Last::No } else { *last };
            let frame = data.split_to(size);
            if data.is_empty() {
                self.input = None;
            }
            *work = work.saturating_sub(frame.len().max(1));
            self.count(frame.len());
            return Ok(Ok((Some(frame), ends)));
        }
        let size = size.min(FRAME);
        let mut feed = data.get(self.taken..).unwrap_or_default();
        let status = chain.run(Flow {
            feed: &mut feed,
            last: *last == Last::Yes,
            room: size.saturating_sub(self.gathered.len()),
            out: &mut self.gathered,
            work,
            limit: UNLIMITED,
            failure: &mut None,
        })?;
        let taken = data.len() - feed.len() - self.taken;
        self.take(taken);
        let ends = match status {
            ChainStatus::Full if self.gathered.len() < size => return Ok(Err(Step::Suspended)),
            ChainStatus::Full => Last::No,
            ChainStatus::Finished => Last::Yes,
            ChainStatus::Starved => {
                self.input = None;
                Last::No
            }
        };
        if ends == Last::No && self.gathered.is_empty() {
            return Ok(Err(Step::Starved));
        }
        Ok(Ok((None, ends)))
    }

    /// The reserved bits of the next frame, including those of extensions of frame scope.
    fn begin_frame(&mut self, len: usize, cx: &mut Context<'_>) -> Result<Rsv, ChainError> {
        let mut bits = self.head.every_bits;
        if self.first_frame {
            bits = bits | self.head.first_bits;
        }
        let mut len = Some(len as u64);
        for layer in cx.stack.split().1 {
            if self.first_frame || !matches!(layer.claim, RsvClaim::FirstFrame(_)) {
                let mark =
                    layer.begin_encode(&MessageInfo { len, marks: bits, ..self.head.info })?;
                if mark == Mark::Marked {
                    bits = bits | layer.claim.bits();
                }
            }
            if layer.encode.is_active() {
                len = None;
            }
        }
        Ok(bits)
    }
}
