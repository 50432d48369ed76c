//! Frames without extensions, into ours and into tungstenite: the same messages, until ours is
//! stricter by a rule that is listed here.

use std::io::{self, Read, Write};

use bytes::BytesMut;
use tungstenite::protocol::{self, WebSocket, WebSocketConfig};
use ws_core::{Config, Connection, Event, Extensions, Fault, Message, Role};

use crate::{
    frames,
    input::{Input, pattern},
};

#[derive(Debug, PartialEq)]
enum Seen {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, Vec<u8>),
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let flags = input.byte();
    let server = flags & 1 == 1;
    let (max_frame, max_message) = match flags & 2 {
        0 => (1 << 20, 1 << 20),
        // They count control frames as well; ours have a limit of their own.
        _ => (125 + input.u16(), input.u16()),
    };
    let step = input.pick(&[usize::MAX, 1, 2, 7, 64, 1000]);
    let raw = flags & 4 == 0;
    let bytes = if raw { input.0.to_vec() } else { generated(server, &mut input) };
    let (ours, fault, open) = ours(server, max_frame, max_message, step, &bytes);
    let (theirs, error) = theirs(server, max_frame, max_message, &bytes);
    if crate::is_shown() {
        eprintln!("{bytes:02x?}\nours {ours:?} {fault:?} open {open}\ntheirs {theirs:?} {error:?}");
    }
    compare(&ours, fault.as_ref(), open, &theirs, error.as_deref());
}

fn compare(ours: &[Seen], fault: Option<&Fault>, open: bool, theirs: &[Seen], error: Option<&str>) {
    // 1014 is registered with IANA, and unknown to them.
    let refused = Seen::Close(1002, b"Protocol violation".to_vec());
    if let (Some(Seen::Close(1014, _)), None) = (ours.last(), fault) {
        assert_eq!(theirs.last(), Some(&refused));
        return assert_eq!(ours[..ours.len() - 1], theirs[..theirs.len() - 1]);
    }
    let same = ours.len().min(theirs.len());
    assert_eq!(ours[..same], theirs[..same]);
    let more = theirs.len() > same;
    match fault {
        // They take these; a control frame whose length has a longer form is too long by that form.
        Some(
            Fault::ControlTooLong
            | Fault::LengthNotMinimal
            | Fault::TooManyEmptyFragments { .. }
            | Fault::TooManyFragments { .. },
        ) => {
            assert_eq!(ours.len(), same);
        }
        // They tell it as a Close with 1002.
        Some(Fault::InvalidCloseCode(_)) => {
            assert!(!more || theirs[same..] == [refused]);
        }
        // Refused by both; they may still wait for the end of the frame.
        Some(_) => assert!(ours.len() == same && !more, "only ours fails"),
        None => {
            assert!(ours.len() == same && !more);
            if open {
                assert_eq!(error, None, "only theirs fails");
            }
        }
    }
}

fn generated(server: bool, input: &mut Input<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !input.is_empty() && bytes.len() < 100_000 {
        let first = input.byte();
        let key = server.then(|| [input.byte(), 1, 2, 3]);
        let payload = match first & 0x0f {
            0x3..=0x7 | 0xb..=0xf => {
                // A message that is cut inside of a code point.
                let text = input.text().into_bytes();
                let (head, tail) = text.split_at(input.u16() % (text.len() + 1));
                frames::write(1, head, key, &mut bytes);
                frames::write(0x80, tail, key, &mut bytes);
                continue;
            }
            8 => {
                let mut body = input.take(2).to_vec();
                body.extend_from_slice(input.short());
                body
            }
            _ => match input.byte() {
                0..=200 => input.short().to_vec(),
                _ => pattern(input.u16(), input.byte()),
            },
        };
        frames::write(first, &payload, key, &mut bytes);
    }
    bytes
}

fn ours(
    server: bool,
    max_frame: usize,
    max_message: usize,
    step: usize,
    bytes: &[u8],
) -> (Vec<Seen>, Option<Fault>, bool) {
    let mut config = Config::default();
    (config.max_frame, config.max_message) = (Some(max_frame), max_message);
    let role = if server { Role::Server } else { Role::client(|| [1, 2, 3, 4]) };
    let mut ws = Connection::new(role, config, Extensions::none());
    let (mut seen, mut input) = (Vec::new(), BytesMut::new());
    for piece in bytes.chunks(step) {
        input.extend_from_slice(piece);
        while let Some(event) = ws.poll_event(&mut input) {
            seen.push(match event {
                Event::Message(Message::Text(text)) => Seen::Text(text.as_bytes().to_vec()),
                Event::Message(Message::Binary(payload)) => Seen::Binary(payload.to_vec()),
                Event::Ping(payload) => Seen::Ping(payload.to_vec()),
                Event::Pong(payload) => Seen::Pong(payload.to_vec()),
                Event::Closed(closed) => match closed.fault {
                    Some(fault) => return (seen, Some(*fault), false),
                    None => {
                        seen.push(Seen::Close(
                            closed.code.get(),
                            closed.reason.as_bytes().to_vec(),
                        ));
                        return (seen, None, false);
                    }
                },
                _ => continue,
            });
        }
    }
    (seen, None, true)
}

struct Mock<'b>(&'b [u8]);

impl Read for Mock<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            n => Ok(n),
        }
    }
}

impl Write for Mock<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        Ok(buffer.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn theirs(
    server: bool,
    max_frame: usize,
    max_message: usize,
    bytes: &[u8],
) -> (Vec<Seen>, Option<String>) {
    let config = WebSocketConfig::default()
        .read_buffer_size(1024)
        .max_frame_size(Some(max_frame))
        .max_message_size(Some(max_message));
    let role = if server { protocol::Role::Server } else { protocol::Role::Client };
    let mut ws = WebSocket::from_raw_socket(Mock(bytes), role, Some(config));
    let mut seen = Vec::new();
    loop {
        seen.push(match ws.read() {
            Ok(tungstenite::Message::Text(text)) => Seen::Text(text.as_bytes().to_vec()),
            Ok(tungstenite::Message::Binary(payload)) => Seen::Binary(payload.to_vec()),
            Ok(tungstenite::Message::Ping(payload)) => Seen::Ping(payload.to_vec()),
            Ok(tungstenite::Message::Pong(payload)) => Seen::Pong(payload.to_vec()),
            Ok(tungstenite::Message::Close(close)) => {
                seen.push(match close {
                    Some(close) => Seen::Close(close.code.into(), close.reason.as_bytes().to_vec()),
                    None => Seen::Close(1005, Vec::new()),
                });
                return (seen, None);
            }
            Ok(tungstenite::Message::Frame(_)) => unreachable!(),
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return (seen, None);
            }
            Err(error) => return (seen, Some(error.to_string())),
        });
    }
}
