//! tokio-websockets, which has SIMD without a feature, on a socket that gathers writes.
//!
//! It would write what it holds whenever the next message is asked for, one after the other. It has
//! no permessage-deflate.

#![forbid(unsafe_code)]

use tokio_websockets::{Error, Message, ServerBuilder};
use ws_bench_peers::deferred::Deferred;
use ws_bench_peers::hub::Hub;
use ws_bench_peers::server::{Abilities, Failure, Options, serve};
use ws_bench_peers::turns::{Turn, echo, fan_out};

fn main() -> Result<(), Failure> {
    let options = Options::read(Abilities { broadcast: true, ..Abilities::default() })?;
    let hub = Hub::default();
    serve(options, move |stream| {
        let hub = hub.clone();
        async move {
            let (_, ws) = ServerBuilder::new().accept(Deferred::new(stream)).await?;
            if options.broadcast {
                fan_out(ws, sort, hub.join()).await
            } else {
                echo(ws, sort).await
            }
        }
    })
}

fn sort(item: Result<Message, Error>) -> Result<Turn<Message>, Failure> {
    let message = item?;
    Ok(if message.is_text() || message.is_binary() {
        Turn::Data(message)
    } else if message.is_close() {
        Turn::Close
    } else {
        Turn::Control
    })
}
