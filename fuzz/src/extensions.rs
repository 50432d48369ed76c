//! Extensions to stand beside permessage-deflate.

use ws_core::{
    CloseCode, Extension, ExtensionFactory,
    extension::{
        Agreed, Chunk, Compression, ExtensionError, Mark, MessageInfo, NegotiationError, Params,
        Progress, Rsv, RsvClaim, Scope, Sink,
    },
};

/// XORs what it marks, which is all but `Compression::Never`; a bit of its own on the first frame.
pub struct Xor {
    bit: Rsv,
    /// Bytes that one call takes at most.
    step: usize,
}

impl Xor {
    pub fn of(bit: Rsv, step: usize) -> Self {
        Self { bit, step }
    }

    pub fn new(step: usize) -> Self {
        Self::of(Rsv::RSV2, step)
    }

    fn run(&self, input: &mut Chunk<'_>, out: &mut Sink<'_>) -> Progress {
        let n = input.len().min(self.step).min(out.room());
        let mapped: Vec<u8> = input.data()[..n].iter().map(|octet| octet ^ 0x55).collect();
        input.consume(out.write(&mapped));
        if input.is_empty() { Progress::Done } else { Progress::Full }
    }
}

impl Extension for Xor {
    fn claim(&self) -> RsvClaim {
        RsvClaim::FirstFrame(self.bit)
    }
    fn begin_encode(&mut self, unit: &MessageInfo) -> Result<Mark, ExtensionError> {
        Ok(if unit.compression == Compression::Never { Mark::Unmarked } else { Mark::Marked })
    }
    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        Ok(self.run(input, out))
    }
    fn decode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        Ok(self.run(input, out))
    }
}

/// Behind every frame the sum of its octets; RSV3 on every frame.
#[derive(Default)]
pub struct Trailer {
    /// The sum of the frame being sent.
    owed: Option<u8>,
    /// Whether the sum of the frame being received was checked.
    begun: bool,
}

impl Extension for Trailer {
    fn claim(&self) -> RsvClaim {
        RsvClaim::EveryFrame(Rsv::RSV3)
    }
    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        assert!(input.is_last(), "a frame comes whole");
        if self.owed.is_none() {
            self.owed =
                Some(input.data().iter().fold(7, |sum: u8, octet| sum.wrapping_add(*octet)));
        }
        out.write_from(input);
        if input.is_empty() && out.write(&[self.owed.unwrap_or(0)]) == 1 {
            self.owed = None;
            return Ok(Progress::Done);
        }
        Ok(Progress::Full)
    }
    fn decode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        assert!(input.is_last(), "a frame comes whole");
        // Stateless: what is left to take tells how far it came, but the sum is checked at the start.
        let data = input.data();
        let Some((&sum, body)) = data.split_last() else {
            return Err(ExtensionError::new(CloseCode::PROTOCOL_ERROR, "no trailer"));
        };
        if !self.begun {
            if body.iter().fold(7, |sum: u8, octet| sum.wrapping_add(*octet)) != sum {
                return Err(ExtensionError::new(CloseCode::INVALID_PAYLOAD, "wrong sum"));
            }
            self.begun = true;
        }
        let n = out.write(body);
        input.consume(n);
        if input.len() == 1 {
            input.consume(1);
            self.begun = false;
            return Ok(Progress::Done);
        }
        Ok(Progress::Full)
    }
    fn begin_decode(&mut self, _: &MessageInfo) -> Result<(), ExtensionError> {
        self.begun = false;
        Ok(())
    }
    fn begin_encode(&mut self, _: &MessageInfo) -> Result<Mark, ExtensionError> {
        self.owed = None;
        Ok(Mark::Marked)
    }
}

/// Reverses a message, which it has to see whole; claims no bit.
#[derive(Default)]
pub struct Reverse {
    rest: [Option<Vec<u8>>; 2],
}

impl Reverse {
    fn run(rest: &mut Option<Vec<u8>>, input: &mut Chunk<'_>, out: &mut Sink<'_>) -> Progress {
        assert!(input.is_last(), "a message comes whole");
        let left = rest.get_or_insert_with(|| {
            let reversed = input.data().iter().rev().copied().collect();
            input.consume(input.len());
            reversed
        });
        left.drain(..out.write(left));
        if left.is_empty() {
            *rest = None;
            Progress::Done
        } else {
            Progress::Full
        }
    }
}

impl Extension for Reverse {
    fn claim(&self) -> RsvClaim {
        RsvClaim::None
    }
    fn begin_encode(&mut self, _: &MessageInfo) -> Result<Mark, ExtensionError> {
        self.rest[0] = None;
        Ok(Mark::Marked)
    }
    fn begin_decode(&mut self, _: &MessageInfo) -> Result<(), ExtensionError> {
        self.rest[1] = None;
        Ok(())
    }
    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        Ok(Self::run(&mut self.rest[0], input, out))
    }
    fn decode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        Ok(Self::run(&mut self.rest[1], input, out))
    }
}

pub struct XorFactory;

impl ExtensionFactory for XorFactory {
    fn name(&self) -> &str {
        "x-xor"
    }
    fn scope(&self) -> Scope {
        Scope::Message
    }
    fn accept(&self, offer: &Params, free: Rsv) -> Result<Agreed, NegotiationError> {
        offer.refuse_any()?;
        if !free.contains(Rsv::RSV2) {
            return Err(NegotiationError::new("RSV2 is taken"));
        }
        Ok(Agreed::new(Params::new(), Box::new(Xor::new(usize::MAX))))
    }
    fn confirm(
        &self,
        response: &Params,
        _: &[Params],
    ) -> Result<Box<dyn Extension>, NegotiationError> {
        response.refuse_any()?;
        Ok(Box::new(Xor::new(usize::MAX)))
    }
}

pub struct TrailerFactory;

impl ExtensionFactory for TrailerFactory {
    fn name(&self) -> &str {
        "x-trailer"
    }
    fn scope(&self) -> Scope {
        Scope::Frame
    }
    fn accept(&self, _: &Params, _: Rsv) -> Result<Agreed, NegotiationError> {
        Ok(Agreed::new(Params::new(), Box::new(Trailer::default())))
    }
    fn confirm(
        &self,
        response: &Params,
        _: &[Params],
    ) -> Result<Box<dyn Extension>, NegotiationError> {
        response.refuse_any()?;
        Ok(Box::new(Trailer::default()))
    }
}

/// What a [`Flawed`] extension does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    Fails,
    /// Says that it wants room, and neither reads nor writes.
    Stuck,
    /// Says that it is done, and leaves the input.
    LeavesInput,
    /// Writes more and more of nothing.
    Endless,
}

/// The call in which it does so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    BeginEncode,
    Encode,
    BeginDecode,
    Decode,
}

/// Changes nothing, until it does something wrong; RSV2 on the first frame, or with frame scope on all.
#[derive(Clone, Debug)]
pub struct Flawed {
    pub flaw: Flaw,
    pub when: When,
    /// Octets that it lets pass before; where it fails to begin, messages.
    pub left: usize,
    pub code: u16,
}

impl Flawed {
    fn begin(&mut self, when: When) -> Result<(), ExtensionError> {
        if when != self.when {
            return Ok(());
        }
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => return Err(self.error()),
        }
        Ok(())
    }

    fn error(&self) -> ExtensionError {
        ExtensionError::new(CloseCode::new(self.code), "as it was told")
    }

    fn pass(
        &mut self,
        when: When,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        if when == self.when {
            if input.len() > self.left {
                match self.flaw {
                    Flaw::Fails => return Err(self.error()),
                    Flaw::Stuck => return Ok(Progress::Full),
                    Flaw::LeavesInput => return Ok(Progress::Done),
                    Flaw::Endless if when == When::Decode => {
                        while out.write(b"more and more of it") > 0 {}
                        return Ok(Progress::Full);
                    }
                    Flaw::Endless => return Err(self.error()),
                }
            }
            let before = input.len();
            out.write_from(input);
            self.left -= before - input.len();
        } else {
            out.write_from(input);
        }
        Ok(if input.is_empty() { Progress::Done } else { Progress::Full })
    }
}

impl Extension for Flawed {
    fn claim(&self) -> RsvClaim {
        RsvClaim::FirstFrame(Rsv::RSV2)
    }
    fn begin_encode(&mut self, _: &MessageInfo) -> Result<Mark, ExtensionError> {
        self.begin(When::BeginEncode).map(|()| Mark::Marked)
    }
    fn begin_decode(&mut self, _: &MessageInfo) -> Result<(), ExtensionError> {
        self.begin(When::BeginDecode)
    }
    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        self.pass(When::Encode, input, out)
    }
    fn decode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        self.pass(When::Decode, input, out)
    }
}
