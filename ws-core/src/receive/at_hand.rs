//! The common case: a message in one frame that lies in the input.
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

use alloc::{boxed::Box, vec::Vec};

use bytes::{Buf, BytesMut};

use super::{
    Between, Context, DataFrame, Incoming, Progress, Received, Receiver, State, incoming,
    plain::take_payload, transformed,
};
use crate::{
    Event, Message, MessageKind, Opcode, Text, WORK_PER_CALL,
    extension::{ChainError, Compression, Direction, Mark, MessageInfo, Rsv, keep_small},
    fault::Fault,
    frame::{self, FrameHeader},
    mask::apply_mask,
    utf8,
};

impl Receiver {
    /// Takes a message that nobody is to transform.
    ///
    /// `None`: it is not the common case, or not valid; the general way will tell.
    #[inline]
    pub(super) fn message_at_hand(
        &mut self,
        input: &mut BytesMut,
        cx: &mut Context<'_>,
    ) -> Result<Option<Message>, Fault> {
        let Some((header, start, size)) = self.frame_at_hand(input, Rsv::NONE, cx) else {
            return Ok(None);
        };
        if size > cx.config.max_message {
            return Ok(None);
        }
        take_plain(input, header, start, size, cx).map(Some)
    }

    /// The same where there are extensions; what is not the common case goes on the general way.
    ///
    /// Apart from [`poll`](Self::poll), so that it does not slow the way without extensions.
    #[inline(never)]
    pub(super) fn decode_at_hand(
        &mut self,
        input: &mut BytesMut,
        cx: &mut Context<'_>,
    ) -> Result<Received, Fault> {
        if !input.is_empty() && cx.stack.is_tired() {
            return Ok(Received::Yield);
        }
        let mut work = WORK_PER_CALL;
        let Some((header, start, size)) = self.frame_at_hand(input, cx.stack.claimed(), cx) else {
            return self.read(input, work, cx);
        };
        let limit = cx.config.max_message;
        let Some((layer, out)) = cx.stack.single().filter(|_| size <= limit) else {
            return self.decode_through(input, header, start, size, work, cx);
        };
        let mark = match header.rsv {
            Rsv::NONE => Mark::Unmarked,
            bits if bits == layer.claim.bits() => Mark::Marked,
            _ => return self.read(input, work, cx),
        };
        let kind = kind(header);
        let unit = MessageInfo::new(kind, Some(header.len), Compression::Auto);
        layer.begin_decode(&unit, mark).map_err(transformed::begin_fault)?;
        if !layer.decode.is_active() {
            return Ok(received(take_plain(input, header, start, size, cx)?));
        }
        input.advance(start);
        let mut feed = unmask(input.get_mut(..size).unwrap_or_default(), header);
        let room = limit.saturating_add(1);
        let decoded = layer.pass(Direction::Decode, &mut feed, true, out, room, &mut work);
        let left = feed.len();
        input.advance(size.saturating_sub(left));
        if matches!(decoded, Ok(true))
            && out.len() <= limit
            && (kind == MessageKind::Binary || utf8::is_valid(out))
        {
            let data_len = out.len() as u64;
            let payload = incoming::take_decoded(out);
            keep_small(out);
            cx.observe(header, data_len);
            return Ok(received(incoming::message(kind, payload)));
        }
        let piece = input.split_to(left);
        let out = core::mem::take(out);
        let decoded = decoded.map_err(|error| transformed::message_fault(error, limit));
        self.decode_on(header, piece, out, None, decoded, cx)?;
        self.read(input, work, cx)
    }

    /// The same through several extensions, or by frames.
    fn decode_through(
        &mut self,
        input: &mut BytesMut,
        header: FrameHeader,
        start: usize,
        size: usize,
        mut work: usize,
        cx: &mut Context<'_>,
    ) -> Result<Received, Fault> {
        if transformed::check_marks(header.rsv, true, cx.stack).is_err() {
            return self.read(input, work, cx);
        }
        let kind = kind(header);
        let limit = cx.config.max_message;
        if !transformed::begin(kind, header, true, cx.stack)? {
            if size > limit {
                return Err(Fault::MessageTooBig { limit });
            }
            return Ok(received(take_plain(input, header, start, size, cx)?));
        }
        input.advance(start);
        let mut feed = unmask(input.get_mut(..size).unwrap_or_default(), header);
        let mut out = cx.stack.take_spare();
        let mut between = None;
        let decoded = transformed::decode_whole(&mut feed, &mut out, &mut between, &mut work, cx);
        let left = feed.len();
        input.advance(size.saturating_sub(left));
        if left == 0
            && matches!(decoded, Ok(true))
            && out.len() <= limit
            && (kind == MessageKind::Binary || utf8::is_valid(&out))
        {
            cx.observe(header, out.len() as u64);
            let payload = incoming::take_decoded(&mut out);
            cx.stack.keep_spare(out);
            return Ok(received(incoming::message(kind, payload)));
        }
        let piece = input.split_to(left);
        self.decode_on(header, piece, out, between, decoded, cx)?;
        self.read(input, work, cx)
    }

    /// Goes on with a small message that lies in the input as it came, where the only extension was
    /// called once: `left` was not taken, unmasked, and `out` was decoded.
    #[cold]
    pub(crate) fn decode_small_on(
        &mut self,
        input: &mut BytesMut,
        left: &[u8],
        out: Vec<u8>,
        decoded: Result<bool, ChainError>,
        work: usize,
        cx: &mut Context<'_>,
    ) -> Result<Received, Fault> {
        if let Some((header, start, size)) = self.frame_at_hand(input, cx.stack.claimed(), cx) {
            input.advance(start.saturating_add(size));
            let limit = cx.config.max_message;
            let decoded = decoded.map_err(|error| transformed::message_fault(error, limit));
            self.decode_on(header, left.into(), out, None, decoded, cx)?;
        }
        self.read(input, work, cx)
    }

    /// A message was not complete at once, or not valid: `piece` is left of it, `out` was decoded.
    #[cold]
    fn decode_on(
        &mut self,
        header: FrameHeader,
        piece: BytesMut,
        out: Vec<u8>,
        between: Option<Box<Between>>,
        decoded: Result<bool, Fault>,
        cx: &Context<'_>,
    ) -> Result<(), Fault> {
        let mut message = Incoming::new(header.opcode);
        message.count_frame(header.len, cx.config)?;
        message.received = header.len;
        message.buffer = out;
        message.judge(0, cx.config.max_message)?;
        let data_len = message.buffer.len() as u64;
        let state = State::Data(DataFrame {
            received: header.len,
            piece,
            data_len,
            between,
            decoded: decoded?,
            ..DataFrame::new(header, true)
        });
        self.progress = Some(Box::new(Progress { state, message: Some(message) }));
        Ok(())
    }

    /// The header of a data frame that is a whole message and lies in the input, where its payload
    /// starts, and how long it is.
    #[inline(always)]
    fn frame_at_hand(
        &self,
        input: &BytesMut,
        claimed: Rsv,
        cx: &Context<'_>,
    ) -> Option<(FrameHeader, usize, usize)> {
        let &[first, second] = input.first_chunk()?;
        let Ok((true, rsv, opcode @ (Opcode::Text | Opcode::Binary))) = frame::first_octet(first)
        else {
            return None;
        };
        if !self.is_between_messages()
            || !rsv.without(claimed).is_empty()
            || cx.streams()
            || cx.server != frame::is_masked(second)
            || cx.config.max_fragments == 0
        {
            return None;
        }
        let (len, at) = frame::length(input).ok()??;
        let (mask, start) = frame::masking_key(input, second, at)?;
        let size = usize::try_from(len).ok()?;
        if size == 0
            || size > cx.config.frame_limit().min(WORK_PER_CALL)
            || input.len().saturating_sub(start) < size
        {
            return None;
        }
        Some((FrameHeader { fin: true, rsv, opcode, mask, len }, start, size))
    }
}

/// Takes the payload that begins at `start` as it is.
#[inline(always)]
fn take_plain(
    input: &mut BytesMut,
    header: FrameHeader,
    start: usize,
    size: usize,
    cx: &mut Context<'_>,
) -> Result<Message, Fault> {
    let payload = take_payload(input, start, size, header.mask);
    let message = if header.opcode == Opcode::Binary {
        Message::Binary(payload)
    } else if utf8::is_valid(&payload) {
        Message::Text(Text::checked(payload))
    } else {
        return Err(Fault::InvalidUtf8);
    };
    // Behind the check: in pieces, too, a frame that is not valid never becomes complete.
    cx.observe(header, header.len);
    Ok(message)
}

/// Unmasks a payload in place.
fn unmask(data: &mut [u8], header: FrameHeader) -> &[u8] {
    if let Some(key) = header.mask {
        apply_mask(data, key, 0);
    }
    data
}

fn received(message: Message) -> Received {
    Received::Event(Event::Message(message))
}

fn kind(header: FrameHeader) -> MessageKind {
    if header.opcode == Opcode::Text { MessageKind::Text } else { MessageKind::Binary }
}
