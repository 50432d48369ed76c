//! What the sender needs of its connection, and the one way of a frame into the output.

use alloc::borrow::Cow;

use super::Last;
use crate::{
    Broadcast, Config, Message, Opcode, Payload, Role,
    extension::{Extensions, Rsv},
    frame::FrameHeader,
    observer::{FrameDirection, ObservedFrame, Observer},
    output::{Body, Output},
};

/// What the sender needs of its connection.
pub(crate) struct Context<'a> {
    pub(crate) stack: &'a mut Extensions,
    pub(crate) frames: FrameWriter<'a>,
}

/// Queues frames and shows them to the observer.
pub(crate) struct FrameWriter<'a> {
    pub(crate) role: &'a mut Role,
    pub(crate) config: &'a Config,
    pub(crate) output: &'a mut Output,
    pub(crate) observer: &'a mut Option<Observer>,
}

impl FrameWriter<'_> {
    /// Queues a frame that carries `data_len` bytes of message data.
    pub(super) fn push(&mut self, header: FrameHeader, body: Body<'_>, data_len: u64) {
        self.write(header, body, data_len);
    }

    #[inline(always)]
    pub(super) fn write(&mut self, mut header: FrameHeader, body: Body<'_>, data_len: u64) {
        header.mask = self.role.next_key();
        let first = header.first_octet();
        match header.mask {
            // Known to be none, it costs nothing.
            None => self.output.append(first, None, body),
            key => self.output.append(first, key, body),
        }
        self.observe(header, data_len);
    }

    #[inline]
    fn observe(&mut self, header: FrameHeader, data_len: u64) {
        if let Some(observer) = self.observer {
            observer.frame(&ObservedFrame { direction: FrameDirection::Sent, header, data_len });
        }
    }

    /// Queues data that no extension changes.
    #[inline]
    fn push_data(&mut self, fin: bool, opcode: Opcode, data: Cow<'_, Payload>) {
        let len = data.len();
        self.push(FrameHeader::new(fin, Rsv::NONE, opcode, len), Body::Payload(data), len as u64);
    }

    /// Queues a message that no extension sees, if it may be one frame. Returns whether it did.
    #[inline]
    pub(crate) fn push_whole(&mut self, message: &Message) -> bool {
        let payload = message.payload();
        let len = payload.len();
        if len > self.max_frame() {
            return false;
        }
        let header = FrameHeader::new(true, Rsv::NONE, message.kind().into(), len);
        self.write(header, Body::Payload(Cow::Borrowed(payload)), len as u64);
        true
    }

    /// Queues a control frame after everything else.
    pub(super) fn push_control(&mut self, opcode: Opcode, payload: Payload) {
        self.push_data(true, opcode, Cow::Owned(payload));
    }

    /// Queues a Pong before the data that is not being written yet.
    pub(crate) fn insert_pong(&mut self, payload: &[u8]) {
        let mut header = FrameHeader::new(true, Rsv::NONE, Opcode::Pong, payload.len());
        header.mask = self.role.next_key();
        self.output.insert(header.first_octet(), header.mask, payload);
        self.observe(header, header.len);
    }

    /// The longest payload of a frame.
    #[inline]
    pub(super) fn max_frame(&self) -> usize {
        self.config.max_sent_frame.max(1)
    }

    /// Queues data that no extension sees as one frame, or as several where the configuration limits
    /// their length.
    pub(super) fn push_plain(&mut self, mut opcode: Opcode, mut data: Payload, last: Last) {
        while data.len() > self.max_frame() {
            let frame = data.split_to(self.max_frame());
            self.push_data(false, opcode, Cow::Owned(frame));
            opcode = Opcode::Continuation;
        }
        self.push_data(last == Last::Yes, opcode, Cow::Owned(data));
    }

    /// Queues a broadcast in the frame that all connections share, if its size makes that worthwhile.
    /// Returns whether it did.
    pub(super) fn push_shared(&mut self, broadcast: &Broadcast) -> bool {
        let len = broadcast.message().len();
        if !self.role.is_server() || len > self.max_frame() {
            return false;
        }
        let Some((header, frame)) = broadcast.plain_frame() else {
            return false;
        };
        self.write(header, Body::Frame(frame), len as u64);
        true
    }
}
