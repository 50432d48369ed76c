//! Every async method is dropped at every point, and nothing is lost or doubled.
//!
//! A handler runs a generated script: each call is polled so many times and dropped, or awaited, by
//! itself, inside of `select!` or `FuturesUnordered`, in the handler's turn or in a task of its own,
//! over a stream that reads and writes in pieces as generated. What the peer sent has to be received
//! in order and once, what was sent has to be on the wire in order and once.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::VecDeque,
    future::poll_fn,
    io::{self, IoSlice},
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use proptest::{collection::vec, prelude::*};
use support::{BINARY, CLOSE, PING, PONG, masked};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::{JoinHandle, yield_now},
    time::{Sleep, sleep, timeout},
};
use ws_server::{
    CloseCode, HandlerError, Limits, Message, Peer, SendError, TrySendReason, WebSocket,
};
use ws_tests_support::handshake::request;

/// Far longer than anything takes, in virtual time.
const LONG: Duration = Duration::from_secs(3600);

// What is generated

#[derive(Clone, Debug)]
struct Case {
    /// What the peer sends, and how it ends.
    peer: Vec<PeerSends>,
    end: PeerEnds,
    reads: Vec<Piece>,
    writes: Vec<Piece>,
    flushes: Vec<Piece>,
    script: Vec<(Place, Vec<Step>)>,
    finish: Finish,
}

#[derive(Clone, Copy, Debug)]
enum PeerSends {
    /// A message of so many octets, in one frame or two.
    Message(usize),
    Fragments(usize),
    Ping,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum PeerEnds {
    Close,
    /// The end of the stream, without a Close.
    Eof,
    Silence,
}

/// What the stream does at one call.
#[derive(Clone, Copy, Debug)]
enum Piece {
    Octets(usize),
    /// Is pending, and ready at once.
    Pending,
    Millis(u64),
}

/// Where a part of the script runs.
#[derive(Clone, Copy, Debug)]
enum Place {
    Turn,
    Task,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    call: Call,
    within: Within,
    /// Polled so many times and dropped; `None`: awaited.
    polls: Option<u8>,
}

#[derive(Clone, Copy, Debug)]
enum Call {
    Recv,
    Send(usize),
    /// Through a `Sender`.
    SendApart(usize),
    TrySend(usize),
    ReadyThenTrySend(usize),
    Ready,
    Flush,
    Ping,
    Nap(u64),
}

#[derive(Clone, Copy, Debug)]
enum Within {
    Itself,
    Select,
    Unordered,
}

#[derive(Clone, Copy, Debug)]
enum Finish {
    /// Receives until the end.
    Drain,
    Return,
    Fail,
    Panic,
    /// Closes, and receives until the end.
    Close,
    DropSocket,
    /// Returns while a task receives until the end.
    LeaveSocket,
}

fn len() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 4..40_usize, 3 => 40..6000_usize, 1 => 30_000..70_000_usize]
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        3 => (1..20_usize).prop_map(Piece::Octets),
        3 => (20..20_000_usize).prop_map(Piece::Octets),
        2 => Just(Piece::Pending),
        3 => (1..50_u64).prop_map(Piece::Millis),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let call = prop_oneof![
        8 => Just(Call::Recv),
        5 => len().prop_map(Call::Send),
        2 => len().prop_map(Call::SendApart),
        2 => len().prop_map(Call::TrySend),
        2 => len().prop_map(Call::ReadyThenTrySend),
        1 => Just(Call::Ready),
        3 => Just(Call::Flush),
        1 => Just(Call::Ping),
        5 => (0..60_u64).prop_map(Call::Nap),
    ];
    let within = prop_oneof![2 => Just(Within::Itself), 1 => Just(Within::Select), 1 => Just(Within::Unordered)];
    (call, within, prop_oneof![1 => Just(None), 2 => (0..4_u8).prop_map(Some)])
        .prop_map(|(call, within, polls)| Step { call, within, polls })
}

fn case() -> impl Strategy<Value = Case> {
    let sends = prop_oneof![
        5 => len().prop_map(PeerSends::Message),
        1 => len().prop_map(PeerSends::Fragments),
        1 => Just(PeerSends::Ping),
    ];
    let end = prop_oneof![
        3 => Just(PeerEnds::Close), 1 => Just(PeerEnds::Eof), 1 => Just(PeerEnds::Silence)
    ];
    let place = prop_oneof![Just(Place::Turn), Just(Place::Task)];
    let finish = prop_oneof![
        5 => Just(Finish::Drain),
        1 => Just(Finish::Return),
        1 => Just(Finish::Fail),
        1 => Just(Finish::Panic),
        2 => Just(Finish::Close),
        1 => Just(Finish::DropSocket),
        1 => Just(Finish::LeaveSocket),
    ];
    (
        (vec(sends, 0..20), end),
        (vec(piece(), 0..20), vec(piece(), 0..30), vec(piece(), 0..8)),
        vec((place, vec(step(), 0..8)), 0..5),
        finish,
    )
        .prop_map(|((peer, end), (reads, writes, flushes), script, finish)| Case {
            peer,
            end,
            reads,
            writes,
            flushes,
            script,
            finish,
        })
}

// The stream

/// What became of the stream, for everybody to see.
#[derive(Default)]
struct Wire {
    written: Vec<u8>,
    /// How much of it was flushed.
    flushed: usize,
    /// Whoever waits for the answer to the opening handshake.
    waits_for_head: Option<Waker>,
}

struct Scripted {
    wire: Arc<Mutex<Wire>>,
    /// The request comes first, the rest behind the answer.
    request: VecDeque<u8>,
    rest: VecDeque<u8>,
    ends: bool,
    reads: Pieces,
    writes: Pieces,
    flushes: Pieces,
}

/// One piece for each call; when there are no more, everything passes.
struct Pieces {
    left: VecDeque<Piece>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Pieces {
    fn new(pieces: &[Piece]) -> Self {
        Self { left: pieces.iter().copied().collect(), sleep: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        if let Some(sleep) = &mut self.sleep {
            ready!(sleep.as_mut().poll(cx));
            self.sleep = None;
        }
        match self.left.pop_front() {
            None => Poll::Ready(usize::MAX),
            Some(Piece::Octets(n)) => Poll::Ready(n),
            Some(Piece::Pending) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Piece::Millis(millis)) => {
                let mut sleep = Box::pin(sleep(Duration::from_millis(millis)));
                assert!(sleep.as_mut().poll(cx).is_pending());
                self.sleep = Some(sleep);
                Poll::Pending
            }
        }
    }
}

impl AsyncRead for Scripted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let from = if this.request.is_empty() {
            let mut wire = this.wire.lock().unwrap();
            if wire.written.is_empty() {
                wire.waits_for_head = Some(cx.waker().clone());
                return Poll::Pending;
            }
            &mut this.rest
        } else {
            &mut this.request
        };
        if from.is_empty() {
            // Nothing wakes whoever waits for what never comes.
            return if this.ends { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        let n = ready!(this.reads.poll(cx)).min(buf.remaining()).min(from.len());
        let read: Vec<u8> = from.drain(..n).collect();
        buf.put_slice(&read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let most = ready!(self.writes.poll(cx));
        let mut wire = self.wire.lock().unwrap();
        let before = wire.written.len();
        wire.written.extend(bufs.iter().flat_map(|buf| buf.iter()).take(most));
        let n = wire.written.len() - before;
        if let Some(waker) = wire.waits_for_head.take() {
            waker.wake();
        }
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.wire.lock().unwrap();
        if wire.flushed < wire.written.len() {
            drop(wire);
            ready!(self.flushes.poll(cx));
            wire = self.wire.lock().unwrap();
            wire.flushed = wire.written.len();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

// The script

/// What the handler saw and did.
#[derive(Default)]
struct Log {
    /// The numbers of the messages that it received.
    received: Vec<u32>,
    /// Whether the end was received.
    ended: bool,
    sent: Vec<Sent>,
    /// For each flush: how many were sent before it began, and what was flushed when it was over.
    flushes: Vec<(usize, usize)>,
    /// Whether the script came to its end.
    done: bool,
}

/// What may be on the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sent {
    opcode: u8,
    number: u32,
    len: usize,
    /// Whether it has to be.
    certain: bool,
}

/// What has a number in its first octets and is checked to the last.
fn numbered(number: u32, len: usize) -> Vec<u8> {
    let mut payload = vec![number as u8; len];
    payload[..4].copy_from_slice(&number.to_be_bytes());
    payload
}

fn number(payload: &[u8]) -> u32 {
    let number = u32::from_be_bytes(payload[..4].try_into().unwrap());
    assert!(payload == numbered(number, payload.len()), "a message is not whole");
    number
}

struct Actor {
    log: Arc<Mutex<Log>>,
    wire: Arc<Mutex<Wire>>,
    numbers: u32,
}

impl Actor {
    fn message(&mut self, len: usize) -> (u32, Message) {
        self.numbers += 1;
        (self.numbers, numbered(self.numbers, len).into())
    }

    fn log_sent(&self, opcode: u8, number: u32, len: usize, certain: bool) {
        self.log.lock().unwrap().sent.push(Sent { opcode, number, len, certain });
    }

    /// A send that came to an end, or was dropped: then it may have happened or not.
    fn log_send(&self, number: u32, len: usize, outcome: Option<Result<(), SendError>>) {
        match outcome {
            Some(Ok(())) => self.log_sent(BINARY, number, len, true),
            Some(Err(error)) => assert_eq!(error, SendError::Closed),
            None => self.log_sent(BINARY, number, len, false),
        }
    }

    fn log_received(&self, message: Option<Message>) {
        let mut log = self.log.lock().unwrap();
        match message {
            Some(message) => {
                assert!(!log.ended, "a message behind the end");
                log.received.push(number(message.as_bytes()));
            }
            None => log.ended = true,
        }
    }

    /// Whether it was sent.
    fn try_send(&self, ws: &mut WebSocket, number: u32, message: Message) -> Result<(), Message> {
        let (len, expected) = (message.len(), message.clone());
        match ws.try_send(message) {
            Ok(()) => self.log_sent(BINARY, number, len, true),
            Err(error) => {
                assert_eq!(error.message, expected, "it is given back");
                if error.reason == TrySendReason::Full {
                    return Err(error.message);
                }
            }
        }
        Ok(())
    }

    async fn act(&mut self, ws: &mut WebSocket, step: Step) {
        let Step { call, within, polls } = step;
        match call {
            Call::Recv => {
                if let Some(message) = attempt(within, polls, ws.recv()).await {
                    self.log_received(message);
                }
            }
            Call::Send(len) => {
                let (number, message) = self.message(len);
                let outcome = attempt(within, polls, ws.send(message)).await;
                self.log_send(number, len, outcome);
            }
            Call::SendApart(len) => {
                let (number, message) = self.message(len);
                let sender = ws.sender();
                let outcome = attempt(within, polls, sender.send(message)).await;
                self.log_send(number, len, outcome);
            }
            Call::TrySend(len) => {
                let (number, message) = self.message(len);
                // What was given back is not on the wire.
                let _ = self.try_send(ws, number, message);
            }
            Call::ReadyThenTrySend(len) => {
                let (number, mut message) = self.message(len);
                // What is refused once is ready the next time.
                for round in 0.. {
                    assert!(round < 2, "it is not ready");
                    match attempt(within, polls, ws.ready()).await {
                        Some(Ok(())) => {}
                        Some(Err(SendError::Closed)) | None => break,
                        Some(Err(error)) => panic!("{error}"),
                    }
                    match self.try_send(ws, number, message) {
                        Ok(()) => break,
                        Err(refused) => message = refused,
                    }
                }
            }
            Call::Ready => {
                attempt(within, polls, ws.ready()).await;
            }
            Call::Flush => {
                let before = self.log.lock().unwrap().sent.len();
                if let Some(Ok(())) = attempt(within, polls, ws.flush()).await {
                    let flushed = self.wire.lock().unwrap().flushed;
                    self.log.lock().unwrap().flushes.push((before, flushed));
                }
            }
            Call::Ping => {
                self.numbers += 1;
                // Where there is no room it is an error.
                if ws.ping(numbered(self.numbers, 4)).is_ok() {
                    self.log_sent(PING, self.numbers, 4, true);
                }
            }
            Call::Nap(millis) => sleep(Duration::from_millis(millis)).await,
        }
    }

    async fn drain(&self, ws: &mut WebSocket) {
        loop {
            let message = timeout(LONG, ws.recv()).await.expect("it is woken");
            let ended = message.is_none();
            self.log_received(message);
            if ended {
                return;
            }
        }
    }
}

/// Awaits a future, or polls it so many times and drops it.
async fn attempt<T>(
    within: Within,
    polls: Option<u8>,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut future = pin!(future);
    match within {
        Within::Itself => some_polls(polls, future).await,
        Within::Select => {
            let mut ticks = tokio::time::interval(Duration::from_millis(3));
            let selecting = async {
                loop {
                    tokio::select! {
                        biased;
                        _ = ticks.tick() => {}
                        output = &mut future => return output,
                    }
                }
            };
            some_polls(polls, selecting).await
        }
        Within::Unordered => {
            let mut all = FuturesUnordered::new();
            all.push(future);
            some_polls(polls, all.next()).await.map(Option::unwrap)
        }
    }
}

async fn some_polls<T>(polls: Option<u8>, future: impl Future<Output = T>) -> Option<T> {
    let Some(polls) = polls else {
        return Some(timeout(LONG, future).await.expect("it is woken"));
    };
    let mut future = pin!(future);
    for _ in 0..polls {
        let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(output) = polled {
            return Some(output);
        }
        yield_now().await;
    }
    None
}

struct Acting {
    script: Vec<(Place, Vec<Step>)>,
    finish: Finish,
    log: Arc<Mutex<Log>>,
    wire: Arc<Mutex<Wire>>,
    left: Mutex<Option<JoinHandle<()>>>,
}

impl Acting {
    async fn handle(&self, mut ws: WebSocket) -> Result<(), HandlerError> {
        let (log, wire) = (Arc::clone(&self.log), Arc::clone(&self.wire));
        let mut actor = Actor { log, wire, numbers: 1000 };
        for (place, steps) in self.script.clone() {
            let part = async move {
                for step in steps {
                    actor.act(&mut ws, step).await;
                }
                (actor, ws)
            };
            (actor, ws) = match place {
                Place::Turn => part.await,
                Place::Task => tokio::spawn(part).await.unwrap(),
            };
        }
        match self.finish {
            Finish::Drain => actor.drain(&mut ws).await,
            Finish::Close => {
                // Fails if it is closed already.
                ws.close(CloseCode::NORMAL, "").ok();
                actor.drain(&mut ws).await;
            }
            Finish::DropSocket => {
                drop(ws);
                sleep(Duration::from_secs(5)).await;
            }
            Finish::LeaveSocket => {
                *self.left.lock().unwrap() =
                    Some(tokio::spawn(async move { actor.drain(&mut ws).await }));
            }
            Finish::Return | Finish::Fail | Finish::Panic => {}
        }
        self.log.lock().unwrap().done = true;
        match self.finish {
            Finish::Fail => Err("as generated".into()),
            Finish::Panic => panic!("as generated"),
            _ => Ok(()),
        }
    }
}

// What has to hold

/// What the peer sends, and how many messages that is.
fn peer_octets(case: &Case) -> (Vec<u8>, u32) {
    let mut octets = Vec::new();
    let mut messages = 0;
    for sends in &case.peer {
        match *sends {
            PeerSends::Message(len) => {
                octets.extend(masked(BINARY, &numbered(messages, len)));
                messages += 1;
            }
            PeerSends::Fragments(len) => {
                let payload = numbered(messages, len);
                let (one, other) = payload.split_at(len / 2);
                octets.extend(masked(0x02, one));
                octets.extend(masked(0x80, other));
                messages += 1;
            }
            PeerSends::Ping => octets.extend(masked(PING, b"there?")),
        }
    }
    if case.end == PeerEnds::Close {
        octets.extend(masked(CLOSE, &[0x03, 0xe8]));
    }
    (octets, messages)
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    // Small ones, so that they are met.
    limits.receive_ahead = 2000;
    limits.receive_ahead_messages = 4;
    limits.send_buffer = 4000;
    limits.max_send_buffer = 10_000;
    // The handler is waited for, however long its script takes.
    limits.close_turn = LONG;
    limits
}

/// Frames on the wire after the head, each with where it ends.
fn frames(written: &[u8]) -> Vec<(u8, Vec<u8>, usize)> {
    let head = written.windows(4).position(|four| four == b"\r\n\r\n");
    // A part of the head may look like a frame.
    let mut at = head.map_or(written.len(), |at| at + 4);
    let mut frames = Vec::new();
    while let Some(((first, payload), len)) = support::parse(&written[at..]) {
        at += len;
        frames.push((first, payload, at));
    }
    frames
}

fn check(case: &Case, log: &Log, wire: &Wire) {
    let (_, messages) = peer_octets(case);
    let expected: Vec<u32> = (0..messages).collect();
    assert!(log.done, "the script was broken off");
    assert_eq!(log.received, expected[..log.received.len()], "received in order and once");
    if log.ended && matches!(case.finish, Finish::Drain) && case.end != PeerEnds::Silence {
        assert_eq!(log.received, expected, "received before the end");
    }

    let frames = frames(&wire.written);
    let closes = frames.iter().position(|(first, ..)| *first == CLOSE);
    assert!(closes.is_none_or(|at| at == frames.len() - 1), "something follows a Close");
    // Pings without a number are those that keep the connection alive.
    let sent: Vec<_> = frames
        .iter()
        .filter(|(first, payload, _)| {
            !(matches!(*first, CLOSE | PONG) || *first == PING && payload.is_empty())
        })
        .map(|(first, payload, end)| (*first, number(payload), payload.len(), *end))
        .collect();
    let mut sent = sent.into_iter().peekable();
    let mut flushes = log.flushes.iter().peekable();
    for (index, expected) in log.sent.iter().enumerate() {
        while flushes.next_if(|(before, _)| *before <= index).is_some() {}
        let on_wire = sent.next_if(|(opcode, number, len, _)| {
            (*opcode, *number, *len) == (expected.opcode, expected.number, expected.len)
        });
        match on_wire {
            Some((.., end)) => {
                if let Some((_, flushed)) = flushes.peek() {
                    assert!(end <= *flushed, "{expected:?} was not flushed");
                }
            }
            // Without a Close of the peer's it is cut off anywhere.
            None if case.end == PeerEnds::Eof => {
                let flushed = expected.certain && flushes.peek().is_some();
                assert!(!flushed, "{expected:?} was flushed and is not there");
            }
            None => assert!(!expected.certain, "{expected:?} is not on the wire, or out of order"),
        }
    }
    assert_eq!(sent.next(), None, "not sent, or not in this order, or twice");
    let pings = case.peer.iter().filter(|sends| matches!(sends, PeerSends::Ping)).count();
    let pongs = frames.iter().filter(|(first, ..)| *first == PONG).count();
    assert!(pongs <= pings);
}

fn run(case: &Case) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let (log, wire) = (Arc::<Mutex<Log>>::default(), Arc::<Mutex<Wire>>::default());
        let acting = Arc::new(Acting {
            script: case.script.clone(),
            finish: case.finish,
            log: Arc::clone(&log),
            wire: Arc::clone(&wire),
            left: Mutex::default(),
        });
        let handler = {
            let acting = Arc::clone(&acting);
            move |ws| {
                let acting = Arc::clone(&acting);
                async move { acting.handle(ws).await }
            }
        };
        let service = support::service(limits(), handler);
        let io = Scripted {
            wire: Arc::clone(&wire),
            request: request("/", "").into_bytes().into(),
            rest: peer_octets(case).0.into(),
            ends: case.end == PeerEnds::Eof,
            reads: Pieces::new(&case.reads),
            writes: Pieces::new(&case.writes),
            flushes: Pieces::new(&case.flushes),
        };
        let serving = tokio::spawn(service.serve_connection(io, Peer::Other));
        let closed = timeout(2 * LONG, serving).await.expect("it ends").unwrap();
        assert!(closed.is_some(), "it was open");
        let left = acting.left.lock().unwrap().take();
        if let Some(left) = left {
            timeout(LONG, left).await.expect("the task ends").unwrap();
        }
        check(case, &log.lock().unwrap(), &wire.lock().unwrap());
    });
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_or_doubled_wherever_a_call_is_dropped(case in case()) {
        run(&case);
    }
}
