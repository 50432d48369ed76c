//! An extension that changes nothing, to measure the cost of the stack itself.

use ws_core::{
    Extension,
    extension::{Chunk, ExtensionError, Mark, MessageInfo, Progress, RsvClaim, Sink},
};

/// Passes every message on unchanged. Claims no bit, so it sees all of them.
#[derive(Debug)]
pub struct PassThrough;

impl PassThrough {
    fn pass(input: &mut Chunk<'_>, out: &mut Sink<'_>) -> Progress {
        out.write_from(input);
        if input.is_empty() { Progress::Done } else { Progress::Full }
    }
}

impl Extension for PassThrough {
    fn claim(&self) -> RsvClaim {
        RsvClaim::None
    }

    fn begin_encode(&mut self, _: &MessageInfo) -> Result<Mark, ExtensionError> {
        Ok(Mark::Unmarked)
    }

    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        Ok(Self::pass(input, out))
    }

    fn decode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        Ok(Self::pass(input, out))
    }
}
