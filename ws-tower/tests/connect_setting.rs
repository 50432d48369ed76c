//! `SETTINGS_ENABLE_CONNECT_PROTOCOL` (RFC 8441 §3), octet by octet.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used)]

mod support;

use axum::{Router, routing::any};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::{echo, run};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use ws_server::Server;
use ws_tests_support::frame::masked;
use ws_tower::WebSocketUpgrade;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PROTOCOL_ERROR: [u8; 4] = [0, 0, 0, 1];

struct Frame {
    kind: u8,
    flags: u8,
    payload: Vec<u8>,
}

impl Frame {
    async fn read(io: &mut (impl AsyncRead + Unpin)) -> Self {
        let mut head = [0; 9];
        io.read_exact(&mut head).await.unwrap();
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        io.read_exact(&mut payload).await.unwrap();
        Self { kind: head[3], flags: head[4], payload }
    }

    /// The value of the setting, if this frame sets it.
    fn connect_protocol(&self) -> Option<u32> {
        let settings = (self.kind == SETTINGS).then(|| self.payload.chunks_exact(6))?;
        let value = |entry: &[u8]| u32::from_be_bytes(entry[2..].try_into().unwrap());
        settings.filter(|entry| entry[..2] == [0, 8]).map(value).next()
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The preface, with this value of the setting.
fn preface(value: u32) -> Vec<u8> {
    let mut octets = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let mut setting = vec![0, 8];
    setting.extend(value.to_be_bytes());
    octets.extend(frame(SETTINGS, 0, 0, &setting));
    octets
}

/// An extended CONNECT in plain HPACK (RFC 7541 §6.2.2).
fn connect() -> Vec<u8> {
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "a.example"),
        ("sec-websocket-version", "13"),
    ];
    let mut block = Vec::new();
    for text in fields.iter().flat_map(|(name, value)| [name, value]).enumerate() {
        let (n, text) = text;
        if n % 2 == 0 {
            block.push(0);
        }
        block.push(text.len() as u8);
        block.extend(text.as_bytes());
    }
    frame(HEADERS, END_HEADERS, 1, &block)
}

fn app() -> (Router, ws_server::Service) {
    let service = Server::new().service().unwrap();
    let open = any(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(echo));
    (Router::new().route("/", open).with_state(service.clone()), service)
}

// R8441-3-a, R8441-3-b, R8441-3-c
#[tokio::test(start_paused = true)]
async fn r8441_3_setting_is_one_from_the_start_never_lowered_and_ignored_from_a_client() {
    let (app, service) = app();
    let running = run(app, &service);
    for of_client in [1, 0] {
        let mut io = running.dial();
        io.write_all(&preface(of_client)).await.unwrap();
        let first = Frame::read(&mut io).await;
        assert_eq!((first.kind, first.flags), (SETTINGS, 0));
        assert_eq!(first.connect_protocol(), Some(1));
        io.write_all(&frame(SETTINGS, ACK, 0, &[])).await.unwrap();
        io.write_all(&connect()).await.unwrap();
        io.write_all(&frame(DATA, 0, 1, &masked(0x81, [1, 2, 3, 4], b"hi"))).await.unwrap();
        loop {
            let next = Frame::read(&mut io).await;
            assert!(next.connect_protocol().is_none(), "it is set once");
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
    let (app, service) = app();
    let running = run(app, &service);
    let mut io = running.dial();
    io.write_all(&preface(2)).await.unwrap();
    ends_with_protocol_error(&mut io).await;
}

// R8441-3-d: a server that was not configured.
#[tokio::test(start_paused = true)]
async fn r8441_3_d_without_the_setting_a_protocol_is_malformed() {
    let (app, _service) = app();
    let (mut io, theirs) = duplex(4096);
    let hyper = hyper_util::service::TowerToHyperService::new(app);
    let server = http2::Builder::new(TokioExecutor::new());
    tokio::spawn(server.serve_connection(TokioIo::new(theirs), hyper));
    io.write_all(&preface(1)).await.unwrap();
    assert_eq!(Frame::read(&mut io).await.connect_protocol(), None);
    io.write_all(&connect()).await.unwrap();
    ends_with_protocol_error(&mut io).await;
}
