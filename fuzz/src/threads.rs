//! Broadcasts that connections on two threads send at the same time: whoever encodes a form, each client
//! receives what was sent to it.

use std::thread;

use bytes::{Buf, BytesMut};
use ws_core::{
    Broadcast, Compression, Config, Connection, Event, Message, Outgoing, Role, UNLIMITED,
};

use crate::{
    input::Input,
    stack::{self, StackSpec},
};

#[derive(Clone, Debug)]
enum Op {
    Broadcast(Broadcast),
    Own(Message),
    /// Takes so much of what is to be written.
    Write(usize),
    Park,
}

/// A server's connection and its client.
struct Pair {
    server: Connection,
    client: Connection,
    ops: Vec<Op>,
    sent: Vec<Message>,
    received: Vec<Message>,
    wire: BytesMut,
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let specs = [StackSpec::read(&mut input), StackSpec::read(&mut input)];
    let pool = specs[0].pool();
    let mut pairs: Vec<Pair> = (0..4)
        .map(|place| {
            // Mostly the same, so that there is something to share.
            let spec = &specs[usize::from(place == 3)];
            Pair::new(spec, &pool, input.pick(&[UNLIMITED, UNLIMITED, 1000, 65535]))
        })
        .collect();
    let mut budget = 200_000_usize;
    let mut broadcasts: Vec<Broadcast> = Vec::new();
    while !input.is_empty() {
        let op = input.byte();
        let who = usize::from(op & 3);
        match op >> 2 & 15 {
            0..=6 => {
                let how = input.byte();
                let broadcast = match broadcasts.get(usize::from(how >> 3)).filter(|_| how & 4 == 4)
                {
                    Some(broadcast) => broadcast.clone(),
                    None => {
                        let hint = input.pick(&[
                            Compression::Auto,
                            Compression::Always,
                            Compression::Never,
                        ]);
                        Broadcast::with_compression(message(&mut input), hint)
                    }
                };
                let len = broadcast.message().len();
                if len > budget {
                    continue;
                }
                budget -= len;
                let to = match how & 3 {
                    0 => vec![who],
                    1 => vec![0, 2],
                    2 => vec![0, 1, 2, 3],
                    _ => vec![0, 2, 3],
                };
                to.iter().for_each(|&to| pairs[to].ops.push(Op::Broadcast(broadcast.clone())));
                broadcasts.push(broadcast);
            }
            7 | 8 => {
                let message = message(&mut input);
                if message.len() <= budget {
                    budget -= message.len();
                    pairs[who].ops.push(Op::Own(message));
                }
            }
            9..=11 => pairs[who].ops.push(Op::Write(input.u16())),
            12..=14 => pairs[who].ops.push(Op::Write(usize::MAX)),
            _ => pairs[who].ops.push(Op::Park),
        }
    }
    drop(broadcasts);
    thread::scope(|scope| {
        for two in pairs.chunks_mut(2) {
            scope.spawn(move || two.iter_mut().for_each(Pair::run));
        }
    });
    for pair in &pairs {
        assert!(pair.received == pair.sent, "{specs:?}");
    }
}

fn message(input: &mut Input<'_>) -> Message {
    match input.byte() & 1 {
        0 => Message::binary(input.payload()),
        _ => Message::text(input.text()),
    }
}

impl Pair {
    fn new(spec: &StackSpec, pool: &stack::Pool, max_sent_frame: usize) -> Self {
        let mut config = Config::default().max_fragments(UNLIMITED).max_sent_frame(max_sent_frame);
        config.max_message = 4 << 20;
        Self {
            server: Connection::new(Role::Server, config.clone(), spec.build(true, pool)),
            client: Connection::new(Role::client(|| [3, 1, 4, 1]), config, spec.build(false, pool)),
            ops: Vec::new(),
            sent: Vec::new(),
            received: Vec::new(),
            wire: BytesMut::new(),
        }
    }

    fn run(&mut self) {
        for op in std::mem::take(&mut self.ops) {
            match op {
                Op::Broadcast(broadcast) => {
                    assert_eq!(self.server.send_broadcast(&broadcast), Ok(()));
                    self.sent.push(broadcast.message().clone());
                }
                Op::Own(message) => {
                    assert_eq!(self.server.send_ref(&message, Compression::Auto), Ok(()));
                    self.sent.push(message);
                }
                Op::Write(n) => self.write(n),
                Op::Park => {
                    self.server.park();
                }
            }
        }
        self.write(usize::MAX);
        assert_eq!(self.server.unwritten(), 0);
    }

    fn write(&mut self, mut n: usize) {
        let mut yields = 0;
        while n > 0 {
            match self.server.poll_output_bounded() {
                Outgoing::Write(output) => {
                    let some = &output.chunk()[..output.chunk().len().min(n)];
                    self.wire.extend_from_slice(some);
                    let taken = some.len();
                    output.advance(taken);
                    n -= taken;
                }
                Outgoing::Yield => {
                    yields += 1;
                    assert!(yields < 10_000, "the output does not end");
                }
                Outgoing::Idle => break,
            }
        }
        while let Some(event) = self.client.poll_event(&mut self.wire) {
            match event {
                Event::Message(message) => self.received.push(message),
                Event::Closed(closed) => panic!("{closed:?}"),
                _ => {}
            }
        }
    }
}
