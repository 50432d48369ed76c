//! An extension of frame scope: `x-crc32c` adds a checksum to every frame.
//!
//! On the wire: RSV3 on every data frame, and four octets after its payload, the CRC32C (RFC 3720
//! §12.1) of the payload, the most significant octet first. A frame without it, or with a wrong
//! one, fails the connection with 1007. No parameters.
//!
//! ```text
//! $ cargo run --example x_crc32c -- server 127.0.0.1:9001    # `own_io` with the extension
//! listening on 127.0.0.1:9001
//! ```
//!
//! The limit on frames counts the octets on the wire, including the four of the checksum.

#[path = "own_io.rs"]
#[allow(dead_code)]
mod own_io;

use crc32c::{crc32c, crc32c_append};
use ws_core::{
    CloseCode, Extension, ExtensionFactory,
    extension::{
        Agreed, Chunk, ExtensionError, Mark, MessageInfo, NegotiationError, Params, Progress, Rsv,
        RsvClaim, Scope, Sink,
    },
};
use ws_handshake::ExtensionSet;

/// Negotiates `x-crc32c`. It has nothing to configure.
struct ChecksumFactory;

/// The checksums of one connection: the progress of the current frame in each direction.
#[derive(Default)]
struct Checksum {
    /// Sending: the checksum so far, and how much of it was written.
    sum: u32,
    sum_written: usize,
    /// Receiving: whether the current frame was verified.
    verified: bool,
}

impl ExtensionFactory for ChecksumFactory {
    fn name(&self) -> &str {
        "x-crc32c"
    }

    fn scope(&self) -> Scope {
        Scope::Frame
    }

    fn accept(&self, offer: &Params, _free: Rsv) -> Result<Agreed, NegotiationError> {
        // `_free` may be left alone: if RSV3 is taken, the engine declines the offer itself.
        Ok(Agreed::new(Params::new(), self.confirm(offer, &[])?))
    }

    fn offers(&self) -> Vec<Params> {
        vec![Params::new()]
    }

    fn confirm(
        &self,
        response: &Params,
        _: &[Params],
    ) -> Result<Box<dyn Extension>, NegotiationError> {
        response.refuse_any()?;
        Ok(Box::new(Checksum::default()))
    }
}

impl Extension for Checksum {
    fn claim(&self) -> RsvClaim {
        RsvClaim::EveryFrame(Rsv::RSV3)
    }

    fn begin_encode(&mut self, _: &MessageInfo) -> Result<Mark, ExtensionError> {
        (self.sum, self.sum_written) = (0, 0);
        Ok(Mark::Marked)
    }

    fn begin_decode(&mut self, _: &MessageInfo) -> Result<(), ExtensionError> {
        self.verified = false;
        Ok(())
    }

    fn begin_unmarked(&mut self, _: &MessageInfo) -> Result<(), ExtensionError> {
        // Otherwise one flipped bit would exempt a frame from the check.
        corrupt("a frame without RSV3, and so without a checksum")
    }

    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        // The sink may fill up at any octet. Input that was not consumed comes again, so only the
        // octets that this call moved go into the sum.
        let data = input.data();
        out.write_from(input);
        let moved = data.len() - input.len();
        self.sum = crc32c_append(self.sum, &data[..moved]);
        if !input.is_empty() {
            return Ok(Progress::Full);
        }
        // A frame comes as one chunk, so its end is the end of the input. In message scope, check
        // `input.is_last()`.
        let trailer = self.sum.to_be_bytes();
        self.sum_written += out.write(&trailer[self.sum_written..]);
        Ok(if self.sum_written == trailer.len() { Progress::Done } else { Progress::Full })
    }

    fn decode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        // The first call sees the whole frame and verifies it before passing any of it on, so that
        // no corrupt data is delivered.
        if !self.verified {
            match input.data().split_last_chunk() {
                Some((payload, trailer)) if crc32c(payload) == u32::from_be_bytes(*trailer) => {}
                Some(_) => return corrupt("the checksum is wrong"),
                None => return corrupt("the checksum is missing"),
            }
            self.verified = true;
        }
        let payload = &input.data()[..input.len() - size_of::<u32>()];
        input.consume(out.write(payload));
        if input.len() > size_of::<u32>() {
            return Ok(Progress::Full);
        }
        input.consume(size_of::<u32>());
        Ok(Progress::Done)
    }
}

/// 1007 means that the data is inconsistent; 1002 is for the engine to send.
fn corrupt<T>(why: &'static str) -> Result<T, ExtensionError> {
    Err(ExtensionError::new(CloseCode::INVALID_PAYLOAD, why))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    own_io::run(&ExtensionSet::new().with(ChecksumFactory)?)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use ws_core::{Config, Connection, Event, Extensions, Message, MessageKind, Role};
    use ws_handshake::{Limits, parse_extensions};

    use super::*;

    fn end(role: Role, config: Config) -> Connection {
        let mut extensions = Extensions::none();
        extensions.push(&ChecksumFactory, Box::new(Checksum::default())).unwrap();
        Connection::new(role, config, extensions)
    }

    /// A key of zeros leaves the payload readable.
    fn client() -> Connection {
        end(Role::client(|| [0; 4]), Config::default())
    }

    fn server() -> Connection {
        end(Role::Server, Config::default())
    }

    fn written(ws: &mut Connection) -> Vec<u8> {
        let mut wire = Vec::new();
        ws.write_to(&mut wire).unwrap();
        wire
    }

    /// Reads `pieces` one after the other.
    fn receive(ws: &mut Connection, pieces: &[&[u8]]) -> Vec<Event> {
        let mut input = BytesMut::new();
        let mut events = Vec::new();
        for piece in pieces {
            input.extend_from_slice(piece);
            while let Some(event) = ws.poll_event(&mut input) {
                events.extend((event != Event::Yield).then_some(event));
            }
        }
        events
    }

    fn message(text: &str) -> Vec<Event> {
        vec![Event::Message(Message::text(text))]
    }

    #[track_caller]
    fn refused(wire: &[u8], why: &str) {
        for size in [1, wire.len()] {
            let mut ws = server();
            let events = receive(&mut ws, &wire.chunks(size).collect::<Vec<_>>());
            let [Event::Closing, Event::Closed(closed)] = &events[..] else {
                panic!("{events:?}");
            };
            assert_eq!(closed.code, CloseCode::INVALID_PAYLOAD);
            assert!(closed.fault.as_ref().unwrap().to_string().contains(why), "{closed:?}");
            assert_eq!(written(&mut ws)[2..4], [0x03, 0xef]);
        }
    }

    #[test]
    fn contract_of_extensions_is_kept() {
        ws_core::testkit::check(&ChecksumFactory).unwrap();
    }

    #[test]
    fn checksum_stands_behind_the_payload_with_the_most_significant_octet_first() {
        let mut ws = server();
        // The check value of CRC32C in every catalogue of checksums.
        ws.send("123456789").unwrap();
        assert_eq!(written(&mut ws), b"\x91\x0d123456789\xe3\x06\x92\x83");
        let mut ws = client();
        ws.send("Hello").unwrap();
        assert_eq!(written(&mut ws), b"\x91\x89\0\0\0\0Hello\x81\xd9\x0e\x1b");
    }

    #[test]
    fn messages_of_every_size_come_back() {
        let (mut here, mut there) = (client(), server());
        for len in [0, 1, 3, 4, 121, 122, 125, 126, 65_535, 65_536, 1_000_000] {
            let data: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
            here.send(data.clone()).unwrap();
            for message in receive(&mut there, &[&written(&mut here)]) {
                let Event::Message(message) = message else { panic!("{message:?}") };
                there.send(message).unwrap();
            }
            let echoed = receive(&mut here, &[&written(&mut there)]);
            assert!(echoed == [Event::Message(Message::binary(data))], "{len}");
        }
    }

    #[test]
    fn cut_anywhere_it_is_the_same_message() {
        let wire = b"\x11\x87\0\0\0\0Hel\x6e\x61\x9d\x79\x90\x86\0\0\0\0lo\x9d\xb6\x5f\xf6";
        let mut ws = client();
        ws.start_message(MessageKind::Text).unwrap();
        ws.send_chunk(b"Hel").unwrap();
        ws.finish_message(b"lo").unwrap();
        assert_eq!(written(&mut ws), wire);
        for cut in 0..=wire.len() {
            let (head, tail) = wire.split_at(cut);
            assert_eq!(receive(&mut server(), &[head, tail]), message("Hello"), "at {cut}");
        }
        let singly: Vec<&[u8]> = wire.chunks(1).collect();
        assert_eq!(receive(&mut server(), &singly), message("Hello"));
    }

    #[test]
    fn every_fragment_has_a_checksum_of_its_own() {
        let mut config = Config::default();
        config.max_sent_frame = 2;
        let mut ws = end(Role::client(|| [0; 4]), config);
        ws.send("Hello").unwrap();
        let wire = written(&mut ws);
        let firsts: Vec<u8> = wire.chunks(12).map(|frame| frame[0]).collect();
        assert_eq!(firsts, [0x11, 0x10, 0x90]);
        assert_eq!(receive(&mut server(), &[&wire]), message("Hello"));
    }

    #[test]
    fn empty_frames_have_one_too() {
        let empty = b"\x91\x84\0\0\0\0\0\0\0\0";
        let mut ws = client();
        ws.send("").unwrap();
        assert_eq!(written(&mut ws), empty);
        assert_eq!(receive(&mut server(), &[empty]), message(""));
        let around = b"\x11\x84\0\0\0\0\0\0\0\0\
            \x10\x89\0\0\0\0Hello\x81\xd9\x0e\x1b\
            \x90\x84\0\0\0\0\0\0\0\0";
        assert_eq!(receive(&mut server(), &[around]), message("Hello"));
    }

    #[test]
    fn any_flipped_bit_is_found() {
        let wire = b"\x91\x89\0\0\0\0Hello\x81\xd9\x0e\x1b";
        for bit in 6 * 8..wire.len() * 8 {
            let mut flipped = *wire;
            flipped[bit / 8] ^= 1 << (bit % 8);
            refused(&flipped, "the checksum is wrong");
        }
        refused(b"\x11\x87\0\0\0\0Hel\x6e\x61\x9d\x79\x90\x86\0\0\0\0lO\x9d\xb6\x5f\xf6", "wrong");
    }

    #[test]
    fn missing_checksum_is_refused() {
        refused(b"\x91\x80\0\0\0\0", "the checksum is missing");
        refused(b"\x91\x83\0\0\0\0\0\0\0", "the checksum is missing");
        refused(b"\x81\x85\0\0\0\0Hello", "without RSV3");
        // Also on a continuation.
        refused(b"\x11\x87\0\0\0\0Hel\x6e\x61\x9d\x79\x80\x82\0\0\0\0lo", "without RSV3");
    }

    #[test]
    fn it_is_negotiated_without_parameters() {
        let set = ExtensionSet::new().with(ChecksumFactory).unwrap();
        let offers = parse_extensions([&b"x-crc32c; level=9, x-crc32c"[..]], &Limits::default());
        let agreed = set.negotiate(offers.unwrap());
        assert_eq!(agreed.header().as_deref(), Some("x-crc32c"));
        assert_eq!(agreed.extensions.claimed(), Rsv::RSV3);
        assert_eq!(
            agreed.report.to_string(),
            "x-crc32c; level=9: declined: parameter level: unknown\n\
             x-crc32c: taken as x-crc32c"
        );
    }
}
