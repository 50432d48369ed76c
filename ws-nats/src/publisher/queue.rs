use std::{collections::VecDeque, mem, time::Duration};

use async_nats::{Client, connection::State};
use tokio::time::Instant;

use super::{Outcome, Outgoing};

/// Publications that are unacknowledged at a time: fewer than the subscription of the answers takes.
const IN_FLIGHT: usize = 1 << 15;

/// Time between two publications while a stream without a leader takes none.
const RETRY: Duration = Duration::from_millis(250);

/// What waits to be sent and to be acknowledged.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// The connection, while there is one.
    client: Option<Client>,
    /// The oldest waits for long.
    is_stalled: bool,
    /// One was given up, and the stream has acknowledged nothing since: so one is taken at a time.
    is_silent: bool,
    /// The stream takes none; one is tried at this time.
    retry: Option<Instant>,
    pub(super) is_closed: bool,
    pub(super) max_payload: usize,
    /// Octets of all of it.
    pub(super) bytes: usize,
    waiting: VecDeque<(Outgoing, usize)>,
    in_flight: VecDeque<Option<InFlight>>,
    /// The number of the first in flight. It only grows, so that a late answer names nothing.
    first: u64,
    pub(super) unacknowledged: usize,
}

#[derive(Debug)]
struct InFlight {
    outcome: Outcome,
    bytes: usize,
    since: Instant,
}

/// How a publication that is sent is known later.
pub(super) enum Number {
    Stored(u64),
    /// Its octets.
    Ephemeral(usize),
}

impl Queue {
    pub(super) fn is_up(&self) -> bool {
        let is_connected = |client: &Client| client.connection_state() == State::Connected;
        !self.is_shut() && self.client.as_ref().is_some_and(is_connected)
    }

    /// Whether nothing is taken, though there is a connection.
    fn is_shut(&self) -> bool {
        let is_tried = self.is_silent || self.retry.is_some();
        self.is_closed
            || self.is_stalled
            || is_tried && self.bytes > 0
            || self.retry.is_some_and(|retry| Instant::now() < retry)
    }

    pub(super) fn connected(&mut self, client: Client, max_payload: usize) {
        self.max_payload = client.max_payload().min(max_payload);
        self.client = Some(client);
        self.is_stalled = false;
        self.is_silent = false;
        self.retry = None;
    }

    /// The stream has no leader, or no room: NATS answers for it. It is tried again by one at a time.
    pub(super) fn unavailable(&mut self) {
        self.retry = Some(Instant::now() + RETRY);
    }

    pub(super) fn push(&mut self, outgoing: Outgoing, bytes: usize) {
        self.bytes += bytes;
        self.waiting.push_back((outgoing, bytes));
    }

    /// The next to be sent.
    pub(super) fn next(&mut self) -> Option<(Number, Outgoing)> {
        if self.unacknowledged >= IN_FLIGHT {
            return None;
        }
        let (mut outgoing, bytes) = self.waiting.pop_front()?;
        let Some(outcome) = outgoing.outcome.take() else {
            return Some((Number::Ephemeral(bytes), outgoing));
        };
        let number = self.first + self.in_flight.len() as u64;
        self.in_flight.push_back(Some(InFlight { outcome, bytes, since: Instant::now() }));
        self.unacknowledged += 1;
        Some((Number::Stored(number), outgoing))
    }

    /// An answer came.
    pub(super) fn acknowledged(&mut self, number: u64) -> Option<Outcome> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let outcome = self.take(index)?;
        self.is_stalled = false;
        self.is_silent = false;
        self.retry = None;
        self.tidy();
        Some(outcome)
    }

    fn take(&mut self, index: usize) -> Option<Outcome> {
        let InFlight { outcome, bytes, .. } = self.in_flight.get_mut(index)?.take()?;
        self.bytes -= bytes;
        self.unacknowledged -= 1;
        Some(outcome)
    }

    fn tidy(&mut self) {
        while let Some(None) = self.in_flight.front() {
            self.in_flight.pop_front();
            self.first += 1;
        }
    }

    /// Takes those that are older than `most`, and notes whether one is older than `stalled`.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        most: Duration,
        stalled: Duration,
    ) -> Vec<Outcome> {
        let age = |flying: &Option<InFlight>| {
            flying.as_ref().map(|flying| now.saturating_duration_since(flying.since))
        };
        let mut expired = Vec::new();
        while let Some(oldest) = self.in_flight.front().and_then(age)
            && oldest >= most
        {
            expired.extend(self.take(0));
            self.is_silent = true;
            self.tidy();
        }
        // When all that waited for the stream is given up, it is tried again, by one.
        self.is_stalled = self.in_flight.front().and_then(age).is_some_and(|age| age >= stalled);
        expired
    }

    /// The connection is lost. Returns those whose outcome is unknown, in order.
    pub(super) fn reset(&mut self) -> Vec<Outcome> {
        self.client = None;
        self.bytes = 0;
        self.unacknowledged = 0;
        self.first += self.in_flight.len() as u64;
        let in_flight = mem::take(&mut self.in_flight);
        let in_flight = in_flight.into_iter().flatten().map(|flying| flying.outcome);
        // What was never sent is not sent later: by then it is old, and its publisher may have tried again.
        let waiting = mem::take(&mut self.waiting);
        let waiting = waiting.into_iter().filter_map(|(outgoing, _)| outgoing.outcome);
        in_flight.chain(waiting).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn outgoing(outcome: Option<Outcome>) -> Outgoing {
        let (subject, headers) = ("s".to_owned(), async_nats::HeaderMap::new());
        Outgoing { subject, headers, payload: "x".into(), outcome }
    }

    /// Sends one, and returns its number.
    fn send(queue: &mut Queue) -> u64 {
        queue.push(outgoing(Some(Outcome::default())), 10);
        match queue.next() {
            Some((Number::Stored(number), _)) => number,
            _ => panic!("it is sent"),
        }
    }

    #[test]
    fn answers_come_in_any_order_and_once() {
        let mut queue = Queue::default();
        let numbers = [send(&mut queue), send(&mut queue), send(&mut queue)];
        assert_eq!((queue.bytes, queue.unacknowledged), (30, 3));
        for number in [numbers[1], numbers[0], numbers[2]] {
            assert!(queue.acknowledged(number).is_some());
            assert!(queue.acknowledged(number).is_none());
        }
        assert_eq!((queue.bytes, queue.unacknowledged, queue.in_flight.len()), (0, 0, 0));
        assert!(queue.acknowledged(numbers[2] + 1).is_none());
    }

    // Promise 3: unknown, and never sent again.
    #[test]
    fn what_is_given_up_is_not_sent_and_its_late_answer_names_nothing() {
        let mut queue = Queue::default();
        let old = send(&mut queue);
        queue.push(outgoing(Some(Outcome::default())), 10);
        assert_eq!(queue.reset().len(), 2);
        assert!(queue.next().is_none());
        let new = send(&mut queue);
        assert!(new > old);
        assert!(queue.acknowledged(old).is_none());
        assert!(queue.acknowledged(new).is_some());
    }

    // Promise 7: a stream that is silent is tried by one publication at a time.
    #[test]
    fn old_ones_expire_and_the_stream_counts_as_silent() {
        let mut queue = Queue::default();
        send(&mut queue);
        let now = Instant::now();
        assert!(queue.expire(now + SECOND, 5 * SECOND, 2 * SECOND).is_empty());
        assert!(!queue.is_stalled);
        assert!(queue.expire(now + 3 * SECOND, 5 * SECOND, 2 * SECOND).is_empty());
        assert!(queue.is_stalled);
        assert_eq!(queue.expire(now + 6 * SECOND, 5 * SECOND, 2 * SECOND).len(), 1);
        assert!(!queue.is_stalled && queue.is_silent);
        let next = send(&mut queue);
        assert!(queue.acknowledged(next).is_some());
        assert!(!queue.is_silent);
    }

    // Promise 7: what a stream without a leader would not take is refused at once.
    #[tokio::test(start_paused = true)]
    async fn stream_that_takes_none_is_tried_by_one_at_a_time() {
        let mut queue = Queue::default();
        for _ in 0..2 {
            assert!(!queue.is_shut());
            let number = send(&mut queue);
            assert!(queue.acknowledged(number).is_some());
            queue.unavailable();
            assert!(queue.is_shut());
            tokio::time::advance(RETRY).await;
        }
        let number = send(&mut queue);
        assert!(queue.is_shut(), "by one at a time");
        assert!(queue.acknowledged(number).is_some());
        send(&mut queue);
        assert!(!queue.is_shut(), "it takes them again");
    }

    #[test]
    fn no_more_are_in_flight_than_answers_have_room() {
        let mut queue = Queue::default();
        for _ in 0..IN_FLIGHT {
            send(&mut queue);
        }
        queue.push(outgoing(Some(Outcome::default())), 10);
        assert!(queue.next().is_none());
        assert!(queue.acknowledged(0).is_some());
        assert!(queue.next().is_some());
    }

    #[test]
    fn ephemeral_ones_are_not_waited_for() {
        let mut queue = Queue::default();
        queue.push(outgoing(None), 10);
        assert!(matches!(queue.next(), Some((Number::Ephemeral(10), _))));
        assert_eq!(queue.unacknowledged, 0);
    }
}
