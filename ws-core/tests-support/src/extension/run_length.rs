//! Run lengths.

use std::collections::VecDeque;

use ws_core::{
    CloseCode, Extension,
    extension::{Chunk, ExtensionError, Mark, MessageInfo, Progress, RsvClaim, Sink},
};

use super::{RSV1, unless_never};

/// Runs of equal bytes as a count and the byte, both ways. Message scope, RSV1 on the first frame.
#[derive(Default)]
pub struct RunLength {
    run: Option<(u8, u8)>,
    pending: VecDeque<u8>,
    count: Option<u8>,
    repeat: (u8, u8),
}

impl Extension for RunLength {
    fn claim(&self) -> RsvClaim {
        RSV1
    }

    fn begin_encode(&mut self, unit: &MessageInfo) -> Result<Mark, ExtensionError> {
        Ok(unless_never(unit))
    }

    fn begin_decode(&mut self, _: &MessageInfo) -> Result<(), ExtensionError> {
        self.count = None;
        Ok(())
    }

    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        loop {
            while let Some(&octet) = self.pending.front() {
                if out.write(&[octet]) == 0 {
                    return Ok(Progress::Full);
                }
                self.pending.pop_front();
            }
            let next = input.data().first().copied();
            input.consume(usize::from(next.is_some()));
            self.run = match (self.run, next) {
                (Some((count @ 1..=254, octet)), Some(same)) if same == octet => {
                    Some((count + 1, octet))
                }
                (run, next) => {
                    if next.is_none() && !input.is_last() {
                        self.run = run;
                        return Ok(Progress::Done);
                    }
                    if let Some((count, octet)) = run {
                        self.pending.extend([count, octet]);
                    }
                    next.map(|octet| (1, octet))
                }
            };
            if next.is_none() && self.pending.is_empty() {
                return Ok(Progress::Done);
            }
        }
    }

    fn decode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        loop {
            while self.repeat.0 > 0 {
                if out.write(&[self.repeat.1]) == 0 {
                    return Ok(Progress::Full);
                }
                self.repeat.0 -= 1;
            }
            let Some(&octet) = input.data().first() else {
                return if input.is_last() && self.count.is_some() {
                    Err(ExtensionError::new(CloseCode::INVALID_PAYLOAD, "half a pair"))
                } else {
                    Ok(Progress::Done)
                };
            };
            input.consume(1);
            match self.count.take() {
                None => self.count = Some(octet),
                Some(count) => self.repeat = (count, octet),
            }
        }
    }
}
