//! What other nodes say.

use std::{collections::HashSet, sync::Arc};

use tokio::time::Instant;

use super::State;
use crate::{
    heartbeat::Heard,
    presence::{
        protocol::{self, Body, Delta, Digest, Envelope, List, Question},
        table::Seen,
    },
};

impl State {
    /// A message came; with its topic, if it is for those who follow one.
    pub(crate) fn receive(&mut self, envelope: Envelope, topic: Option<&str>, now: Instant) {
        let Envelope { from, node, body } = envelope;
        if from == self.settings.incarnation {
            if body == Body::Heartbeat && self.nodes.hear_self(now) {
                self.announce(now);
            }
            return;
        }
        if body == Body::Goodbye {
            if self.nodes.goodbye(from) {
                self.lost(from);
            }
            return self.finish_loading(now);
        }
        match self.nodes.hear(from, node.as_deref(), now) {
            Heard::Ignored => return,
            Heard::New => {
                self.undigested.insert(from, 0);
                self.send(from, Body::Hello);
            }
            Heard::Known if body == Body::Heartbeat && self.undigested.contains_key(&from) => {
                self.send(from, Body::Hello);
            }
            Heard::Known => {}
        }
        match body {
            Body::Heartbeat | Body::Goodbye => {}
            Body::Hello => {
                self.tell(now);
                for digest in self.local.digests(self.piece()) {
                    self.send(from, Body::Digest(digest));
                }
            }
            Body::Digest(digest) => self.digest(from, &digest, now),
            Body::Delta(delta) => {
                if let Some(topic) = topic {
                    self.delta(from, topic, delta, now);
                }
            }
            Body::Ask(questions) => self.answer(from, &questions, now),
            Body::Lists(lists) => lists.into_iter().for_each(|list| self.list(from, list, now)),
        }
        self.finish_loading(now);
    }

    fn delta(&mut self, from: u64, topic: &str, delta: Delta, now: Instant) {
        let Some(followed) = self.topics.get_mut(topic) else { return };
        let seen = followed.table.delta(from, delta, self.settings.max_members, now);
        self.changed(from, topic, seen, true);
    }

    fn list(&mut self, from: u64, list: List, now: Instant) {
        let topic = Arc::clone(&list.topic);
        let Some(followed) = self.topics.get_mut(&topic) else { return };
        let is_news = followed.loaded;
        let seen = followed.table.list(from, list, self.settings.max_members, now);
        self.changed(from, &topic, seen, is_news);
    }

    fn digest(&mut self, from: u64, digest: &Digest, now: Instant) {
        if let Some(low) = self.undigested.get_mut(&from)
            && (digest.low == *low || digest.low == 0)
        {
            *low = digest.high.wrapping_add(1);
            if *low == 0 {
                self.undigested.remove(&from);
            }
        }
        let mut changed = Vec::new();
        for (topic, followed) in &mut self.topics {
            if !(digest.low..=digest.high).contains(&followed.hash) {
                continue;
            }
            let hash = followed.hash;
            let first = digest.topics.partition_point(|summary| summary.0 < hash);
            let same = digest.topics.iter().skip(first).take_while(|summary| summary.0 == hash);
            // Of topics that have one hash, the one that fits; else the newest, which is asked for.
            let version = followed.table.version(from);
            let newest =
                same.map(|summary| summary.1).max_by_key(|newest| (*newest == version, *newest));
            let limit = self.settings.max_members;
            let seen = followed.table.digest(from, digest.at, newest, limit, now);
            changed.push((Arc::clone(topic), seen, followed.loaded));
        }
        for (topic, seen, is_news) in changed {
            self.changed(from, &topic, seen, is_news);
        }
    }

    fn answer(&mut self, to: u64, questions: &[Question], now: Instant) {
        self.tell(now);
        let piece = self.piece();
        // Once each, however often it is asked: the answer is far larger than the question.
        let mut asked = HashSet::new();
        let answers = questions
            .iter()
            .filter(|Question(topic, _)| asked.insert(topic))
            .flat_map(|Question(topic, have)| self.local.lists(topic, *have, piece));
        let answers = protocol::pieces(answers.collect::<Vec<_>>(), protocol::room(piece, ""));
        for lists in answers {
            self.send(to, Body::Lists(lists));
        }
    }

    /// Nodes that are gone take their members along.
    pub(super) fn lost(&mut self, node: u64) {
        self.undigested.remove(&node);
        let topics: Vec<_> = self.topics.keys().cloned().collect();
        for topic in topics {
            let Some(followed) = self.topics.get_mut(&topic) else { continue };
            let seen = followed.table.remove(node);
            self.changed(node, &topic, seen, true);
        }
    }

    /// A table may have changed, or be behind.
    fn changed(&mut self, node: u64, topic: &str, seen: Vec<Seen>, is_news: bool) {
        let Some((topic, followed)) = self.topics.get_key_value(topic) else { return };
        let topic = Arc::clone(topic);
        match followed.table.next_ask() {
            Some(ask) => {
                self.next_ask = Some(self.next_ask.map_or(ask, |next| next.min(ask)));
                self.behind.insert(Arc::clone(&topic));
            }
            None => {
                self.behind.remove(&topic);
            }
        }
        if is_news {
            for seen in seen {
                self.saw(&topic, node, seen);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::presence::state::{Output, Settings};

    #[test]
    fn topic_that_is_asked_for_often_is_answered_once() {
        let now = Instant::now();
        let settings = Settings {
            incarnation: 1,
            label: "a".into(),
            heartbeat: Duration::from_secs(2),
            audit: Duration::from_secs(10),
            max_members: 10,
            max_payload: 1 << 20,
            events: false,
            counters: Arc::default(),
        };
        let mut state = State::new(settings, now);
        state.up(1 << 20, now);
        assert!(state.appear("room", 7, "x".repeat(1000).into(), now).is_ok());
        let ask = |times| Envelope {
            from: 2,
            node: None,
            body: Body::Ask(vec![Question("room".into(), 0); times]),
        };
        let mut answered = |envelope| {
            state.take();
            state.receive(envelope, None, now);
            let sent = state.take().into_iter().filter_map(|output| match output {
                Output::ToNode(_, payload) => Some(payload.len()),
                _ => None,
            });
            sent.sum::<usize>()
        };
        // The first message of a node is answered by a greeting too.
        answered(ask(1));
        let once = answered(ask(1));
        assert!(once > 1000, "{once}");
        assert_eq!(answered(ask(10_000)), once);
    }
}
