//! An extension made of a closure.

use ws_core::{
    Extension,
    extension::{Chunk, ExtensionError, Mark, MessageInfo, Progress, RsvClaim, Scope, Sink},
};

use super::{Scoped, pass};

/// Which method of the extension was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Encode,
    Decode,
}

type Transform =
    dyn FnMut(Call, &mut Chunk<'_>, &mut Sink<'_>) -> Result<Progress, ExtensionError> + Send;

/// Transforms by a closure, and marks what it sends.
pub struct Stub {
    claim: RsvClaim,
    mark: Mark,
    memory: usize,
    transform: Box<Transform>,
}

impl Stub {
    /// Transforms by `transform`.
    pub fn new(
        claim: RsvClaim,
        transform: impl FnMut(Call, &mut Chunk<'_>, &mut Sink<'_>) -> Result<Progress, ExtensionError>
        + Send
        + 'static,
    ) -> Self {
        Self { claim, mark: Mark::Marked, memory: 0, transform: Box::new(transform) }
    }

    /// Passes everything on.
    pub fn passing(claim: RsvClaim) -> Self {
        Self::new(claim, |_, input, out| pass(input, out))
    }

    /// Leaves what it sends unmarked.
    #[must_use]
    pub fn unmarked(mut self) -> Self {
        self.mark = Mark::Unmarked;
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
        self.claim
    }

    fn begin_encode(&mut self, _: &MessageInfo) -> Result<Mark, ExtensionError> {
        Ok(self.mark)
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

    fn memory_usage(&self) -> usize {
        self.memory
    }
}
