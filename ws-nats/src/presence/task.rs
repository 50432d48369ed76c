//! What the state of presence wants, over NATS.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use async_nats::{Message, Subscriber, connection::State as Connection};
use bytes::Bytes;
use futures_util::{
    FutureExt, Stream, StreamExt,
    stream::{AbortHandle, SelectAll, abortable},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tracing::warn;

use super::{protocol::Envelope, roster::Roster, state::Output};
use crate::log_limiter::LogLimiter;

/// Time between two looks at the connection.
const LOOK: Duration = Duration::from_millis(250);
/// Time for NATS to take a message. Beyond it the connection counts as away.
const TAKE: Duration = Duration::from_secs(1);
/// Messages that are looked at before something is sent.
const BATCH: usize = 256;

type Messages = Pin<Box<dyn Stream<Item = Message> + Send>>;

/// The connection, as presence uses it.
struct Line {
    roster: Arc<Roster>,
    nats: async_nats::Client,
    messages: SelectAll<Messages>,
    followed: HashMap<Arc<str>, AbortHandle>,
    /// How often it was connected when the state was told.
    connects: Option<u64>,
    /// It took nothing in time: it is not tried again before this.
    stuck_until: Option<Instant>,
    log: LogLimiter,
}

/// Runs until the end is wanted, then says goodbye.
pub(super) async fn run(
    roster: Arc<Roster>,
    nats: async_nats::Client,
    incarnation: u64,
    mut end: watch::Receiver<bool>,
) {
    let mut line = Line {
        roster: Arc::clone(&roster),
        nats,
        messages: SelectAll::new(),
        followed: HashMap::new(),
        connects: None,
        stuck_until: None,
        log: LogLimiter::default(),
    };
    for subject in [roster.subjects.nodes(), roster.subjects.mailbox(incarnation)] {
        // It fails for a subject that is none, or once the client has ended.
        if let Ok(subscriber) = line.nats.subscribe(subject).await {
            line.messages.push(subscriber.boxed());
        }
    }
    let mut swept = Instant::now();
    loop {
        let now = Instant::now();
        line.look_at_connection(now);
        roster.look_at_interest(now);
        if now - swept >= Duration::from_secs(10) {
            swept = now;
            roster.sweep(now);
        }
        let deadline = {
            let mut state = roster.state();
            if state.deadline(now) <= now {
                state.tick(now);
            }
            state.deadline(now)
        };
        line.send().await;
        roster.progressed();
        tokio::select! {
            biased;
            _ = end.wait_for(|end| *end) => break,
            Some(message) = line.messages.next() => line.receive(message),
            () = roster.wake.notified() => {}
            () = sleep(deadline.saturating_duration_since(now).min(LOOK)) => {}
        }
    }
    roster.state().goodbye();
    line.send().await;
    // Not a round trip: it only hands over what was queued.
    timeout(TAKE, line.nats.flush()).await.ok();
}

impl Line {
    /// Tells the state when NATS went away or came back.
    fn look_at_connection(&mut self, now: Instant) {
        let is_stuck = self.stuck_until.is_some_and(|until| now < until);
        if is_stuck || self.nats.connection_state() != Connection::Connected {
            if self.connects.take().is_some() {
                self.roster.state().away();
            }
            return;
        }
        let connects = Some(self.nats.statistics().connects.load(Relaxed));
        if self.connects != connects {
            self.connects = connects;
            self.roster.state().up(self.nats.max_payload(), now);
        }
    }

    /// Takes a message, and those that are there already.
    fn receive(&mut self, first: Message) {
        let mut next = Some(first);
        for _ in 0..BATCH {
            let Some(message) = next else { return };
            self.read(&message);
            next = self.messages.next().now_or_never().flatten();
        }
        if let Some(message) = next {
            self.read(&message);
        }
    }

    fn read(&mut self, message: &Message) {
        let Some(envelope) = Envelope::decode(&message.payload) else {
            self.roster.counters.damaged.add(1);
            if let Some(left_out) = self.log.admit() {
                warn!(subject = %message.subject.escape_debug(), left_out, "a message about presence cannot be read: it is ignored");
            }
            return;
        };
        let topic = self.roster.subjects.presence_topic(&message.subject);
        let mut state = self.roster.state();
        if envelope.from != state.incarnation() {
            self.roster.counters.presence_bytes_received.add(message.payload.len() as u64);
        }
        state.receive(envelope, topic.as_deref(), Instant::now());
    }

    /// Does what the state wants.
    async fn send(&mut self) {
        loop {
            let outputs = self.roster.state().take();
            if outputs.is_empty() {
                return;
            }
            for output in outputs {
                let subjects = &self.roster.subjects;
                match output {
                    Output::Follow(topic) => self.follow(topic).await,
                    Output::Unfollow(topic) => {
                        if let Some(followed) = self.followed.remove(&topic) {
                            followed.abort();
                        }
                    }
                    Output::Event(topic, event) => self.roster.tell(&topic, &event).await,
                    Output::ToAll(payload) => self.publish(subjects.nodes(), payload).await,
                    Output::ToFollowers(topic, payload) => {
                        self.publish(subjects.presence(&topic), payload).await;
                    }
                    Output::ToNode(node, payload) => {
                        self.publish(subjects.mailbox(node), payload).await;
                    }
                }
            }
        }
    }

    async fn follow(&mut self, topic: Arc<str>) {
        let subject = self.roster.subjects.presence(&topic);
        let subscribed = timeout(TAKE, self.nats.subscribe(subject)).await;
        let subscriber: Subscriber = match subscribed {
            Ok(Ok(subscriber)) => subscriber,
            // What is missed is asked for, as after any loss, once the topic is followed again.
            _ => return,
        };
        let (messages, handle) = abortable(subscriber);
        self.messages.push(messages.boxed());
        self.followed.insert(topic, handle);
    }

    async fn publish(&mut self, subject: String, payload: Bytes) {
        if self.connects.is_none() {
            return;
        }
        let size = payload.len() as u64;
        match timeout(TAKE, self.nats.publish(subject, payload)).await {
            Ok(Ok(())) => self.roster.counters.presence_bytes_sent.add(size),
            Ok(Err(_)) => {}
            Err(_) => {
                self.connects = None;
                self.stuck_until = Some(Instant::now() + TAKE);
                self.roster.state().away();
            }
        }
    }
}
