//! An extension of whole-message scope: `x-seal` encrypts and authenticates every message, after
//! compression.
//!
//! On the wire: RSV2 on the first frame of every message, whose data is the message under
//! ChaCha20-Poly1305 (RFC 8439) and a tag of 16 octets. One parameter, `salt=HEX`, with 16 random
//! octets from either end. From the secret that the application gave to both ends and the two salts,
//! each direction gets a key that no other connection has (HKDF-SHA256, RFC 5869), so the nonce can be
//! a counter. It is not sent: a message that was forged, changed, replayed, removed or moved does not
//! open, and fails the connection with 1008. So does an unsealed message.
//!
//! ```text
//! $ cargo run --example x_seal
//! ```
//!
//! # The order
//! Compress, then seal: sealed data looks like noise and does not shrink.
//!
//! ```text
//! let set = ExtensionSet::new().with(Deflate::default())?.with(seal)?;     // right
//! let set = ExtensionSet::new().with(seal)?.with(Deflate::default())?;     // works, saves nothing
//! ```
//!
//! Nothing stops the second line: its messages arrive, a little longer and for more work, as a test
//! below shows. The set refuses frame scope before message scope, because every factory gives its
//! scope; it cannot know that the output of one extension is noise and that the other needs patterns.
//! A factory could say that too, and be refused before a compressor, at the price of a method in the
//! trait that means nothing to most extensions. So the application that makes the set decides the
//! order.
//!
//! Compression before encryption reveals the length of the compressed data: send a secret next to text
//! that a stranger chooses with `Compression::Never` (RFC 7692 §8).
//!
//! # What it does not do
//! - It does not protect the negotiation: anyone in between can remove the extension from it. A client
//!   [requires](ws_handshake::ClientOptions::require) it; a server checks that it is among the accepted
//!   extensions. Tampered salts make keys that open nothing.
//! - It does not seal Pings, Closes, lengths and times, nor notice that a last message is missing.
//! - It is an example, whose construction was never reviewed; use TLS to protect a connection.
//!
//! The limit on messages applies to the gathered message, including the 16 octets of the tag.

use chacha20poly1305::{
    ChaCha20Poly1305, Nonce,
    aead::{Aead, KeyInit, Payload},
};
use hkdf::Hkdf;
use sha2::Sha256;
use ws_core::{
    CloseCode, Config, Connection, Extension, ExtensionFactory, MessageKind, Role,
    extension::{
        Agreed, Chunk, ExtensionError, Mark, MessageInfo, NegotiationError, Params, Progress, Rsv,
        RsvClaim, Scope, Sink,
    },
};
use ws_ext_deflate::Deflate;
use ws_handshake::{AcceptOptions, ClientOptions, ExtensionSet, Upgrade};

const SALT: usize = 16;

/// Negotiates `x-seal` with a secret that both ends have.
#[derive(Clone, Copy)]
struct SealFactory {
    secret: [u8; 32],
}

struct Seal {
    sealing: Direction,
    opening: Direction,
}

/// One direction: its key, the number of the next message, and the message in progress.
struct Direction {
    cipher: ChaCha20Poly1305,
    next: u64,
    about: [u8; 2],
    /// Output that was sealed or opened but is not written yet. `None` before that.
    output: Option<Vec<u8>>,
    written: usize,
}

impl SealFactory {
    /// Builds an end from the salts in the order of sending, the same at both ends.
    fn build(&self, client: &[u8; SALT], server: &[u8; SALT], end: End) -> Box<dyn Extension> {
        let derive = |direction: &[u8]| {
            let mut key = [0; 32];
            Hkdf::<Sha256>::new(Some(&[*client, *server].concat()), &self.secret)
                .expand(direction, &mut key)
                .expect("32 octets are less than HKDF can give");
            Direction {
                cipher: ChaCha20Poly1305::new(&key.into()),
                next: 0,
                about: [0; 2],
                output: None,
                written: 0,
            }
        };
        // A key for each direction: otherwise both ends would use the same nonce for two messages,
        // and an end's own message could be sent back to it.
        let (from_client, from_server) = (derive(b"x-seal client"), derive(b"x-seal server"));
        Box::new(match end {
            End::Client => Seal { sealing: from_client, opening: from_server },
            End::Server => Seal { sealing: from_server, opening: from_client },
        })
    }
}

#[derive(Clone, Copy)]
enum End {
    Client,
    Server,
}

fn random() -> Result<[u8; SALT], getrandom::Error> {
    let mut salt = [0; SALT];
    getrandom::fill(&mut salt)?;
    Ok(salt)
}

/// A salt as a token: parameters cannot carry arbitrary octets.
fn with_salt(salt: &[u8; SALT]) -> Params {
    let hex: String = salt.iter().map(|octet| format!("{octet:02x}")).collect();
    Params::new().with("salt", &hex)
}

/// The salt, if it is the only parameter.
fn salt_of(params: &Params) -> Result<[u8; SALT], NegotiationError> {
    let [salt] = params.get(["salt"])?;
    let salt = salt.ok_or_else(|| NegotiationError::parameter("salt", "is missing"))?;
    let salt = salt.value().unwrap_or_default();
    let mut octets = [0; SALT];
    let digits = salt.as_bytes().chunks_exact(2);
    let right = salt.len() == 2 * SALT
        && salt.bytes().all(|octet| octet.is_ascii_hexdigit())
        && octets.iter_mut().zip(digits).all(|(octet, pair)| {
            let pair = str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
            pair.map(|value| *octet = value).is_some()
        });
    right.then_some(octets).ok_or_else(|| NegotiationError::parameter("salt", "32 hex digits"))
}

impl ExtensionFactory for SealFactory {
    fn name(&self) -> &str {
        "x-seal"
    }

    fn scope(&self) -> Scope {
        Scope::WholeMessage
    }

    fn accept(&self, offer: &Params, _free: Rsv) -> Result<Agreed, NegotiationError> {
        let client = salt_of(offer)?;
        // New for each connection: a replayed client meets different keys.
        let server = random().map_err(|_| NegotiationError::new("no random octets available"))?;
        let extension = self.build(&client, &server, End::Server);
        Ok(Agreed::new(with_salt(&server), extension))
    }

    fn offers(&self) -> Vec<Params> {
        // Each handshake has its own salt. Without random octets nothing is offered, and a client
        // that requires the extension does not connect.
        random().map(|salt| vec![with_salt(&salt)]).unwrap_or_default()
    }

    fn confirm(
        &self,
        response: &Params,
        offers: &[Params],
    ) -> Result<Box<dyn Extension>, NegotiationError> {
        let [offer] = offers else {
            return Err(NegotiationError::new("needs the salt of its own offer"));
        };
        Ok(self.build(&salt_of(offer)?, &salt_of(response)?, End::Client))
    }
}

impl Direction {
    fn begin(&mut self, unit: &MessageInfo) {
        // The data that says how to read a message is not part of the message. It is authenticated
        // too; otherwise text could be turned into binary, or RSV1 cleared so that compressed data
        // is delivered as it is.
        self.about = [u8::from(unit.kind == MessageKind::Text), unit.marks.octet()];
        (self.output, self.written) = (None, 0);
    }

    /// The nonce of this message; no other gets it.
    fn nonce(&mut self) -> Result<Nonce, ExtensionError> {
        let number = self.next;
        self.next = number.checked_add(1).ok_or_else(|| refusal("there are no nonces left"))?;
        let mut nonce = Nonce::default();
        nonce[4..].copy_from_slice(&number.to_be_bytes());
        Ok(nonce)
    }

    /// Transforms the whole message in the first call, and writes as much as fits.
    fn run(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
        transform: impl FnOnce(
            &ChaCha20Poly1305,
            &Nonce,
            Payload<'_, '_>,
        ) -> Result<Vec<u8>, chacha20poly1305::Error>,
    ) -> Result<Progress, ExtensionError> {
        let output = match &mut self.output {
            Some(output) => output,
            None => {
                let nonce = self.nonce()?;
                let payload = Payload { msg: input.data(), aad: &self.about };
                let output = transform(&self.cipher, &nonce, payload)
                    .map_err(|_| refusal("a message does not open"))?;
                input.consume(input.len());
                self.output.insert(output)
            }
        };
        self.written += out.write(&output[self.written..]);
        if self.written < output.len() {
            return Ok(Progress::Full);
        }
        // Frees the memory between messages. A unit ends with `Done`, so `output` is not used again
        // before `begin`.
        *output = Vec::new();
        Ok(Progress::Done)
    }

    fn held(&self) -> usize {
        self.output.as_ref().map_or(0, Vec::capacity)
    }
}

/// One code for all refusals: an attacker learns nothing from it.
fn refusal(why: &'static str) -> ExtensionError {
    ExtensionError::new(CloseCode::POLICY_VIOLATION, why)
}

impl Extension for Seal {
    fn claim(&self) -> RsvClaim {
        RsvClaim::FirstFrame(Rsv::RSV2)
    }

    fn begin_encode(&mut self, unit: &MessageInfo) -> Result<Mark, ExtensionError> {
        self.sealing.begin(unit);
        Ok(Mark::Marked)
    }

    fn begin_decode(&mut self, unit: &MessageInfo) -> Result<(), ExtensionError> {
        self.opening.begin(unit);
        Ok(())
    }

    fn begin_unmarked(&mut self, _: &MessageInfo) -> Result<(), ExtensionError> {
        Err(refusal("a message is not sealed"))
    }

    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        self.sealing.run(input, out, |cipher, nonce, message| cipher.encrypt(nonce, message))
    }

    fn decode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        self.opening.run(input, out, |cipher, nonce, message| cipher.decrypt(nonce, message))
    }

    fn memory_usage(&self) -> usize {
        self.sealing.held() + self.opening.held()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // From a vault, a login or a key agreement: never from the source.
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)?;
    let seal = SealFactory { secret };
    let message = "All that repeats itself repeats itself. ".repeat(25);
    for (how, client, server) in [
        ("sealed", ExtensionSet::new().with(seal)?, ExtensionSet::new().with(seal)?),
        (
            "compressed, then sealed",
            ExtensionSet::new().with(Deflate::default())?.with(seal)?,
            ExtensionSet::new().with(Deflate::default())?.with(seal)?,
        ),
        (
            "sealed, then compressed",
            ExtensionSet::new().with(seal)?.with(Deflate::default())?,
            ExtensionSet::new().with(seal)?.with(Deflate::default())?,
        ),
    ] {
        let (_, mut server) = connect(&client, &server)?;
        server.send(&*message)?;
        let mut wire = Vec::new();
        server.write_to(&mut wire)?;
        println!("{how}: {} octets, {} on the wire", message.len(), wire.len());
    }
    Ok(())
}

/// The two ends of a connection, joined directly.
fn connect(
    client: &ExtensionSet,
    server: &ExtensionSet,
) -> Result<(Connection, Connection), Box<dyn std::error::Error>> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce)?;
    let options = ClientOptions::new("ws://localhost/".parse()?).extensions(client.clone());
    let handshake = options.require("x-seal").handshake(nonce)?;
    let options = AcceptOptions::default().extensions(server.clone());
    let accepted = Upgrade::inspect(handshake.request())?.accept(&options)?;
    // Requires the extension. A server that has already answered closes the connection.
    if !accepted.extensions.names().any(|name| name == "x-seal") {
        return Err(accepted.report.to_string().into());
    }
    let connected = handshake.verify(&accepted.response())?;
    if let Some((code, reason)) = connected.close_if_missing() {
        return Err(format!("{code}: {reason}").into());
    }
    // Zero keys keep the tests readable; a real client uses random octets.
    Ok((
        Connection::new(Role::client(|| [0; 4]), Config::default(), connected.extensions),
        Connection::new(Role::Server, Config::default(), accepted.extensions),
    ))
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use ws_core::{Event, Extensions, Message};

    use super::*;

    const SECRET: [u8; 32] = *b"a secret that both ends do share";

    fn seal() -> SealFactory {
        SealFactory { secret: SECRET }
    }

    fn sealing() -> (Connection, Connection) {
        let set = || ExtensionSet::new().with(seal()).unwrap();
        connect(&set(), &set()).unwrap()
    }

    fn compressing() -> (Connection, Connection) {
        let set = || ExtensionSet::new().with(Deflate::default()).unwrap().with(seal()).unwrap();
        connect(&set(), &set()).unwrap()
    }

    fn written(ws: &mut Connection) -> Vec<u8> {
        let mut wire = Vec::new();
        ws.write_to(&mut wire).unwrap();
        wire
    }

    fn sent(ws: &mut Connection, message: impl Into<Message>) -> Vec<u8> {
        ws.send(message).unwrap();
        written(ws)
    }

    fn receive(ws: &mut Connection, wire: &[u8], size: usize) -> Vec<Event> {
        let (mut input, mut events) = (BytesMut::new(), Vec::new());
        for piece in wire.chunks(size.max(1)) {
            input.extend_from_slice(piece);
            while let Some(event) = ws.poll_event(&mut input) {
                events.extend((event != Event::Yield).then_some(event));
            }
        }
        events
    }

    #[track_caller]
    fn delivered(ws: &mut Connection, wire: &[u8], message: impl Into<Message>) {
        assert!(receive(ws, wire, wire.len()) == [Event::Message(message.into())]);
    }

    /// Checks that the wire fails the connection with 1008, and that nothing is delivered.
    #[track_caller]
    fn refused(ws: &mut Connection, wire: &[u8]) {
        match &receive(ws, wire, wire.len())[..] {
            [Event::Closing, Event::Closed(closed)] => {
                assert_eq!(closed.code, CloseCode::POLICY_VIOLATION);
            }
            events => panic!("{events:?}"),
        }
    }

    #[test]
    fn contract_of_extensions_is_kept() {
        ws_core::testkit::check(&seal()).unwrap();
    }

    #[test]
    fn messages_of_every_kind_and_size_open_in_both_directions() {
        for (mut here, mut there) in [sealing(), compressing()] {
            for len in [0, 1, 109, 110, 125, 126, 65_535, 65_536, 1_000_000] {
                let data: Vec<u8> = (0..len).map(|i: u64| (i * i / 7) as u8).collect();
                let wire = sent(&mut here, data.clone());
                delivered(&mut there, &wire, data.clone());
                let wire = sent(&mut there, data.clone());
                delivered(&mut here, &wire, data);
                let wire = sent(&mut here, "text");
                delivered(&mut there, &wire, "text");
            }
        }
    }

    #[test]
    fn wire_is_marked_and_shows_nothing() {
        let (mut client, mut server) = sealing();
        let (first, second) =
            (sent(&mut server, "attack at dawn"), sent(&mut server, "attack at dawn"));
        assert_eq!(first[..2], [0xa1, 14 + 16]);
        assert!(!first.windows(6).any(|octets| octets == b"attack"));
        assert_ne!(first, second, "each message has a nonce of its own");
        let back = sent(&mut client, "attack at dawn");
        assert_ne!(first[2..], back[6..], "each direction has a key of its own");
    }

    #[test]
    fn cut_and_fragmented_anywhere_it_is_the_same_message() {
        let sealed = |ws: &mut Connection| sent(ws, "Hello")[6..].to_vec();
        for size in 1..=27 {
            let (mut client, mut server) = sealing();
            let wire = sent(&mut client, "Hello");
            let events = receive(&mut server, &wire, size);
            assert_eq!(events, [Event::Message(Message::text("Hello"))]);
            // An intermediary may fragment, with empty fragments around it.
            let mut wire = b"\x21\x80\0\0\0\0".to_vec();
            for piece in sealed(&mut client).chunks(size) {
                wire.extend([0x00, 0x80 | piece.len() as u8, 0, 0, 0, 0]);
                wire.extend(piece);
            }
            wire.extend(b"\x80\x80\0\0\0\0");
            delivered(&mut server, &wire, "Hello");
        }
        let (mut client, mut server) = sealing();
        client.start_message(MessageKind::Text).unwrap();
        client.send_chunk(&b"Hel"[..]).unwrap();
        client.finish_message(&b"lo"[..]).unwrap();
        let wire = written(&mut client);
        delivered(&mut server, &wire, "Hello");
    }

    #[test]
    fn any_flipped_bit_is_refused() {
        let len = 6 + 5 + 16;
        for bit in 6 * 8..len * 8 {
            let (mut client, mut server) = sealing();
            let mut wire = sent(&mut client, "Hello");
            assert_eq!(wire.len(), len);
            wire[bit / 8] ^= 1 << (bit % 8);
            refused(&mut server, &wire);
        }
        for short in 0..16 {
            let mut wire = vec![0xa2, 0x80 | short, 0, 0, 0, 0];
            wire.extend(vec![0; short.into()]);
            refused(&mut sealing().1, &wire);
        }
    }

    #[test]
    fn header_that_says_how_to_read_the_message_is_sealed_along() {
        let (mut client, mut server) = sealing();
        let mut wire = sent(&mut client, "Hello");
        wire[0] ^= 0x03; // text, as binary
        refused(&mut server, &wire);
        let message = "Hello ".repeat(100);
        for bits in [0x40, 0x43] {
            let (mut client, mut server) = compressing();
            let mut wire = sent(&mut client, &*message);
            assert_eq!(wire[0], 0xe1);
            wire[0] ^= bits; // compressed, as it is
            refused(&mut server, &wire);
        }
        let (mut client, mut server) = compressing();
        let mut wire = sent(&mut client, "short");
        assert_eq!(wire[0], 0xa1);
        wire[0] ^= 0x40; // plain, as compressed
        refused(&mut server, &wire);
    }

    #[test]
    fn replayed_missing_and_reordered_messages_are_refused() {
        type Tamper = fn(&[u8], &[u8]) -> Vec<u8>;
        let tampers: [(Tamper, usize); 3] = [
            (|first, _| [first, first].concat(), 1),
            (|_, second| second.to_vec(), 0),
            (|first, second| [second, first].concat(), 0),
        ];
        for (tamper, delivered) in tampers {
            let (mut client, mut server) = sealing();
            let (first, second) = (sent(&mut client, "one"), sent(&mut client, "two"));
            let wire = tamper(&first, &second);
            let events = receive(&mut server, &wire, wire.len());
            let Event::Closed(closed) = &events[delivered + 1] else { panic!("{events:?}") };
            assert_eq!(closed.code, CloseCode::POLICY_VIOLATION);
        }
    }

    #[test]
    fn message_that_is_sent_back_to_its_sender_is_refused() {
        let (mut client, _) = sealing();
        let wire = sent(&mut client, "Hello");
        // As a server would frame it: unmasked.
        let reflected = [&[wire[0], wire[1] & 0x7f], &wire[6..]].concat();
        refused(&mut client, &reflected);
    }

    #[test]
    fn message_that_is_not_sealed_is_refused() {
        refused(&mut sealing().1, b"\x81\x85\0\0\0\0Hello");
        refused(&mut compressing().1, b"\xc1\x80\0\0\0\0");
    }

    #[test]
    fn connection_that_was_recorded_cannot_be_played_to_another() {
        let wire = sent(&mut sealing().0, "Hello");
        refused(&mut sealing().1, &wire);
    }

    #[test]
    fn recorded_salts_of_one_end_make_other_keys() {
        let (factory, message) = (seal(), "Hello");
        let (offers, later) = (factory.offers(), factory.offers());
        assert_ne!(offers, later, "one factory serves all connections");
        // A server that receives a replayed request.
        let server = |offer| factory.accept(offer, Rsv::ALL).unwrap();
        let (first, again) = (server(&offers[0]), server(&offers[0]));
        assert_ne!(first.response, again.response);
        // A client that receives a replayed response.
        let sealed = |offers: &[Params]| {
            let mut stack = Extensions::none();
            let seal = factory.confirm(&first.response, offers).unwrap();
            stack.push(&factory, seal).unwrap();
            let role = Role::client(|| [0; 4]);
            sent(&mut Connection::new(role, Config::default(), stack), message)
        };
        assert_eq!(sealed(&offers), sealed(&offers));
        assert_ne!(sealed(&offers), sealed(&later));
    }

    #[test]
    fn other_secret_opens_nothing() {
        let other = SealFactory { secret: [0; 32] };
        let client = ExtensionSet::new().with(other).unwrap();
        let server = ExtensionSet::new().with(seal()).unwrap();
        let (mut client, mut server) = connect(&client, &server).unwrap();
        let wire = sent(&mut client, "Hello");
        refused(&mut server, &wire);
    }

    #[test]
    fn compression_before_saves_and_after_does_not() {
        let message = "All that repeats itself repeats itself. ".repeat(25);
        let on_the_wire = |(mut client, mut server): (Connection, Connection)| {
            let wire = sent(&mut server, &*message);
            delivered(&mut client, &wire, &*message);
            wire.len()
        };
        let after = || ExtensionSet::new().with(seal()).unwrap().with(Deflate::default()).unwrap();
        let sealed = on_the_wire(sealing());
        assert_eq!(sealed, 4 + message.len() + 16);
        assert!(on_the_wire(compressing()) < sealed / 5);
        assert!(on_the_wire(connect(&after(), &after()).unwrap()) >= sealed);
    }

    #[test]
    fn nonces_end_before_they_come_again() {
        let salt = [0; SALT];
        let mut direction = Direction {
            cipher: ChaCha20Poly1305::new(&[0; 32].into()),
            next: u64::MAX - 1,
            about: [0; 2],
            output: None,
            written: 0,
        };
        assert!(direction.nonce().is_ok());
        assert_eq!(direction.nonce().unwrap_err().code(), CloseCode::POLICY_VIOLATION);
        assert_eq!(direction.nonce().unwrap_err().code(), CloseCode::POLICY_VIOLATION);
        assert_eq!(salt_of(&with_salt(&salt)), Ok(salt));
    }

    #[test]
    fn offer_without_a_proper_salt_is_declined() {
        let hex = "0123456789abcdef0123456789ABCDEF";
        let salt = |value: &str| Params::new().with("salt", value);
        assert_eq!(salt_of(&salt(hex)).unwrap()[..3], [0x01, 0x23, 0x45]);
        for (params, name) in [
            (Params::new(), "salt"),
            (Params::new().with_flag("salt"), "salt"),
            (salt(&hex[1..]), "salt"),
            (salt(&format!("{hex}00")), "salt"),
            (salt(&hex.replace('0', "+")), "salt"),
            (salt(hex).with_flag("level"), "level"),
            (salt(hex).with("salt", hex), "salt"),
            (Params::new().with_flag("level"), "level"),
        ] {
            let error = seal().accept(&params, Rsv::ALL).unwrap_err();
            assert_eq!(error.parameter_name(), Some(name), "{params}");
            assert!(seal().confirm(&params, &seal().offers()).is_err());
        }
    }
}
