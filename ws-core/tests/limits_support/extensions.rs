//! Extensions to test with.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use ws_core::{
    CloseCode, Extension, Extensions,
    extension::{Chunk, ExtensionError, Mark, MessageInfo, Progress, Rsv, RsvClaim, Scope, Sink},
};
pub(crate) use ws_tests_support::extension::named;
use ws_tests_support::extension::{Call, Stub, pass, progress, unless_never};

/// What passed through an extension.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters(Arc<[AtomicUsize; 3]>);

impl Counters {
    pub(crate) fn calls(&self) -> usize {
        self.0[0].load(Ordering::Relaxed)
    }

    /// Bytes that were shown to it, again and again if they were not consumed.
    pub(crate) fn shown(&self) -> usize {
        self.0[1].load(Ordering::Relaxed)
    }

    pub(crate) fn written(&self) -> usize {
        self.0[2].load(Ordering::Relaxed)
    }

    fn count(&self, shown: usize, written: usize) {
        self.0[0].fetch_add(1, Ordering::Relaxed);
        self.0[1].fetch_add(shown, Ordering::Relaxed);
        self.0[2].fetch_add(written, Ordering::Relaxed);
    }
}

/// Makes every incoming byte a number of bytes, and lets outgoing ones pass. Message scope, RSV1.
pub(crate) struct Inflate {
    times: usize,
    /// What the byte at the front has still to give.
    left: Option<usize>,
    counters: Counters,
}

impl Inflate {
    pub(crate) fn new(times: usize, counters: &Counters) -> Self {
        Self { times, left: None, counters: counters.clone() }
    }
}

impl Extension for Inflate {
    fn claim(&self) -> RsvClaim {
        RsvClaim::FirstFrame(Rsv::RSV1)
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

/// Runs of equal bytes as a count and the byte, both ways. Message scope, RSV1 on the first frame.
#[derive(Default)]
pub(crate) struct RunLength {
    run: Option<(u8, u8)>,
    pending: VecDeque<u8>,
    count: Option<u8>,
    repeat: (u8, u8),
}

impl Extension for RunLength {
    fn claim(&self) -> RsvClaim {
        RsvClaim::FirstFrame(Rsv::RSV1)
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

/// Turns whole units around, and adds their checksum if they are frames.
pub(crate) struct Reverse {
    checked: bool,
    claim: RsvClaim,
    encoding: Whole,
    decoding: Whole,
}

/// One direction: the output of the unit in progress.
#[derive(Default)]
struct Whole {
    began: bool,
    pending: VecDeque<u8>,
}

impl Whole {
    fn drain(&mut self, out: &mut Sink<'_>) -> Progress {
        while let Some(&octet) = self.pending.front() {
            if out.write(&[octet]) == 0 {
                return Progress::Full;
            }
            self.pending.pop_front();
        }
        self.began = false;
        Progress::Done
    }
}

impl Reverse {
    /// Whole messages; no bit.
    pub(crate) fn messages() -> Self {
        Self {
            checked: false,
            claim: RsvClaim::None,
            encoding: Whole::default(),
            decoding: Whole::default(),
        }
    }

    /// Frames, with a checksum behind; RSV3 on every marked frame.
    pub(crate) fn frames() -> Self {
        Self { checked: true, claim: RsvClaim::EveryFrame(Rsv::RSV3), ..Self::messages() }
    }
}

fn checksum(data: impl Iterator<Item = u8>) -> u8 {
    data.fold(0x5a, |sum, octet| sum.rotate_left(1) ^ octet)
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
        if !self.encoding.began {
            assert!(input.is_last(), "a whole unit in one chunk");
            self.encoding.began = true;
            self.encoding.pending.extend(input.data().iter().rev());
            if self.checked {
                let sum = checksum(self.encoding.pending.iter().copied());
                self.encoding.pending.push_back(sum);
            }
            input.consume(input.len());
        }
        Ok(self.encoding.drain(out))
    }

    fn decode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        if !self.decoding.began {
            assert!(input.is_last(), "a whole unit in one chunk");
            self.decoding.began = true;
            let mut data = input.data();
            if self.checked {
                match data.split_last() {
                    Some((&sum, rest)) if sum == checksum(rest.iter().copied()) => data = rest,
                    _ => {
                        return Err(ExtensionError::new(
                            CloseCode::INVALID_PAYLOAD,
                            "wrong checksum",
                        ));
                    }
                }
            }
            self.decoding.pending.extend(data.iter().rev());
            input.consume(input.len());
        }
        Ok(self.decoding.drain(out))
    }
}

/// Passes whole messages on, every other byte of them when decoding. No bit.
pub(crate) fn thin() -> Stub {
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

/// A stack of one.
pub(crate) fn only(name: &str, scope: Scope, extension: impl Extension + 'static) -> Extensions {
    let mut stack = Extensions::none();
    stack.push(&named(name, scope), Box::new(extension)).unwrap();
    stack
}
