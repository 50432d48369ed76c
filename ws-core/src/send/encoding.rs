//! A message on its way through the extensions.

use alloc::{collections::VecDeque, vec::Vec};

use bytes::{Buf, Bytes};

use super::{Context, Last};
use crate::{
    Message, MessageKind, Opcode, UNLIMITED,
    extension::{
        Chain, ChainError, ChainStatus, Compression, Direction, Mark, MessageInfo, Rsv, RsvClaim,
    },
    payload::Payload,
};

/// A message of unknown encoded length leaves in frames of this size.
const FRAME: usize = 64 * 1024;

/// The message in progress: data, through the extensions of message scope, is cut into frames,
/// each of which passes those of frame scope.
#[derive(Debug)]
pub(super) struct Encoding {
    info: MessageInfo,
    first_frame: bool,
    /// Bits of message-scoped extensions for the first frame, and for every frame.
    first_bits: Rsv,
    every_bits: Rsv,
    /// Data that was not taken yet.
    input: VecDeque<(Bytes, Last)>,
    /// Output of the extensions of message scope for the next frame.
    gathered: Vec<u8>,
    /// The frame that passes the extensions of frame scope.
    frame: Option<Frame>,
    /// Bytes of message data that went into the next frame.
    data_len: u64,
}

#[derive(Debug)]
struct Frame {
    data: Bytes,
    last: Last,
    bits: Rsv,
    encoded: Vec<u8>,
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
    pub(super) fn whole(
        message: Message,
        compression: Compression,
        cx: &mut Context<'_>,
    ) -> Result<Self, ChainError> {
        let len = Some(message.len() as u64);
        let mut encoding = Self::begin(message.kind(), len, compression, cx)?;
        encoding.feed(message.into_payload(), Last::Yes);
        Ok(encoding)
    }

    pub(super) fn streamed(
        kind: MessageKind,
        compression: Compression,
        cx: &mut Context<'_>,
    ) -> Result<Self, ChainError> {
        Self::begin(kind, None, compression, cx)
    }

    /// Asks the extensions of message scope for their marks, before any output.
    fn begin(
        kind: MessageKind,
        len: Option<u64>,
        compression: Compression,
        cx: &mut Context<'_>,
    ) -> Result<Self, ChainError> {
        let (mut first_bits, mut every_bits) = (Rsv::NONE, Rsv::NONE);
        let info = MessageInfo { kind, len, marks: Rsv::NONE, compression };
        let mut len = len;
        for layer in cx.stack.split().0 {
            let marks = first_bits | every_bits;
            let mark = layer.begin_encode(&MessageInfo { len, marks, ..info })?;
            match layer.claim {
                RsvClaim::FirstFrame(bits) if mark == Mark::Marked => {
                    first_bits = first_bits | bits;
                }
                RsvClaim::EveryFrame(bits) if mark == Mark::Marked => {
                    every_bits = every_bits | bits;
                }
                _ => {}
            }
            if layer.encode.is_active() {
                len = None;
            }
        }
        Ok(Self {
            info,
            first_frame: true,
            first_bits,
            every_bits,
            input: VecDeque::new(),
            gathered: Vec::new(),
            frame: None,
            data_len: 0,
        })
    }

    pub(super) fn feed(&mut self, data: Payload, last: Last) {
        self.input.push_back((data.into(), last));
    }

    pub(super) fn has_input(&self) -> bool {
        self.frame.is_some() || !self.input.is_empty()
    }

    pub(super) fn memory_usage(&self) -> usize {
        let input: usize = self.input.iter().map(|(data, _)| data.len()).sum();
        let frame =
            self.frame.as_ref().map_or(0, |frame| frame.data.len() + frame.encoded.capacity());
        size_of::<Self>() + input + frame + self.gathered.capacity()
    }

    /// Brings one frame to the output, or as far as the work of one call allows.
    pub(super) fn step(
        &mut self,
        work: &mut usize,
        cx: &mut Context<'_>,
    ) -> Result<Step, ChainError> {
        if self.frame.is_none() {
            match self.cut_frame(work, cx)? {
                Ok((data, last)) => {
                    let bits = self.begin_frame(data.len(), cx)?;
                    self.frame = Some(Frame { data, last, bits, encoded: Vec::new() });
                }
                Err(step) => return Ok(step),
            }
        }
        let Some(frame) = &mut self.frame else {
            return Ok(Step::Starved);
        };
        let mut chain = Chain::new(cx.stack.split().1, Direction::Encode);
        let payload = if chain.is_active() {
            let mut feed: &[u8] = &frame.data;
            let status =
                chain.run(&mut feed, true, &mut frame.encoded, UNLIMITED, work, UNLIMITED)?;
            let taken = frame.data.len() - feed.len();
            frame.data.advance(taken);
            if status != ChainStatus::Finished {
                return Ok(Step::Suspended);
            }
            core::mem::take(&mut frame.encoded).into()
        } else {
            core::mem::take(&mut frame.data).into()
        };
        let (bits, last) = (frame.bits, frame.last);
        self.frame = None;
        // RFC 6455 §5.4: a fragmented message "consists of a single frame with the FIN bit clear
        // and an opcode other than 0, followed by zero or more frames with the FIN bit clear and
        // the opcode set to 0, and terminated by a single frame with the FIN bit set and an opcode
        // of 0."
        let opcode = if self.first_frame { self.info.kind.into() } else { Opcode::Continuation };
        self.first_frame = false;
        cx.push(last == Last::Yes, bits, opcode, payload, core::mem::take(&mut self.data_len));
        Ok(if last == Last::Yes { Step::Complete } else { Step::Frame })
    }

    /// The data of the next frame, or why there is none yet.
    fn cut_frame(
        &mut self,
        work: &mut usize,
        cx: &mut Context<'_>,
    ) -> Result<Result<(Bytes, Last), Step>, ChainError> {
        let size = cx.max_frame();
        let mut chain = Chain::new(cx.stack.split().0, Direction::Encode);
        while let Some((data, last)) = self.input.front_mut() {
            let last = *last;
            if !chain.is_active() {
                let frame = data.split_to(size.min(data.len()));
                let ends = if data.is_empty() { last } else { Last::No };
                if data.is_empty() {
                    self.input.pop_front();
                }
                *work = work.saturating_sub(frame.len().max(1));
                self.data_len += frame.len() as u64;
                return Ok(Ok((frame, ends)));
            }
            let mut feed: &[u8] = data;
            let room = size.min(FRAME).saturating_sub(self.gathered.len());
            let status = chain.run(
                &mut feed,
                last == Last::Yes,
                &mut self.gathered,
                room,
                work,
                UNLIMITED,
            )?;
            let taken = data.len() - feed.len();
            data.advance(taken);
            self.data_len += taken as u64;
            let ends = match status {
                ChainStatus::Finished => Last::Yes,
                ChainStatus::Starved => {
                    self.input.pop_front();
                    Last::No
                }
                ChainStatus::Full if self.gathered.len() < size.min(FRAME) => {
                    return Ok(Err(Step::Suspended));
                }
                ChainStatus::Full => Last::No,
            };
            if ends == Last::Yes || !self.gathered.is_empty() {
                return Ok(Ok((core::mem::take(&mut self.gathered).into(), ends)));
            }
        }
        Ok(Err(Step::Starved))
    }

    /// The bits of the next frame; the extensions of frame scope are asked for theirs.
    fn begin_frame(&mut self, len: usize, cx: &mut Context<'_>) -> Result<Rsv, ChainError> {
        let mut bits = self.every_bits;
        if self.first_frame {
            bits = bits | self.first_bits;
        }
        let mut len = Some(len as u64);
        for layer in cx.stack.split().1 {
            if self.first_frame || !matches!(layer.claim, RsvClaim::FirstFrame(_)) {
                let mark = layer.begin_encode(&MessageInfo { len, marks: bits, ..self.info })?;
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
