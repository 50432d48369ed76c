//! Small extensions to test the engine with.

mod counting;
mod inflate;
mod reverse;
mod run_length;
mod stub;

use std::sync::{Arc, Mutex};

use ws_core::{
    CloseCode, Config, Connection, Extension, ExtensionFactory, Extensions, Role,
    extension::{
        Chunk, Compression, ExtensionError, FixedFactory, Mark, MessageInfo, Progress, Rsv,
        RsvClaim, Scope, Sink,
    },
};

pub use self::{
    counting::Counting,
    inflate::{Counters, Inflate},
    reverse::Reverse,
    run_length::RunLength,
    stub::{Begin, Call, Stub},
};
use crate::engine::counting_keys;

pub const RSV1: RsvClaim = RsvClaim::FirstFrame(Rsv::RSV1);
pub const RSV2: RsvClaim = RsvClaim::FirstFrame(Rsv::RSV2);
pub const RSV3_EVERY: RsvClaim = RsvClaim::EveryFrame(Rsv::RSV3);

/// An extension and its scope, which its factory would say.
pub type Scoped = (Scope, Box<dyn Extension>);

/// Extensions in the order of the response header.
pub fn stack(extensions: Vec<Scoped>) -> Extensions {
    let mut stack = Extensions::none();
    for (i, (scope, extension)) in extensions.into_iter().enumerate() {
        stack.push(&named(&format!("x-{i}"), scope), extension).unwrap();
    }
    stack
}

/// The name and scope of an extension that nobody negotiated.
pub fn named(name: &str, scope: Scope) -> impl ExtensionFactory {
    FixedFactory::new(name, scope, || -> Box<dyn Extension> { unreachable!("it names alone") })
}

/// A stack of one.
pub fn only(name: &str, scope: Scope, extension: impl Extension + 'static) -> Extensions {
    let mut stack = Extensions::none();
    stack.push(&named(name, scope), Box::new(extension)).unwrap();
    stack
}

pub fn server_of(extensions: Vec<Scoped>) -> Connection {
    server_of_with(Config::default(), extensions)
}

pub fn server_of_with(config: Config, extensions: Vec<Scoped>) -> Connection {
    Connection::new(Role::Server, config, stack(extensions))
}

pub fn client_of_with(config: Config, extensions: Vec<Scoped>) -> Connection {
    Connection::new(Role::client(counting_keys()), config, stack(extensions))
}

/// Passes on what there is room for.
pub fn pass(input: &mut Chunk<'_>, out: &mut Sink<'_>) -> Result<Progress, ExtensionError> {
    out.write_from(input);
    Ok(progress(input))
}

/// [`Progress::Done`] once all input is consumed.
pub fn progress(input: &Chunk<'_>) -> Progress {
    if input.is_empty() { Progress::Done } else { Progress::Full }
}

/// Passes whole messages on, every other byte of them when decoding. No bit.
pub fn thin() -> Stub {
    let transform = |call, input: &mut Chunk<'_>, out: &mut Sink<'_>| {
        if call == Call::Encode {
            return pass(input, out);
        }
        while let (Some(&octet), false) = (input.data().first(), out.is_full()) {
            let _ = out.write(&[octet]);
            input.consume(input.len().min(2));
        }
        Ok(progress(input))
    };
    Stub::new(RsvClaim::None, transform).unmarked()
}

/// Replaces every byte by another.
pub struct Bytewise {
    pub claim: RsvClaim,
    pub scope: Scope,
    pub mark: fn(&MessageInfo) -> Mark,
    pub to_wire: fn(u8) -> u8,
    pub from_wire: fn(u8) -> u8,
    /// Bytes that one call takes.
    pub step: usize,
}

/// Adds one to every byte.
pub fn add_one(claim: RsvClaim, scope: Scope) -> Bytewise {
    Bytewise {
        claim,
        scope,
        mark: unless_never,
        to_wire: |octet| octet.wrapping_add(1),
        from_wire: |octet| octet.wrapping_sub(1),
        step: usize::MAX,
    }
}

/// XORs every byte with 0x55, which does not commute with adding one.
pub fn xor_55(claim: RsvClaim, scope: Scope) -> Bytewise {
    Bytewise {
        to_wire: |octet| octet ^ 0x55,
        from_wire: |octet| octet ^ 0x55,
        ..add_one(claim, scope)
    }
}

/// Changes nothing but the bits.
pub fn marker(claim: RsvClaim, scope: Scope) -> Bytewise {
    Bytewise { to_wire: |octet| octet, from_wire: |octet| octet, ..add_one(claim, scope) }
}

/// Marks all but what is not to be compressed.
pub fn unless_never(unit: &MessageInfo) -> Mark {
    if unit.compression == Compression::Never { Mark::Unmarked } else { Mark::Marked }
}

impl Bytewise {
    pub fn boxed(self) -> Scoped {
        (self.scope, Box::new(self))
    }

    fn run(&self, map: fn(u8) -> u8, input: &mut Chunk<'_>, out: &mut Sink<'_>) -> Progress {
        let n = input.len().min(self.step);
        let mapped: Vec<u8> = input.data()[..n].iter().map(|&octet| map(octet)).collect();
        input.consume(out.write(&mapped));
        progress(input)
    }
}

impl Extension for Bytewise {
    fn claim(&self) -> RsvClaim {
        self.claim
    }

    fn begin_encode(&mut self, unit: &MessageInfo) -> Result<Mark, ExtensionError> {
        Ok((self.mark)(unit))
    }

    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        Ok(self.run(self.to_wire, input, out))
    }

    fn decode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        Ok(self.run(self.from_wire, input, out))
    }
}

/// Sends every byte `times` times over, and a full stop after every message.
pub struct Stutter {
    pub claim: RsvClaim,
    pub times: usize,
    /// Encoding: how often the first byte of the input was written. Decoding: the byte that came
    /// last, and how often.
    written: usize,
    run: Option<(u8, usize)>,
    stopped: bool,
}

impl Stutter {
    pub fn boxed(claim: RsvClaim, times: usize) -> Scoped {
        (Scope::Message, Box::new(Self { claim, times, written: 0, run: None, stopped: false }))
    }
}

impl Extension for Stutter {
    fn claim(&self) -> RsvClaim {
        self.claim
    }

    fn begin_encode(&mut self, unit: &MessageInfo) -> Result<Mark, ExtensionError> {
        Ok(unless_never(unit))
    }

    fn begin_decode(&mut self, _: &MessageInfo) -> Result<(), ExtensionError> {
        self.stopped = false;
        Ok(())
    }

    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        while let Some(&octet) = input.data().first() {
            if out.is_full() {
                return Ok(Progress::Full);
            }
            self.written += out.write(&vec![octet; self.times - self.written]);
            if self.written == self.times {
                self.written = 0;
                input.consume(1);
            }
        }
        if input.is_last() && out.write(b".") == 0 {
            return Ok(Progress::Full);
        }
        Ok(Progress::Done)
    }

    fn decode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        let corrupt = |what| Err(ExtensionError::new(CloseCode::INVALID_PAYLOAD, what));
        while let Some(&octet) = input.data().first() {
            if self.stopped {
                return corrupt("data after the full stop");
            }
            match self.run {
                None if octet == b'.' => self.stopped = true,
                None => self.run = Some((octet, 1)),
                Some((before, _)) if before != octet => return corrupt("it does not stutter"),
                Some((before, n)) => self.run = Some((before, n + 1)),
            }
            if let Some((octet, n)) = self.run
                && n == self.times
            {
                if out.write(&[octet]) == 0 {
                    self.run = Some((octet, n - 1));
                    return Ok(Progress::Full);
                }
                self.run = None;
            }
            input.consume(1);
        }
        if input.is_last() && !self.stopped {
            return corrupt("no full stop");
        }
        Ok(Progress::Done)
    }
}

/// What a [`Spy`] saw.
pub type Log = Arc<Mutex<Vec<String>>>;

/// Claims no bit or some, changes nothing, and writes down what it is shown.
pub struct Spy {
    pub claim: RsvClaim,
    pub log: Log,
}

impl Spy {
    pub fn boxed(claim: RsvClaim, scope: Scope, log: &Log) -> Scoped {
        (scope, Box::new(Self { claim, log: Arc::clone(log) }))
    }

    fn note(&self, what: String) {
        self.log.lock().unwrap().push(what);
    }

    fn pass(&self, verb: &str, input: &mut Chunk<'_>, out: &mut Sink<'_>) -> Progress {
        let end = if input.is_last() { " end" } else { "" };
        let shown = String::from_utf8_lossy(input.data()).into_owned();
        self.note(format!("{verb} {shown:?}{end}"));
        out.write_from(input);
        progress(input)
    }
}

impl Extension for Spy {
    fn claim(&self) -> RsvClaim {
        self.claim
    }

    fn begin_encode(&mut self, unit: &MessageInfo) -> Result<Mark, ExtensionError> {
        let MessageInfo { kind, len, compression, .. } = unit;
        self.note(format!("send {kind:?} {len:?} {compression:?}"));
        Ok(unless_never(unit))
    }

    fn begin_decode(&mut self, unit: &MessageInfo) -> Result<(), ExtensionError> {
        self.note(format!("receive {:?} {:?}", unit.kind, unit.len));
        Ok(())
    }

    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        Ok(self.pass("encode", input, out))
    }

    fn decode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        Ok(self.pass("decode", input, out))
    }

    fn park(&mut self) {
        self.note("park".into());
    }
}
