//! A client that speaks extensions: the engine in the other role, over the same wire.

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    task::JoinHandle,
    time::timeout,
};
use ws_core::{Config, Connection, Event, Message, Role, UNLIMITED};
use ws_ext_deflate::Deflate;
use ws_handshake::{ClientOptions, ExtensionSet, ResponseReader};
use ws_server::{Closed, Peer, Service};

use super::LONG;

/// A client's end of a connection.
pub(crate) struct Engine {
    pub(crate) io: DuplexStream,
    pub(crate) ws: Connection,
    input: BytesMut,
}

/// Opens a connection in memory with compression, and so many octets between the two ends.
pub(crate) async fn open_deflate(
    service: &Service,
    wire: usize,
) -> (Engine, JoinHandle<Option<Closed>>) {
    let (mut io, server) = tokio::io::duplex(wire);
    let service = service.clone();
    let task = tokio::spawn(async move { service.serve_connection(server, Peer::Other).await });

    let mut set = ExtensionSet::default();
    set.push(Deflate::default()).unwrap();
    let options = ClientOptions::new("ws://test/".parse().unwrap()).extensions(set);
    let handshake = options.handshake(*b"the sample nonce").unwrap();
    let mut request = BytesMut::new();
    handshake.write_request(&mut request);
    io.write_all(&request).await.unwrap();
    let mut reader = ResponseReader::default();
    let mut input = BytesMut::new();
    let response = loop {
        assert!(timeout(LONG, io.read_buf(&mut input)).await.unwrap().unwrap() > 0);
        if let Some(response) = reader.read(&mut input).unwrap() {
            break response;
        }
    };
    let connected = handshake.verify(&response).unwrap();
    assert!(!connected.extensions.is_empty(), "compression was agreed on");
    let mut config = Config::default();
    config.max_message = UNLIMITED;
    // Of no mask, so that a test can take the payload out again.
    let ws = Connection::new(Role::client(|| [0; 4]), config, connected.extensions);
    (Engine { io, ws, input }, task)
}

impl Engine {
    /// Sends one message.
    pub(crate) async fn send(&mut self, message: impl Into<Message>) {
        self.ws.send(message).unwrap();
        let bytes = self.encoded();
        self.io.write_all(&bytes).await.unwrap();
    }

    /// What is to be written.
    pub(crate) fn encoded(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.ws.write_to(&mut bytes).unwrap();
        bytes
    }

    /// The next event, as long as the stream goes on and the connection is not over.
    pub(crate) async fn event(&mut self) -> Option<Event> {
        loop {
            match self.ws.poll_event(&mut self.input) {
                // There is more to decode, and nothing to be waited for.
                Some(Event::Yield) => continue,
                Some(event) => return Some(event),
                None => {}
            }
            if self.ws.is_closed() {
                return None;
            }
            let read = timeout(LONG, self.io.read_buf(&mut self.input)).await;
            if read.expect("something comes").unwrap_or(0) == 0 {
                self.ws.input_ended();
            }
        }
    }

    /// The next message.
    pub(crate) async fn message(&mut self) -> Message {
        match self.event().await {
            Some(Event::Message(message)) => message,
            other => panic!("not a message: {other:?}"),
        }
    }

    /// The messages until the end, and what the end was.
    pub(crate) async fn rest(&mut self) -> (Vec<Message>, Closed) {
        let mut messages = Vec::new();
        loop {
            match self.event().await.expect("an end") {
                Event::Message(message) => messages.push(message),
                Event::Closed(closed) => return (messages, closed),
                _ => {}
            }
        }
    }
}
