//! A client that builds its frames octet by octet, since a browser cannot send invalid ones.

use std::{net::SocketAddr, time::Duration};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    time::timeout,
};

use crate::views::Open;

/// The time limit of a script.
const PATIENCE: Duration = Duration::from_secs(10);
/// The maximum read from the server.
const ENOUGH: usize = 4096;
/// This many run at a time; the others wait.
static AT_WORK: Semaphore = Semaphore::const_new(8);
/// The masking key of every frame, which a real client must not repeat (RFC 6455 §5.3:
/// "unpredictable").
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The frames to write, each with a description.
type Script = Vec<(&'static str, Vec<u8>)>;

fn script(name: &str) -> Option<Script> {
    let close = ("Close, 1000", masked(0x88, &1000_u16.to_be_bytes()));
    Some(match name {
        "fragmented" => vec![
            ("Text without FIN: \"one \"", masked(0x01, b"one ")),
            ("Continuation without FIN: \"message \"", masked(0x00, b"message ")),
            ("Ping between the fragments", masked(0x89, b"alive?")),
            ("Continuation with FIN: \"in three\"", masked(0x80, b"in three")),
            close,
        ],
        "ping" => vec![("Ping: \"are you there?\"", masked(0x89, b"are you there?")), close],
        // RFC 6455 §5.1: "a client MUST mask all frames"
        "unmasked" => vec![("Unmasked Text: \"hello\"", b"\x81\x05hello".to_vec())],
        // RFC 6455 §8.1: the connection fails if a text is not UTF-8
        "utf8" => vec![("Text that is not UTF-8: c0 af", masked(0x81, b"\xc0\xaf"))],
        // RFC 6455 §5.2: the bits "MUST be 0 unless an extension is negotiated"
        "rsv" => vec![("Text with RSV3, which no extension negotiated", masked(0x91, b"hello"))],
        _ => return None,
    })
}

/// Runs the script of this name against `/echo` of this server, and shows the octets written and
/// read.
pub(crate) async fn run(name: &str, server: SocketAddr, open: &Open) {
    let view = open.view();
    let Some(script) = script(name) else {
        return view.show(&json!({ "refused": "unknown script" }));
    };
    view.show(&json!({ "script": name }));
    let _place = AT_WORK.acquire().await;
    let ended = match timeout(PATIENCE, converse(script, server, open)).await {
        Ok(Ok(())) => "the server closed the connection".to_owned(),
        Ok(Err(error)) => format!("the connection failed: {error}"),
        Err(_) => format!("given up after {} s", PATIENCE.as_secs()),
    };
    view.show(&json!({ "script": null, "ended": ended }));
}

async fn converse(script: Script, server: SocketAddr, open: &Open) -> std::io::Result<()> {
    let view = open.view();
    let mut stream = TcpStream::connect(server).await?;
    // Otherwise a frame would wait until the previous one is acknowledged.
    stream.set_nodelay(true)?;
    let request = format!(
        "GET /echo?raw&view={} HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\n\r\n",
        open.token()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    let head = loop {
        if let Some(end) = answer.windows(4).position(|octets| octets == b"\r\n\r\n") {
            break end + 4;
        }
        if answer.len() > ENOUGH || stream.read_buf(&mut answer).await? == 0 {
            return Err(std::io::Error::other("the server did not answer the opening handshake"));
        }
    };
    let status = answer.split(|octet| *octet == b'\r').next().unwrap_or_default();
    view.show(&json!({ "raw": { "wrote": true, "what": "the opening handshake" } }));
    view.show(&json!({ "raw": { "wrote": false, "what": String::from_utf8_lossy(status) } }));
    if !status.starts_with(b"HTTP/1.1 101 ") {
        return Ok(());
    }
    answer.drain(..head);
    for (what, octets) in script {
        view.show(&json!({ "raw": { "wrote": true, "what": what, "octets": hex(&octets) } }));
        stream.write_all(&octets).await?;
    }
    while answer.len() < ENOUGH && stream.read_buf(&mut answer).await? > 0 {}
    view.show(&json!({ "raw": { "wrote": false, "what": "everything", "octets": hex(&answer) } }));
    Ok(())
}

/// A client's frame: its first octet, and a payload of at most 125 octets.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first, 0x80 | payload.len() as u8];
    frame.extend(KEY);
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(octet, key)| octet ^ key));
    frame
}

fn hex(octets: &[u8]) -> String {
    let octets: Vec<String> = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    octets.join(" ")
}
