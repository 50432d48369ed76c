//! soketto by its Autobahn server, with its read buffer, on a socket that gathers writes.
//!
//! Whether text is UTF-8 is left to the application, which has simdutf8 here. Without its deflate:
//! 0.8.1 ends a stream that has no end, which flate2 1.1.11 takes as a fault, so that the first
//! compressed message closes the connection.

#![forbid(unsafe_code)]

use soketto::handshake::server::{Response, Server};
use soketto::{Data, connection};
use tokio::io::BufReader;
use tokio_util::compat::TokioAsyncReadCompatExt;
use ws_bench_peers::deferred::Deferred;
use ws_bench_peers::server::{Abilities, Failure, Options, serve};

fn main() -> Result<(), Failure> {
    serve(Options::read(Abilities::default())?, |stream| async move {
        let socket = BufReader::with_capacity(8 * 1024, Deferred::new(stream)).compat();
        let mut server = Server::new(socket);
        let key = server.receive_request().await?.key();
        server.send_response(&Response::Accept { key, protocol: None }).await?;
        let (mut sender, mut receiver) = server.into_builder().finish();
        let mut message = Vec::new();
        loop {
            message.clear();
            match receiver.receive_data(&mut message).await {
                Ok(Data::Binary(_)) => sender.send_binary_mut(&mut message).await?,
                Ok(Data::Text(_)) => {
                    sender.send_text(simdutf8::basic::from_utf8(&message)?).await?
                }
                Err(connection::Error::Closed) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    })
}
