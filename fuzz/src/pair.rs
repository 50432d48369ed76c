//! Two pairs of a client and a server, each pair with a stack of its own, all four on one pool, with
//! broadcasts that go to all. What was sent before a Close arrives, equal and in order.

use bytes::{Buf, BytesMut};
use ws_core::{
    Broadcast, CloseCode, Closed, ClosedBy, Config, Connection, Event, Message, MessageKind,
    Outgoing, Receive, Role, SendError, UNLIMITED, extension::Compression,
};

use crate::{input::Input, stack::StackSpec};

struct End {
    name: &'static str,
    ws: Connection,
    input: BytesMut,
    sent: Vec<Message>,
    held: Vec<Message>,
    /// A message in pieces: what it will be, and how much of it was sent.
    streamed: Option<(Message, usize)>,
    received: Vec<Message>,
    incoming: Option<(MessageKind, Vec<u8>)>,
    closed: Option<Closed>,
    pings: usize,
    pongs: usize,
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let first = StackSpec::read(&mut input);
    let second = if input.flag() { first.clone() } else { StackSpec::read(&mut input) };
    let pool = first.pool();
    let stacks = [&first, &second];
    let mut ends: Vec<End> = (0..4)
        .map(|place| {
            let flags = input.byte();
            let server = place % 2 == 0;
            let mut config = Config::default();
            (config.max_fragments, config.max_empty_fragments) = (UNLIMITED, 1);
            (config.max_message, config.max_frame) = (4 << 20, Some(4 << 20));
            config.max_sent_frame = match flags & 15 {
                0 => 1,
                1 => 7,
                2 => 32,
                3 => 126,
                4 => 1000,
                5 => 4096,
                6 => 65535,
                _ => UNLIMITED,
            };
            if flags & 16 == 16 {
                config.receive = Receive::Streaming;
            }
            let mut key = 0_u32;
            let role = match server {
                true => Role::Server,
                false => Role::client(move || {
                    key = key.wrapping_mul(0x01000193).wrapping_add(0x811c9dc5);
                    key.to_be_bytes()
                }),
            };
            End {
                name: ["server 0", "client 0", "server 1", "client 1"][place],
                ws: Connection::new(role, config, stacks[place / 2].build(server, &pool)),
                input: BytesMut::new(),
                sent: Vec::new(),
                held: Vec::new(),
                streamed: None,
                received: Vec::new(),
                incoming: None,
                closed: None,
                pings: 0,
                pongs: 0,
            }
        })
        .collect();

    let mut broadcasts: Vec<Broadcast> = Vec::new();
    // Many small frames take their time.
    let small = ends.iter().any(|end| end.ws.config().max_sent_frame < 32);
    let mut budget = if small { 6_000_usize } else { 150_000 };
    let show = crate::is_shown();
    while !input.is_empty() {
        let op = input.byte();
        let who = usize::from(op & 3);
        if show {
            eprintln!("{} {}", ends[who].name, op >> 2);
        }
        match op >> 2 {
            0..=7 => {
                let (hint, message) = (hint(&mut input), message(&mut input, &mut budget));
                ends[who].send(message, hint);
            }
            8..=15 => {
                // To all servers, or to one end; a new one, or one of before.
                let how = input.byte();
                let broadcast = match broadcasts.get(usize::from(how >> 3)).filter(|_| how & 4 == 4)
                {
                    Some(broadcast) => broadcast.clone(),
                    None => {
                        let message = message(&mut input, &mut budget);
                        Broadcast::with_compression(message, hint(&mut input))
                    }
                };
                if broadcast.message().len() > budget {
                    continue;
                }
                budget -= broadcast.message().len();
                match how & 3 {
                    0 => ends[who].broadcast(&broadcast),
                    1 => ends[0..4].iter_mut().step_by(2).for_each(|end| end.broadcast(&broadcast)),
                    _ => ends.iter_mut().for_each(|end| end.broadcast(&broadcast)),
                }
                broadcasts.push(broadcast);
            }
            16..=19 => {
                let (hint, message) = (hint(&mut input), message(&mut input, &mut budget));
                ends[who].start(message, hint);
            }
            20..=27 => {
                let n = input.u16();
                ends[who].piece(n % 5000);
            }
            28..=31 => ends[who].finish(),
            32 | 33 => ends[who].ping(input.short()),
            34..=37 => drop(ends[who].ws.park()),
            38..=45 => {
                let n = input.byte().into();
                let _ = transfer(&mut ends, who, n);
            }
            46..=49 => {
                let n = input.u16();
                let _ = transfer(&mut ends, who, n);
            }
            50..=53 => drop(transfer(&mut ends, who, usize::MAX)),
            54..=57 => drop(ends[who].poll()),
            58..=61 => ends[who].poll_all(),
            _ => broadcasts.clear(),
        }
    }
    ends.iter_mut().for_each(End::finish);
    settle(&mut ends);
    for place in 0..4 {
        let (end, peer) = (&ends[place], &ends[place ^ 1]);
        let stack = stacks[place / 2];
        assert!(end.closed.is_none() && end.ws.unfinished().is_none());
        check(end, peer, stack);
        assert!(end.pongs <= end.pings);
        assert!(!end.ws.is_pong_owed());
        // "An idle connection holds no buffer."
        let idle = end.ws.memory_usage();
        let most = if stack.is_none() {
            0
        } else if stack.has_deflate() {
            110_000
        } else {
            0
        };
        assert!(idle <= most, "{} holds {idle} bytes at rest", end.name);
    }
    // One end of each pair closes; the other goes on sending until it knows.
    let flags = data.last().copied().unwrap_or(0);
    for pair in 0..2 {
        let closing = 2 * pair + usize::from(flags >> pair & 1);
        let message = Message::text("the last one, ".repeat(20));
        ends[closing].send(message.clone(), Compression::Always);
        ends[closing].ws.close(CloseCode::NORMAL, "done").unwrap();
        assert_eq!(ends[closing].ws.send("no"), Err(SendError::Closed));
        ends[closing ^ 1].send(message, Compression::Auto);
        if flags >> (2 + pair) & 1 == 1 {
            let late = Message::binary(vec![flags; 3000]);
            ends[closing ^ 1].start(late, Compression::Auto);
            ends[closing ^ 1].piece(2000);
            ends[closing ^ 1].finish();
        }
    }
    settle(&mut ends);
    for place in 0..4 {
        let (end, peer) = (&ends[place], &ends[place ^ 1]);
        check(end, peer, stacks[place / 2]);
        let closed = end.closed.as_ref().expect("closed");
        assert!(
            closed.clean && closed.fault.is_none() && closed.code == CloseCode::NORMAL,
            "{closed:?}"
        );
        let closing = place & 1 == usize::from(flags >> (place / 2) & 1);
        assert_eq!(closed.by, if closing { ClosedBy::Local } else { ClosedBy::Peer });
        assert_eq!(end.ws.memory_usage().min(110_000), end.ws.memory_usage());
    }
    drop(ends);
    // What is kept for the next connections: four states of each sort for a thread.
    assert!(
        pool.memory_usage() <= 4 * (48_000 + 400_000),
        "{} bytes stay in the pool",
        pool.memory_usage()
    );
}

fn check(end: &End, peer: &End, stack: &StackSpec) {
    if end.received != peer.sent {
        let at = end.received.iter().zip(&peer.sent).take_while(|(a, b)| a == b).count();
        let lengths = |messages: &[Message]| messages.iter().map(Message::len).collect::<Vec<_>>();
        panic!(
            "{} received {} messages of {} that {} sent, the first {at} right, by {stack:?}: {:?} of {:?}",
            end.name,
            end.received.len(),
            peer.sent.len(),
            peer.name,
            lengths(&end.received),
            lengths(&peer.sent),
        );
    }
}

fn hint(input: &mut Input<'_>) -> Compression {
    input.pick(&[Compression::Auto, Compression::Always, Compression::Auto, Compression::Never])
}

fn message(input: &mut Input<'_>, budget: &mut usize) -> Message {
    let message = match input.byte() & 1 {
        0 => Message::binary(input.payload()),
        _ => Message::text(input.text()),
    };
    if message.len() > *budget {
        return Message::text("");
    }
    *budget -= message.len();
    message
}

/// Moves at most `n` bytes to the other end of the pair.
fn transfer(ends: &mut [End], from: usize, mut n: usize) -> bool {
    let mut moved = false;
    let mut yields = 0;
    while n > 0 {
        let (a, b) = ends.split_at_mut(from | 1);
        let (from, to) =
            if from & 1 == 0 { (&mut a[from], &mut b[0]) } else { (&mut b[0], &mut a[from - 1]) };
        match from.ws.poll_output_bounded() {
            Outgoing::Write(output) => {
                let chunk = output.chunk();
                let some = &chunk[..chunk.len().min(n)];
                to.input.extend_from_slice(some);
                let taken = some.len();
                output.advance(taken);
                n -= taken;
                moved = true;
            }
            Outgoing::Yield => {
                yields += 1;
                assert!(yields < 1000, "the output does not end");
            }
            Outgoing::Idle => break,
        }
    }
    moved
}

fn settle(ends: &mut [End]) {
    loop {
        let mut moved = false;
        for from in 0..4 {
            moved |= transfer(ends, from, usize::MAX);
            while ends[from].poll() {
                moved = true;
            }
        }
        if !moved {
            return;
        }
    }
}

impl End {
    fn send(&mut self, message: Message, hint: Compression) {
        let result = self.ws.send_with(message.clone(), hint);
        match self.streamed {
            Some(_) => assert_eq!(result, Err(SendError::MessageInProgress)),
            None => {
                assert_eq!(result, Ok(()));
                self.sent.push(message);
            }
        }
    }

    fn broadcast(&mut self, broadcast: &Broadcast) {
        assert_eq!(self.ws.send_broadcast(broadcast), Ok(()));
        let queue = if self.streamed.is_some() { &mut self.held } else { &mut self.sent };
        queue.push(broadcast.message().clone());
    }

    fn start(&mut self, message: Message, hint: Compression) {
        if self.streamed.is_none() {
            assert_eq!(self.ws.start_message_with(message.kind(), hint), Ok(()));
            self.streamed = Some((message, 0));
        }
    }

    fn piece(&mut self, n: usize) {
        if let Some((message, at)) = &mut self.streamed {
            let rest = &message.as_bytes()[*at..];
            let piece = &rest[..n.min(rest.len())];
            assert_eq!(self.ws.send_chunk(piece), Ok(()));
            *at += piece.len();
        }
    }

    fn finish(&mut self) {
        if let Some((message, at)) = self.streamed.take() {
            assert_eq!(self.ws.finish_message(&message.as_bytes()[at..]), Ok(()));
            self.sent.push(message);
            self.sent.append(&mut self.held);
        }
    }

    fn ping(&mut self, payload: &[u8]) {
        if self.ws.ping(payload).is_ok() {
            self.pings += 1;
        }
    }

    fn poll_all(&mut self) {
        while self.poll() {}
    }

    fn poll(&mut self) -> bool {
        match self.ws.poll_event(&mut self.input) {
            None => return false,
            Some(Event::Message(message)) => self.received.push(message),
            Some(Event::Start(kind)) => self.incoming = Some((kind, Vec::new())),
            Some(Event::Chunk(chunk)) => {
                self.incoming.as_mut().unwrap().1.extend_from_slice(&chunk)
            }
            Some(Event::End) => {
                let (kind, bytes) = self.incoming.take().unwrap();
                self.received.push(match kind {
                    MessageKind::Text => Message::text(String::from_utf8(bytes).unwrap()),
                    MessageKind::Binary => Message::binary(bytes),
                });
            }
            Some(Event::Pong(_)) => self.pongs += 1,
            Some(Event::Closed(closed)) => {
                assert!(self.closed.is_none());
                self.closed = Some(closed);
            }
            Some(_) => {}
        }
        true
    }
}
