//! The WebSocket extension `NAME`.
//!
//! It works as it is: it inverts every octet of a message, claims RSV2, and takes no parameters. Put
//! what yours does in place of that; [`ws_core::extension`] explains every call, and the test in
//! `tests/contract.rs` tries the contract on it.
#![forbid(unsafe_code)]

use ws_core::{
    Extension, ExtensionFactory,
    extension::{
        Agreed, Chunk, ExtensionError, Mark, MessageInfo, NegotiationError, Params, Progress, Rsv,
        RsvClaim, Scope, Sink,
    },
};

/// Offers and accepts the extension; one for a whole server or client.
#[derive(Clone, Copy, Debug, Default)]
pub struct TYPE;

impl ExtensionFactory for TYPE {
    /// The token in `Sec-WebSocket-Extensions`.
    fn name(&self) -> &str {
        "NAME"
    }

    fn scope(&self) -> Scope {
        Scope::Message
    }

    /// Server: answers one offer. An error declines it, and the connection opens without.
    fn accept(&self, offer: &Params, _free: Rsv) -> Result<Agreed, NegotiationError> {
        Ok(Agreed { response: Params::new(), extension: self.confirm(offer)? })
    }

    /// Client: what to offer, the best first.
    fn offers(&self) -> Vec<Params> {
        vec![Params::new()]
    }

    /// Client: what the server answered. An error fails the handshake.
    fn confirm(&self, response: &Params) -> Result<Box<dyn Extension>, NegotiationError> {
        if response.is_empty() {
            Ok(Box::new(Connected))
        } else {
            Err(NegotiationError::new("NAME takes no parameters"))
        }
    }
}

/// The extension of one connection; what has to be remembered between calls goes in here.
#[derive(Debug)]
struct Connected;

impl Connected {
    /// There and back are the same here.
    fn invert(input: &mut Chunk<'_>, out: &mut Sink<'_>) -> Progress {
        while let (Some(octet), false) = (input.data().first(), out.is_full()) {
            input.consume(out.write(&[!octet]));
        }
        // `Full`: the engine calls again when there is room.
        if input.is_empty() { Progress::Done } else { Progress::Full }
    }
}

impl Extension for Connected {
    /// The engine sets the bit on what is marked, checks it and clears it.
    fn claim(&self) -> RsvClaim {
        RsvClaim::FirstFrame(Rsv::RSV2)
    }

    fn scope(&self) -> Scope {
        Scope::Message
    }

    /// Whether this message is transformed.
    fn begin_encode(&mut self, _message: &MessageInfo) -> Result<Mark, ExtensionError> {
        Ok(Mark::Marked)
    }

    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        Ok(Self::invert(input, out))
    }

    fn decode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        Ok(Self::invert(input, out))
    }
}
