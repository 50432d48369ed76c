//! The encoded forms of a broadcast, each of which is made once.

use alloc::{boxed::Box, vec::Vec};
use core::mem;
use std::sync::{Mutex, OnceLock, PoisonError};

use bytes::Bytes;

use crate::{
    Payload, WORK_PER_CALL,
    extension::{
        Called, Chunk, Mark, Progress, RsvClaim, Scope, SharedEncoder, SharedKey, Sharing, Sink,
    },
    frame::FrameHeader,
    message_head::MessageHead,
};

/// How many are kept. Only an extension whose keys differ by connection would need more.
const MOST: usize = 16;

/// The forms of a message. The list only grows, so it is read without a lock.
#[derive(Default)]
pub(crate) struct Forms {
    first: OnceLock<Box<Form>>,
}

/// What one extension makes of the message, or of another form of it.
pub(crate) struct Form {
    name: Name,
    /// Its place in the list, counted from one.
    number: usize,
    outcome: OnceLock<Outcome>,
    making: Mutex<Making>,
    next: OnceLock<Box<Form>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Name {
    /// The number of the form that entered the extension; zero is the message.
    of: usize,
    key: SharedKey,
    claim: RsvClaim,
}

pub(crate) enum Outcome {
    Encoded(Encoded),
    /// Not worth encoding: what entered continues unchanged.
    Plain,
    /// Every connection encodes on its own.
    Own,
}

/// Octets that all connections send.
pub(crate) struct Encoded {
    /// What entered the extension.
    pub(crate) input: Payload,
    /// A whole frame, sent as it is if no extension follows.
    pub(crate) frame: Bytes,
    pub(crate) header: FrameHeader,
    pub(crate) head: MessageHead,
}

enum Making {
    NotBegun,
    Begun(Job),
    /// It is complete, or never will be: its maker panicked.
    Over,
}

/// The work on a form that is not complete.
pub(crate) struct Job {
    encoder: Box<dyn SharedEncoder>,
    claim: RsvClaim,
    scope: Scope,
    head: MessageHead,
    input: Payload,
    taken: usize,
    /// Room for a header, then the output so far.
    out: Vec<u8>,
}

impl Forms {
    /// The form that an extension makes of the form `of`, complete or not. `None`: there are too many.
    pub(crate) fn get(&self, of: usize, key: SharedKey, claim: RsvClaim) -> Option<&Form> {
        let name = Name { of, key, claim };
        let mut place = &self.first;
        for number in 1..=MOST {
            let form = place.get_or_init(|| Box::new(Form::new(name, number)));
            if form.name == name {
                return Some(form);
            }
            place = &form.next;
        }
        None
    }
}

impl Form {
    fn new(name: Name, number: usize) -> Self {
        Self {
            name,
            number,
            outcome: OnceLock::new(),
            making: Mutex::new(Making::NotBegun),
            next: OnceLock::new(),
        }
    }

    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// The outcome. Works on it as far as `work` allows; `None` if that is not enough.
    #[inline]
    pub(crate) fn outcome(
        &self,
        work: &mut usize,
        begin: impl FnOnce() -> Option<Job>,
    ) -> Option<&Outcome> {
        match self.outcome.get() {
            None => self.make(work, begin),
            outcome => outcome,
        }
    }

    #[cold]
    fn make(&self, work: &mut usize, begin: impl FnOnce() -> Option<Job>) -> Option<&Outcome> {
        let mut making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if self.outcome.get().is_none() {
            // A panic leaves it over.
            let job = match mem::replace(&mut *making, Making::Over) {
                Making::NotBegun => begin(),
                Making::Begun(job) => Some(job),
                Making::Over => None,
            };
            let made = match job {
                None => Outcome::Own,
                Some(mut job) => match job.work(work) {
                    Some(made) => made,
                    None => {
                        *making = Making::Begun(job);
                        return None;
                    }
                },
            };
            return Some(self.outcome.get_or_init(|| made));
        }
        self.outcome.get()
    }
}

impl Job {
    /// Begins the form that an extension of this claim and scope makes of `input`.
    pub(crate) fn new(
        sharing: &dyn Sharing,
        (claim, scope): (RsvClaim, Scope),
        head: MessageHead,
        input: Payload,
    ) -> Option<Self> {
        let encoder = sharing.encoder(&head.info(input.len()))?;
        Some(Self {
            encoder,
            claim,
            scope,
            head,
            input,
            taken: 0,
            out: [0; FrameHeader::MAX_UNMASKED].into(),
        })
    }

    /// Works as far as `work` allows.
    fn work(&mut self, work: &mut usize) -> Option<Outcome> {
        while *work > 0 {
            let data = self.input.get(self.taken..).unwrap_or_default();
            let (data, last) = self.scope.cut(data, true, *work);
            let room = (*work, self.out.len().saturating_add(*work));
            let encode =
                |chunk: &mut Chunk<'_>, out: &mut Sink<'_>| self.encoder.encode(chunk, out);
            let Ok(called) = Called::call(data, last, &mut self.out, room, encode) else {
                return Some(Outcome::Own);
            };
            if self.out.len() / 2 > self.input.len() + WORK_PER_CALL {
                return Some(Outcome::Own);
            }
            self.taken += called.taken;
            *work = work.saturating_sub(called.work());
            if last && called.progress == Progress::Done {
                return Some(self.finish());
            }
        }
        None
    }

    fn finish(&mut self) -> Outcome {
        match self.encoder.mark() {
            Mark::Marked => {}
            Mark::Unmarked if self.claim == RsvClaim::None => return Outcome::Own,
            Mark::Unmarked => return Outcome::Plain,
        }
        self.head.mark(self.claim);
        let len = self.out.len() - FrameHeader::MAX_UNMASKED;
        let header = self.head.header(len);
        let (head, head_len) = FrameHeader::octets(header.first_octet(), false, len as u64);
        let start = FrameHeader::MAX_UNMASKED - head_len;
        for (room, octet) in self.out.iter_mut().skip(start).zip(head).take(head_len) {
            *room = octet;
        }
        let mut frame = mem::take(&mut self.out);
        frame.shrink_to_fit();
        let frame = Bytes::from(frame).slice(start..);
        Outcome::Encoded(Encoded {
            input: mem::take(&mut self.input),
            frame,
            header,
            head: self.head,
        })
    }
}

impl Encoded {
    /// The output, without the header.
    pub(crate) fn payload(&self) -> Payload {
        self.frame.slice(self.header.encoded_len()..).into()
    }

    pub(crate) fn len(&self) -> usize {
        self.frame.len() - self.header.encoded_len()
    }
}
