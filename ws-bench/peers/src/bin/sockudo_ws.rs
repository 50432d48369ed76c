//! sockudo-ws by the loop of its README, which writes what was fed before it waits. Its timers are
//! off, as in its own benchmarks over sockets; `simd`.
//!
//! Its handshake is its own. Its deflate is its default, which its README calls `Dedicated`.

#![forbid(unsafe_code)]

use bytes::{Buf, BytesMut};
use sockudo_ws::deflate::{DeflateConfig, negotiate_server_deflate};
use sockudo_ws::handshake::{build_response, generate_accept_key, parse_request};
use sockudo_ws::{CompressedWebSocketStream, Compression, Config, Message, WebSocketStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use ws_bench_peers::hub::Hub;
use ws_bench_peers::server::{Abilities, Failure, Options, serve};
use ws_bench_peers::turns::{Turn, echo, fan_out};

fn main() -> Result<(), Failure> {
    let options = Options::read(Abilities { broadcast: true, deflate: true })?;
    // Up to 200 ms once, which should not fall into the first connection.
    sockudo_ws::init_clock();
    let hub = Hub::default();
    serve(options, move |mut stream| {
        let hub = hub.clone();
        async move {
            let agreed = accept(&mut stream, options.deflate).await?;
            let config = Config::builder().auto_ping(false).idle_timeout(0).build();
            match agreed {
                Some(deflate) => {
                    echo(CompressedWebSocketStream::server(stream, config, deflate), sort).await
                }
                None if options.broadcast => {
                    fan_out(WebSocketStream::server(stream, config), sort, hub.join()).await
                }
                None => echo(WebSocketStream::server(stream, config), sort).await,
            }
        }
    })
}

/// The handshake of its examples, with what its integration into axum does for compression.
async fn accept(stream: &mut TcpStream, deflate: bool) -> Result<Option<DeflateConfig>, Failure> {
    let mut input = BytesMut::with_capacity(4096);
    loop {
        if stream.read_buf(&mut input).await? == 0 {
            return Err("the client left".into());
        }
        let Some((request, consumed)) = parse_request(&input)? else {
            continue;
        };
        let policy = Compression::Dedicated.to_deflate_config().filter(|_| deflate);
        let agreed = request
            .extensions
            .zip(policy)
            .and_then(|(offers, policy)| negotiate_server_deflate(offers, &policy));
        let header = agreed.as_ref().map(|agreed| agreed.to_response_header());
        let key = generate_accept_key(request.key);
        stream.write_all(&build_response(&key, None, header.as_deref())).await?;
        input.advance(consumed);
        return if input.is_empty() {
            Ok(agreed.map(|agreed| agreed.config))
        } else {
            Err("the client speaks before the answer".into())
        };
    }
}

fn sort(item: sockudo_ws::Result<Message>) -> Result<Turn<Message>, Failure> {
    Ok(match item? {
        message @ (Message::Text(_) | Message::Binary(_)) => Turn::Data(message),
        Message::Close(_) => Turn::Close,
        _ => Turn::Control,
    })
}
