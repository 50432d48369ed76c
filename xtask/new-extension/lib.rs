//! The WebSocket extension `NAME`.
//!
//! It works as it is: it inverts every octet of a message, claims RSV2, and takes no parameters. Put
//! what yours does in place of that. [`ws_core::extension::guide`] explains every call, and the test
//! in `tests/contract.rs` tries the contract on it.
#![forbid(unsafe_code)]

use ws_core::extension::*;

/// Offers and accepts the extension: one for a whole server or client.
#[derive(Clone, Copy, Debug, Default)]
pub struct TYPE;

impl ExtensionFactory for TYPE {
    fn name(&self) -> &str {
        "NAME" // in `Sec-WebSocket-Extensions`
    }
    fn scope(&self) -> Scope {
        Scope::Message // shown as a stream of chunks, cut anywhere
    }
    // Server: an error declines the offer, and the connection opens without the extension.
    fn accept(&self, offer: &Params, _free: Rsv) -> Result<Agreed, NegotiationError> {
        Ok(Agreed::new(Params::new(), self.confirm(offer, &[])?))
    }
    fn confirm(
        &self,
        response: &Params,
        _offers: &[Params],
    ) -> Result<Box<dyn Extension>, NegotiationError> {
        response.refuse_any()?; // client: an error fails the handshake
        Ok(Box::new(Connected))
    }
}

/// The extension of one connection: what it has to remember goes in here.
struct Connected;

impl Extension for Connected {
    fn claim(&self) -> RsvClaim {
        RsvClaim::FirstFrame(Rsv::RSV2) // the engine sets, checks and clears it
    }
    fn encode(&mut self, input: &mut Chunk, out: &mut Sink) -> Result<Progress, ExtensionError> {
        while let (Some(octet), false) = (input.data().first(), out.is_full()) {
            input.consume(out.write(&[!octet]));
        }
        Ok(if input.is_empty() { Progress::Done } else { Progress::Full })
    }
    fn decode(&mut self, input: &mut Chunk, out: &mut Sink) -> Result<Progress, ExtensionError> {
        self.encode(input, out) // there and back are the same here
    }
}
