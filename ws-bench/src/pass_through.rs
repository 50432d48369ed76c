//! An extension that changes nothing: what the way through a stack costs by itself.

use ws_core::{
    Extension,
    extension::{Chunk, ExtensionError, Mark, MessageInfo, Progress, RsvClaim, Sink},
};

/// Hands every message on as it is. Claims no bit, so it is shown all of them.
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
