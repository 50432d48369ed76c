//! The extension of one connection.

use ws_core::{
    Extension, MessageKind, Payload,
    extension::{
        Chunk, Compression, ExtensionError, Mark, MessageInfo, Progress, Rsv, RsvClaim,
        SharedEncoder, SharedForm, Sharing, Sink,
    },
};

use crate::{
    decoder::Decoder,
    encoder::{Encoded, Encoder},
    level::Level,
    options::Deflate,
    outcomes::Outcomes,
    shared::{OneOff, SharedDeflater},
    window::Window,
};

/// The LZ77 context of one direction, as agreed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    pub(crate) window: Window,
    pub(crate) takeover: bool,
}

#[derive(Debug)]
pub(crate) struct PermessageDeflate {
    level: Level,
    threshold: u64,
    encoder: Encoder,
    decoder: Decoder,
    outcomes: Outcomes,
    /// The kind of the message being compressed, if its outcome counts.
    counting: Option<MessageKind>,
}

impl PermessageDeflate {
    pub(crate) fn new(options: &Deflate, sending: Context, receiving: Context) -> Self {
        let history = if sending.takeover { options.history } else { 0 };
        Self {
            level: options.level,
            threshold: options.threshold as u64,
            encoder: Encoder::new(&options.pool, sending.window, history),
            decoder: Decoder::new(&options.pool, receiving.window, receiving.takeover),
            outcomes: Outcomes::default(),
            counting: None,
        }
    }

    fn compresses(&mut self, message: &MessageInfo) -> bool {
        self.may_compress(message)
            && (message.compression != Compression::Auto || self.outcomes.allow(message))
    }

    /// How to compress a broadcast of so many bytes.
    fn one_off(&self, len: u64) -> OneOff {
        OneOff::of(len, self.encoder.window(), self.level)
    }

    /// Whether hint and threshold allow compression.
    fn may_compress(&self, message: &MessageInfo) -> bool {
        match message.compression {
            Compression::Never => false,
            Compression::Always => true,
            Compression::Auto => message.len.is_none_or(|len| len >= self.threshold),
        }
    }
}

impl Extension for PermessageDeflate {
    fn claim(&self) -> RsvClaim {
        // RFC 7692 §6: "This document allocates the RSV1 bit of the WebSocket header for PMCEs".
        RsvClaim::FirstFrame(Rsv::RSV1)
    }

    fn begin_encode(&mut self, message: &MessageInfo) -> Result<Mark, ExtensionError> {
        if !self.compresses(message) {
            return Ok(Mark::Unmarked);
        }
        self.counting = (message.compression == Compression::Auto).then_some(message.kind);
        // A peer that makes us inflate much for little gets cheap compression in return.
        let level = if self.decoder.is_amplified() { 1 } else { self.level.of(message.len) };
        self.encoder.begin(level)?;
        Ok(Mark::Marked)
    }

    fn begin_decode(&mut self, _: &MessageInfo) -> Result<(), ExtensionError> {
        self.decoder.begin()
    }

    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        Ok(match self.encoder.encode(input, out)? {
            Encoded::Full => Progress::Full,
            Encoded::Starved => Progress::Done,
            Encoded::Complete(sizes) => {
                if let Some(kind) = self.counting.take() {
                    self.outcomes.learn(kind, sizes);
                }
                Progress::Done
            }
        })
    }

    fn decode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        self.decoder.decode(input, out)
    }

    fn park(&mut self) {
        self.encoder.park();
    }

    fn memory_usage(&self) -> usize {
        self.encoder.memory_usage() + self.decoder.memory_usage()
    }

    fn sharing(&mut self) -> Option<&mut dyn Sharing> {
        Some(self)
    }
}

impl Sharing for PermessageDeflate {
    fn form(&self, message: &MessageInfo) -> Option<SharedForm> {
        if self.may_compress(message) {
            Some(SharedForm::Encoded(self.one_off(message.len?).key()))
        } else {
            Some(SharedForm::Plain)
        }
    }

    fn encoder(&self, message: &MessageInfo) -> Option<Box<dyn SharedEncoder>> {
        let OneOff { window, level } = self.one_off(message.len?);
        let encoder = self.encoder.without_history(window);
        Some(Box::new(SharedDeflater::new(encoder, level, message.compression)?))
    }

    fn sent(&mut self, plain: &Payload) {
        self.encoder.sent_broadcast(plain);
    }
}
