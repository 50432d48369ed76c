//! What one node knows of one stored topic, without any I/O: which live message comes next, what has
//! to be read from the stream first, and what is lost.
//!
//! The live messages are a hint, since the stream republishes each at most once and anybody with the
//! right to publish can forge them. What counts is the stream. So a live message is delivered where it
//! follows on what was delivered, by its own account; whatever contradicts that is dropped, and the
//! stream is asked.

mod audited;
mod terms;
mod view;

#[cfg(test)]
mod model;

use std::{collections::VecDeque, mem, time::Instant};

pub(crate) use self::{
    terms::{Batch, Entry, Live, Newest, Place, Seen, Step, Want},
    view::View,
};

/// Sequences of delivered messages that are remembered until the stream has confirmed them.
const REMEMBERED: usize = 1024;

#[derive(Debug)]
pub(crate) struct Track<M> {
    started: bool,
    /// The last message that was delivered, or where the track began.
    position: Place,
    /// Whether there is a message of this topic at `position`.
    is_message: bool,
    /// By the stream itself, nothing is missing up to here. May lie after `position`: then the topic has
    /// no message between the two.
    verified: Place,
    /// Whatever came before this time and after `verified` is not in the topic.
    verified_at: Instant,
    /// What was delivered after `verified`.
    unverified: VecDeque<Place>,
    /// The position went back to the beginning, and what the stream took up to this time was delivered.
    known_to: u64,
    /// Some were delivered up to here, though the position went back.
    doubted_to: u64,
    /// A message came that contradicts these.
    is_doubted: bool,
    /// Live messages that wait for a refill, in the order in which they came.
    waiting: VecDeque<Live<M>>,
    waiting_bytes: usize,
    max_waiting: usize,
    /// The stream is read up to here; 0 if it need not be.
    target: u64,
    /// What the stream loses messages by.
    view: Option<View>,
}

/// Whether a live message can be delivered.
enum Verdict {
    Next,
    /// The stream has to be read up to this sequence first.
    Missing(u64),
    Contradiction,
}

impl<M> Track<M> {
    /// A track whose beginning is not known yet: after `floor`, which the stream has by now. Live
    /// messages wait, up to so many octets.
    pub(crate) fn new(max_waiting: usize, floor: u64, now: Instant) -> Self {
        Self {
            started: false,
            position: Place { sequence: floor, time: 0 },
            is_message: false,
            verified: Place::default(),
            verified_at: now,
            unverified: VecDeque::new(),
            known_to: 0,
            doubted_to: 0,
            is_doubted: false,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            max_waiting,
            target: 0,
            view: None,
        }
    }

    pub(crate) fn is_started(&self) -> bool {
        self.started
    }

    /// The topic's messages up to here were delivered, or told to be lost.
    pub(crate) fn place(&self) -> Place {
        if self.verified.sequence > self.position.sequence { self.verified } else { self.position }
    }

    /// The sequence after which the stream is asked for a newer message.
    pub(crate) fn verified(&self) -> u64 {
        self.verified.sequence
    }

    /// The last message that was delivered, or where the track began.
    pub(crate) fn position(&self) -> u64 {
        self.position.sequence
    }

    /// Octets of live messages that wait.
    #[cfg(test)]
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Whether the stream has to be asked for the newest message.
    pub(crate) fn is_doubted(&self) -> bool {
        self.is_doubted
    }

    /// What has to be read from the stream before anything else is delivered.
    pub(crate) fn wants(&self) -> Option<Want> {
        let is_behind = self.started && self.target > self.place().sequence;
        is_behind.then_some(Want { after: self.position.sequence, target: self.target })
    }

    /// Begins. `view` is the stream as its leader saw it once live messages came; `own` are the least
    /// and the greatest sequence of what this process published to the topic since somebody subscribed.
    ///
    /// Promise 6: live from here on. What this process published since is not missed, though
    /// the stream may have taken it before it knew of the interest.
    pub(crate) fn start(&mut self, view: View, own: Option<(u64, u64)>, out: &mut Vec<Step<M>>) {
        let seen = Place { sequence: view.last, time: view.time };
        let waiting = self.waiting.iter().map(|live| live.entry.place.sequence);
        // A forged one cannot bring back what is older than the interest.
        let waiting = waiting.filter(|&sequence| sequence > self.position.sequence);
        let first = waiting.chain(own.map(|(least, _)| least)).min().unwrap_or(u64::MAX);
        let begin = seen.sequence.min(first.saturating_sub(1));
        self.position = Place { sequence: begin, time: seen.time };
        self.is_message = false;
        self.verified = self.position;
        self.verified_at = view.asked;
        self.view = Some(view);
        self.started = true;
        // What waits need not be read.
        let own = own.filter(|&(least, _)| least <= seen.sequence);
        self.target = self.target.max(own.map_or(0, |(_, greatest)| greatest));
        self.drain(view.got, out);
    }

    /// Begins anew in a stream that was made anew, at the time `created`: everything in it is new, but
    /// what came from it before that was known.
    pub(crate) fn restart(&mut self, view: View, created: u64) {
        let known = mem::take(&mut self.unverified).into_iter();
        let known: VecDeque<_> = known.filter(|place| place.time >= created).collect();
        // Not as many as are remembered: older ones would pass for delivered.
        let skipped = known.len().saturating_sub(REMEMBERED / 2);
        self.begin_anew(view);
        self.unverified = known.into_iter().skip(skipped).collect();
    }

    /// Begins anew in a stream that lost its last messages, as a server does that lost its power: other
    /// messages have their sequences by now. What was delivered is known by its time.
    pub(crate) fn went_back(&mut self, view: View) {
        let known_to = self.position.time.max(self.verified.time);
        self.begin_anew(view);
        self.known_to = known_to;
    }

    fn begin_anew(&mut self, view: View) {
        let anew = Self::new(self.max_waiting, 0, view.asked);
        *self = Self { started: true, view: Some(view), target: view.last, ..anew };
    }

    /// Whether messages after its place were delivered: it went back, and reads them again.
    pub(crate) fn is_going_back(&self) -> bool {
        self.wants().is_some() && self.doubted_to > self.position.sequence
    }

    /// A republished message came. `horizon`: the stream cannot have a greater sequence by now.
    pub(crate) fn live(
        &mut self,
        live: Live<M>,
        horizon: u64,
        now: Instant,
        out: &mut Vec<Step<M>>,
    ) -> Seen {
        let sequence = live.entry.place.sequence;
        if sequence > horizon || live.last >= sequence {
            return Seen::Suspect;
        }
        if !self.started {
            self.wait(live);
            return Seen::Taken;
        }
        if sequence <= self.place().sequence {
            return self.again(live.entry.place);
        }
        if sequence <= self.doubted_to && self.was_delivered(live.entry.place) {
            return Seen::Duplicate;
        }
        if self.target > 0 || !self.waiting.is_empty() {
            self.wait(live);
            return Seen::Taken;
        }
        match self.verdict(&live, now) {
            Verdict::Next => self.deliver(live.entry, out),
            Verdict::Missing(target) => {
                self.target = target;
                self.wait(live);
            }
            Verdict::Contradiction => {
                self.is_doubted = true;
                return Seen::Suspect;
            }
        }
        Seen::Taken
    }

    /// A message that should have been delivered before.
    fn again(&mut self, place: Place) -> Seen {
        let delivered = if place.sequence <= self.verified.sequence {
            // A stream that was made anew, or lost its last messages, has small sequences again, and
            // times after all before.
            place.time <= self.verified.time.max(self.position.time)
        } else {
            self.was_delivered(place)
        };
        self.is_doubted |= !delivered;
        if delivered { Seen::Duplicate } else { Seen::Suspect }
    }

    /// Whether a message after `verified` was delivered.
    fn was_delivered(&self, place: Place) -> bool {
        let is_forgotten = self.unverified.len() >= REMEMBERED
            && self.unverified.front().is_some_and(|oldest| place.sequence < oldest.sequence);
        is_forgotten || self.unverified.contains(&place) || place.time <= self.known_to
    }

    fn verdict(&self, live: &Live<M>, now: Instant) -> Verdict {
        let (sequence, last) = (live.entry.place.sequence, live.last);
        let place = self.place().sequence;
        if last > place {
            return Verdict::Missing(last);
        }
        if last == 0 {
            // The stream has none before it any more. One that was never seen here may have gone too.
            let none_between = sequence == place + 1;
            let is_young =
                self.view.is_some_and(|view| view.keeps_since(self.verified_at, now, sequence));
            return if none_between || is_young {
                Verdict::Next
            } else {
                Verdict::Missing(sequence - 1)
            };
        }
        let follows =
            last == self.position.sequence || last < self.position.sequence && !self.is_message;
        if follows { Verdict::Next } else { Verdict::Contradiction }
    }

    fn wait(&mut self, live: Live<M>) {
        let bytes = self.waiting_bytes.saturating_add(live.entry.bytes);
        if bytes > self.max_waiting {
            // The stream has it.
            self.target = self.target.max(live.entry.place.sequence);
            return;
        }
        self.waiting_bytes = bytes;
        self.waiting.push_back(live);
    }

    fn deliver(&mut self, entry: Entry<M>, out: &mut Vec<Step<M>>) {
        self.position = entry.place;
        self.is_message = true;
        if self.unverified.len() == REMEMBERED {
            self.unverified.pop_front();
        }
        self.unverified.push_back(entry.place);
        out.push(Step::Deliver(entry));
    }

    /// Delivers what waits, as far as nothing is missing.
    fn drain(&mut self, now: Instant, out: &mut Vec<Step<M>>) {
        while self.target == 0
            && let Some(live) = self.waiting.pop_front()
        {
            self.waiting_bytes -= live.entry.bytes;
            let sequence = live.entry.place.sequence;
            let is_old = sequence <= self.place().sequence
                || sequence <= self.doubted_to && self.was_delivered(live.entry.place);
            if is_old {
                continue;
            }
            match self.verdict(&live, now) {
                Verdict::Next => self.deliver(live.entry, out),
                Verdict::Missing(target) => {
                    self.target = target;
                    self.waiting_bytes += live.entry.bytes;
                    self.waiting.push_front(live);
                }
                // If it is real, the audit finds it.
                Verdict::Contradiction => self.is_doubted = true,
            }
        }
        if self.target == 0 {
            // What comes now is new, whatever the server's clock does.
            self.known_to = 0;
        }
        if self.target > 0 && self.target <= self.place().sequence {
            self.target = 0;
            self.drain(now, out);
        }
        if self.waiting.is_empty() {
            // A refill is rare, and tracks are many.
            self.waiting = VecDeque::new();
        }
    }

    /// The stream was read. Call until [`wants`](Self::wants) is `None`.
    ///
    /// Promise 4: refilled in order, or told. It is complete only when the message it ends at
    /// was read, or the leader has none.
    pub(crate) fn refilled(&mut self, batch: Batch<M>, now: Instant, out: &mut Vec<Step<M>>) {
        if batch.after != self.position.sequence || !self.started {
            return;
        }
        if let Some(view) = batch.view {
            self.view = Some(view);
        }
        let place = self.place();
        let read = batch.entries.last().map_or(0, |entry| entry.place.sequence);
        let through = batch.through.max(read);
        let count = batch.remaining.saturating_add(batch.entries.len() as u64);
        let knows = batch.leader || read > 0;
        if !batch.kept && knows && self.is_forged(&batch, count) {
            self.doubt();
            return;
        }
        let complete = batch.kept
            || batch.view.is_some_and(|view| view.keeps(place.sequence, self.verified_at, count));
        if !complete && knows {
            let time = batch.view.map_or(0, |view| view.time);
            let none_left = Place { sequence: through + 1, time };
            let to = batch.entries.first().map_or(none_left, |entry| entry.place);
            if to.sequence > place.sequence + 1 {
                // Without the message at the position nothing proves that it was there.
                out.push(Step::Gap(self.verified, to));
            }
        }
        for entry in batch.entries {
            if entry.place.sequence <= self.position.sequence {
                continue;
            }
            if self.was_delivered(entry.place) {
                // Before the position was found to be wrong.
                self.position = entry.place;
                self.is_message = true;
                out.push(Step::Known(entry));
            } else {
                self.deliver(entry, out);
            }
        }
        if through > self.verified.sequence {
            let time = batch.view.map_or(0, |view| view.time).max(self.position.time);
            self.verified = Place { sequence: through, time };
            if batch.leader && batch.remaining == 0 {
                self.verified_at = batch.asked;
            }
            self.unverified.retain(|place| place.sequence > through);
        }
        if batch.remaining > 0 {
            self.target = self.target.max(through + 1);
        } else if through >= self.target {
            self.target = 0;
        } else if batch.leader {
            // No such message: whatever named it was forged. What is real comes by the audit.
            self.target = 0;
            self.waiting.retain(|live| live.entry.place.sequence <= through);
            self.is_doubted = true;
            self.waiting_bytes = self.waiting.iter().map(|live| live.entry.bytes).sum();
        }
        self.drain(now, out);
    }

    /// Whether the message at the position was never in the stream: it was not confirmed, it is not there,
    /// and it cannot be gone.
    fn is_forged(&self, batch: &Batch<M>, count: u64) -> bool {
        self.position.sequence > self.verified.sequence
            && batch.view.is_some_and(|view| {
                let is_gone = view.first > self.position.sequence
                    || view.per_topic.is_some_and(|kept| count >= kept);
                !is_gone
            })
    }

    /// Goes back to where the stream confirmed the track.
    pub(super) fn doubt(&mut self) {
        self.doubted_to = self.doubted_to.max(self.position.sequence);
        self.position = self.verified;
        self.is_message = false;
    }
}
