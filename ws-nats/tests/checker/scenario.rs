//! A run: NATS, nodes behind proxies, clients, publishers, a fault, and the judge.

use std::{
    collections::{HashMap, HashSet},
    env,
    fmt::Write as _,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{
    task::{AbortHandle, JoinHandle},
    time::{sleep, timeout},
};

use crate::{
    client::{Client, Plan},
    connection::Connection,
    ledger::{Event, Ledger, NodeCounts, Roll, Subscription, TopicNumber, Truth, Verdict},
    node::{Node, Settings, Starting},
    observer::Observer,
    publisher::Publisher,
    support::{Cluster, Proxy, Server, Setup},
    world::{Mode, Record, World, lock},
};

/// Seconds of a long run, in the environment. `cargo xtask nats-check` sets it.
const SECONDS: &str = "WS_NATS_CHECK_SECONDS";

/// Time for all nodes to know who is where: some heartbeats, and a digest.
const PRESENCE: Duration = Duration::from_secs(15);

/// How much there is of all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) clients: usize,
    pub(crate) topics: usize,
    pub(crate) topics_of_each: usize,
    pub(crate) publishers: usize,
    /// Publications of all publishers in a second.
    pub(crate) rate: u32,
    pub(crate) time: Duration,
    /// Milliseconds.
    pub(crate) audit: u64,
    /// Time for the last message to come.
    pub(crate) patience: Duration,
    pub(crate) is_long: bool,
}

impl Size {
    pub(crate) fn get() -> Self {
        let seconds = env::var(SECONDS).ok().and_then(|seconds| seconds.parse().ok());
        match seconds {
            Some(seconds) => Self {
                clients: 300,
                topics: 50,
                topics_of_each: 3,
                publishers: 12,
                rate: 500,
                time: Duration::from_secs(seconds),
                audit: 10_000,
                patience: Duration::from_secs(60),
                is_long: true,
            },
            None => Self {
                clients: 60,
                topics: 20,
                topics_of_each: 2,
                publishers: 6,
                rate: 200,
                time: Duration::from_secs(3),
                audit: 1000,
                patience: Duration::from_secs(40),
                is_long: false,
            },
        }
    }
}

pub(crate) enum Engine {
    One(Server),
    Three(Cluster),
}

impl Engine {
    pub(crate) async fn one() -> Option<Self> {
        Some(Self::One(Server::with(Setup::default()).await?))
    }

    pub(crate) async fn three() -> Option<Self> {
        Some(Self::Three(Cluster::start().await?))
    }

    pub(crate) fn servers(&mut self) -> &mut [Server] {
        match self {
            Self::One(server) => std::slice::from_mut(server),
            Self::Three(cluster) => &mut cluster.servers,
        }
    }

    fn addresses(&mut self) -> Vec<String> {
        self.servers().iter().map(Server::address).collect()
    }
}

/// What is allowed besides what is always.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Allowed {
    pub(crate) refused: bool,
    pub(crate) unknown: bool,
    pub(crate) lost: bool,
    pub(crate) gaps: bool,
}

pub(crate) type Adjust = Box<dyn Fn(&mut Settings)>;
pub(crate) type AdjustPlan = Box<dyn Fn(&mut Plan)>;

/// How a run differs from a plain one.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) settings: Option<Adjust>,
    pub(crate) plan: Option<AdjustPlan>,
}

pub(crate) struct Run {
    name: &'static str,
    pub(crate) size: Size,
    pub(crate) engine: Engine,
    /// Of each node, to each server.
    pub(crate) proxies: Vec<Vec<Proxy>>,
    /// `None` is one that was killed.
    pub(crate) nodes: Vec<Option<Node>>,
    pub(crate) world: Arc<World>,
    records: Vec<(usize, TopicNumber, Arc<Record>)>,
    truth: Arc<Mutex<Truth>>,
    observing: AbortHandle,
    clients: Vec<JoinHandle<()>>,
    publishers: Vec<JoinHandle<()>>,
    started: Instant,
    report: String,
}

impl Run {
    pub(crate) const NODES: usize = 3;

    pub(crate) async fn start(
        name: &'static str,
        engine: Option<Engine>,
        size: Size,
        options: Options,
    ) -> Option<Self> {
        let mut engine = engine?;
        let addresses = engine.addresses();
        let (mut proxies, mut settings) = (Vec::new(), Vec::new());
        for node in 0..Self::NODES {
            let mut of_node = Vec::new();
            for step in 0..addresses.len() {
                let server = &addresses[(node + step) % addresses.len()];
                of_node.push(Proxy::to(server.clone()).await);
            }
            let mut of = Settings {
                servers: of_node.iter().map(Proxy::url).collect(),
                node: format!("node-{node}"),
                replicas: addresses.len(),
                audit: size.audit,
                ..Settings::default()
            };
            if let Some(adjust) = &options.settings {
                adjust(&mut of);
            }
            proxies.push(of_node);
            settings.push(of);
        }
        // Their proxies run in other threads.
        let starting: Vec<_> = settings.iter().map(Starting::new).collect();
        let nodes: Vec<_> = starting.into_iter().map(|node| Some(node.wait())).collect();
        let urls = nodes.iter().map(|node| node.as_ref().map(Node::url)).collect();
        let world = Arc::new(World::new(size.topics, urls));
        let truth = Arc::new(Mutex::new(Truth::default()));
        let servers: Vec<async_nats::ServerAddr> =
            addresses.iter().map(|address| address.parse().unwrap()).collect();
        let observer = async_nats::connect(servers).await.unwrap();
        let observing = tokio::spawn(Observer::new(observer, Arc::clone(&truth)).run());
        let (mut clients, mut records) = (Vec::new(), Vec::new());
        for number in 0..size.clients {
            let topics = (0..size.topics_of_each).map(|step| (number + step * 7) % size.topics);
            let mut plan = Plan {
                number,
                home: number % Self::NODES,
                topics: topics.collect(),
                patience: (number % 2 == 0).then_some(Duration::from_millis(1500)),
                churn: (number % 5 == 0).then_some(size.time / 4),
                storm: None,
                can_be_away: number % 3 == 1,
            };
            if let Some(adjust) = &options.plan {
                adjust(&mut plan);
            }
            let client = Client::new(plan, Arc::clone(&world));
            records.extend(client.records());
            clients.push(tokio::spawn(client.run()));
        }
        let mut run = Self {
            name,
            size,
            engine,
            proxies,
            nodes,
            world,
            records,
            truth,
            observing: observing.abort_handle(),
            clients,
            publishers: Vec::new(),
            started: Instant::now(),
            report: String::new(),
        };
        run.until_all_joined().await;
        run.publish();
        Some(run)
    }

    fn publish(&mut self) {
        let Size { publishers, rate, .. } = self.size;
        for number in 0..publishers {
            let publisher = Publisher {
                number,
                home: number % Self::NODES,
                pause: Duration::from_secs(1) * publishers as u32 / rate,
                world: Arc::clone(&self.world),
            };
            self.publishers.push(tokio::spawn(publisher.run()));
        }
    }

    /// Says how far it is, in a long run.
    pub(crate) fn say(&mut self, what: &str) {
        let line = format!("{} {:6.1} s: {what}", self.name, self.started.elapsed().as_secs_f64());
        if self.size.is_long {
            eprintln!("{line}");
        }
        let _ = writeln!(self.report, "{line}");
    }

    /// Lets so many parts of the time pass; a run has ten.
    pub(crate) async fn pass(&mut self, parts: u32) {
        sleep(self.size.time * parts / 10).await;
    }

    pub(crate) fn kill(&mut self, node: usize) {
        self.say(&format!("node {node} is killed"));
        self.world.urls.send_modify(|urls| urls[node] = None);
        if let Some(mut node) = self.nodes[node].take() {
            node.kill();
        }
        // Nobody can ask it how many it does not know of.
        for publication in lock(&self.world.publications).iter_mut() {
            publication.node = publication.node.filter(|of| *of != node);
        }
    }

    /// As the last event of each says.
    fn is_joined(record: &Record) -> bool {
        lock(&record.events).last().is_some_and(|event| *event != Event::Left)
    }

    async fn until_all_joined(&mut self) {
        // Each once: in a storm there may be no moment in which all are there.
        let has_joined = |record: &Record| {
            lock(&record.events).iter().any(|event| matches!(event, Event::Joined { .. }))
        };
        let started = Instant::now();
        while !self.records.iter().all(|(.., record)| has_joined(record)) {
            assert!(
                started.elapsed() < self.size.patience,
                "{}: not all clients joined",
                self.name
            );
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Those that have not got the last message, or are not back.
    fn behind(&self) -> usize {
        let truth = lock(&self.truth);
        let is_behind = |(_, topic, record): &&(usize, TopicNumber, Arc<Record>)| {
            let Some(last) = truth.last(*topic) else { return !Self::is_joined(record) };
            !match lock(&record.events).last() {
                Some(Event::Message { at, .. }) => at.sequence == last,
                Some(Event::Joined { at, .. }) => at.sequence >= last,
                Some(Event::Gap { to, .. }) => to.sequence > last,
                Some(Event::Left) | None => false,
            }
        };
        self.records.iter().filter(is_behind).count()
    }

    /// Who is in each topic, by each node, and who is. Waits until they agree, for a while.
    async fn rolls(&self) -> Vec<Roll> {
        let mut expected: HashMap<TopicNumber, HashSet<String>> = HashMap::new();
        let mut clients = HashSet::new();
        for (client, topic, _) in &self.records {
            // The first topic of each.
            if clients.insert(*client) {
                expected.entry(*topic).or_default().insert(format!("client-{client}"));
            }
        }
        let started = Instant::now();
        loop {
            let mut rolls = Vec::new();
            for (number, node) in self.nodes.iter().enumerate() {
                let Some(node) = node else { continue };
                let asked = timeout(Duration::from_secs(20), async {
                    let mut connection = Connection::open(&node.url()).await?;
                    let mut told = HashMap::new();
                    for topic in expected.keys() {
                        let words = connection.ask("who", &self.world.topics[*topic]).await?;
                        let names = words.split(',').filter(|name| !name.is_empty());
                        told.insert(*topic, names.map(str::to_owned).collect());
                    }
                    Some(told)
                });
                let mut told: HashMap<_, HashSet<_>> =
                    asked.await.ok().flatten().unwrap_or_default();
                rolls.extend(expected.iter().map(|(topic, expected)| Roll {
                    node: number,
                    topic: *topic,
                    expected: expected.clone(),
                    told: told.remove(topic).unwrap_or_default(),
                }));
            }
            let agree = rolls.iter().all(|roll| roll.expected == roll.told);
            if agree || started.elapsed() > PRESENCE {
                return rolls;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn counts(&self) -> HashMap<usize, HashMap<String, u64>> {
        let mut counts = HashMap::new();
        for (number, node) in self.nodes.iter().enumerate() {
            let Some(node) = node else { continue };
            let url = node.url();
            let asked = timeout(Duration::from_secs(10), async {
                Connection::open(&url).await?.ask("counted", "").await
            });
            let words = asked.await.ok().flatten().unwrap_or_default();
            counts.insert(number, numbers(&words));
        }
        counts
    }

    /// Waits until all that was published is where it belongs, and judges.
    pub(crate) async fn finish(mut self, allowed: Allowed) {
        self.say("publishers stop");
        self.world.mode.send_replace(Mode::Quiet);
        for publisher in std::mem::take(&mut self.publishers) {
            timeout(self.size.patience, publisher).await.expect("publishers end").unwrap();
        }
        let started = Instant::now();
        let mut still = 0;
        // The observer goes on meanwhile: all has to be there for a while.
        while still < 10 && started.elapsed() < self.size.patience {
            still = if self.behind() == 0 { still + 1 } else { 0 };
            sleep(Duration::from_millis(50)).await;
        }
        let settled = started.elapsed();
        let behind = self.behind();
        self.say(&format!("settled after {:.1} s, {behind} are behind", settled.as_secs_f64()));
        let rolls = self.rolls().await;
        let mut counts = self.counts().await;
        // What is not acknowledged becomes unknown by `publish_timeout`, 5 s.
        let is_known = |counts: &HashMap<String, u64>| {
            let of = |name: &str| counts.get(name).copied().unwrap_or(0);
            of("published") == of("acknowledged") + of("unknown") + of("rejected")
        };
        let waits = Instant::now();
        while !counts.values().all(is_known) && waits.elapsed() < self.size.patience {
            sleep(Duration::from_millis(200)).await;
            counts = self.counts().await;
        }
        self.world.mode.send_replace(Mode::Over);
        for client in std::mem::take(&mut self.clients) {
            timeout(self.size.patience, client).await.expect("clients end").unwrap();
        }
        self.observing.abort();
        for (node, counts) in &counts {
            let of = |name: &str| counts.get(name).copied().unwrap_or(0);
            let names = [
                "published",
                "acknowledged",
                "unknown",
                "rejected",
                "refused_away",
                "refused_full",
                "delivered",
                "duplicates",
                "doubted",
                "refills",
                "refilled",
                "gaps",
                "audits",
                "audits_failed",
                "joined_lost",
                "disconnects",
            ];
            let all: Vec<_> = names.iter().map(|name| format!("{name} {}", of(name))).collect();
            let line = format!("node {node}: {}", all.join(", "));
            self.say(&line);
        }
        let verdict = self.judge(&counts, rolls);
        self.say(&verdict.to_string());
        let totals = verdict.totals;
        let is_allowed = (allowed.refused || totals.refused == 0)
            && (allowed.unknown || totals.unknown == 0)
            && (allowed.lost || totals.lost == 0)
            && (allowed.gaps || totals.gaps == 0);
        println!("{}", self.report);
        if self.size.is_long {
            // `cargo xtask nats-check` makes a table of these.
            let t = totals;
            let joins = format!("{} / {} / {}", t.fresh, t.recovered, t.lost);
            println!(
                "row: {} | {} | {} | {} | {} | {} | {joins} | {} | {} | {:.1} s | {}",
                self.name,
                t.published,
                t.stored,
                t.refused,
                t.unknown,
                t.delivered,
                t.missed,
                t.gaps,
                settled.as_secs_f64(),
                verdict.violations.len() + behind
            );
        }
        assert!(
            verdict.violations.is_empty() && behind == 0 && is_allowed,
            "{}: {verdict}\nbehind: {behind}, allowed: {allowed:?}",
            self.name
        );
    }

    fn judge(
        &mut self,
        counts: &HashMap<usize, HashMap<String, u64>>,
        rolls: Vec<Roll>,
    ) -> Verdict {
        let nodes = counts.iter().map(|(node, counts)| {
            let of = |name: &str| counts.get(name).copied().unwrap_or(0);
            let counts = NodeCounts {
                published: of("published"),
                acknowledged: of("acknowledged"),
                unknown: of("unknown"),
                rejected: of("rejected"),
            };
            (*node, counts)
        });
        let subscriptions = self.records.iter().map(|(client, topic, record)| {
            let mut events = lock(&record.events).clone();
            // It left in the end.
            if events.last() == Some(&Event::Left) {
                events.pop();
            }
            Subscription { client: *client, topic: *topic, events, stays: true }
        });
        let ledger = Ledger {
            truth: std::mem::take(&mut *lock(&self.truth)),
            publications: lock(&self.world.publications).clone(),
            subscriptions: subscriptions.collect(),
            nodes: nodes.collect(),
            rolls,
        };
        ledger.judge()
    }
}

/// What a node counted, by name.
pub(crate) fn numbers(words: &str) -> HashMap<String, u64> {
    let pairs = words.split(',').filter_map(|pair| pair.split_once(": "));
    pairs.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
}
