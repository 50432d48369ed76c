//! What a client makes of a server's answer.

use bytes::BytesMut;
use ws_handshake::{ClientOptions, Connected, ResponseError, ResponseReader};

use super::{NONCE, RESPONSE};

/// `RESPONSE` with header lines added.
pub fn with(lines: &str) -> String {
    RESPONSE.replacen("\r\n\r\n", &format!("\r\n{lines}\r\n\r\n"), 1)
}

pub fn options() -> ClientOptions {
    ClientOptions::new("ws://server.example.com/chat".parse().unwrap())
}

pub fn verify(
    options: &ClientOptions,
    response: impl AsRef<[u8]>,
) -> Result<Connected, ResponseError> {
    let mut input = BytesMut::from(response.as_ref());
    let response = ResponseReader::default().read(&mut input)?.expect("a whole head");
    options.handshake(NONCE).unwrap().verify(&response)
}
