//! Units turned around.

use ws_core::{
    CloseCode, Extension,
    extension::{Chunk, ExtensionError, Mark, MessageInfo, Progress, RsvClaim, Scope, Sink},
};

use super::{RSV3_EVERY, Scoped, unless_never};

/// Reverses a unit, of which it has to see the whole.
pub struct Reverse {
    claim: RsvClaim,
    /// Whether a checksum follows.
    checked: bool,
    /// What is still to be written of the unit in progress, in each direction.
    rest: [Option<Vec<u8>>; 2],
}

impl Reverse {
    pub fn boxed(claim: RsvClaim, scope: Scope) -> Scoped {
        (scope, Box::new(Self::new(claim)))
    }

    /// For whole messages; no bit.
    pub fn messages() -> Self {
        Self::new(RsvClaim::None)
    }

    /// For frames, with a checksum at the end; RSV3 on every marked frame.
    pub fn frames() -> Self {
        Self { checked: true, ..Self::new(RSV3_EVERY) }
    }

    fn new(claim: RsvClaim) -> Self {
        Self { claim, checked: false, rest: [None, None] }
    }
}

/// Goes on with the unit in progress, or begins one with what `make` makes of its data.
fn run(
    rest: &mut Option<Vec<u8>>,
    input: &mut Chunk<'_>,
    out: &mut Sink<'_>,
    make: impl FnOnce(&[u8]) -> Result<Vec<u8>, ExtensionError>,
) -> Result<Progress, ExtensionError> {
    if !input.is_last() {
        return Err(ExtensionError::new(CloseCode::INTERNAL_ERROR, "shown a part of a unit"));
    }
    let mut left = match rest.take() {
        Some(left) => left,
        None => {
            let made = make(input.data())?;
            input.consume(input.len());
            made
        }
    };
    left.drain(..out.write(&left));
    if left.is_empty() {
        Ok(Progress::Done)
    } else {
        *rest = Some(left);
        Ok(Progress::Full)
    }
}

fn reversed(data: &[u8]) -> Vec<u8> {
    data.iter().rev().copied().collect()
}

fn checksum(data: &[u8]) -> u8 {
    data.iter().fold(0x5a, |sum: u8, octet| sum.rotate_left(1) ^ octet)
}

impl Extension for Reverse {
    fn claim(&self) -> RsvClaim {
        self.claim
    }

    fn begin_encode(&mut self, unit: &MessageInfo) -> Result<Mark, ExtensionError> {
        Ok(unless_never(unit))
    }

    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        let checked = self.checked;
        run(&mut self.rest[0], input, out, |data| {
            let mut made = reversed(data);
            if checked {
                made.push(checksum(&made));
            }
            Ok(made)
        })
    }

    fn decode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        let checked = self.checked;
        run(&mut self.rest[1], input, out, |data| match data.split_last() {
            _ if !checked => Ok(reversed(data)),
            Some((sum, data)) if *sum == checksum(data) => Ok(reversed(data)),
            _ => Err(ExtensionError::new(CloseCode::INVALID_PAYLOAD, "wrong checksum")),
        })
    }
}
