//! What the frame headers of an outgoing message have in common, as its extensions marked it.

use crate::{
    MessageKind, Opcode,
    extension::{ChainError, Compression, Layer, Mark, MessageInfo, Rsv, RsvClaim},
    frame::FrameHeader,
};

/// The kind of a message, the sender's hint, and the bits that extensions of message scope set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MessageHead {
    pub(crate) info: MessageInfo,
    /// Their bits for the first frame, and for every frame.
    pub(crate) first_bits: Rsv,
    pub(crate) every_bits: Rsv,
}

impl MessageHead {
    pub(crate) fn new(kind: MessageKind, len: Option<u64>, compression: Compression) -> Self {
        let info = MessageInfo { kind, len, marks: Rsv::NONE, compression };
        Self { info, first_bits: Rsv::NONE, every_bits: Rsv::NONE }
    }

    /// The opcode of the first frame.
    pub(crate) fn opcode(&self) -> Opcode {
        self.info.kind.into()
    }

    /// The bits of the first frame.
    pub(crate) fn bits(&self) -> Rsv {
        self.first_bits | self.every_bits
    }

    /// What the next extension learns about the `len` bytes that enter it.
    #[cfg(feature = "std")]
    pub(crate) fn info(&self, len: usize) -> MessageInfo {
        MessageInfo { len: Some(len as u64), marks: self.bits(), ..self.info }
    }

    /// The header of a message in one frame, not masked.
    pub(crate) fn header(&self, len: usize) -> FrameHeader {
        FrameHeader::new(true, self.bits(), self.opcode(), len)
    }

    /// Begins the message with each of these extensions of message scope, which may mark it, before any
    /// output. `len` bytes enter the first of them, if that is known.
    pub(crate) fn begin(
        mut self,
        layers: &mut [Layer],
        mut len: Option<u64>,
    ) -> Result<Self, ChainError> {
        for layer in layers {
            self.begin_layer(layer, len)?;
            if layer.encode.is_active() {
                len = None;
            }
        }
        Ok(self)
    }

    #[inline]
    pub(crate) fn begin_layer(
        &mut self,
        layer: &mut Layer,
        len: Option<u64>,
    ) -> Result<(), ChainError> {
        let marks = self.bits();
        if layer.begin_encode(&MessageInfo { len, marks, ..self.info })? == Mark::Marked {
            self.mark(layer.claim);
        }
        Ok(())
    }

    /// The head of a message that a single extension marked with the bits of `claim`.
    pub(crate) fn marked(unit: &MessageInfo, claim: RsvClaim) -> Self {
        let mut head = Self::new(unit.kind, unit.len, unit.compression);
        head.mark(claim);
        head
    }

    #[inline]
    pub(crate) fn mark(&mut self, claim: RsvClaim) {
        match claim {
            RsvClaim::None => {}
            RsvClaim::FirstFrame(bits) => self.first_bits = self.first_bits | bits,
            RsvClaim::EveryFrame(bits) => self.every_bits = self.every_bits | bits,
        }
    }
}
