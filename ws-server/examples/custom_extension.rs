//! An extension of one's own in an echo server: `x-scramble` inverts every octet of a message on its
//! way out, and again on its way in. It is short on purpose, and hides nothing.
//!
//! ```text
//! $ cargo run --example custom_extension     # or: -- 127.0.0.1:0, which takes a free port
//! listening on 127.0.0.1:9001
//! guest 1 agreed on Some("x-scramble")       # for a client that offers it; None for others
//! ```
//!
//! The guide, `ws_core::extension::guide`, says how to write one. These use more of the contract:
//! `x_crc32c` (frames), `x_trace` (observes), `x_seal` (encrypts).
#![allow(elided_lifetimes_in_paths, missing_docs, unreachable_pub)] // as in a crate of one's own

// ANCHOR: extension
use ws_core::extension::*;

pub struct Scramble;
impl ExtensionFactory for Scramble {
    fn name(&self) -> &str {
        "x-scramble"
    }
    fn scope(&self) -> Scope {
        Scope::Message // shown as a stream of chunks, cut anywhere
    }
    fn accept(&self, offer: &Params, _: Rsv) -> Result<Agreed, NegotiationError> {
        Ok(Agreed::new(Params::new(), self.confirm(offer, &[])?))
    }
    fn confirm(
        &self,
        response: &Params,
        _offers: &[Params],
    ) -> Result<Box<dyn Extension>, NegotiationError> {
        response.refuse_any()?;
        Ok(Box::new(Scramble))
    }
}
impl Extension for Scramble {
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
        self.encode(input, out)
    }
}
// ANCHOR_END: extension

#[tokio::main]
async fn main() -> Result<(), ws_server::ServeError> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:9001".into());
    let echo = |mut ws: ws_server::WebSocket| async move {
        println!("guest {} agreed on {:?}", ws.id(), ws.request().extensions());
        while let Some(message) = ws.recv().await {
            ws.send(message).await?;
        }
        Ok(())
    };
    let server = ws_server::Server::new().extension(Scramble).any(echo).bind(address).await?;
    println!("listening on {}", server.local_addr().expect("TCP"));
    server.serve().await
}
