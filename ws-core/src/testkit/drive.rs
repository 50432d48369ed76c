//! Drives one extension by direct calls, cut and bounded as a check requires.

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::{
    Failure, Rule,
    failure::{after, differ_after},
    messages::Rng,
    tally::Tally,
};
use crate::{
    CloseCode, Message, MessageKind,
    extension::{
        CallError, Called, Chunk, Compression, Direction, Extension, ExtensionError, Mark,
        MessageInfo, Progress, RsvClaim, Scope, SharedEncoder, Sink,
    },
};

/// Default room and input of a call: more than the kit sends.
const USUAL: usize = 256 * 1024;

/// Output of one unit is ignored beyond this size: the engine bounds it.
pub(super) const ENOUGH: usize = 4 << 20;

/// The extension at one end.
pub(super) struct End {
    extension: Box<dyn Extension>,
    pub(super) claim: RsvClaim,
    pub(super) scope: Scope,
    /// Counts the marked messages.
    pub(super) tally: Tally,
}

/// An encoded unit.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) mark: Mark,
    pub(super) octets: Vec<u8>,
}

/// A fault within the extension.
pub(super) enum Trouble {
    Panic(String),
    Contract(&'static str),
    Error(ExtensionError),
}

impl Trouble {
    pub(super) fn text(&self, verb: &str) -> String {
        match self {
            Self::Panic(panic) => format!("`{verb}` panicked: {panic}"),
            Self::Contract(breach) => format!("`{verb}` {breach}"),
            Self::Error(error) => {
                format!("`{verb}` failed with {} and {:?}", error.code().get(), format!("{error}"))
            }
        }
    }

    pub(super) fn code(&self) -> Option<CloseCode> {
        match self {
            Self::Error(error) => Some(error.code()),
            _ => None,
        }
    }
}

/// A fault, and the progress of the unit before it.
pub(super) struct Stopped {
    pub(super) trouble: Trouble,
    /// Octets that the extension had read and written.
    taken: usize,
    written: usize,
}

impl From<Trouble> for Stopped {
    fn from(trouble: Trouble) -> Self {
        Self { trouble, taken: 0, written: 0 }
    }
}

impl Stopped {
    pub(super) fn text(&self, verb: &str) -> String {
        after(self.taken) + &self.trouble.text(verb)
    }

    /// Makes a failure with the hint that fits the fault.
    pub(super) fn failure(&self, rule: Rule, verb: &str) -> Failure {
        Failure::new(rule, self.text(verb)).like(match self.trouble {
            Trouble::Panic(_) => Some(Rule::Garbage),
            Trouble::Contract(_) => Some(Rule::Budget),
            Trouble::Error(_) => None,
        })
    }
}

/// Runs code of an extension. A panic is returned as its text.
pub(super) fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| panic_text(&*panic))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).into());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

/// The sizes given to the calls.
#[derive(Clone, Debug)]
pub(super) enum Sizes {
    Usual,
    Each(usize),
    /// The size of the first call; later calls get the default.
    First(usize),
    Random(Rng, usize),
}

impl Sizes {
    fn next(&mut self) -> usize {
        match self {
            Self::Usual => USUAL,
            Self::Each(size) => *size,
            Self::First(size) => {
                let size = *size;
                *self = Self::Usual;
                size
            }
            Self::Random(rng, most) => 1 + rng.below(*most),
        }
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usual => f.write_str("by calls of any size"),
            Self::Each(size) => write!(f, "by calls of {size}"),
            Self::First(size) => write!(f, "by calls of {size} and then any size"),
            Self::Random(_, most) => write!(f, "by calls of 1 to {most} at random"),
        }
    }
}

/// How a unit is passed to an extension.
#[derive(Clone, Debug)]
pub(super) struct How {
    pub(super) cuts: Sizes,
    pub(super) rooms: Sizes,
    /// Whether an empty last chunk follows the data.
    pub(super) end_alone: bool,
}

impl How {
    pub(super) const USUAL: Self =
        Self { cuts: Sizes::Usual, rooms: Sizes::Usual, end_alone: false };

    pub(super) fn cut(cuts: Sizes) -> Self {
        Self { cuts, ..Self::USUAL }
    }

    pub(super) fn rooms(rooms: Sizes) -> Self {
        Self { rooms, ..Self::USUAL }
    }

    pub(super) fn end_alone() -> Self {
        Self { end_alone: true, ..Self::USUAL }
    }
}

/// A unit in progress at one end.
pub(super) struct Running<'a> {
    direction: Direction,
    left: &'a [u8],
    how: How,
    done: bool,
    out: Vec<u8>,
    mark: Mark,
}

impl<'a> Running<'a> {
    /// Passes the next piece to the extension. Returns whether the unit is complete.
    pub(super) fn step(&mut self, end: &mut End) -> Result<bool, Trouble> {
        let (extension, direction) = (&mut end.extension, self.direction);
        self.step_by(end.scope, |chunk, sink| match direction {
            Direction::Encode => extension.encode(chunk, sink),
            Direction::Decode => extension.decode(chunk, sink),
        })
    }

    fn step_by(
        &mut self,
        scope: Scope,
        call: impl FnOnce(&mut Chunk<'_>, &mut Sink<'_>) -> Result<Progress, ExtensionError>,
    ) -> Result<bool, Trouble> {
        if self.done {
            return Ok(true);
        }
        let piece = match scope {
            // As from the engine, an empty chunk comes only at the end and after `Full`.
            Scope::Message => self.left.get(..self.how.cuts.next().max(1)).unwrap_or(self.left),
            Scope::WholeMessage | Scope::Frame => self.left,
        };
        let alone = self.how.end_alone && scope == Scope::Message && !self.left.is_empty();
        let last = piece.len() == self.left.len() && !alone;
        let room = self.how.rooms.next().max(1);
        let room = (room, self.out.len().saturating_add(room));
        let mut taken = 0;
        let act = |chunk: &mut Chunk<'_>, sink: &mut Sink<'_>| {
            let called = guarded(|| call(chunk, sink));
            taken = piece.len().saturating_sub(chunk.len());
            called.map_err(Trouble::Panic)?.map_err(Trouble::Error)
        };
        let called = Called::call(piece, last, &mut self.out, room, act);
        self.left = self.left.get(taken..).unwrap_or_default();
        let progress = match called {
            Ok(called) => called.progress,
            Err(CallError::Error(trouble)) => return Err(trouble),
            Err(CallError::Breach(breach)) => return Err(Trouble::Contract(breach)),
        };
        self.done = (last && progress == Progress::Done) || self.out.len() > ENOUGH;
        Ok(self.done)
    }

    /// Notes how much of `data`, the input, was processed before the fault.
    pub(super) fn stopped(&self, trouble: Trouble, data: &[u8]) -> Stopped {
        Stopped { trouble, taken: data.len() - self.left.len(), written: self.out.len() }
    }

    /// Processes the rest of `data`, the input.
    fn finish(mut self, end: &mut End, data: &[u8]) -> Result<Encoded, Stopped> {
        while !self.step(end).map_err(|trouble| self.stopped(trouble, data))? {}
        Ok(self.into_encoded())
    }

    pub(super) fn mark(&self) -> Mark {
        self.mark
    }

    pub(super) fn into_encoded(self) -> Encoded {
        Encoded { mark: self.mark, octets: self.out }
    }
}

impl End {
    pub(super) fn new(scope: Scope, extension: Box<dyn Extension>) -> Self {
        let claim = Self::claim_of(&*extension);
        Self { claim, scope, extension, tally: Tally::default() }
    }

    /// The extension's claim, as the engine reads it.
    pub(super) fn claim_of(extension: &dyn Extension) -> RsvClaim {
        match extension.claim() {
            claim if claim.bits().is_empty() => RsvClaim::None,
            claim => claim,
        }
    }

    pub(super) fn extension(&mut self) -> &mut dyn Extension {
        &mut *self.extension
    }

    pub(super) fn into_extension(self) -> Box<dyn Extension> {
        self.extension
    }

    pub(super) fn start_encoding<'a>(
        &mut self,
        message: &'a Message,
        hint: Compression,
        how: &How,
    ) -> Result<Running<'a>, Trouble> {
        let unit = MessageInfo::new(message.kind(), Some(message.len() as u64), hint);
        let mark = guarded(|| self.extension.begin_encode(&unit))
            .map_err(Trouble::Panic)?
            .map_err(Trouble::Error)?;
        if self.claim != RsvClaim::None {
            self.tally.count(mark);
        }
        Ok(self.running(Direction::Encode, mark, message.as_bytes(), how))
    }

    pub(super) fn start_decoding<'a>(
        &mut self,
        kind: MessageKind,
        mark: Mark,
        octets: &'a [u8],
        how: &How,
    ) -> Result<Running<'a>, Trouble> {
        let unit = MessageInfo::new(kind, Some(octets.len() as u64), Compression::Auto);
        let extension = &mut self.extension;
        let seen = mark == Mark::Marked || self.claim == RsvClaim::None;
        guarded(
            || if seen { extension.begin_decode(&unit) } else { extension.begin_unmarked(&unit) },
        )
        .map_err(Trouble::Panic)?
        .map_err(Trouble::Error)?;
        Ok(self.running(Direction::Decode, mark, octets, how))
    }

    fn running<'a>(
        &self,
        direction: Direction,
        mark: Mark,
        data: &'a [u8],
        how: &How,
    ) -> Running<'a> {
        // An unmarked unit passes unchanged, unless no bit could mark it.
        let done = mark == Mark::Unmarked && self.claim != RsvClaim::None;
        let (left, out) = if done { (&[][..], data.to_vec()) } else { (data, Vec::new()) };
        Running { direction, left, how: how.clone(), done, out, mark }
    }

    pub(super) fn encode(
        &mut self,
        message: &Message,
        hint: Compression,
        how: &How,
    ) -> Result<Encoded, Stopped> {
        self.start_encoding(message, hint, how)?.finish(self, message.as_bytes())
    }

    pub(super) fn decode(
        &mut self,
        kind: MessageKind,
        mark: Mark,
        octets: &[u8],
        how: &How,
    ) -> Result<Vec<u8>, Stopped> {
        Ok(self.start_decoding(kind, mark, octets, how)?.finish(self, octets)?.octets)
    }
}

/// Encodes a message with a shared encoder.
pub(super) fn encode_shared(
    encoder: &mut dyn SharedEncoder,
    scope: Scope,
    message: &Message,
    how: &How,
) -> Result<Encoded, Trouble> {
    let mut running = Running {
        direction: Direction::Encode,
        left: message.as_bytes(),
        how: how.clone(),
        done: false,
        out: Vec::new(),
        mark: Mark::Marked,
    };
    while !running.step_by(scope, |chunk, sink| encoder.encode(chunk, sink))? {}
    running.mark = guarded(|| encoder.mark()).map_err(Trouble::Panic)?;
    Ok(running.into_encoded())
}

/// Sends a message from end to end, and checks that it arrives.
pub(super) fn deliver(
    rule: Rule,
    (from, to): (&mut End, &mut End),
    message: &Message,
    hint: Compression,
    sending: &How,
    receiving: &How,
) -> Result<(), Failure> {
    let encoded = encode(rule, from, message, hint, sending)?;
    arrives(rule, to, message, &encoded, receiving)
}

/// Encodes a message at one end.
pub(super) fn encode(
    rule: Rule,
    from: &mut End,
    message: &Message,
    hint: Compression,
    how: &How,
) -> Result<Encoded, Failure> {
    from.encode(message, hint, how).map_err(|stopped| {
        stopped.failure(rule, "encode").with_at("message", message.as_bytes(), stopped.taken)
    })
}

/// Decodes an encoded message, and compares it with the original.
pub(super) fn arrives(
    rule: Rule,
    to: &mut End,
    message: &Message,
    encoded: &Encoded,
    how: &How,
) -> Result<(), Failure> {
    let decoded = to.decode(message.kind(), encoded.mark, &encoded.octets, how);
    judge(rule, message, encoded, decoded)
}

/// Compares a decoded message with the original.
pub(super) fn judge(
    rule: Rule,
    message: &Message,
    encoded: &Encoded,
    decoded: Result<Vec<u8>, Stopped>,
) -> Result<(), Failure> {
    let plain = message.as_bytes();
    match decoded {
        Ok(decoded) if decoded == plain => Ok(()),
        Ok(decoded) => {
            let place = differ_after(plain, &decoded);
            let what = after(place) + "the decoded message is not the one that was sent";
            Err(Failure::new(rule, what)
                .with_at("message", plain, place)
                .with("encoded", &encoded.octets)
                .with_at("decoded", &decoded, place))
        }
        Err(stopped) => Err(stopped
            .failure(rule, "decode")
            .with_at("message", plain, stopped.written)
            .with_at("encoded", &encoded.octets, stopped.taken)),
    }
}
