//! The short lane of receiving: a message in one frame that lies in the input.
//!
//! It asks the judge's functions, as the general lane does, and leaves to that lane whatever they
//! refuse. So it makes no fault of a header, and only the speed of the two lanes differs.
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

use bytes::{Buf, BytesMut};

use super::{Connection, Life, route::Route};
use crate::{
    Event, Message, MessageKind, Payload, Text, WORK_PER_CALL,
    extension::{Layer, Rsv, keep_small},
    fault::Fault,
    frame::{self, FrameHeader, WHOLE_BINARY, WHOLE_TEXT},
    mask::apply_mask,
    observer::Observer,
    receive::{
        self, DecodedPart, decode_whole, judge, message, take_decoded, take_payload, take_small,
    },
    utf8,
};

/// A message in one frame that lies in the input and whose header is accepted.
#[derive(Clone, Copy)]
struct WholeFrame {
    kind: MessageKind,
    rsv: Rsv,
    masked: bool,
    key: [u8; 4],
    /// Where the payload starts, and its length.
    start: usize,
    len: usize,
}

impl WholeFrame {
    #[inline(always)]
    fn end(&self) -> usize {
        self.start.saturating_add(self.len)
    }

    #[inline(always)]
    fn mask(&self) -> Option<[u8; 4]> {
        self.masked.then_some(self.key)
    }

    #[inline(always)]
    fn header(&self) -> FrameHeader {
        let (fin, rsv, opcode) = (true, self.rsv, self.kind.into());
        FrameHeader { fin, rsv, opcode, mask: self.mask(), len: self.len as u64 }
    }

    /// Checks the data that came of the frame, and shows it to the observer if it is valid.
    #[inline(always)]
    fn complete(&self, data: &[u8], observer: &mut Option<Observer>) -> bool {
        if self.kind == MessageKind::Text && !utf8::is_valid(data) {
            return false;
        }
        if let Some(observer) = observer {
            receive::observe(observer, self.header(), data.len() as u64);
        }
        true
    }
}

impl Connection {
    /// The frame at the front of the input, if it is a whole message within the limits. `SMALL` asks for
    /// one that fits into a [`Payload`] itself, which the [`Route`] knows to be within the limits.
    #[inline(always)]
    fn whole_frame<const SMALL: bool>(&self, input: &[u8], claimed: Rsv) -> Option<WholeFrame> {
        let &[first, second] = input.first_chunk()?;
        let open = matches!(self.life, Life::Open | Life::CloseSent(_));
        if !open || !self.receiver.is_between_messages() {
            return None;
        }
        // The length comes first, so that the compiler drops its longer forms.
        if SMALL && !(1..=Payload::INLINE).contains(&frame::short_length(second)) {
            return None;
        }
        let (rsv, masked) = (Rsv::from_octet(first), frame::is_masked(second));
        if !judge::mask_fits(masked, self.role.is_server())
            || !judge::unclaimed(rsv, claimed).is_empty()
        {
            return None;
        }
        let whole = first ^ rsv.octet();
        if !matches!(whole, WHOLE_TEXT..=WHOLE_BINARY) {
            return None;
        }
        let kind = if whole == WHOLE_TEXT { MessageKind::Text } else { MessageKind::Binary };
        let (len, at) = frame::length(input).ok()??;
        let (key, start) = frame::masking_key(input, second, at)?;
        let len = usize::try_from(len).ok()?;
        let limit = if SMALL { Payload::INLINE } else { self.short_limit as usize };
        let frame = WholeFrame { kind, rsv, masked, key, start, len };
        if len == 0 || len > limit || input.len() < frame.end() {
            return None;
        }
        Some(frame)
    }

    /// A small message that no extension and no observer sees.
    #[inline(always)]
    pub(super) fn take_small(&mut self, input: &mut BytesMut) -> Option<Message> {
        if self.receive_route != Route::Plain {
            return None;
        }
        let frame = self.whole_frame::<true>(input, Rsv::NONE)?;
        let payload = Payload::inline(input.get(frame.start..)?, frame.len, frame.mask())?;
        let message = match frame.kind {
            MessageKind::Binary => Message::Binary(payload),
            MessageKind::Text if utf8::is_valid(&payload) => Message::Text(Text::checked(payload)),
            MessageKind::Text => return None,
        };
        input.advance(frame.end());
        Some(message)
    }

    /// The next event on a connection without extensions.
    #[inline(never)]
    pub(super) fn poll_plain(&mut self, input: &mut BytesMut) -> Option<Event> {
        match self.whole_frame::<false>(input, Rsv::NONE) {
            Some(frame) => self.take_plain(input, frame),
            None => self.poll_general(input),
        }
    }

    /// The next event on a connection with a single extension, which works on messages.
    #[inline(never)]
    pub(super) fn poll_single(&mut self, input: &mut BytesMut) -> Option<Event> {
        self.poll_through::<true>(input)
    }

    /// The next event on a connection with extensions.
    #[inline(never)]
    pub(super) fn poll_extended(&mut self, input: &mut BytesMut) -> Option<Event> {
        self.poll_through::<false>(input)
    }

    /// Takes a message that no extension decodes.
    #[inline(always)]
    fn take_plain(&mut self, input: &mut BytesMut, frame: WholeFrame) -> Option<Event> {
        let payload = take_payload(input, frame.start, frame.len, frame.mask());
        if !frame.complete(&payload, &mut self.observer) {
            return self.tell(Err(Fault::InvalidUtf8));
        }
        Some(Event::Message(message(frame.kind, payload)))
    }

    /// The next event on a connection with extensions. `SMALL` compiles it for small messages and a
    /// single extension; other messages then take the other form.
    #[inline(always)]
    fn poll_through<const SMALL: bool>(&mut self, input: &mut BytesMut) -> Option<Event> {
        let Some(frame) = self.whole_frame::<SMALL>(input, self.stack.claimed()) else {
            return if SMALL { self.poll_extended(input) } else { self.poll_general(input) };
        };
        let (layers, of_messages, out) = self.stack.with_spare()?;
        if (SMALL && layers.len() != 1)
            || layers.iter().any(Layer::is_tired)
            || !judge::marks_fit(frame.rsv, layers)
        {
            return self.poll_general(input);
        }
        let WholeFrame { kind, start, len, .. } = frame;
        let mut small = [0; Payload::INLINE];
        if SMALL {
            small = Payload::unmask(input.get(start..)?, len, frame.mask())?;
            input.advance(frame.end());
        }
        match receive::begin_whole(kind, frame.header(), layers) {
            Ok(true) => {}
            Ok(false) if SMALL => {
                if !frame.complete(small.get(..len)?, &mut self.observer) {
                    return self.tell(Err(Fault::InvalidUtf8));
                }
                return Some(Event::Message(message(kind, Payload::small(small, len))));
            }
            Ok(false) => return self.take_plain(input, frame),
            Err(error) => return self.tell(Err(receive::begin_fault(error))),
        }
        let mut feed = if SMALL {
            small.get(..len)?
        } else {
            let payload = input.get_mut(start..frame.end())?;
            if let Some(key) = frame.mask() {
                apply_mask(payload, key, 0);
            }
            payload
        };
        let (mut between, mut work) = (None, WORK_PER_CALL);
        let layers = (layers, of_messages);
        let complete = decode_whole(&mut feed, out, &mut between, &mut work, layers, &self.config);
        if matches!(complete, Ok(true))
            && out.len() <= self.config.max_message
            && frame.complete(out, &mut self.observer)
        {
            if !SMALL {
                input.advance(frame.end());
            }
            // Two returns, so that a small payload is made where the event will be.
            if SMALL && let Some(payload) = take_small(out) {
                keep_small(out);
                return Some(Event::Message(message(kind, payload)));
            }
            let payload = take_decoded(out);
            keep_small(out);
            return Some(Event::Message(message(kind, payload)));
        }
        let part = DecodedPart { left: feed.into(), out: core::mem::take(out), between, complete };
        if !SMALL {
            input.advance(frame.end());
        }
        self.resume(input, frame.header(), part, work)
    }

    /// Hands a message that is incomplete after one call, or invalid, to the general lane.
    #[cold]
    #[inline(never)]
    fn resume(
        &mut self,
        input: &mut BytesMut,
        header: FrameHeader,
        part: DecodedPart,
        work: usize,
    ) -> Option<Event> {
        let (receiver, mut cx) = self.receive_context();
        let resumed = receiver.resume(header, part, &cx);
        let received = resumed.and_then(|()| receiver.read(input, work, &mut cx));
        self.tell(received)
    }
}
