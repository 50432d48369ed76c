//! The extension of one connection.

use ws_core::{
    Extension, Payload,
    extension::{
        Chunk, Compression, ExtensionError, Mark, MessageInfo, Progress, Rsv, RsvClaim, Scope,
        SharedEncoder, SharedForm, Sink,
    },
};

use crate::{
    decoder::Decoder,
    encoder::Encoder,
    options::Deflate,
    shared::{Form, Once},
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
    level: u8,
    /// That of what is sent.
    window: Window,
    threshold: u64,
    encoder: Encoder,
    decoder: Decoder,
    worth: Worth,
    /// The message being compressed, if the outcome is to be learned from.
    learning: Option<MessageInfo>,
}

impl PermessageDeflate {
    pub(crate) fn new(options: &Deflate, sending: Half, receiving: Half) -> Self {
        Self {
            level: options.level,
            window: sending.window,
            threshold: options.threshold as u64,
            encoder: Encoder::new(options.level, sending.window, sending.takeover),
            decoder: Decoder::new(receiving.window, receiving.takeover),
            worth: Worth::default(),
            learning: None,
        }
    }

    fn compresses(&mut self, message: &MessageInfo) -> bool {
        self.may_compress(message)
            && (message.compression != Compression::Auto || self.worth.trying(message))
    }

    /// What hint and threshold say.
    fn may_compress(&self, message: &MessageInfo) -> bool {
        match message.compression {
            Compression::Never => false,
            Compression::Always => true,
            Compression::Auto => message.len.is_none_or(|len| len >= self.threshold),
        }
    }

    /// How a message of known length is compressed for many.
    fn form(&self, message: &MessageInfo) -> Option<Form> {
        Some(Form::new(self.level, self.window, message.len?))
    }
}

impl Extension for PermessageDeflate {
    fn claim(&self) -> RsvClaim {
        // RFC 7692 §6: "This document allocates the RSV1 bit of the WebSocket header for PMCEs".
        RsvClaim::FirstFrame(Rsv::RSV1)
    }

    fn scope(&self) -> Scope {
        Scope::Message
    }

    fn begin_encode(&mut self, message: &MessageInfo) -> Result<Mark, ExtensionError> {
        if !self.compresses(message) {
            return Ok(Mark::Unmarked);
        }
        self.learning = (message.compression == Compression::Auto).then_some(*message);
        self.encoder.begin()?;
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
        let progress = self.encoder.encode(input, out)?;
        if progress == Progress::Done
            && input.is_last()
            && let Some(message) = self.learning.take()
        {
            self.worth.learn(&message, self.encoder.sizes());
        }
        Ok(progress)
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
        self.decoder.park();
    }

    fn shared(&self, message: &MessageInfo) -> Option<SharedForm> {
        if self.may_compress(message) {
            self.form(message).map(|form| SharedForm::Encoded(form.key()))
        } else {
            Some(SharedForm::Plain)
        }
    }

    fn shared_encoder(&self, message: &MessageInfo) -> Option<Box<dyn SharedEncoder>> {
        Some(Box::new(Once::new(self.form(message)?, message)?))
    }

    fn sent_shared(&mut self, plain: &Payload) {
        self.encoder.sent_shared(plain);
    }

    fn memory_usage(&self) -> usize {
        size_of::<Self>() + self.encoder.memory_usage() + self.decoder.memory_usage()
    }
}
