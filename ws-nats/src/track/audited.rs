use std::mem;

use super::{Newest, Place, Step, Track};

impl<M> Track<M> {
    /// Whether the stream lost its last messages: it has less than this track had when it was asked, or
    /// the topic's newest message has a sequence that the track has passed, and is newer.
    pub(crate) fn is_ahead(&self, newest: &Newest, place: Option<Place>) -> bool {
        let had = newest.position.max(newest.after);
        let passed = self.place();
        let is_newer =
            |place: Place| place.sequence <= self.verified.sequence && place.time > passed.time;
        newest.view.last < had.min(self.verified.sequence) || place.is_some_and(is_newer)
    }

    /// The stream told the topic's newest message.
    pub(crate) fn audited(&mut self, newest: Newest, out: &mut Vec<Step<M>>) {
        let Newest { sequence, through, view, .. } = newest;
        let moved = newest.position != self.position.sequence;
        if !self.started || self.target > 0 {
            return;
        }
        self.view = Some(view);
        let place = self.place();
        if mem::take(&mut self.is_doubted) && self.position.sequence > self.verified.sequence {
            self.doubt();
            self.target = sequence.unwrap_or(0);
            return;
        }
        match sequence {
            Some(sequence) if sequence > place.sequence => self.target = sequence,
            Some(sequence) if sequence == self.position.sequence => self.confirm(newest),
            // Answered before this node got its last message.
            _ if moved => {}
            _ if self.position.sequence > newest.after => {
                // The message at `position` is not there: it was forged, unless it is gone by now, or
                // this server does not have it yet.
                let is_gone = view.first > self.position.sequence;
                // The stream was looked at after the position.
                let has_it =
                    through >= self.position.sequence || view.last < self.position.sequence;
                if is_gone && sequence.is_none() {
                    self.confirm_empty(newest, out);
                } else if has_it {
                    self.doubt();
                    self.target = sequence.unwrap_or(0);
                }
            }
            _ => self.confirm_empty(newest, out),
        }
    }

    /// The topic's last message is where the track is.
    fn confirm(&mut self, newest: Newest) {
        let sequence = newest.through.max(self.place().sequence);
        self.verified = Place { sequence, time: self.position.time.max(newest.view.time) };
        newest.date(&mut self.verified_at);
        self.unverified.clear();
    }

    /// The topic has no message after the place of the track. Unless it lost some in the meantime.
    fn confirm_empty(&mut self, newest: Newest, out: &mut Vec<Step<M>>) {
        let place = self.place();
        if newest.through < place.sequence {
            return;
        }
        let time = newest.view.time;
        if newest.through > place.sequence
            && !newest.view.keeps(place.sequence, self.verified_at, 0)
        {
            out.push(Step::Gap(self.verified, Place { sequence: newest.through + 1, time }));
        }
        // Two leaders of the stream may have two clocks.
        let time = time.max(self.position.time);
        self.verified = Place { sequence: newest.through, time };
        newest.date(&mut self.verified_at);
        self.unverified.clear();
    }
}
