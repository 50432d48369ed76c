//! Opens a connection: TCP, and the handshake by `ws-handshake`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::BytesMut;
use ws_handshake::{ClientOptions, ResponseReader, WebSocketUri};

use super::{Failure, Load};

/// For each step of the opening.
const PATIENCE: Duration = Duration::from_secs(5);

/// A socket that does not block, on which the handshake is done.
pub(super) fn connect(load: &Load, connection: u64) -> Result<TcpStream, Failure> {
    let open = || {
        let stream = TcpStream::connect_timeout(&load.address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    };
    let mut stream = open()
        .map_err(|error| Failure::system(format!("connecting to {}", load.address), &error))?;
    if !load.raw {
        shake_hands(&mut stream, load, connection)?;
    }
    stream
        .set_nonblocking(true)
        .map_err(|error| Failure::system("making a socket non-blocking", &error))?;
    Ok(stream)
}

fn shake_hands(stream: &mut TcpStream, load: &Load, connection: u64) -> Result<(), Failure> {
    let refused = |why: &dyn std::fmt::Display| Failure::new(format!("opening handshake: {why}"));
    let uri: WebSocketUri = format!("ws://{}{}", load.address, load.path)
        .parse()
        .map_err(|error: ws_handshake::UriError| refused(&error))?;
    // RFC 6455 §10.3 wants nonces that cannot be predicted, for the sake of proxies; there are none
    // on the way to a server on this machine.
    let mut nonce = [0; 16];
    nonce[..8].copy_from_slice(&connection.to_be_bytes());
    let handshake = ClientOptions::new(uri).handshake(nonce).map_err(|error| refused(&error))?;

    let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
    handshake.write_request(&mut output);
    stream.write_all(&output).map_err(|error| refused(&error))?;
    let mut reader = ResponseReader::default();
    let mut chunk = [0; 1024];
    let response = loop {
        if let Some(response) = reader.read(&mut input).map_err(|error| refused(&error))? {
            break response;
        }
        match stream.read(&mut chunk).map_err(|error| refused(&error))? {
            0 => return Err(refused(&"the server closed the connection")),
            n => input.extend_from_slice(&chunk[..n]),
        }
    };
    handshake.verify(&response).map_err(|error| refused(&error))?;
    if input.is_empty() {
        Ok(())
    } else {
        Err(Failure::new("the server speaks first, which no echo server does"))
    }
}
