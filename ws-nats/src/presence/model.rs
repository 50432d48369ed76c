//! Nodes on a network that loses, delays, doubles and reorders messages: in the end all of them know the
//! truth, and what they told in the meantime leads there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use proptest::prelude::*;
use tokio::time::Instant;

use super::{
    protocol::Envelope,
    state::{Output, Settings, State},
};
use crate::{event::PresenceEvent, metrics::Counters};

const HEARTBEAT: Duration = Duration::from_secs(1);
const AUDIT: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(10);
const TOPICS: [&str; 3] = ["red", "green", "blue"];

type Members = BTreeMap<(u64, u64), Arc<str>>;

/// What somebody who subscribes here has seen: a list, and the events after it.
#[derive(Default)]
struct Watcher {
    seen: Option<Members>,
}

struct Node {
    incarnation: u64,
    state: State,
    watchers: BTreeMap<&'static str, Watcher>,
    follows: BTreeSet<Arc<str>>,
    /// Neither sends nor receives, and does not notice.
    cut_until: Instant,
    /// Does not run.
    stopped_until: Instant,
}

struct Message {
    at: Instant,
    to: usize,
    incarnation: u64,
    topic: Option<Arc<str>>,
    payload: bytes::Bytes,
}

struct World {
    now: Instant,
    nodes: Vec<Node>,
    messages: Vec<Message>,
    random: u64,
    next_incarnation: u64,
    is_healthy: bool,
    max_payload: usize,
    max_members: usize,
    /// Octets that came to anybody, without what nodes send to themselves.
    octets: usize,
}

impl World {
    fn new(nodes: usize, seed: u64, max_payload: usize) -> Self {
        let now = Instant::now();
        let mut world = Self {
            now,
            nodes: Vec::new(),
            messages: Vec::new(),
            random: seed | 1,
            next_incarnation: 1,
            is_healthy: true,
            max_payload,
            max_members: 20_000,
            octets: 0,
        };
        for _ in 0..nodes {
            let node = world.start();
            world.nodes.push(node);
        }
        for node in 0..nodes {
            world.up(node);
        }
        world
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    fn start(&mut self) -> Node {
        let incarnation = self.next_incarnation;
        self.next_incarnation += 1;
        let settings = Settings {
            incarnation,
            label: "node".into(),
            heartbeat: HEARTBEAT,
            audit: AUDIT,
            max_members: self.max_members,
            max_payload: self.max_payload,
            events: true,
            counters: Arc::new(Counters::default()),
        };
        Node {
            incarnation,
            state: State::new(settings, self.now),
            watchers: BTreeMap::new(),
            follows: BTreeSet::new(),
            cut_until: self.now,
            stopped_until: self.now,
        }
    }

    fn up(&mut self, node: usize) {
        self.nodes[node].state.up(self.max_payload, self.now);
        self.send(node);
    }

    /// Takes what a node wants to be done.
    fn send(&mut self, from: usize) {
        for output in self.nodes[from].state.take() {
            match output {
                Output::Follow(topic) => {
                    self.nodes[from].follows.insert(topic);
                }
                Output::Unfollow(topic) => {
                    self.nodes[from].follows.remove(&topic);
                }
                Output::Event(topic, event) => self.nodes[from].watch(&topic, event),
                Output::ToAll(payload) => self.transmit(from, None, None, &payload),
                Output::ToFollowers(topic, payload) => {
                    self.transmit(from, None, Some(&topic), &payload);
                }
                Output::ToNode(to, payload) => self.transmit(from, Some(to), None, &payload),
            }
        }
        // Somebody who subscribes takes the list once it is there.
        let node = &mut self.nodes[from];
        for (topic, watcher) in &mut node.watchers {
            if watcher.seen.is_none() && node.state.is_loaded(topic) {
                watcher.seen = Some(members(&node.state, topic, self.now));
            }
        }
    }

    fn transmit(
        &mut self,
        from: usize,
        to: Option<u64>,
        topic: Option<&Arc<str>>,
        payload: &bytes::Bytes,
    ) {
        assert!(payload.len() <= self.max_payload, "{} octets", payload.len());
        if self.now < self.nodes[from].cut_until {
            return;
        }
        for node in 0..self.nodes.len() {
            let incarnation = self.nodes[node].incarnation;
            let follows = topic.is_none_or(|topic| self.nodes[node].follows.contains(topic));
            if !follows || to.is_some_and(|to| to != incarnation) {
                continue;
            }
            if node != from {
                self.octets += payload.len();
            }
            let copies = match self.random(20) {
                _ if self.is_healthy => 1,
                0..3 => 0,
                3 => 2,
                _ => 1,
            };
            for _ in 0..copies {
                let delay = if self.is_healthy { 5 } else { self.random(400) };
                self.messages.push(Message {
                    at: self.now + Duration::from_millis(delay),
                    to: node,
                    incarnation,
                    topic: topic.cloned(),
                    payload: payload.clone(),
                });
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += STEP;
            let now = self.now;
            let mut due = Vec::new();
            let nodes = &self.nodes;
            self.messages.retain(|message| {
                let is_due = message.at <= now && nodes[message.to].stopped_until <= now;
                if is_due {
                    due.push((
                        message.at,
                        message.to,
                        message.incarnation,
                        message.topic.clone(),
                        message.payload.clone(),
                    ));
                }
                !is_due
            });
            due.sort_by_key(|message| message.0);
            for (_, to, incarnation, topic, payload) in due {
                let node = &mut self.nodes[to];
                if node.incarnation != incarnation || now < node.cut_until {
                    continue;
                }
                let envelope = Envelope::decode(&payload).expect("a message of ours");
                node.state.receive(envelope, topic.as_deref(), now);
                self.send(to);
            }
            for node in 0..self.nodes.len() {
                if self.nodes[node].stopped_until <= now
                    && self.nodes[node].state.deadline(now) <= now
                {
                    self.nodes[node].state.tick(now);
                    self.send(node);
                }
            }
        }
    }

    fn interest(&mut self, node: usize, topic: &'static str, subscribed: bool) {
        let now = self.now;
        let node_ref = &mut self.nodes[node];
        if subscribed {
            node_ref.watchers.entry(topic).or_default();
        } else {
            node_ref.watchers.remove(topic);
        }
        node_ref.state.interest(topic, subscribed, now);
        self.send(node);
    }

    fn appear(&mut self, node: usize, topic: &str, client: u64, info: &str) {
        self.nodes[node].state.appear(topic, client, info.into(), self.now).expect("room");
        self.send(node);
    }

    /// Who is there.
    fn truth(&self, topic: &str) -> Members {
        self.nodes
            .iter()
            .flat_map(|node| {
                let incarnation = node.incarnation;
                members(&node.state, topic, self.now)
                    .into_iter()
                    .filter(move |((on, _), _)| *on == incarnation)
            })
            .collect()
    }

    fn check(&self) -> Result<(), TestCaseError> {
        for (index, node) in self.nodes.iter().enumerate() {
            for (topic, watcher) in &node.watchers {
                let truth = self.truth(topic);
                let presence = node.state.presence(topic, self.now);
                prop_assert_eq!(
                    &members(&node.state, topic, self.now),
                    &truth,
                    "node {} {}",
                    index,
                    topic
                );
                prop_assert_eq!(node.state.count(topic), truth.len());
                prop_assert_eq!(presence.members.len(), truth.len());
                prop_assert!(presence.silent_nodes.is_empty(), "{:?}", node.state);
                prop_assert!(!presence.is_cut_off && presence.left_out == 0);
                prop_assert_eq!(
                    watcher.seen.as_ref(),
                    Some(&truth),
                    "told on node {} {}",
                    index,
                    topic
                );
            }
        }
        Ok(())
    }
}

impl Node {
    /// Every event is a change of what was told before.
    fn watch(&mut self, topic: &str, event: PresenceEvent) {
        let Some(watcher) = self.watchers.get_mut(topic) else { panic!("nobody subscribes") };
        let Some(seen) = &mut watcher.seen else { return };
        match event {
            PresenceEvent::Joined(member) => {
                let old = seen.insert((member.incarnation, member.client), member.info);
                assert_eq!(old, None, "joined twice");
            }
            PresenceEvent::Updated(member) => {
                let new = Arc::clone(&member.info);
                let old = seen.insert((member.incarnation, member.client), member.info);
                assert!(
                    old.is_some_and(|old| old != new),
                    "updated and was not there, or the same"
                );
            }
            PresenceEvent::Left(member) => {
                let old = seen.remove(&(member.incarnation, member.client));
                assert_eq!(old, Some(member.info), "left and was not there");
            }
        }
    }
}

fn members(state: &State, topic: &str, now: Instant) -> Members {
    let members = state.presence(topic, now).members.into_iter();
    members.map(|member| ((member.incarnation, member.client), member.info)).collect()
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Appear(usize, usize, u64, u8),
    Disappear(usize, usize, u64),
    End(usize, u64),
    Crowd(usize, usize, u64),
    Interest(usize, usize, bool),
    Crash(usize),
    Goodbye(usize),
    Cut(usize, u64),
    Stop(usize, u64),
    Lose(bool),
    Wait(u64),
}

fn action() -> impl Strategy<Value = Action> {
    let (node, topic, client) = (0..4_usize, 0..TOPICS.len(), 0..12_u64);
    prop_oneof![
        8 => (node.clone(), topic.clone(), client.clone(), any::<u8>()).prop_map(|(n, t, c, i)| Action::Appear(n, t, c, i)),
        5 => (node.clone(), topic.clone(), client.clone()).prop_map(|(n, t, c)| Action::Disappear(n, t, c)),
        2 => (node.clone(), client).prop_map(|(n, c)| Action::End(n, c)),
        1 => (node.clone(), topic.clone(), 20..60_u64).prop_map(|(n, t, c)| Action::Crowd(n, t, c)),
        4 => (node.clone(), topic, any::<bool>()).prop_map(|(n, t, i)| Action::Interest(n, t, i)),
        1 => node.clone().prop_map(Action::Crash),
        1 => node.clone().prop_map(Action::Goodbye),
        1 => (node.clone(), 0..9000_u64).prop_map(|(n, t)| Action::Cut(n, t)),
        1 => (node, 0..9000_u64).prop_map(|(n, t)| Action::Stop(n, t)),
        2 => any::<bool>().prop_map(Action::Lose),
        8 => (0..700_u64).prop_map(Action::Wait),
    ]
}

impl World {
    fn act(&mut self, action: Action) {
        let now = self.now;
        match action {
            Action::Appear(node, topic, client, info) => {
                self.appear(node, TOPICS[topic], client, &format!("{info}"));
            }
            Action::Disappear(node, topic, client) => {
                self.nodes[node].state.disappear(TOPICS[topic], client, now);
                self.send(node);
            }
            Action::End(node, client) => {
                self.nodes[node].state.ended(client, now);
                self.send(node);
            }
            Action::Crowd(node, topic, clients) => {
                for client in 100..100 + clients {
                    self.appear(node, TOPICS[topic], client, "somebody in a crowd");
                }
            }
            Action::Interest(node, topic, subscribed) => {
                self.interest(node, TOPICS[topic], subscribed);
            }
            Action::Crash(node) => {
                self.nodes[node] = self.start();
                self.up(node);
            }
            Action::Goodbye(node) => {
                self.nodes[node].state.goodbye();
                self.send(node);
                self.nodes[node] = self.start();
                self.up(node);
            }
            Action::Cut(node, time) => {
                self.nodes[node].cut_until = now + Duration::from_millis(time);
            }
            Action::Stop(node, time) => {
                self.nodes[node].stopped_until = now + Duration::from_millis(time);
            }
            Action::Lose(lose) => self.is_healthy = !lose,
            Action::Wait(time) => self.run(Duration::from_millis(time)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 4, ..ProptestConfig::default() })]
    #[test]
    fn all_nodes_know_the_truth_in_the_end(
        seed in any::<u64>(),
        max_payload in 700..3000_usize,
        actions in proptest::collection::vec(action(), 1..120),
    ) {
        let mut world = World::new(4, seed, max_payload);
        for action in actions {
            world.act(action);
        }
        world.is_healthy = true;
        // The longest that a node is cut off or stopped, then two audits and the longest wait between two
        // questions.
        world.run(Duration::from_secs(9) + AUDIT * 2 + Duration::from_secs(17));
        world.check()?;
    }
}

#[test]
fn dead_node_is_gone_within_three_heartbeats() {
    let mut world = World::new(3, 1, 1 << 20);
    world.interest(0, "red", true);
    for client in 0..5 {
        world.appear(1, "red", client, "");
        world.appear(2, "red", client, "");
    }
    world.run(Duration::from_secs(5));
    assert_eq!(world.nodes[0].state.count("red"), 10);
    world.nodes[1].stopped_until = world.now + Duration::from_secs(3600);
    world.run(HEARTBEAT * 2);
    let presence = world.nodes[0].state.presence("red", world.now);
    assert_eq!((presence.members.len(), presence.silent_nodes.len()), (10, 1));
    world.run(HEARTBEAT + STEP);
    let presence = world.nodes[0].state.presence("red", world.now);
    assert_eq!((presence.members.len(), presence.silent_nodes.len()), (5, 0));
    assert_eq!(world.nodes[0].watchers["red"].seen.as_ref().map(BTreeMap::len), Some(5));
}

#[test]
fn node_that_is_cut_off_keeps_what_it_knew_and_says_so() {
    let mut world = World::new(3, 1, 1 << 20);
    world.interest(0, "red", true);
    world.appear(1, "red", 1, "");
    world.run(Duration::from_secs(3));
    world.nodes[0].cut_until = world.now + Duration::from_secs(60);
    world.run(Duration::from_secs(30));
    let presence = world.nodes[0].state.presence("red", world.now);
    assert!(presence.is_cut_off);
    assert_eq!((presence.members.len(), presence.silent_nodes.len()), (1, 2));
    world.run(Duration::from_secs(33));
    world.check().unwrap();
}

/// 10,000 members of one topic over N nodes: octets <= 3 x members x entry x nodes.
#[test]
fn ten_thousand_members_cost_at_most_three_times_their_entries_on_each_node() {
    const MEMBERS: u64 = 10_000;
    let info = r#"{"user":"somebody"}"#;
    for nodes in [2, 3, 8] {
        let mut world = World::new(nodes, 1, 1 << 20);
        world.run(Duration::from_secs(1));
        let before = world.octets;
        // Half of the nodes follow while the members come, the others when all are there.
        for node in 0..nodes / 2 {
            world.interest(node, "red", true);
        }
        for client in 0..MEMBERS {
            world.appear(client as usize % nodes, "red", client, info);
            if client % 100 == 0 {
                world.run(STEP);
            }
        }
        world.run(Duration::from_secs(1));
        for node in nodes / 2..nodes {
            world.interest(node, "red", true);
        }
        world.run(Duration::from_secs(20));
        world.check().unwrap();
        // All leave.
        for client in 0..MEMBERS {
            world.nodes[client as usize % nodes].state.ended(client, world.now);
        }
        world.run(Duration::from_secs(20));
        world.check().unwrap();
        let octets = world.octets - before;
        let entry = super::protocol::entry_len(info) - 16;
        let bound = 3 * MEMBERS as usize * entry * nodes;
        println!(
            "{nodes} nodes: {octets} octets, {:.2} of the bound",
            octets as f64 / bound as f64
        );
        assert!(octets <= bound);
    }
}

#[test]
fn members_beyond_the_limit_are_counted_and_come_in_when_there_is_room() {
    let mut world = World::new(2, 1, 1 << 20);
    world.max_members = 10;
    for node in 0..2 {
        world.nodes[node] = world.start();
        world.up(node);
    }
    world.interest(0, "red", true);
    world.run(Duration::from_secs(2));
    for client in 0..10 {
        world.appear(1, "red", client, "");
    }
    for client in 0..4 {
        world.appear(0, "red", client, "");
    }
    world.run(Duration::from_secs(1));
    let presence = world.nodes[0].state.presence("red", world.now);
    assert_eq!((presence.members.len(), presence.left_out), (14, 0));
    world.max_members = 5;
    world.nodes[0] = world.start();
    world.up(0);
    world.interest(0, "red", true);
    world.run(Duration::from_secs(3));
    let presence = world.nodes[0].state.presence("red", world.now);
    assert_eq!((presence.members.len(), presence.left_out), (5, 5));
    for client in 0..7 {
        world.nodes[1].state.ended(client, world.now);
    }
    world.run(AUDIT * 3);
    let presence = world.nodes[0].state.presence("red", world.now);
    assert_eq!((presence.members.len(), presence.left_out), (3, 0));
}
