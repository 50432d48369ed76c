//! A client of octets on a blocking socket, so that a test sees what is on the wire.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

pub(crate) const TEXT: u8 = 0x81;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;
pub(crate) const RSV2: u8 = 0x20;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

pub(crate) struct Client(TcpStream);

impl Client {
    /// The opening handshake, and the head of the answer, its names in lower case.
    pub(crate) fn open(address: &str, path: &str, headers: &str) -> (Self, String) {
        let mut stream = TcpStream::connect(address).expect("the server listens");
        // Long enough for a machine that does much else.
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).expect("the request goes out");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut octet = [0];
            stream.read_exact(&mut octet).expect("an answer");
            head.push(octet[0]);
        }
        let head = String::from_utf8(head).expect("text").to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        (Self(stream), head)
    }

    /// Sends one masked frame.
    pub(crate) fn send(&mut self, first: u8, payload: &[u8]) {
        let len = u8::try_from(payload.len()).ok().filter(|len| *len < 126).expect("a short one");
        let mut frame = vec![first, 0x80 | len];
        frame.extend(KEY);
        frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(octet, key)| octet ^ key));
        self.0.write_all(&frame).expect("the frame goes out");
    }

    /// The next frame: its first octet and its payload.
    pub(crate) fn frame(&mut self) -> (u8, Vec<u8>) {
        let mut header = [0; 2];
        self.0.read_exact(&mut header).expect("a frame");
        assert!(header[1] < 126, "no mask, and short: {header:?}");
        let mut payload = vec![0; header[1].into()];
        self.0.read_exact(&mut payload).expect("its payload");
        (header[0], payload)
    }

    pub(crate) fn expect(&mut self, first: u8, text: &str) {
        let (got, payload) = self.frame();
        assert_eq!((got, String::from_utf8_lossy(&payload).as_ref()), (first, text));
    }

    /// The closing handshake, up to the end of TCP, which is the server's.
    pub(crate) fn close(&mut self) {
        let body = 1000_u16.to_be_bytes();
        self.send(CLOSE, &body);
        assert_eq!(self.frame(), (CLOSE, body.to_vec()));
        assert_eq!(self.0.read(&mut [0]).expect("the end"), 0);
    }
}
