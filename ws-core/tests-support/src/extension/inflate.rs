//! Much of little, counted.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use ws_core::{
    Extension,
    extension::{Chunk, ExtensionError, Mark, MessageInfo, Progress, RsvClaim, Sink},
};

use super::{RSV1, progress, unless_never};

/// What passed through an extension.
#[derive(Clone, Debug, Default)]
pub struct Counters(Arc<[AtomicUsize; 3]>);

impl Counters {
    pub fn calls(&self) -> usize {
        self.0[0].load(Ordering::Relaxed)
    }

    /// Bytes that were shown to it, again and again if they were not consumed.
    pub fn shown(&self) -> usize {
        self.0[1].load(Ordering::Relaxed)
    }

    pub fn written(&self) -> usize {
        self.0[2].load(Ordering::Relaxed)
    }

    fn count(&self, shown: usize, written: usize) {
        self.0[0].fetch_add(1, Ordering::Relaxed);
        self.0[1].fetch_add(shown, Ordering::Relaxed);
        self.0[2].fetch_add(written, Ordering::Relaxed);
    }
}

/// Makes every incoming byte a number of bytes, and lets outgoing ones pass. Message scope, RSV1.
pub struct Inflate {
    times: usize,
    /// What the byte at the front has still to give.
    left: Option<usize>,
    counters: Counters,
}

impl Inflate {
    pub fn new(times: usize, counters: &Counters) -> Self {
        Self { times, left: None, counters: counters.clone() }
    }
}

impl Extension for Inflate {
    fn claim(&self) -> RsvClaim {
        RSV1
    }

    fn begin_encode(&mut self, unit: &MessageInfo) -> Result<Mark, ExtensionError> {
        Ok(unless_never(unit))
    }

    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        let (shown, room) = (input.len(), out.room());
        out.write_from(input);
        self.counters.count(shown, room - out.room());
        Ok(progress(input))
    }

    fn decode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        let (shown, room) = (input.len(), out.room());
        while let (Some(&octet), false) = (input.data().first(), out.is_full()) {
            let left = self.left.take().unwrap_or(self.times);
            let n = out.fill(left, |bytes| {
                bytes.fill(octet);
                bytes.len()
            });
            if n < left {
                self.left = Some(left - n);
            } else {
                input.consume(1);
            }
        }
        self.counters.count(shown, room - out.room());
        Ok(progress(input))
    }
}
