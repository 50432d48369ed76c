//! Opens a connection: TCP, and a browser's handshake.

use std::io::{Read, Write};
use std::time::Duration;

use bytes::BytesMut;
use mio::net::TcpStream;
use ws_handshake::{ResponseReader, accept_key};

use super::{Failure, Load};

/// The time limit of each step.
const PATIENCE: Duration = Duration::from_secs(5);

/// A 16-byte nonce in base64.
///
/// RFC 6455 §10.3 requires unpredictable nonces for the sake of proxies; there are none between the
/// load and a server on the same machine. 22 digits of base64 with a final A are 16 bytes.
pub(super) fn key(connection: u64) -> String {
    format!("{connection:021}A==")
}

/// The request, with a browser's headers: the server has to read all of them.
pub(super) fn request(load: &Load, key: &str, offer: Option<&str>) -> Vec<u8> {
    let (host, path) = (load.address, &load.path);
    let extensions =
        offer.map(|offer| format!("Sec-WebSocket-Extensions: {offer}\r\n")).unwrap_or_default();
    format!(
        "GET {path} HTTP/1.1\r\n\
         Host: {host}\r\n\
         Connection: Upgrade\r\n\
         Pragma: no-cache\r\n\
         Cache-Control: no-cache\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
         Chrome/140.0.0.0 Safari/537.36\r\n\
         Upgrade: websocket\r\n\
         Origin: http://{host}\r\n\
         Sec-WebSocket-Version: 13\r\n\
         Accept-Encoding: gzip, deflate, br, zstd\r\n\
         Accept-Language: en-GB,en-US;q=0.9,en;q=0.8\r\n\
         Sec-WebSocket-Key: {key}\r\n\
         {extensions}\r\n"
    )
    .into_bytes()
}

/// Connects a non-blocking socket and performs the handshake. Returns the socket and the extensions
/// of the answer.
pub(super) fn connect(
    load: &Load,
    connection: u64,
    offer: Option<&str>,
) -> Result<(TcpStream, Option<String>), Failure> {
    let open = || {
        let stream = std::net::TcpStream::connect_timeout(&load.address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    };
    let mut stream = open().map_err(|error| {
        Failure::system(format!("connection {connection} to {}", load.address), &error)
    })?;
    let agreed =
        if load.raw { None } else { shake_hands(&mut stream, load, &key(connection), offer)? };
    stream
        .set_nonblocking(true)
        .map_err(|error| Failure::system("making a socket non-blocking", &error))?;
    Ok((TcpStream::from_std(stream), agreed))
}

fn shake_hands(
    stream: &mut std::net::TcpStream,
    load: &Load,
    key: &str,
    offer: Option<&str>,
) -> Result<Option<String>, Failure> {
    let refused = |why: &dyn std::fmt::Display| Failure::new(format!("opening handshake: {why}"));
    stream.write_all(&request(load, key, offer)).map_err(|error| refused(&error))?;
    let mut input = BytesMut::new();
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
    if response.status() != 101 {
        return Err(refused(&response.status()));
    }
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    if header("sec-websocket-accept") != Some(&accept_key(key.as_bytes())) {
        return Err(refused(&"Sec-WebSocket-Accept does not answer the key"));
    }
    if !input.is_empty() {
        return Err(refused(&"the server sent data before any message"));
    }
    Ok(header("sec-websocket-extensions").map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_valid_and_differ() {
        for connection in [0, 1, 9999, 1 << 60] {
            assert!(ws_handshake::is_valid_key(key(connection).as_bytes()));
        }
        assert_ne!(key(1), key(2));
    }
}
