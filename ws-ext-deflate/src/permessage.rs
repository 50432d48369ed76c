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
    shared::{Kind, Once},
    window::Window,
    worth::Worth,
};

/// What was agreed for one direction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Half {
    pub(crate) window: Window,
    pub(crate) takeover: bool,
}

#[derive(Debug)]
pub(crate) struct PermessageDeflate {
    level: Level,
    threshold: u64,
    encoder: Encoder,
    decoder: Decoder,
    worth: Worth,
    /// The kind of the message being compressed, if the outcome is to be learned from.
    learning: Option<MessageKind>,
}

impl PermessageDeflate {
    pub(crate) fn new(options: &Deflate, sending: Half, receiving: Half) -> Self {
        let history = if sending.takeover { options.history } else { 0 };
        Self {
            level: options.level,
            threshold: options.threshold as u64,
            encoder: Encoder::new(&options.pool, sending.window, history),
            decoder: Decoder::new(&options.pool, receiving.window, receiving.takeover),
            worth: Worth::default(),
            learning: None,
        }
    }

    fn compresses(&mut self, message: &MessageInfo) -> bool {
        self.may_compress(message)
            && (message.compression != Compression::Auto || self.worth.trying(message))
    }

    /// How a message of so many bytes is compressed once for many.
    fn kind_for_all(&self, len: u64) -> Kind {
        Kind::of(len, self.encoder.window(), self.level)
    }

    /// What hint and threshold say.
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
        self.learning = (message.compression == Compression::Auto).then_some(message.kind);
        // Whoever has us inflate much for little is not to have as much compressed at length.
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
                if let Some(kind) = self.learning.take() {
                    self.worth.learn(kind, sizes);
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
            Some(SharedForm::Encoded(self.kind_for_all(message.len?).key()))
        } else {
            Some(SharedForm::Plain)
        }
    }

    fn encoder(&self, message: &MessageInfo) -> Option<Box<dyn SharedEncoder>> {
        let Kind { window, level } = self.kind_for_all(message.len?);
        Some(Box::new(Once::new(self.encoder.once(window), level, message.compression)?))
    }

    fn sent(&mut self, plain: &Payload) {
        self.encoder.sent_shared(plain);
    }
}
