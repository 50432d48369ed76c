//! What an engine makes of frames, as a line: for `against_websockets.py`, which compares it with another library.

use std::fmt::Write;

use bytes::BytesMut;
use ws_core::{
    Config, Connection, Event, ExtensionFactory, Extensions, Message, Role,
    extension::{Params, Rsv},
};
use ws_ext_deflate::Deflate;

/// `text:HEX`, `binary:HEX`, `ping:HEX`, `pong:HEX` for each event; in the end `close:CODE:HEX`, `fail:CODE`
/// or `open`.
///
/// `flags`: 1 is a server, 2 has permessage-deflate with windows of 15 bits.
pub fn verdict(flags: u8, octets: &[u8]) -> String {
    let mut stack = Extensions::none();
    if flags & 2 == 2 {
        let deflate = Deflate::default().client_max_window_bits(15).server_max_window_bits(15);
        let offer = Params::new().with_flag("client_max_window_bits");
        let agreed = deflate.accept(&offer, Rsv::ALL).expect("an offer of browsers");
        let own = match flags & 1 {
            1 => agreed.extension,
            _ => deflate.confirm(&agreed.response, &[offer]).expect("our own response"),
        };
        stack.push(&deflate, own).expect("the only extension");
    }
    let role = if flags & 1 == 1 { Role::Server } else { Role::client(|| [1, 2, 3, 4]) };
    let mut ws = Connection::new(role, Config::default(), stack);
    let mut input = BytesMut::from(octets);
    let mut line = String::new();
    while let Some(event) = ws.poll_event(&mut input) {
        match event {
            Event::Message(Message::Text(text)) => put(&mut line, "text", text.as_bytes()),
            Event::Message(Message::Binary(payload)) => put(&mut line, "binary", &payload),
            Event::Ping(payload) => put(&mut line, "ping", &payload),
            Event::Pong(payload) => put(&mut line, "pong", &payload),
            Event::Closed(closed) => match closed.fault {
                Some(fault) => {
                    let _ = write!(line, "fail:{}", fault.close_code().get());
                    return line;
                }
                None => {
                    put(
                        &mut line,
                        &format!("close:{}", closed.code.get()),
                        closed.reason.as_bytes(),
                    );
                    return line.trim_end().to_owned();
                }
            },
            _ => {}
        }
    }
    line + "open"
}

fn put(line: &mut String, what: &str, octets: &[u8]) {
    // Writing to a String cannot fail.
    let _ = write!(line, "{what}:");
    for octet in octets {
        let _ = write!(line, "{octet:02x}");
    }
    line.push(' ');
}
