//! A connection after its opening handshake, by RFC 6455 alone: slow, in plain vectors, one frame
//! after the other.
//!
//! Each rule has its section. `Choice:` marks what the RFC leaves open, and what the crate's
//! documentation says about it.

mod sending;

use std::{collections::VecDeque, mem, str};

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;

/// What the application is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Opcode and payload, where messages are received whole.
    Message(u8, Vec<u8>),
    Start(u8),
    Data(Vec<u8>),
    End,
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Closing,
    Closed(Ending),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) local: bool,
    pub(crate) code: u16,
    /// `None`: in the implementation's own words.
    pub(crate) reason: Option<String>,
    pub(crate) clean: bool,
    pub(crate) fault: bool,
}

/// Why a command is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Closed,
    MessageInProgress,
    NoMessageInProgress,
    ControlTooLong,
    InvalidCloseCode,
    InvalidUtf8,
}

/// Every reason for which a command has to be refused.
pub(crate) type Answer = Result<(), Vec<Refusal>>;

#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) server: bool,
    pub(crate) streaming: bool,
    /// Whether an extension is agreed on that sets RSV1 on the first frame of a message whose octets
    /// are XORed with 0x55.
    pub(crate) extended: bool,
    pub(crate) max_frame: usize,
    pub(crate) max_message: usize,
    pub(crate) max_fragments: usize,
    pub(crate) max_empty_fragments: usize,
    pub(crate) max_sent_frame: usize,
}

/// A frame that was sent or is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) first: u8,
    pub(crate) payload: Vec<u8>,
    /// Whether a reason may follow, in the implementation's own words.
    pub(crate) any_reason: bool,
    answers_ping: bool,
}

/// The frame whose payload is being received.
struct Incoming {
    fin: bool,
    opcode: u8,
    key: [u8; 4],
    at: usize,
    length: usize,
}

/// The message that is being received.
struct Message {
    opcode: u8,
    marked: bool,
    data: Vec<u8>,
    frames: usize,
    empty_in_a_row: usize,
}

/// The message that is being sent in pieces.
struct Sending {
    opcode: u8,
    marked: bool,
    begun: bool,
    data: Vec<u8>,
}

enum State {
    Open,
    /// The peer's Close or fault was told. Unless the application does, we answer with this body,
    /// and a reason in our own words or none.
    Read(Ending, Vec<u8>, bool),
    /// Our Close is queued with this code and reason, the peer's is awaited.
    Sent(u16, String),
    Over(Ending),
    Told,
}

pub(crate) struct Model {
    setting: Setting,
    input: Vec<u8>,
    ended: bool,
    incoming: Option<Incoming>,
    message: Option<Message>,
    told: VecDeque<Told>,
    sending: Option<Sending>,
    /// Broadcasts that wait for the end of the message in pieces.
    waiting: Vec<(u8, Vec<u8>)>,
    state: State,
    /// All frames in the order of the wire; `begun` of them have an octet written, and of the last of
    /// these `left` octets are not.
    pub(crate) wire: Vec<Frame>,
    begun: usize,
    left: usize,
}

/// Why reading stops.
enum Stop {
    Starved,
    Fault(u16),
}

fn demand(holds: bool, code: u16) -> Result<(), Stop> {
    if holds { Ok(()) } else { Err(Stop::Fault(code)) }
}

/// §7.4.1, §7.4.2 and the registry of §11.7, which has 1012 to 1014 too. 1004 is reserved; 1005,
/// 1006 and 1015 "MUST NOT be set as a status code in a Close control frame by an endpoint".
fn is_sendable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Whether text is UTF-8 as far as it goes.
fn is_text_so_far(data: &[u8]) -> bool {
    str::from_utf8(data).map_or_else(|error| error.error_len().is_none(), |_| true)
}

fn scrambled(data: &[u8]) -> Vec<u8> {
    data.iter().map(|octet| octet ^ 0x55).collect()
}

impl Model {
    pub(crate) fn new(setting: Setting) -> Self {
        Self {
            setting,
            input: Vec::new(),
            ended: false,
            incoming: None,
            message: None,
            told: VecDeque::new(),
            sending: None,
            waiting: Vec::new(),
            state: State::Open,
            wire: Vec::new(),
            begun: 0,
            left: 0,
        }
    }

    // In.

    pub(crate) fn arrive(&mut self, octets: &[u8]) {
        self.input.extend(octets);
    }

    pub(crate) fn input_ended(&mut self) {
        self.ended = true;
    }

    /// What is told next; `None` if more octets are needed.
    pub(crate) fn poll(&mut self) -> Option<Told> {
        loop {
            if let Some(told) = self.told.pop_front() {
                return Some(told);
            }
            match mem::replace(&mut self.state, State::Told) {
                State::Told => return None,
                State::Over(ending) => return Some(Told::Closed(ending)),
                State::Read(ending, body, any_reason) => {
                    self.queue_close(body, any_reason);
                    return Some(Told::Closed(ending));
                }
                open => self.state = open,
            }
            let read = match self.incoming.take() {
                None => self.header(),
                Some(frame) => self.payload(frame),
            };
            match read {
                Ok(()) => {}
                Err(Stop::Starved) if self.ended => self.lost(),
                Err(Stop::Starved) => return None,
                Err(Stop::Fault(code)) => self.fault(code),
            }
        }
    }

    fn octets(&self, at: usize, n: usize) -> Result<&[u8], Stop> {
        self.input.get(at..at + n).ok_or(Stop::Starved)
    }

    fn header(&mut self) -> Result<(), Stop> {
        let first = self.octets(0, 1)?[0];
        let (fin, opcode, control) = (first & FIN != 0, first & 0x0f, first & 0x08 != 0);
        // §5.2: the RSV bits "MUST be 0 unless an extension is negotiated that defines meanings for
        // non-zero values"; ours (§5.8) defines RSV1 on the first frame of a message.
        let marked = self.setting.extended && matches!(first & 0x7f, 0x41 | 0x42);
        demand(first & 0x70 == 0 || marked, 1002)?;
        // §5.2: "If an unknown opcode is received, the receiving endpoint MUST _Fail the WebSocket
        // Connection_."
        demand(matches!(opcode, 0..=2 | 8..=10), 1002)?;
        // §5.5: control frames "MUST NOT be fragmented". §5.4: a message is a data frame, then
        // continuations; fragments of messages "MUST NOT be interleaved".
        demand(if control { fin } else { (opcode == 0) == self.message.is_some() }, 1002)?;

        let second = self.octets(1, 1)?[0];
        // §5.1: "The server MUST close the connection upon receiving a frame that is not masked", "A
        // client MUST close a connection if it detects a masked frame."
        demand((second & 0x80 != 0) == self.setting.server, 1002)?;
        // §5.5: control frames "MUST have a payload length of 125 bytes or less".
        demand(!control || second & 0x7f <= 125, 1002)?;
        // §5.2: 7, 7+16 or 7+64 bits, "the most significant bit MUST be 0", "the minimal number of
        // bytes MUST be used to encode the length".
        let (at, least) = match second & 0x7f {
            126 => (4, 126),
            127 => (10, 0x1_0000),
            _ => (2, 0),
        };
        demand(at < 10 || self.octets(2, 1)?[0] & 0x80 == 0, 1002)?;
        let long = self.octets(2, at - 2)?.iter().fold(0, |n, &octet| n << 8 | u64::from(octet));
        let length = if at == 2 { u64::from(second & 0x7f) } else { long };
        demand(length >= least, 1002)?;

        // §10.4: implementations "MUST protect themselves against exceeding" limits "regarding the
        // frame size or total message size". Choice: with 1009, as soon as the length proves it; where an
        // extension was agreed on, a message's as soon as a whole header does, or what was decoded.
        let before = self.message.as_ref().map_or(0, |message| message.data.len() as u64);
        let marked = marked || self.message.as_ref().is_some_and(|message| message.marked);
        let limited = !control && !self.setting.streaming;
        let fits = before.saturating_add(length) <= self.setting.max_message as u64;
        demand(!limited || length <= self.setting.max_frame as u64, 1009)?;
        demand(!limited || self.setting.extended || fits, 1009)?;
        // §5.2, §5.3: a masking key of 4 octets, if the frame is masked.
        let masked = if self.setting.server { 4 } else { 0 };
        let key = self.octets(at, masked)?.try_into().unwrap_or([0; 4]);
        self.input.drain(..at + masked);
        demand(!limited || marked || fits, 1009)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.incoming = Some(Incoming { fin, opcode, key, at: 0, length });
        if control {
            return Ok(());
        }

        let new = Message { opcode, marked, data: Vec::new(), frames: 0, empty_in_a_row: 0 };
        let message = self.message.get_or_insert(new);
        message.frames += 1;
        message.empty_in_a_row = if length == 0 { message.empty_in_a_row + 1 } else { 0 };
        // §7.4.1: 1008 is for messages that violate a policy. Choice: these two.
        let Setting { streaming, max_fragments, max_empty_fragments, .. } = self.setting;
        demand(streaming || message.frames <= max_fragments, 1008)?;
        demand(message.empty_in_a_row <= max_empty_fragments, 1008)?;
        if streaming && opcode != CONTINUATION {
            self.told.push_back(Told::Start(opcode));
        }
        Ok(())
    }

    fn payload(&mut self, mut frame: Incoming) -> Result<(), Stop> {
        let control = frame.opcode >= CLOSE;
        let n = self.input.len().min(frame.length - frame.at);
        let complete = frame.at + n == frame.length;
        if !complete && (control || n == 0) {
            self.incoming = Some(frame);
            return Err(Stop::Starved);
        }
        // §5.3: "transformed-octet-i = original-octet-i XOR masking-key-octet-(i MOD 4)"
        let masked = self.input.drain(..n).zip((frame.at..).map(|i| frame.key[i % 4]));
        let mut piece: Vec<u8> = masked.map(|(octet, key)| octet ^ key).collect();
        if control {
            return self.control(frame.opcode, piece);
        }
        let Some(message) = &mut self.message else { return Ok(()) };
        if message.marked {
            piece = scrambled(&piece);
        }
        message.data.extend(&piece);
        let last = frame.fin && complete;
        // §8.1: "When an endpoint is to interpret a byte stream as UTF-8 but finds that the byte
        // stream is not, in fact, a valid UTF-8 stream, that endpoint MUST _Fail the WebSocket
        // Connection_." §5.6: "a particular text frame might include a partial UTF-8 sequence". §7.4.1:
        // 1007. Choice: at the octet that proves it.
        let limit = if self.setting.streaming { usize::MAX } else { self.setting.max_message };
        let within = &message.data[..message.data.len().min(limit)];
        demand(message.opcode != TEXT || is_text_so_far(within), 1007)?;
        demand(message.data.len() <= limit, 1009)?;
        let whole = message.opcode != TEXT || str::from_utf8(&message.data).is_ok();
        demand(!last || whole, 1007)?;
        if self.setting.streaming && !piece.is_empty() {
            self.told.push_back(Told::Data(piece));
        }
        if !complete {
            frame.at += n;
            self.incoming = Some(frame);
        } else if frame.fin
            && let Some(message) = self.message.take()
        {
            let whole = Told::Message(message.opcode, message.data);
            self.told.push_back(if self.setting.streaming { Told::End } else { whole });
        }
        Ok(())
    }

    fn control(&mut self, opcode: u8, payload: Vec<u8>) -> Result<(), Stop> {
        match opcode {
            PING => {
                // §5.5.2: "an endpoint MUST send a Pong frame in response, unless it already received
                // a Close frame", §5.5.3: with "identical "Application data"". §5.5.1: after a Close of
                // ours nothing follows. Choice: it overtakes what is not begun, but no earlier Pong.
                if matches!(self.state, State::Open) {
                    let waiting = self.wire[self.begun..].iter();
                    let at = self.begun + waiting.take_while(|frame| frame.answers_ping).count();
                    let (first, payload) = (FIN | PONG, payload.clone());
                    let pong = Frame { first, payload, any_reason: false, answers_ping: true };
                    self.wire.insert(at, pong);
                }
                self.told.push_back(Told::Ping(payload));
            }
            // §5.5.3: "A response to an unsolicited Pong frame is not expected."
            PONG => self.told.push_back(Told::Pong(payload)),
            _ => self.closed_by_peer(&payload)?,
        }
        Ok(())
    }

    // How it ends.

    fn closed_by_peer(&mut self, body: &[u8]) -> Result<(), Stop> {
        // §5.5.1: "If there is a body, the first two bytes of the body MUST be a 2-byte unsigned integer",
        // then "UTF-8-encoded data". §7.1.5: without one, "_The WebSocket Connection Close Code_ is
        // considered to be 1005."
        let (code, reason) = match body {
            [] => (1005, ""),
            [_] => return Err(Stop::Fault(1002)),
            [a, b, reason @ ..] => {
                let code = u16::from_be_bytes([*a, *b]);
                demand(is_sendable(code), 1002)?;
                (code, str::from_utf8(reason).map_err(|_| Stop::Fault(1007))?)
            }
        };
        let reason = Some(reason.to_owned());
        let ending = Ending { local: false, code, reason, clean: true, fault: false };
        self.state = match mem::replace(&mut self.state, State::Told) {
            // §7.1.4: both have sent a Close. Choice: an answer that only repeats our code, or has
            // none, leaves us with our reason.
            State::Sent(ours, words) => {
                let echo = ending.reason.as_deref() == Some("") && [ours, 1005].contains(&code);
                let reason = if echo { Some(words) } else { ending.reason };
                State::Over(Ending { local: true, reason, ..ending })
            }
            // §5.5.1: "the endpoint MUST send a Close frame in response", "it typically echos the status
            // code it received". Choice: without the reason, and when the application was told.
            _ => {
                self.told.push_back(Told::Closing);
                State::Read(ending, body[..body.len().min(2)].to_vec(), false)
            }
        };
        Ok(())
    }

    /// §7.1.7: _Fail the WebSocket Connection_ with a Close, unless one was sent; "An endpoint MUST NOT
    /// continue to attempt to process data (including a responding Close frame) from the remote
    /// endpoint". Choice: after the application was told.
    fn fault(&mut self, code: u16) {
        let ending = Ending { local: true, code, reason: None, clean: false, fault: true };
        self.state = match mem::replace(&mut self.state, State::Told) {
            State::Sent(..) => State::Over(ending),
            _ => {
                self.told.push_back(Told::Closing);
                State::Read(ending, code.to_be_bytes().to_vec(), true)
            }
        };
    }

    /// §7.1.5: "If _The WebSocket Connection is Closed_ and no Close control frame was received",
    /// the code "is considered to be 1006".
    fn lost(&mut self) {
        let (local, reason) = match mem::replace(&mut self.state, State::Told) {
            State::Sent(_, reason) => (true, reason),
            _ => (false, String::new()),
        };
        let reason = Some(reason);
        self.state = State::Over(Ending { local, code: 1006, reason, clean: false, fault: false });
    }

    /// §5.5.1: "The application MUST NOT send any more data frames after sending a Close frame."
    fn queue_close(&mut self, payload: Vec<u8>, any_reason: bool) {
        self.sending = None;
        self.waiting.clear();
        self.wire.push(Frame { first: FIN | CLOSE, payload, any_reason, answers_ping: false });
    }

    // Looks.

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    pub(crate) fn is_close_awaited(&self) -> bool {
        matches!(self.state, State::Sent(..))
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Told)
    }

    /// Whether a fault was told that did not end the connection yet.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(&self.state, State::Read(ending, ..) if ending.fault)
    }

    /// Whether a frame or a message is incomplete.
    pub(crate) fn is_receiving(&self) -> bool {
        self.incoming.is_some() || self.message.is_some()
    }
}
