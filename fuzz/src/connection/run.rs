//! Runs the operations and keeps what must come of them.

use std::sync::{Arc, Mutex};

use bytes::{BufMut, BytesMut};
use ws_core::{
    Closed, Compression, Connection, Event, Message, MessageKind, ObservedFrame, Receive, Role,
};

use super::{Setup, operations::Op};
use crate::frames::is_utf8_so_far;

/// What can be compared: chunks joined, no `Yield`, nothing of a message that was given up.
pub(super) type Told = Vec<Event>;

pub(super) struct Run<'s> {
    pub(super) setup: &'s Setup,
    pub(super) ws: Connection,
    pub(super) input: BytesMut,
    pub(super) events: Told,
    pub(super) wire: Vec<u8>,
    // What is expected.
    pub(super) sent: Vec<Message>,
    pub(super) held: Vec<Message>,
    pub(super) streamed: Option<(MessageKind, Vec<u8>)>,
    pub(super) pings: Vec<Vec<u8>>,
    pub(super) pongs: Vec<Vec<u8>>,
    pub(super) closing: bool,
    pub(super) closed: Option<Closed>,
    /// The Pongs that are due, and whether all are, because little was unwritten.
    pub(super) due: Vec<Vec<u8>>,
    pub(super) all_due: bool,
    pub(super) incoming: Option<(MessageKind, Vec<u8>)>,
    pub(super) fed: usize,
    pub(super) decoded: usize,
    pub(super) queued: usize,
    pub(super) yields: usize,
    pub(super) observed: Arc<Mutex<Vec<ObservedFrame>>>,
}

impl<'s> Run<'s> {
    pub(super) fn new(setup: &'s Setup) -> Self {
        let mut key = 0_u32;
        let role = match setup.server {
            true => Role::Server,
            false => Role::client(move || {
                key = key.wrapping_add(0x0101_0203);
                key.to_be_bytes()
            }),
        };
        let stack = setup.stack.build(setup.server, &setup.stack.pool());
        let mut ws = Connection::new(role, setup.config.clone(), stack);
        let observed = Arc::<Mutex<Vec<ObservedFrame>>>::default();
        if setup.observed {
            let seen = observed.clone();
            ws.observe_frames(move |frame: &ObservedFrame| seen.lock().unwrap().push(*frame));
        }
        Self {
            setup,
            ws,
            input: BytesMut::new(),
            events: Vec::new(),
            wire: Vec::new(),
            sent: Vec::new(),
            held: Vec::new(),
            streamed: None,
            pings: Vec::new(),
            pongs: Vec::new(),
            closing: false,
            closed: None,
            due: Vec::new(),
            all_due: true,
            incoming: None,
            fed: 0,
            decoded: 0,
            queued: 0,
            yields: 0,
            observed,
        }
    }

    pub(super) fn all(mut self, ops: &[Op], step: usize) -> (Told, Vec<u8>) {
        for op in ops {
            self.op(op.clone(), step);
            self.look();
        }
        self.finish()
    }

    pub(super) fn op(&mut self, op: Op, step: usize) {
        match op {
            Op::Feed(bytes) => self.feed(&bytes, step),
            Op::Poll if self.setup.polls_all => self.poll_all(),
            Op::Poll => drop(self.poll()),
            Op::Take(n) => self.take(n),
            Op::TakeAll => self.take(usize::MAX),
            Op::InputEnded => {
                self.ws.input_ended();
                if self.setup.polls_all {
                    self.poll_all();
                }
            }
            op => self.command(op),
        }
    }

    pub(super) fn feed(&mut self, bytes: &[u8], step: usize) {
        self.fed += bytes.len();
        if step == usize::MAX {
            self.input.extend_from_slice(bytes);
            if self.setup.polls_all {
                self.poll_all();
            }
            return;
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at(step.min(rest.len()));
            rest = tail;
            // Where a large message is in progress, into its own buffer.
            let mut taken = 0;
            let read = self.ws.read_payload(
                &self.input,
                |size| {
                    assert!(size.needed <= size.announced);
                    BytesMut::with_capacity(size.needed)
                },
                |room| {
                    taken = piece.len().min(room.remaining_mut());
                    room.put_slice(&piece[..taken]);
                },
            );
            assert_eq!(read.is_some(), taken > 0);
            self.input.extend_from_slice(&piece[taken..]);
            self.poll_all();
        }
    }

    pub(super) fn poll_all(&mut self) {
        while self.poll() {}
        assert!(self.input.len() < 14, "only a header stays: {:?}", self.input);
        assert!(self.closed.is_none() || self.input.is_empty());
    }

    pub(super) fn poll(&mut self) -> bool {
        if self.ws.unwritten() + 200 > 64 * 1024 {
            self.all_due = false;
        }
        let open = self.ws.is_open();
        let event = self.ws.poll_event(&mut self.input);
        let Some(event) = event else { return false };
        assert!(self.closed.is_none(), "{event:?} behind Closed");
        assert!(!self.closing || matches!(event, Event::Closed(_)), "{event:?} behind Closing");
        match &event {
            Event::Message(message) => {
                assert_eq!(self.setup.config.receive, Receive::Messages);
                self.decoded += message.len();
                assert!(message.len() <= self.setup.config.max_message, "{}", message.len());
                check_text(message);
            }
            Event::Start(kind) => {
                assert!(self.incoming.is_none() && self.setup.config.receive == Receive::Streaming);
                self.incoming = Some((*kind, Vec::new()));
            }
            Event::Chunk(bytes) => {
                assert!(!bytes.is_empty() && bytes.len() <= 64 * 1024);
                self.decoded += bytes.len();
                let (kind, so_far) = self.incoming.as_mut().expect("in a message");
                so_far.extend_from_slice(bytes);
                // The last bytes are enough to see.
                if *kind == MessageKind::Text && so_far.len() < 5000 {
                    assert!(is_utf8_so_far(so_far));
                }
            }
            Event::End => {
                let (kind, bytes) = self.incoming.take().expect("in a message");
                assert!(kind == MessageKind::Binary || std::str::from_utf8(&bytes).is_ok());
            }
            Event::Ping(payload) => {
                assert!(payload.len() <= 125);
                if open {
                    self.due.push(payload.to_vec());
                }
            }
            Event::Pong(payload) => assert!(payload.len() <= 125),
            Event::Closing => {
                assert!(open && !self.ws.is_open());
                self.closing = true;
            }
            Event::Closed(closed) => {
                // What an unfinished message leaves is not compared.
                self.closing = false;
                self.closed = Some(closed.clone());
                self.streamed = None;
                self.held.clear();
            }
            Event::Yield => self.yields += 1,
            other => panic!("{other:?}"),
        }
        if event == Event::Closing || matches!(event, Event::Closed(_)) {
            // How much came of an unfinished message depends on how it was read.
            while self.incoming.is_some() && matches!(self.events.last(), Some(Event::Chunk(_))) {
                self.events.pop();
            }
            if let Some(at) = self.events.iter().rposition(|event| matches!(event, Event::Start(_)))
                && self.incoming.is_some()
            {
                let behind = self.events.split_off(at);
                self.events
                    .extend(behind.into_iter().filter(|event| !matches!(event, Event::Chunk(_))));
            }
            self.incoming = None;
        }
        let is_closing = event == Event::Closing;
        match (event, self.events.last_mut()) {
            (Event::Yield, _) => {}
            (Event::Chunk(more), Some(Event::Chunk(before))) => {
                *before = [&before[..], &more[..]].concat().into();
            }
            (event, _) => self.events.push(event),
        }
        if is_closing {
            self.react();
        }
        true
    }

    pub(super) fn react(&mut self) {
        let what = self.setup.on_closing;
        if what & 1 == 1 {
            self.command(Op::Send(Message::binary(vec![what; 200]), Compression::Auto));
        }
        if what & 2 == 2 {
            self.command(Op::Finish(Vec::new()));
        }
        if what & 4 == 4 {
            self.command(Op::Broadcast(Message::text("bye, all ".repeat(30)), Compression::Always));
        }
        match what >> 3 & 3 {
            1 => self.command(Op::Close(4000, "as I said".into())),
            2 => self.command(Op::Fail(4001, "no".into())),
            _ => {}
        }
        if what & 32 == 32 {
            self.command(Op::Ping(b"?".to_vec()));
        }
    }
}

fn check_text(message: &Message) {
    if let Message::Text(text) = message {
        assert!(std::str::from_utf8(text.as_bytes()).is_ok());
    }
}
