//! One stored topic that has subscribers here, or joiners: a task that receives, refills, delivers and
//! serves those who come back.
//!
//! The task alone delivers, so that whoever joins is put in between two messages without a lock.

mod history;
mod mail;
mod work;

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::{Message, Subscriber};
use futures_util::StreamExt;
use tokio::time;
use tracing::{info, warn};
use ws_server::{Clients, Publication};

use self::{
    history::History,
    work::{Outcome, Work},
};
pub(crate) use self::{
    history::Join,
    mail::{Audited, Topic},
};
use crate::{
    Gap, Position,
    inspector::Sight,
    node::{Node, deliver},
    refill::{Raw, header},
    ring::{Recent, Ring},
    stream::Facts,
    time::millis,
    track::{Entry, Live, Newest, Place, Seen, Step, Track},
    wire,
};

/// How long a topic is followed after its last subscriber left: clients that reconnect find it.
const LINGER: Duration = Duration::from_secs(2);
/// Octets of live messages that wait for a refill. Beyond it they are read from the stream.
const MAX_WAITING: usize = 1 << 20;
/// Time between two questions because of what contradicts the stream.
const DOUBT: Duration = Duration::from_millis(250);
/// Octets that are delivered without a pause, when much was missed: subscribers need time to take it.
const BURST: usize = 64 << 10;

/// The task of a topic.
pub(crate) struct Follower {
    node: Arc<Node>,
    clients: Clients,
    topic: Arc<Topic>,
    /// The subject that it is stored by.
    stored: String,
    track: Track<Raw>,
    ring: Ring,
    epoch: u64,
    life: u64,
    /// What was found last to be the greatest sequence that the stream can have.
    horizon: u64,
    joins: Vec<Join>,
    history: Option<History>,
    /// The last message, for those who want it, if the ring is empty: known not to exist, or it.
    latest: Option<Option<Recent>>,
    /// The stream's last sequence, while joiners are served after an audit.
    audited: Option<u64>,
    /// When the stream was last asked because of a contradiction.
    doubted: Option<Instant>,
    idle: Option<time::Instant>,
    /// How often somebody was interested.
    pokes: u64,
}

impl Follower {
    pub(crate) fn new(node: Arc<Node>, clients: Clients, topic: Arc<Topic>) -> Self {
        let (config, sight) = (&node.config, node.inspector.latest());
        let ring = Ring::new(config.recent_messages, config.recent_bytes);
        Self {
            stored: node.subjects.stored(&topic.name),
            track: Track::new(MAX_WAITING, sight.view.last, Instant::now()),
            ring,
            epoch: sight.facts.epoch,
            life: sight.facts.life,
            horizon: 0,
            joins: Vec::new(),
            history: None,
            latest: None,
            audited: None,
            doubted: None,
            idle: None,
            pokes: 0,
            node,
            clients,
            topic,
        }
    }

    /// Ends when `leave`, given the number of times that somebody was interested, agrees, or the node
    /// shuts down.
    pub(crate) async fn run(mut self, leave: impl Fn(u64) -> bool) {
        let Some(mut subscriber) = self.subscribe(&leave).await else { return };
        let mut work: Option<Work> = None;
        loop {
            if work.is_none() {
                work = self.next_work();
            }
            tokio::select! {
                biased;
                () = self.topic.woken() => if !self.read_mail().await { return },
                outcome = work::finish(&mut work) => self.finished(outcome).await,
                message = subscriber.next() => match message {
                    Some(message) => self.live(message).await,
                    None => return,
                },
                () = until(self.idle) => if self.leaves(&leave) { return },
            }
            self.topic.tell(&self.track);
        }
    }

    /// Subscribes to what is live, which waits while NATS is away and many others wait too. `None` if
    /// the task is to end first, or the client has ended.
    async fn subscribe(&mut self, leave: &impl Fn(u64) -> bool) -> Option<Subscriber> {
        let live = self.node.subjects.live(&self.topic.name);
        let client = self.node.link.client().clone();
        let mut subscribing = pin!(client.subscribe(live));
        loop {
            tokio::select! {
                biased;
                subscribed = &mut subscribing => return subscribed.ok(),
                () = self.topic.woken() => if !self.read_mail().await { return None },
                () = time::sleep(LINGER) => if self.leaves(leave) { return None },
            }
        }
    }

    /// Reads what others told. Returns whether the node goes on.
    async fn read_mail(&mut self) -> bool {
        let mail = self.topic.open();
        self.pokes = mail.pokes;
        let mut waiting = self.joins.len();
        self.joins.extend(mail.joins);
        if let Some(audited) = mail.audited {
            self.audited(audited).await;
            waiting = 0;
        }
        self.serve_from(waiting);
        !mail.is_closing
    }

    /// Whether nobody is interested any more, for long enough.
    fn leaves(&mut self, leave: &impl Fn(u64) -> bool) -> bool {
        self.look_around();
        self.idle.is_some_and(|idle| idle <= time::Instant::now()) && leave(self.pokes)
    }

    /// Looks whether anybody is still interested.
    fn look_around(&mut self) {
        self.joins.retain(|join| !join.answer.is_closed());
        let is_idle = self.joins.is_empty() && self.clients.subscribers(&self.topic.name) == 0;
        self.idle = is_idle.then(|| self.idle.unwrap_or_else(|| time::Instant::now() + LINGER));
    }

    async fn live(&mut self, message: Message) {
        let Some(live) = self.read(message) else {
            self.node.counters.damaged.add(1);
            if let Some(left_out) = self.node.log.admit() {
                warn!(topic = ?self.topic.name, left_out, "a message that the stream did not republish is left out");
            }
            return;
        };
        let now = Instant::now();
        if live.entry.place.sequence > self.horizon {
            self.horizon = self.node.inspector.horizon(now);
        }
        let mut steps = Vec::new();
        match self.track.live(live, self.horizon, now, &mut steps) {
            Seen::Taken => self.take(steps).await,
            Seen::Duplicate => self.node.counters.duplicates.add(1),
            Seen::Suspect => self.node.counters.doubted.add(1),
        }
    }

    /// The stream names itself in what it republishes.
    fn read(&self, message: Message) -> Option<Live<Raw>> {
        let headers = message.headers.as_ref();
        let number = |name| header(headers, name)?.parse::<u64>().ok();
        let is_ours = header(headers, "Nats-Stream")? == self.node.stream
            && header(headers, "Nats-Subject")? == self.stored;
        let sequence = number("Nats-Sequence")?;
        let last = number("Nats-Last-Sequence")?;
        let time = millis(header(headers, "Nats-Time-Stamp")?)?;
        is_ours.then(|| Live {
            entry: Entry {
                place: Place { sequence, time },
                bytes: message.length,
                message: Raw { headers: message.headers, payload: message.payload },
            },
            last,
        })
    }

    async fn take(&mut self, steps: Vec<Step<Raw>>) {
        let mut burst = 0;
        for step in steps {
            match step {
                Step::Deliver(entry) => {
                    burst += entry.bytes;
                    if burst > BURST {
                        time::sleep(Duration::from_millis(1)).await;
                        burst = 0;
                    }
                    let Some(recent) = self.decode(entry) else { continue };
                    deliver(&self.clients, &self.topic.name, &recent.publication).await;
                    self.node.counters.delivered.add(1);
                    self.ring.push(recent);
                    self.latest = None;
                }
                Step::Known(entry) => {
                    if let Some(recent) = self.decode(entry) {
                        self.ring.push(recent);
                    }
                }
                Step::Gap(from, to) => {
                    let gap = Gap { from: self.position(from), to: self.position(to) };
                    self.ring.begin(to.sequence.saturating_sub(1));
                    self.tell(gap).await;
                }
            }
        }
    }

    fn position(&self, place: Place) -> Position {
        self.node.position(self.epoch, place)
    }

    /// Tells subscribers that something may be lost.
    async fn tell(&self, gap: Gap) {
        self.node.counters.gaps.add(1);
        if let Some(left_out) = self.node.log.admit() {
            warn!(topic = ?self.topic.name, from = %gap.from, to = %gap.to, left_out, "messages may be lost");
        }
        let Some(gap_of) = &self.node.config.gap else { return };
        let made = self.node.call("gap", || gap_of(&self.topic.name, gap));
        let Some(publication) = made.flatten() else { return };
        deliver(&self.clients, &self.topic.name, &publication).await;
    }

    /// As subscribers get it. `None` if it is damaged, or cannot be stamped.
    fn decode(&self, entry: Entry<Raw>) -> Option<Recent> {
        let Raw { headers, payload } = entry.message;
        match wire::decode(headers.as_ref(), payload, self.node.incarnation) {
            Ok(received) => {
                let Some(publication) = self.stamped(received.publication, entry.place) else {
                    self.node.counters.damaged.add(1);
                    return None;
                };
                let bytes = publication.parts().message.len();
                Some(Recent { place: entry.place, publication, bytes })
            }
            Err(damaged) => {
                self.node.counters.damaged.add(1);
                if let Some(left_out) = self.node.log.admit() {
                    warn!(topic = ?self.topic.name, sequence = entry.place.sequence, %damaged, left_out, "a message is left out");
                }
                None
            }
        }
    }

    fn stamped(&self, publication: Publication, place: Place) -> Option<Publication> {
        let Some(stamp) = &self.node.config.stamp else { return Some(publication) };
        let parts = publication.parts();
        let message = self.node.call("stamp", || {
            stamp(&self.topic.name, self.position(place), parts.message.clone())
        })?;
        let mut stamped = Publication::new(message).compression(parts.compression);
        if let Some(key) = parts.key {
            stamped = stamped.key(key);
        }
        if let Some(client) = parts.except {
            stamped = stamped.except(client);
        }
        if let Some(policy) = parts.slow_consumer {
            stamped = stamped.slow_consumer(policy);
        }
        Some(stamped)
    }

    async fn finished(&mut self, outcome: Outcome) {
        let mut steps = Vec::new();
        match outcome {
            Outcome::Started(sight, own) => {
                self.epoch = sight.facts.epoch;
                self.life = sight.facts.life;
                self.track.start(sight.view, own, &mut steps);
                self.ring.begin(self.track.position());
                self.look_around();
            }
            Outcome::Refilled(batch) => {
                let before = self.track.position();
                self.track.refilled(batch, Instant::now(), &mut steps);
                self.went_back(before);
            }
            Outcome::Audited(audited) => {
                let last = audited.newest.view.last;
                self.audited(audited).await;
                self.audited = Some(last);
                self.serve();
                self.audited = None;
                return;
            }
            Outcome::History(history) => self.history = Some(history),
            Outcome::Latest(entry) => {
                let latest =
                    entry.filter(|entry| entry.place.sequence <= self.track.place().sequence);
                self.latest = Some(latest.and_then(|entry| self.decode(entry)));
            }
            // It was waited a while.
            Outcome::Failed => {}
        }
        self.take(steps).await;
        self.serve();
    }

    /// The stream told the newest message of this topic, and what it is itself.
    ///
    /// Promise 5: another life of the stream, or other limits, begin an epoch.
    async fn audited(&mut self, audited: Audited) {
        if !self.track.is_started() {
            return;
        }
        let Audited { newest, place, epoch, life, created } = audited;
        let is_anew = life != self.life;
        if is_anew || self.track.is_ahead(&newest, place) {
            let (old, from) = (self.epoch, self.track.place());
            self.epoch = epoch;
            self.life = life;
            if is_anew {
                self.track.restart(newest.view, created);
            } else {
                self.track.went_back(newest.view);
            }
            self.ring.begin(0);
            self.latest = None;
            let to = self.position(Place { sequence: 1, time: newest.view.time });
            info!(topic = ?self.topic.name, is_anew, "the stream was made anew, or lost its last messages");
            self.tell(Gap { from: self.node.position(old, from), to }).await;
            return;
        }
        if epoch != self.epoch {
            self.epoch = epoch;
            self.ring.begin(self.track.place().sequence);
            self.latest = None;
        }
        let mut steps = Vec::new();
        let before = self.track.position();
        self.track.audited(newest, &mut steps);
        self.went_back(before);
        self.take(steps).await;
    }

    /// The ring has nothing that was forged, and is in order.
    fn went_back(&mut self, before: u64) {
        if self.track.position() < before {
            self.ring.begin(self.track.position());
            self.latest = None;
        }
    }

    /// Whether the stream has to be asked because of what contradicts it.
    fn doubts(&mut self) -> bool {
        let now = Instant::now();
        let is_due = self.doubted.is_none_or(|last| now.duration_since(last) >= DOUBT);
        let doubts = self.track.is_doubted() && is_due;
        if doubts {
            self.doubted = Some(now);
        }
        doubts
    }
}

impl Sight {
    /// What an audit found.
    pub(crate) fn audited(&self, newest: Newest, place: Option<Place>) -> Audited {
        let Facts { epoch, life, created, .. } = self.facts;
        Audited { newest, place, epoch, life, created }
    }
}

async fn until(deadline: Option<time::Instant>) {
    match deadline {
        Some(deadline) => time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
