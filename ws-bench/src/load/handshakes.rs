//! Connections that open, send a browser's request, get the answer, and close.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::SockRef;
use ws_handshake::accept_key;

use super::accounts::Accounts;
use super::opening::{key, request};
use super::tally::Tally;
use super::{Failure, Load, Outcome, SILENCE};
use crate::frame::{CLOSE, push_masked};

/// The number of different requests and keys, used in turn.
const KEYS: u64 = 256;

/// The offer of browsers.
const OFFER: &str = "permessage-deflate; client_max_window_bits";

struct Question {
    request: Vec<u8>,
    /// The expected value of `Sec-WebSocket-Accept`.
    accept: String,
}

struct Handshake {
    stream: TcpStream,
    question: usize,
    since: Instant,
    asked: bool,
    /// Set once the Close is sent: how many of the octets received belong to the answer.
    closing: Option<usize>,
    came: Vec<u8>,
}

enum Stage {
    Open,
    Done,
}

pub(super) fn measure(load: &Load) -> Result<Outcome, Failure> {
    let questions: Vec<Question> = (0..KEYS)
        .map(|number| {
            let key = key(number);
            Question {
                request: request(load, &key, Some(OFFER)),
                accept: accept_key(key.as_bytes()),
            }
        })
        .collect();
    let mut close = Vec::new();
    push_masked(&mut close, CLOSE, &1000_u16.to_be_bytes(), [0x5a, 0x17, 0xc3, 0x88]);

    let mut turns = Turns {
        load,
        questions,
        close,
        poll: Poll::new().map_err(|error| Failure::system("making a poll", &error))?,
        next: 0,
        tally: Tally::new(),
    };
    let mut open = (0..load.connections)
        .map(|index| turns.connect(index))
        .collect::<Result<Vec<Handshake>, _>>()?;
    turns.until(&mut open, Instant::now() + load.warm_up, u64::MAX)?;
    let before_measuring = turns.tally.messages;
    turns.tally.start();
    let before = Accounts::now(load.server);
    let started = Instant::now();
    turns.until(&mut open, started + load.measure, load.messages)?;
    let elapsed = started.elapsed();
    let spent = Accounts::now(load.server).since(&before);
    let outcome = Outcome::new(load, elapsed, &turns.tally, &spent);
    Ok(outcome.with_served(before_measuring + turns.tally.messages))
}

struct Turns<'a> {
    load: &'a Load,
    questions: Vec<Question>,
    close: Vec<u8>,
    poll: Poll,
    next: usize,
    tally: Tally,
}

impl Turns<'_> {
    fn connect(&mut self, index: usize) -> Result<Handshake, Failure> {
        let since = Instant::now();
        let open = || {
            let mut stream = TcpStream::connect(self.load.address)?;
            self.poll.registry().register(
                &mut stream,
                Token(index),
                Interest::READABLE | Interest::WRITABLE,
            )?;
            // Frees the port at once for another connection, instead of after a minute.
            SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
            Ok(stream)
        };
        let stream =
            open().map_err(|error| Failure::system(format!("to {}", self.load.address), &error))?;
        let question = self.next;
        self.next = (self.next + 1) % self.questions.len();
        Ok(Handshake { stream, question, since, asked: false, closing: None, came: Vec::new() })
    }

    fn until(
        &mut self,
        open: &mut [Handshake],
        deadline: Instant,
        messages: u64,
    ) -> Result<(), Failure> {
        let mut events = Events::with_capacity(1024);
        let mut heard = (self.tally.messages, Instant::now());
        loop {
            let now = Instant::now();
            if now >= deadline || self.tally.messages >= messages {
                return Ok(());
            }
            if self.tally.messages != heard.0 {
                heard = (self.tally.messages, now);
            } else if now - heard.1 > SILENCE {
                return Err(Failure::new(format!("no handshake in {} s", SILENCE.as_secs())));
            }
            match self.poll.poll(&mut events, Some(Duration::from_millis(20))) {
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    return Err(Failure::system("waiting for the server", &error));
                }
                _ => {}
            }
            for event in &events {
                let index = event.token().0;
                if let Stage::Done = self.turn(&mut open[index])? {
                    self.tally.came(1, open[index].since, Instant::now());
                    self.tally.messages += 1;
                    self.tally.octets += open[index].came.len() as u64;
                    open[index] = self.connect(index)?;
                }
            }
        }
    }

    fn turn(&self, handshake: &mut Handshake) -> Result<Stage, Failure> {
        let failed = |error: &std::io::Error| Failure::system("in a handshake", error);
        let question = &self.questions[handshake.question];
        if !handshake.asked {
            match handshake.stream.write(&question.request) {
                Ok(n) if n == question.request.len() => handshake.asked = true,
                Ok(_) => return Err(Failure::new("a socket did not take the whole request")),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) =>
                {
                    return Ok(Stage::Open);
                }
                Err(error) => return Err(failed(&error)),
            }
        }
        let mut buffer = [0; 2048];
        loop {
            match handshake.stream.read(&mut buffer) {
                Ok(0) if handshake.closing.is_some() => return Ok(Stage::Done),
                Ok(0) => {
                    return Err(Failure::new(
                        "the server closed the connection before it answered",
                    ));
                }
                Ok(n) => handshake.came.extend_from_slice(&buffer[..n]),
                // A peer that answered a Close may reset the connection afterwards.
                Err(error)
                    if error.kind() == ErrorKind::ConnectionReset
                        && handshake.closing.is_some_and(|head| head < handshake.came.len()) =>
                {
                    return Ok(Stage::Done);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Stage::Open),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(&error)),
            }
            if handshake.closing.is_none()
                && let Some(head) = find(&handshake.came, b"\r\n\r\n")
            {
                verify(&handshake.came[..head], &question.accept)?;
                handshake.closing = Some(head + 4);
                handshake.stream.write_all(&self.close).map_err(|error| failed(&error))?;
            }
            // The server's Close; after it, either end closes TCP first.
            if let Some(head) = handshake.closing
                && let Some(&first) = handshake.came.get(head)
            {
                if first != CLOSE {
                    return Err(Failure::new(format!(
                        "a Close was answered by a frame that begins with {first:02x}"
                    )));
                }
                return Ok(Stage::Done);
            }
        }
    }
}

fn verify(head: &[u8], accept: &str) -> Result<(), Failure> {
    if head.starts_with(b"HTTP/1.1 101") && find(head, accept.as_bytes()).is_some() {
        return Ok(());
    }
    let head = String::from_utf8_lossy(head);
    Err(Failure::new(format!("opening handshake: the answer was {head:?}")))
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}
