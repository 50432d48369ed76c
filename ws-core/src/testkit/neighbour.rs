//! Another extension in the stack: flips bits of every octet in the units that it marks.

use crate::extension::{
    Chunk, Extension, ExtensionError, Mark, MessageInfo, Progress, RsvClaim, Sink,
};

pub(super) struct Neighbour {
    claim: RsvClaim,
    /// The number of units so far; every third is left unmarked.
    units: u8,
}

impl Neighbour {
    pub(super) fn new(claim: RsvClaim) -> Self {
        Self { claim, units: 0 }
    }

    fn flip(input: &mut Chunk<'_>, out: &mut Sink<'_>) -> Progress {
        let data = input.data();
        let written = out.fill(data.len(), |room| {
            room.iter_mut().zip(data).for_each(|(to, from)| *to = from ^ 0x55);
            room.len()
        });
        input.consume(written);
        if input.is_empty() { Progress::Done } else { Progress::Full }
    }
}

impl Extension for Neighbour {
    fn claim(&self) -> RsvClaim {
        self.claim
    }

    fn begin_encode(&mut self, _: &MessageInfo) -> Result<Mark, ExtensionError> {
        self.units = (self.units + 1) % 3;
        Ok(if self.units == 0 { Mark::Unmarked } else { Mark::Marked })
    }

    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        Ok(Self::flip(input, out))
    }

    fn decode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        Ok(Self::flip(input, out))
    }
}
