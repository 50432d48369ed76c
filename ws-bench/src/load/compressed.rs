//! Connections that send compressed JSON and receive it compressed.
//!
//! The output of a server's compressor cannot be predicted, so replies are parsed. Inflating all of
//! them would cost the load as much as the server spends: every reply is inflated and compared
//! during the warm-up, and later those of one connection in sixteen.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::rc::Rc;
use std::time::Instant;

use flate2::{Decompress, FlushDecompress, Status};
use mio::net::TcpStream;

use super::script::{Agreed, Script, TAIL};
use super::tally::Tally;
use super::turns::Clients;
use super::{Failure, Load, opening};
use crate::frame::{RSV1, TEXT, unmasked_header};

/// One connection in this many is checked during the measurement.
const SAMPLE: usize = 16;

/// The maximum of different scripts; with more connections, some share one.
const SCRIPTS: usize = 64;

pub(super) struct Connections(Vec<Connection>);

struct Connection {
    index: usize,
    stream: TcpStream,
    script: Rc<Script>,
    depth: usize,
    /// The document to send next, the written octets of its frame, and the number of documents due.
    next: usize,
    written: usize,
    unwritten: usize,
    /// The document expected next.
    expected: usize,
    /// The start of an incomplete frame.
    partial: Vec<u8>,
    sent: VecDeque<Instant>,
    /// `None` once a reply was not checked.
    check: Option<Check>,
}

/// Inflates a server's output.
struct Check {
    inflate: Decompress,
    takeover: bool,
}

impl Connections {
    pub(super) fn open(load: &Load) -> Result<Self, Failure> {
        let offer = if load.no_takeover {
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
             client_max_window_bits"
        } else {
            // The offer of browsers.
            "permessage-deflate; client_max_window_bits"
        };
        let mut scripts: Vec<(Agreed, Rc<Script>)> = Vec::new();
        let open = |index| {
            let (stream, answer) = opening::connect(load, index as u64, Some(offer))?;
            let agreed = Agreed::parse(answer.as_deref())?;
            if index < SCRIPTS {
                scripts.push((agreed, Rc::new(Script::new(index as u64, load.size, agreed))));
            }
            let (as_before, script) = &scripts[index % SCRIPTS];
            if *as_before != agreed {
                return Err(Failure::new("the server agrees to different parameters every time"));
            }
            Ok(Connection {
                index,
                stream,
                script: Rc::clone(script),
                depth: load.depth,
                next: 0,
                written: 0,
                unwritten: 0,
                expected: 0,
                partial: Vec::new(),
                sent: VecDeque::with_capacity(load.depth),
                check: Some(Check {
                    inflate: Decompress::new(false),
                    takeover: agreed.server_takeover,
                }),
            })
        };
        (0..load.connections).map(open).collect::<Result<_, _>>().map(Self)
    }
}

impl Clients for Connections {
    fn streams(&mut self) -> Vec<&mut TcpStream> {
        self.0.iter_mut().map(|connection| &mut connection.stream).collect()
    }

    fn fill(&mut self, now: Instant) -> Result<(), Failure> {
        self.0.iter_mut().try_for_each(|connection| connection.send(connection.depth, now))
    }

    fn turn(&mut self, index: usize, tally: &mut Tally) -> Result<(), Failure> {
        self.0[index].turn(tally)
    }

    fn in_flight(&self) -> u64 {
        self.0.iter().map(|connection| connection.sent.len() as u64).sum()
    }
}

impl Connection {
    fn turn(&mut self, tally: &mut Tally) -> Result<(), Failure> {
        if !tally.checking && !self.index.is_multiple_of(SAMPLE) {
            self.check = None;
        }
        let before = self.sent.len();
        self.read(tally)?;
        let messages = before - self.sent.len();
        if messages > 0 && tally.sending {
            self.send(messages, Instant::now())
        } else {
            self.write()
        }
    }

    fn send(&mut self, messages: usize, now: Instant) -> Result<(), Failure> {
        self.unwritten += messages;
        self.sent.extend(std::iter::repeat_n(now, messages));
        self.write()
    }

    fn write(&mut self) -> Result<(), Failure> {
        while self.unwritten > 0 {
            let frame = self.script.frame(self.next);
            match self.stream.write(&frame[self.written..]) {
                Ok(n) if self.written + n == frame.len() => {
                    self.written = 0;
                    self.unwritten -= 1;
                    self.next = (self.next + 1) % self.script.len();
                }
                Ok(n) => self.written += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failure(&format!("writing: {error}"))),
            }
        }
        Ok(())
    }

    fn read(&mut self, tally: &mut Tally) -> Result<(), Failure> {
        let mut buffer = std::mem::take(&mut tally.buffer);
        let done = loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => break Err(self.failure("the server closed it")),
                Ok(n) => {
                    if let Err(failure) = self.take(&buffer[..n], tally) {
                        break Err(failure);
                    }
                    if n < buffer.len() {
                        break Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Err(self.failure(&format!("reading: {error}"))),
            }
        };
        tally.buffer = buffer;
        done
    }

    /// Parses the frames in `came`, which follow the rest of the last read.
    fn take(&mut self, came: &[u8], tally: &mut Tally) -> Result<(), Failure> {
        let mut partial = std::mem::take(&mut self.partial);
        let mut octets = came;
        if !partial.is_empty() {
            partial.extend_from_slice(came);
            octets = &partial;
        }
        while let Some((first, header, len)) = unmasked_header(octets)
            && octets.len() >= header + len
        {
            let (frame, rest) = octets.split_at(header + len);
            self.reply(first, &frame[header..])?;
            let now = Instant::now();
            let since = self.sent.pop_front();
            let since = since.ok_or_else(|| self.failure("a reply came without a message"))?;
            tally.came(1, since, now);
            tally.messages += 1;
            tally.octets += frame.len() as u64;
            octets = rest;
        }
        self.partial = octets.to_vec();
        Ok(())
    }

    fn reply(&mut self, first: u8, payload: &[u8]) -> Result<(), Failure> {
        if first & !RSV1 != TEXT {
            return Err(self.failure(&format!("a frame came that begins with {first:02x}")));
        }
        let expected = &self.script.documents[self.expected];
        self.expected = (self.expected + 1) % self.script.len();
        let same = match &mut self.check {
            None => true,
            Some(_) if first & RSV1 == 0 => payload == expected.as_bytes(),
            Some(check) => check.inflate(payload, expected.len())? == expected.as_bytes(),
        };
        if same { Ok(()) } else { Err(self.failure("the reply is not the text that was sent")) }
    }

    fn failure(&self, what: &str) -> Failure {
        Failure::new(format!("connection {}: {what}", self.index))
    }
}

impl Check {
    fn inflate(&mut self, payload: &[u8], len: usize) -> Result<Vec<u8>, Failure> {
        // More room than expected, to notice excess output.
        let mut out = Vec::with_capacity(len + 64);
        for input in [payload, &TAIL] {
            let before = self.inflate.total_in();
            let status = self
                .inflate
                .decompress_vec(input, &mut out, FlushDecompress::Sync)
                .map_err(|error| Failure::new(format!("a reply does not inflate: {error}")))?;
            match status {
                // A final block; the next block begins a new stream.
                Status::StreamEnd => {
                    self.inflate.reset(false);
                    return Ok(out);
                }
                _ if self.inflate.total_in() - before == input.len() as u64 => {}
                _ => return Err(Failure::new("a reply inflates to more than the message")),
            }
        }
        if !self.takeover {
            self.inflate.reset(false);
        }
        Ok(out)
    }
}
