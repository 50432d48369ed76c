//! Presence on one node: what came in, what is to go out.

pub(super) mod known;
mod receive;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    mem,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    local::{Local, Set},
    protocol::{self, Body, Envelope, Question},
    table::{Seen, Table},
};
use crate::{
    event::{Member, PresenceEvent},
    heartbeat::Nodes,
    metrics::Counters,
};

/// Time in which changes are gathered before they are told.
const GATHER: Duration = Duration::from_millis(50);
/// Time to hear of the other nodes, once this one is connected.
const SETTLE: Duration = Duration::from_millis(500);
/// Time to wait for lists, once a topic is followed.
pub(super) const LOAD: Duration = Duration::from_secs(2);
/// Time for which a topic is followed after somebody asked who is there.
const KEEP: Duration = Duration::from_secs(60);
/// Octets of a message, if the payload limit is not smaller.
const PIECE: usize = 64 << 10;

/// What a [`State`] does not change.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) incarnation: u64,
    pub(crate) label: Arc<str>,
    pub(crate) heartbeat: Duration,
    pub(crate) audit: Duration,
    /// Members of a topic, here and in all.
    pub(crate) max_members: usize,
    pub(crate) max_payload: usize,
    /// Whether topics with subscribers are followed, for events.
    pub(crate) events: bool,
    pub(crate) counters: Arc<Counters>,
}

/// What is to be done, in order.
#[derive(Debug)]
pub(crate) enum Output {
    /// Receive what is told about a topic.
    Follow(Arc<str>),
    Unfollow(Arc<str>),
    ToAll(Bytes),
    /// To all who follow the topic.
    ToFollowers(Arc<str>, Bytes),
    ToNode(u64, Bytes),
    /// Tell the subscribers here.
    Event(Arc<str>, PresenceEvent),
}

/// Presence on one node, without I/O; the clock is passed in.
#[derive(Debug)]
pub(crate) struct State {
    settings: Settings,
    local: Local,
    nodes: Nodes,
    /// Topics that are followed.
    topics: HashMap<Arc<str>, Followed>,
    /// Those in whose tables a node is behind.
    behind: HashSet<Arc<str>>,
    /// Those that are not loaded.
    loading: HashSet<Arc<str>>,
    /// Nodes that did not say in which topics they have members, with the hash from which on.
    undigested: HashMap<u64, u64>,
    is_up: bool,
    settled: Instant,
    next_heartbeat: Instant,
    next_audit: Instant,
    next_tell: Option<Instant>,
    next_ask: Option<Instant>,
    out: Vec<Output>,
}

#[derive(Debug)]
struct Followed {
    table: Table,
    hash: u64,
    since: Instant,
    /// Lists that come before are no news.
    loaded: bool,
    subscribed: bool,
    queried: Option<Instant>,
}

/// Why somebody is no member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoMember {
    TooLong,
    Full,
}

impl State {
    pub(crate) fn new(settings: Settings, now: Instant) -> Self {
        let label = Arc::clone(&settings.label);
        let nodes = Nodes::new(settings.incarnation, label, settings.heartbeat, now);
        let next_audit = now + settings.audit;
        Self {
            settings,
            local: Local::default(),
            nodes,
            topics: HashMap::new(),
            behind: HashSet::new(),
            loading: HashSet::new(),
            undigested: HashMap::new(),
            is_up: false,
            settled: now + SETTLE,
            next_heartbeat: now,
            next_audit,
            next_tell: None,
            next_ask: None,
            out: Vec::new(),
        }
    }

    /// What is to be done by now.
    pub(crate) fn take(&mut self) -> Vec<Output> {
        mem::take(&mut self.out)
    }

    /// When [`tick`](Self::tick) is wanted.
    pub(crate) fn deadline(&self, now: Instant) -> Instant {
        let expiry = self.nodes.next_expiry().filter(|_| !self.nodes.is_cut_off(now));
        let loading = self.loading.iter().filter_map(|topic| self.topics.get(topic)).map(|topic| {
            let loaded = topic.since + LOAD;
            if now < self.settled { loaded.min(self.settled) } else { loaded }
        });
        [self.next_tell, self.next_ask, expiry, loading.min()]
            .into_iter()
            .flatten()
            .fold(self.next_heartbeat.min(self.next_audit), Instant::min)
    }

    /// Which start of this process it is.
    pub(crate) fn incarnation(&self) -> u64 {
        self.settings.incarnation
    }

    // What the connection does.

    /// NATS is there, for the first time or again.
    pub(crate) fn up(&mut self, max_payload: usize, now: Instant) {
        self.settings.max_payload = max_payload;
        self.is_up = true;
        self.settled = now + SETTLE;
        self.announce(now);
    }

    /// NATS is away: nothing is sent until it is up. What changes is told by the digest that follows.
    pub(crate) fn away(&mut self) {
        self.is_up = false;
    }

    /// This node ends.
    pub(crate) fn goodbye(&mut self) {
        self.send_all(Body::Goodbye);
        self.is_up = false;
    }

    /// Asks and tells everybody, after something may have been missed.
    fn announce(&mut self, now: Instant) {
        self.nodes.forgive(now);
        self.next_heartbeat = now + self.settings.heartbeat;
        self.send_all(Body::Heartbeat);
        self.send_all(Body::Hello);
        self.tell(now);
        for digest in self.local.digests(self.piece()) {
            self.send_all(Body::Digest(digest));
        }
    }

    // What the application does.

    /// A topic gained its first subscriber here, or lost its last.
    pub(crate) fn interest(&mut self, topic: &str, subscribed: bool, now: Instant) {
        if !self.settings.events {
            return;
        }
        if subscribed {
            self.follow(topic, now).subscribed = true;
        } else if let Some(followed) = self.topics.get_mut(topic) {
            followed.subscribed = false;
            if followed.queried.is_none() {
                self.unfollow(topic);
            }
        }
    }

    /// Somebody asks who is in a topic.
    pub(crate) fn query(&mut self, topic: &str, now: Instant) {
        self.follow(topic, now).queried = Some(now);
    }

    /// Whether all who could be asked have answered, or had the time to.
    pub(crate) fn is_loaded(&self, topic: &str) -> bool {
        self.topics.get(topic).is_some_and(|followed| followed.loaded)
    }

    fn follow(&mut self, topic: &str, now: Instant) -> &mut Followed {
        if !self.topics.contains_key(topic) {
            let topic: Arc<str> = topic.into();
            let mut table = Table::default();
            for (node, _) in self.nodes.others() {
                table.want(node, now);
            }
            if table.is_behind() {
                self.behind.insert(Arc::clone(&topic));
                self.next_ask = Some(now);
            }
            self.loading.insert(Arc::clone(&topic));
            self.out.push(Output::Follow(Arc::clone(&topic)));
            self.topics.insert(
                Arc::clone(&topic),
                Followed {
                    table,
                    hash: protocol::hash(&topic),
                    since: now,
                    loaded: false,
                    subscribed: false,
                    queried: None,
                },
            );
        }
        self.topics.get_mut(topic).expect("it was put there")
    }

    fn unfollow(&mut self, topic: &str) {
        if let Some((topic, _)) = self.topics.remove_entry(topic) {
            self.behind.remove(&topic);
            self.loading.remove(&topic);
            self.out.push(Output::Unfollow(topic));
        }
    }

    /// A connection here becomes a member, or what is said about it changes.
    pub(crate) fn appear(
        &mut self,
        topic: &str,
        client: u64,
        info: Arc<str>,
        now: Instant,
    ) -> Result<(), NoMember> {
        if protocol::entry_len(&info) > protocol::room(self.piece(), topic) {
            return Err(NoMember::TooLong);
        }
        let topic: Arc<str> = topic.into();
        let set = self.local.set(&topic, client, Arc::clone(&info), self.settings.max_members);
        match set {
            Set::Full => return Err(NoMember::Full),
            Set::Unchanged => return Ok(()),
            Set::Joined => self.saw(&topic, self.settings.incarnation, Seen::Joined(client, info)),
            Set::Updated => {
                self.saw(&topic, self.settings.incarnation, Seen::Updated(client, info));
            }
        }
        self.next_tell.get_or_insert(now + GATHER);
        Ok(())
    }

    /// A connection here is no member any more. Returns whether it was one.
    pub(crate) fn disappear(&mut self, topic: &str, client: u64, now: Instant) -> bool {
        let Some(info) = self.local.remove(topic, client) else { return false };
        self.saw(&topic.into(), self.settings.incarnation, Seen::Left(client, info));
        self.next_tell.get_or_insert(now + GATHER);
        true
    }

    /// A connection here has ended.
    pub(crate) fn ended(&mut self, client: u64, now: Instant) {
        for topic in self.local.topics_of(client) {
            self.disappear(&topic, client, now);
        }
    }

    /// The connections here that are members of anything.
    pub(crate) fn clients(&self) -> impl Iterator<Item = u64> {
        self.local.clients()
    }

    /// Tells the subscribers here.
    fn saw(&mut self, topic: &Arc<str>, node: u64, seen: Seen) {
        if !self.topics.get(topic).is_some_and(|followed| followed.subscribed) {
            return;
        }
        let member = |client, info| Member { incarnation: node, client, info };
        let event = match seen {
            Seen::Joined(client, info) => PresenceEvent::Joined(member(client, info)),
            Seen::Updated(client, info) => PresenceEvent::Updated(member(client, info)),
            Seen::Left(client, info) => PresenceEvent::Left(member(client, info)),
        };
        self.out.push(Output::Event(Arc::clone(topic), event));
    }

    // What time does.

    /// The [`deadline`](Self::deadline) has come.
    pub(crate) fn tick(&mut self, now: Instant) {
        if now > self.next_heartbeat + self.settings.heartbeat {
            // This process did not run: others may have taken it for gone, and what they sent is unread.
            self.announce(now);
        }
        if self.next_heartbeat <= now {
            self.next_heartbeat = now + self.settings.heartbeat;
            self.send_all(Body::Heartbeat);
        }
        for node in self.nodes.expire(now) {
            self.lost(node);
        }
        if self.next_tell.is_some_and(|tell| tell <= now) {
            self.tell(now);
        }
        if self.next_ask.is_some_and(|ask| ask <= now) {
            self.ask(now);
        }
        if self.next_audit <= now {
            self.audit(now);
        }
        self.finish_loading(now);
    }

    /// Tells what has changed here.
    fn tell(&mut self, _: Instant) {
        self.next_tell = None;
        if self.local.has_changed() {
            for (topic, delta) in self.local.take_changes(self.piece()) {
                let payload = self.envelope(Body::Delta(delta));
                self.push(Output::ToFollowers(topic, payload));
            }
        }
    }

    /// Asks the nodes that are behind.
    fn ask(&mut self, now: Instant) {
        let mut questions: BTreeMap<u64, Vec<Question>> = BTreeMap::new();
        self.next_ask = None;
        for topic in &self.behind {
            let Some(followed) = self.topics.get_mut(topic) else { continue };
            for node in followed.table.due(now) {
                let version = followed.table.version(node);
                questions.entry(node).or_default().push(Question(Arc::clone(topic), version));
            }
            let next = followed.table.next_ask();
            self.next_ask = self.next_ask.into_iter().chain(next).min();
        }
        for (node, questions) in questions {
            self.settings.counters.presence_asks.add(questions.len() as u64);
            for questions in protocol::pieces(questions, protocol::room(self.piece(), "")) {
                self.send(node, Body::Ask(questions));
            }
        }
    }

    fn audit(&mut self, now: Instant) {
        self.next_audit = now + self.settings.audit;
        self.tell(now);
        for digest in self.local.digests(self.piece()) {
            self.send_all(Body::Digest(digest));
        }
        let is_over = |queried: Instant| now.duration_since(queried) >= KEEP;
        let mut over = Vec::new();
        for (topic, followed) in &mut self.topics {
            followed.queried = followed.queried.filter(|queried| !is_over(*queried));
            if followed.queried.is_none() && !followed.subscribed {
                over.push(Arc::clone(topic));
            }
        }
        over.iter().for_each(|topic| self.unfollow(topic));
    }

    fn finish_loading(&mut self, now: Instant) {
        if self.loading.is_empty() {
            return;
        }
        let all_heard = self.settled <= now && self.undigested.is_empty();
        let topics = &mut self.topics;
        self.loading.retain(|topic| {
            let Some(followed) = topics.get_mut(topic) else { return false };
            followed.loaded =
                all_heard && !followed.table.is_behind() || followed.since + LOAD <= now;
            !followed.loaded
        });
    }

    // Sending.

    /// Octets of a message.
    fn piece(&self) -> usize {
        self.settings.max_payload.min(PIECE)
    }

    fn envelope(&self, body: Body) -> Bytes {
        let says_label = matches!(body, Body::Heartbeat | Body::Hello | Body::Digest(_));
        let node = says_label.then(|| Arc::clone(&self.settings.label));
        Envelope { from: self.settings.incarnation, node, body }.encode()
    }

    fn send_all(&mut self, body: Body) {
        let payload = self.envelope(body);
        self.push(Output::ToAll(payload));
    }

    fn send(&mut self, to: u64, body: Body) {
        let payload = self.envelope(body);
        self.push(Output::ToNode(to, payload));
    }

    fn push(&mut self, output: Output) {
        if self.is_up {
            self.out.push(output);
        }
    }
}
