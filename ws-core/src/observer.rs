//! A view of every frame, for debugging.

use crate::frame::FrameHeader;

/// A frame that was received or queued for sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObservedFrame {
    /// Received or sent.
    pub direction: FrameDirection,
    /// Its header; [`len`](FrameHeader::len) is the length on the wire.
    pub header: FrameHeader,
    /// Bytes of its message data: after decoding, or before encoding.
    pub data_len: u64,
}

/// The direction of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameDirection {
    /// From the peer.
    Received,
    /// To the peer.
    Sent,
}

/// Is shown every frame: a closure, or a type of the caller's.
pub trait FrameObserver: Send {
    /// Called for every frame that was received, or queued for sending.
    fn frame(&mut self, frame: &ObservedFrame);
}

impl<F: FnMut(&ObservedFrame) + Send> FrameObserver for F {
    fn frame(&mut self, frame: &ObservedFrame) {
        self(frame);
    }
}

/// In a box of its own, since most connections have none.
pub(crate) type Observer = alloc::boxed::Box<alloc::boxed::Box<dyn FrameObserver>>;
