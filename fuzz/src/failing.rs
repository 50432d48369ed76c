//! Extensions that fail, or break their contract, while they encode and decode: the connection ends with
//! their code, once, and what arrived before is the beginning of what was sent.

use bytes::{Buf, BytesMut};
use ws_core::{
    Broadcast, CloseCode, Closed, Compression, Config, Connection, Event, ExtensionFactory,
    Extensions, Fault, Message, MessageKind, Outgoing, Receive, Role, SendError, UNLIMITED,
    extension::{FixedFactory, Params, Rsv, Scope},
};
use ws_ext_deflate::{Deflate, Pool};

use crate::{
    extensions::{Flaw, Flawed, When, Xor},
    frames::read_legal,
    input::Input,
};

const NAME: &str = "x-flawed";

struct End {
    ws: Connection,
    input: BytesMut,
    wire: Vec<u8>,
    sent: Vec<Message>,
    /// A message in pieces: how much of it was sent.
    streamed: Option<(MessageKind, Vec<u8>)>,
    held: Vec<Message>,
    received: Vec<Message>,
    incoming: Option<(MessageKind, Vec<u8>)>,
    closed: Option<Closed>,
    /// Whether a command said that the extension failed.
    told: bool,
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let flags = input.byte();
    let flawed = Flawed {
        flaw: input.pick(&[
            Flaw::Fails,
            Flaw::Fails,
            Flaw::Stuck,
            Flaw::LeavesInput,
            Flaw::Endless,
        ]),
        when: input.pick(&[When::BeginEncode, When::Encode, When::BeginDecode, When::Decode]),
        left: input.u16() % 3000,
        code: input.pick(&[1007, 1002, 1008, 1011, 4000, 1005, 1006, 1010, 999, 0, 65535]),
    };
    let scope = input.pick(&[Scope::Message, Scope::WholeMessage, Scope::Frame]);
    let which = input.byte() % 5;
    let mut ends = [0, 1].map(|place| {
        let server = (flags & 1 == 1) == (place == 0);
        let own =
            if place == 0 { flawed.clone() } else { Flawed { left: usize::MAX, ..flawed.clone() } };
        let mut config = Config::default().max_fragments(UNLIMITED).max_message(1 << 20);
        if flags & 2 << place != 0 {
            config.receive = Receive::Streaming;
        }
        config.max_sent_frame = if flags & 8 == 8 { 100 } else { UNLIMITED };
        let role = if server { Role::Server } else { Role::client(|| [7, 7, 1, 1]) };
        End {
            ws: Connection::new(role, config, stack(which, scope, own, server)),
            input: BytesMut::new(),
            wire: Vec::new(),
            sent: Vec::new(),
            streamed: None,
            held: Vec::new(),
            received: Vec::new(),
            incoming: None,
            closed: None,
            told: false,
        }
    });
    let mut budget = 100_000_usize;
    while !input.is_empty() {
        let op = input.byte();
        let who = usize::from(op & 1);
        match op >> 1 & 15 {
            0..=3 => {
                let message = message(&mut input, &mut budget);
                let hint =
                    input.pick(&[Compression::Auto, Compression::Always, Compression::Never]);
                ends[who].send(message, hint);
            }
            4 => {
                let message = message(&mut input, &mut budget);
                ends[who].broadcast(message);
            }
            5 => ends[who].start(input.pick(&[MessageKind::Text, MessageKind::Binary])),
            6 | 7 => {
                let data = message(&mut input, &mut budget);
                ends[who].piece(data.as_bytes(), false);
            }
            8 => {
                let data = message(&mut input, &mut budget);
                ends[who].piece(data.as_bytes(), true);
            }
            9 => {
                ends[who].ws.park();
            }
            10 => drop(ends[who].ws.ping("are you there")),
            11 | 12 => {
                transfer(&mut ends, who, input.byte().into());
            }
            13 => {
                transfer(&mut ends, who, usize::MAX);
            }
            _ => ends[who].poll_all(),
        }
    }
    for _ in 0..3 {
        transfer(&mut ends, 0, usize::MAX);
        ends[1].poll_all();
        transfer(&mut ends, 1, usize::MAX);
        ends[0].poll_all();
    }
    let (every, first) = if scope == Scope::Frame { (0x20, 0) } else { (0, 0x20) };
    let bits = (if which == 0 { first } else { first | 0x50 }, every);
    for (place, end) in ends.iter_mut().enumerate() {
        end.check(place == 0, &flawed);
        let client = !end.ws.role().is_server();
        let (_, rest) = read_legal(&end.wire, client, bits);
        assert!(rest.is_empty(), "a part of a frame was written");
    }
    let [own, peer] = &ends;
    assert!(peer.sent.starts_with(&own.received), "what the flawed end received");
    assert!(own.sent.starts_with(&peer.received), "what the flawed end sent");
    if own.closed.is_none() && flawed.flaw != Flaw::Endless {
        assert_eq!(own.received.len(), peer.sent.len());
        assert_eq!(peer.received.len(), own.sent.len());
    }
}

fn message(input: &mut Input<'_>, budget: &mut usize) -> Message {
    let message = match input.byte() & 1 {
        0 => Message::binary(input.payload()),
        _ => Message::text(input.text()),
    };
    match budget.checked_sub(message.len()) {
        Some(left) => {
            *budget = left;
            message
        }
        None => Message::text(""),
    }
}

fn stack(which: u8, scope: Scope, own: Flawed, server: bool) -> Extensions {
    let mut stack = Extensions::none();
    let flawed = FixedFactory::new(NAME, scope, move || Box::new(own.clone()));
    let xor =
        FixedFactory::new("x-xor", Scope::Message, || Box::new(Xor::of(Rsv::RSV3, usize::MAX)));
    let deflate = Deflate::default().pool(Pool::new(1 << 20)).threshold(0);
    let agreed = || {
        let agreed = deflate.accept(&deflate.offers()[0], Rsv::ALL).unwrap();
        match server {
            true => agreed.extension,
            false => deflate.confirm(&agreed.response, &[Params::new()]).unwrap(),
        }
    };
    // An extension that works on frames is the last.
    let last = scope == Scope::Frame;
    if which == 1 || which != 0 && last {
        stack.push(&deflate, agreed()).unwrap();
    }
    if which == 3 && !last {
        stack.push(&xor, xor.make()).unwrap();
    }
    stack.push(&flawed, flawed.make()).unwrap();
    if (which == 2 || which == 3) && !last {
        stack.push(&deflate, agreed()).unwrap();
    }
    if which == 4 && !last {
        stack.push(&xor, xor.make()).unwrap();
    }
    stack
}

fn transfer(ends: &mut [End; 2], from: usize, mut n: usize) {
    let [a, b] = ends;
    let (from, to) = if from == 0 { (a, b) } else { (b, a) };
    let mut yields = 0;
    while n > 0 {
        match from.ws.poll_output_bounded() {
            Outgoing::Write(output) => {
                let some = &output.chunk()[..output.chunk().len().min(n)];
                to.input.extend_from_slice(some);
                from.wire.extend_from_slice(some);
                let taken = some.len();
                output.advance(taken);
                n -= taken;
            }
            Outgoing::Yield => {
                yields += 1;
                assert!(yields < 1000, "the output does not end");
            }
            Outgoing::Idle => break,
        }
        assert!(from.wire.len() < 16 << 20, "the output does not end");
    }
}

impl End {
    /// Whether a command was carried out; it is as it must be in any case.
    fn said(&mut self, result: Result<(), SendError>) -> bool {
        if self.closed.is_some() || self.told {
            assert_eq!(result, Err(SendError::Closed));
        }
        match result {
            Ok(()) => true,
            Err(SendError::Extension { name, .. }) => {
                assert_eq!(&*name, NAME);
                assert!(self.ws.is_ending() || self.ws.is_close_awaited() || !self.ws.is_open());
                self.told = true;
                false
            }
            Err(_) => false,
        }
    }

    fn send(&mut self, message: Message, hint: Compression) {
        let result = self.ws.send_ref(&message, hint);
        if self.said(result) {
            self.sent.push(message);
        }
    }

    fn broadcast(&mut self, message: Message) {
        let result = self.ws.send_broadcast(&Broadcast::new(message.clone()));
        if self.said(result) {
            if self.streamed.is_some() { &mut self.held } else { &mut self.sent }.push(message);
        }
    }

    fn start(&mut self, kind: MessageKind) {
        let result = self.ws.start_message(kind);
        if self.said(result) {
            self.streamed = Some((kind, Vec::new()));
        }
    }

    fn piece(&mut self, data: &[u8], last: bool) {
        let result = if last { self.ws.finish_message(data) } else { self.ws.send_chunk(data) };
        if !self.said(result) {
            return;
        }
        let (kind, mut all) = self.streamed.take().expect("in a message");
        all.extend_from_slice(data);
        if !last {
            self.streamed = Some((kind, all));
            return;
        }
        self.sent.push(whole(kind, all));
        self.sent.append(&mut self.held);
    }

    fn poll_all(&mut self) {
        let mut rounds = 0;
        while let Some(event) = self.ws.poll_event(&mut self.input) {
            rounds += 1;
            assert!(rounds < 100_000, "the events do not end");
            assert!(self.closed.is_none(), "{event:?} after Closed");
            match event {
                Event::Message(message) => self.received.push(message),
                Event::Start(kind) => self.incoming = Some((kind, Vec::new())),
                Event::Chunk(chunk) => {
                    let (_, all) = self.incoming.as_mut().expect("in a message");
                    all.extend_from_slice(&chunk);
                    assert!(all.len() < 64 << 20, "a message without end");
                    if all.len() > 4 << 20 {
                        // Streams have no limit: an extension that makes something of nothing goes on
                        // for as long as it is asked.
                        drop(self.ws.fail(CloseCode::MESSAGE_TOO_BIG, "enough"));
                    }
                }
                Event::End => {
                    let (kind, all) = self.incoming.take().expect("in a message");
                    self.received.push(whole(kind, all));
                }
                Event::Closed(closed) => self.closed = Some(closed),
                _ => {}
            }
        }
    }

    fn check(&mut self, own: bool, flawed: &Flawed) {
        if self.told {
            assert!(self.closed.is_some(), "the extension failed, and the connection goes on");
        }
        let Some(closed) = &self.closed else { return };
        match closed.fault.as_deref() {
            Some(Fault::Extension { name, code, .. }) => {
                assert!(own || flawed.flaw == Flaw::Endless, "the sound end fails: {closed:?}");
                // What has no end is more than the next extension can make sense of.
                assert!(&**name == NAME || flawed.flaw == Flaw::Endless, "{closed:?}");
                // RFC 6455 §7.4.1: 1010 "is not used by the server".
                let server = self.ws.role().is_server();
                let expected = match *code {
                    CloseCode::MANDATORY_EXTENSION if server => CloseCode::INTERNAL_ERROR,
                    code => code,
                };
                assert!(code.is_sendable() && expected == closed.code, "{closed:?}");
            }
            // What grows without end meets a limit.
            Some(fault) => assert!(flawed.flaw == Flaw::Endless, "{fault:?}"),
            None => {}
        }
        self.input.extend_from_slice(b"\x81\x01x");
        assert_eq!(self.ws.poll_event(&mut self.input), None);
        assert!(self.input.is_empty());
        assert_eq!(self.ws.send("more"), Err(SendError::Closed));
        assert_eq!(self.ws.ping("more"), Err(SendError::Closed));
        let memory = self.ws.memory_usage();
        assert!(memory < 700_000, "{memory} bytes are held in the end");
    }
}

fn whole(kind: MessageKind, octets: Vec<u8>) -> Message {
    match kind {
        MessageKind::Text => Message::text(String::from_utf8(octets).expect("UTF-8")),
        MessageKind::Binary => Message::binary(octets),
    }
}
