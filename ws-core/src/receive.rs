//! From octets to messages: the receiving half of a connection.
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

mod close_body;
mod data_frame;
mod decode;
mod incoming;
pub(crate) mod judge;
mod plain;
mod progress;

use alloc::boxed::Box;

use bytes::{BufMut, BytesMut};

use crate::{
    BufferSize, CloseCode, Config, Event, Payload, Receive, Text,
    extension::Extensions,
    fault::Fault,
    frame::FrameHeader,
    observer::{FrameDirection, ObservedFrame, Observer},
};
pub(crate) use decode::{Between, DecodedPart, begin_fault, begin_whole, decode_whole};
use incoming::Incoming;
pub(crate) use incoming::{message, take_decoded, take_small};
pub(crate) use plain::take_payload;
use progress::Progress;

/// The receiving half of a connection.
#[derive(Debug, Default)]
pub(crate) struct Receiver {
    /// The frame or message in progress. In a box, because an idle connection has none.
    progress: Option<Box<Progress>>,
}

/// What the receiver needs of its connection.
pub(crate) struct Context<'a> {
    pub(crate) server: bool,
    pub(crate) config: &'a Config,
    pub(crate) stack: &'a mut Extensions,
    pub(crate) observer: &'a mut Option<Observer>,
}

/// Shows a complete frame to the observer, with the length of its decoded data.
#[cold]
#[inline(never)]
pub(crate) fn observe(observer: &mut Observer, header: FrameHeader, data_len: u64) {
    observer.frame(&ObservedFrame { direction: FrameDirection::Received, header, data_len });
}

impl Context<'_> {
    fn observe(&mut self, header: FrameHeader, data_len: u64) {
        if let Some(observer) = self.observer {
            observe(observer, header, data_len);
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
    /// The work of one call is used up.
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
    /// The general lane: takes from `input` until it has an event or has used up `work`.
    pub(crate) fn read(
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

    /// Continues with a message that the short lane took from the input and decoded in part.
    #[cold]
    pub(crate) fn resume(
        &mut self,
        header: FrameHeader,
        part: DecodedPart,
        cx: &Context<'_>,
    ) -> Result<(), Fault> {
        self.progress = Some(Box::new(Progress::decoding(header, part, cx)?));
        Ok(())
    }

    /// Makes room for more of a large message of one frame. `None` if there is none in progress.
    #[inline]
    pub(crate) fn make_room(
        &mut self,
        allocate: impl FnOnce(BufferSize) -> BytesMut,
    ) -> Option<()> {
        let (frame, _) = self.progress.as_mut()?.plain_frame()?;
        plain::make_room(frame, allocate)
    }

    /// Reads more of such a message into the buffer that gathers it.
    #[inline]
    pub(crate) fn read_more<R>(
        &mut self,
        allocate: impl FnOnce(BufferSize) -> BytesMut,
        read: impl FnOnce(&mut dyn BufMut) -> R,
    ) -> Option<R> {
        let (frame, message) = self.progress.as_mut()?.plain_frame()?;
        plain::make_room(frame, allocate)?;
        Some(plain::read_more(frame, message, read))
    }

    #[inline]
    pub(crate) fn is_between_messages(&self) -> bool {
        self.progress.is_none()
    }

    /// The frame and message that are incomplete.
    #[inline]
    pub(crate) fn unfinished(&self) -> Option<Unfinished> {
        self.progress.as_ref()?.unfinished()
    }

    pub(crate) fn memory_usage(&self) -> usize {
        self.progress.as_ref().map_or(0, |progress| progress.memory_usage())
    }
}
