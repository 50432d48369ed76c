//! A client against answers of any kind, and frames after them: it fails or connects alike, whole and in
//! pieces, and receives what an engine of its own makes of the same octets.

use std::time::Duration;

use bytes::BytesMut;
use ws_core::{CloseCode, Config, Connection, Event, Extensions, Message, Role};
use ws_ext_deflate::Deflate;
use ws_handshake::{ResponseReader, accept_key};
use ws_server::{ClientLimits, Connect, ConnectError};

use crate::{input::Input, is_shown, stream::block_on};

/// What became of it.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// An error, without its details.
    Failed(String),
    Connected {
        messages: Vec<Message>,
        extensions: Option<String>,
        code: CloseCode,
        clean: bool,
    },
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let flags = input.byte();
    let template = input.0;
    let whole = run_once(flags, template, usize::MAX);
    if is_shown() {
        eprintln!("{whole:?}");
    }
    for step in [1, 9] {
        assert_eq!(run_once(flags, template, step), whole, "in pieces of {step}");
    }
    let Outcome::Connected { messages, extensions: None, code, clean } = whole else { return };
    // Without extensions the engine says the same of what follows the head.
    let mut octets = BytesMut::from(&filled(template, "x")[..]);
    let head = ResponseReader::default().read(&mut octets);
    assert!(matches!(head, Ok(Some(_))), "{head:?}");
    let mut ws =
        Connection::new(Role::client(|| [1, 2, 3, 4]), Config::default(), Extensions::none());
    let (mut received, mut closed) = (Vec::new(), None);
    ws.input_ended();
    while let Some(event) = ws.poll_event(&mut octets) {
        match event {
            Event::Message(message) => received.push(message),
            Event::Closed(end) => closed = Some(end),
            _ => {}
        }
    }
    let closed = closed.expect("the input ended");
    assert_eq!((messages, code, clean), (received, closed.code, closed.clean));
}

fn run_once(flags: u8, template: &[u8], step: usize) -> Outcome {
    block_on(async {
        tokio::time::timeout(Duration::from_secs(3600), outcome(flags, template, step))
            .await
            .expect("it ends within the hour")
    })
}

async fn outcome(flags: u8, template: &[u8], step: usize) -> Outcome {
    // The key is random, and so is the right value of `Sec-WebSocket-Accept`: the stream has to see the
    // request first.
    let (client, server) = tokio::io::duplex(1 << 20);
    let template = template.to_vec();
    let answering = tokio::spawn(answer(server, template, step));
    let mut limits = ClientLimits::default();
    if flags & 8 == 8 {
        limits.head = limits.head.max_head(200).max_response_headers(5);
    }
    let mut connect = Connect::new("ws://a.example/chat").client_limits(limits);
    if flags & 1 == 1 {
        connect = connect.extension(Deflate::default());
    }
    if flags & 2 == 2 {
        connect = connect.subprotocols(["chat.v2", "chat.v1"]);
    }
    if flags & 4 == 4 && flags & 1 == 1 {
        connect = connect.require("permessage-deflate");
    }
    let connected = connect.over(client).await;
    let outcome = match connected {
        Err(error) => {
            let _ = (error.to_string(), error.is_temporary());
            Outcome::Failed(kind(&error))
        }
        Ok(mut ws) => {
            let extensions = ws.request().extensions().map(str::to_owned);
            let mut messages = Vec::new();
            while let Some(message) = ws.recv().await {
                messages.push(message);
            }
            let closed = ws.closed().await;
            Outcome::Connected { messages, extensions, code: closed.code, clean: closed.clean }
        }
    };
    answering.await.expect("the stream does not panic");
    outcome
}

fn kind(error: &ConnectError) -> String {
    let text = format!("{error:?}");
    text.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default().to_owned()
}

/// Reads the request, writes the answer, and reads on until the client is done.
async fn answer(mut server: tokio::io::DuplexStream, template: Vec<u8>, step: usize) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let mut request = BytesMut::new();
    while !request.ends_with(b"\r\n\r\n") {
        if server.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
    let at = text.find("sec-websocket-key: ").expect("a key") + "sec-websocket-key: ".len();
    let key = &request[at..at + 24];
    let octets = filled(&template, &accept_key(key));
    for piece in octets.chunks(step.max(1)) {
        if server.write_all(piece).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
    let _ = server.shutdown().await;
    let mut rest = Vec::new();
    let _ = server.read_to_end(&mut rest).await;
}

/// `\x01` stands for the right value of `Sec-WebSocket-Accept`.
fn filled(template: &[u8], accept: &str) -> Vec<u8> {
    let head = template
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .map_or(template.len(), |at| at + 4);
    let (head, rest) = template.split_at(head);
    let mut octets = Vec::with_capacity(template.len() + 32);
    for &octet in head {
        match octet {
            1 => octets.extend_from_slice(accept.as_bytes()),
            octet => octets.push(octet),
        }
    }
    octets.extend_from_slice(rest);
    octets
}
