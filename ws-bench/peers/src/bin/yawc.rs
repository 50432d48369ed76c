//! yawc as its own comparison tunes it: a read buffer of 128 KiB, writing from 64 KiB on, `simd`.
//!
//! Its handshake is hyper's; the socket is taken out of hyper behind it, which is cheaper than
//! hyper's upgraded connection. Its deflate is flate2 with zlib-rs, on its defaults.

#![forbid(unsafe_code)]

use hyper::Request;
use hyper::body::Incoming;
use hyper::header::SEC_WEBSOCKET_EXTENSIONS;
use ws_bench_peers::hub::Hub;
use ws_bench_peers::hyper_upgrade;
use ws_bench_peers::server::{Abilities, Failure, serve};
use ws_bench_peers::turns::{Turn, echo, fan_out};
use yawc::{DeflateOptions, Frame, OpCode, Options, Role, WebSocket};

fn main() -> Result<(), Failure> {
    let abilities = Abilities { broadcast: true, deflate: true };
    let command = ws_bench_peers::server::Options::read(abilities)?;
    let options = Options {
        compression: command.deflate.then(DeflateOptions::default),
        ..Options::default()
            .with_utf8()
            .with_limits(2 * 1024 * 1024, 4 * 1024 * 1024)
            .with_read_buffer_capacity(128 * 1024)
            .with_backpressure_boundary(64 * 1024)
    };
    let hub = Hub::default();
    serve(command, move |stream| {
        let (options, hub) = (options.clone(), hub.clone());
        async move {
            let upgrade = |request: &mut Request<Incoming>| {
                let (response, _) = WebSocket::upgrade_with_options(request, options.clone())?;
                let agreed = response.headers().get(SEC_WEBSOCKET_EXTENSIONS);
                let agreed = agreed.and_then(|value| value.to_str().ok()).map(str::to_owned);
                let (head, _) = response.into_parts();
                let response = hyper::Response::from_parts(head, http_body_util::Empty::new());
                Ok::<_, yawc::WebSocketError>((response, agreed))
            };
            let (stream, agreed) = hyper_upgrade::accept(stream, upgrade).await?;
            let ws = WebSocket::from_stream_with_extensions(
                stream,
                Role::Server,
                agreed.as_deref(),
                options.clone(),
            )?;
            if command.broadcast {
                fan_out(ws, sort, hub.join()).await
            } else {
                echo(ws, sort).await
            }
        }
    })
}

fn sort(frame: Frame) -> Result<Turn<Frame>, Failure> {
    Ok(match frame.opcode() {
        OpCode::Text | OpCode::Binary => Turn::Data(frame),
        OpCode::Close => Turn::Close,
        _ => Turn::Control,
    })
}
