//! `SETTINGS_ENABLE_CONNECT_PROTOCOL` (RFC 8441 §3), octet by octet.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used)]

mod support;

use axum::{Router, routing::any};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::{
    echo,
    raw::{ACK, DATA, Frame, GOAWAY, PREFACE, RST_STREAM, SETTINGS, connect, frame},
    run,
};
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use ws_server::Server;
use ws_tests_support::frame::masked;
use ws_tower::WebSocketUpgrade;

const PROTOCOL_ERROR: [u8; 4] = [0, 0, 0, 1];

/// The value of the setting, if this frame sets it.
fn connect_protocol(frame: &Frame) -> Option<u32> {
    let settings = (frame.kind == SETTINGS).then(|| frame.payload.chunks_exact(6))?;
    let value = |entry: &[u8]| u32::from_be_bytes(entry[2..].try_into().unwrap());
    settings.filter(|entry| entry[..2] == [0, 8]).map(value).next()
}

/// The preface, with this value of the setting.
fn preface(value: u32) -> Vec<u8> {
    let mut octets = PREFACE.to_vec();
    let mut setting = vec![0, 8];
    setting.extend(value.to_be_bytes());
    octets.extend(frame(SETTINGS, 0, 0, &setting));
    octets
}

fn app() -> Router {
    let open = any(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(echo));
    Router::new().route("/", open).with_state(Server::new().service().unwrap())
}

// R8441-3-a, R8441-3-b, R8441-3-c
#[tokio::test(start_paused = true)]
async fn r8441_3_setting_is_one_from_the_start_never_lowered_and_ignored_from_a_client() {
    let running = run(app());
    for of_client in [1, 0] {
        let mut io = running.dial();
        io.write_all(&preface(of_client)).await.unwrap();
        let first = Frame::read(&mut io).await;
        assert_eq!((first.kind, first.flags), (SETTINGS, 0));
        assert_eq!(connect_protocol(&first), Some(1));
        io.write_all(&frame(SETTINGS, ACK, 0, &[])).await.unwrap();
        io.write_all(&connect("/", 1)).await.unwrap();
        io.write_all(&frame(DATA, 0, 1, &masked(0x81, [1, 2, 3, 4], b"hi"))).await.unwrap();
        loop {
            let next = Frame::read(&mut io).await;
            assert!(connect_protocol(&next).is_none(), "it is set once");
            assert!(next.kind != RST_STREAM && next.kind != GOAWAY);
            if next.kind == DATA {
                assert_eq!(next.payload, b"\x81\x02hi");
                break;
            }
        }
    }
}

async fn ends_with_protocol_error(io: &mut DuplexStream) {
    loop {
        let next = Frame::read(io).await;
        match next.kind {
            RST_STREAM => return assert_eq!(next.payload, PROTOCOL_ERROR),
            GOAWAY => return assert_eq!(next.payload[4..8], PROTOCOL_ERROR),
            _ => {}
        }
    }
}

// R8441-3-a
#[tokio::test(start_paused = true)]
async fn r8441_3_a_other_value_is_a_connection_error() {
    let running = run(app());
    let mut io = running.dial();
    io.write_all(&preface(2)).await.unwrap();
    ends_with_protocol_error(&mut io).await;
}

// R8441-3-d: a server that was not configured.
#[tokio::test(start_paused = true)]
async fn r8441_3_d_without_the_setting_a_protocol_is_malformed() {
    let app = app();
    let (mut io, theirs) = duplex(4096);
    let hyper = hyper_util::service::TowerToHyperService::new(app);
    let server = http2::Builder::new(TokioExecutor::new());
    tokio::spawn(server.serve_connection(TokioIo::new(theirs), hyper));
    io.write_all(&preface(1)).await.unwrap();
    assert_eq!(connect_protocol(&Frame::read(&mut io).await), None);
    io.write_all(&connect("/", 1)).await.unwrap();
    ends_with_protocol_error(&mut io).await;
}
