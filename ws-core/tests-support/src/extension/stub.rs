//! An extension made of closures.

use ws_core::{
    Extension,
    extension::{Chunk, ExtensionError, Mark, MessageInfo, Progress, RsvClaim, Scope, Sink},
};

use super::{Scoped, pass};

/// Which method of the extension transforms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Encode,
    Decode,
}

/// Which method of the extension begins a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    Encode,
    Decode,
    Unmarked,
}

type Transform =
    dyn FnMut(Call, &mut Chunk<'_>, &mut Sink<'_>) -> Result<Progress, ExtensionError> + Send;
type Beginning = dyn FnMut(Begin, &MessageInfo) -> Result<Mark, ExtensionError> + Send;

/// Transforms by a closure, and marks what it sends.
pub struct Stub {
    claim: Box<dyn Fn() -> RsvClaim + Send>,
    begin: Box<Beginning>,
    transform: Box<Transform>,
    park: Box<dyn FnMut() + Send>,
    memory: usize,
}

impl Stub {
    /// Transforms by `transform`.
    pub fn new(
        claim: RsvClaim,
        transform: impl FnMut(Call, &mut Chunk<'_>, &mut Sink<'_>) -> Result<Progress, ExtensionError>
        + Send
        + 'static,
    ) -> Self {
        Self {
            claim: Box::new(move || claim),
            begin: Box::new(|_, _| Ok(Mark::Marked)),
            transform: Box::new(transform),
            park: Box::new(|| {}),
            memory: 0,
        }
    }

    /// Passes everything on.
    pub fn passing(claim: RsvClaim) -> Self {
        Self::new(claim, |_, input, out| pass(input, out))
    }

    /// Leaves what it sends unmarked.
    #[must_use]
    pub fn unmarked(self) -> Self {
        self.begins(|_, _| Ok(Mark::Unmarked))
    }

    /// Begins each unit by `begin`, whose mark counts for what is sent.
    #[must_use]
    pub fn begins(
        mut self,
        begin: impl FnMut(Begin, &MessageInfo) -> Result<Mark, ExtensionError> + Send + 'static,
    ) -> Self {
        self.begin = Box::new(begin);
        self
    }

    /// Claims what `claim` says each time.
    #[must_use]
    pub fn claims(mut self, claim: impl Fn() -> RsvClaim + Send + 'static) -> Self {
        self.claim = Box::new(claim);
        self
    }

    /// Calls `park` when it is parked.
    #[must_use]
    pub fn parks(mut self, park: impl FnMut() + Send + 'static) -> Self {
        self.park = Box::new(park);
        self
    }

    /// Says that it holds so much memory.
    #[must_use]
    pub fn memory_usage(mut self, octets: usize) -> Self {
        self.memory = octets;
        self
    }

    pub fn boxed(self, scope: Scope) -> Scoped {
        (scope, Box::new(self))
    }
}

impl Extension for Stub {
    fn claim(&self) -> RsvClaim {
        (self.claim)()
    }

    fn begin_encode(&mut self, unit: &MessageInfo) -> Result<Mark, ExtensionError> {
        (self.begin)(Begin::Encode, unit)
    }

    fn begin_decode(&mut self, unit: &MessageInfo) -> Result<(), ExtensionError> {
        (self.begin)(Begin::Decode, unit).map(drop)
    }

    fn begin_unmarked(&mut self, unit: &MessageInfo) -> Result<(), ExtensionError> {
        (self.begin)(Begin::Unmarked, unit).map(drop)
    }

    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        (self.transform)(Call::Encode, input, out)
    }

    fn decode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        (self.transform)(Call::Decode, input, out)
    }

    fn park(&mut self) {
        (self.park)();
    }

    fn memory_usage(&self) -> usize {
        self.memory
    }
}
