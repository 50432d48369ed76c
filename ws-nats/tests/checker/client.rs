//! A client: subscribes, writes down what comes, and goes to another node with its position.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::{
    connection::{Connection, Position, Said},
    ledger::{Event, Id, Past, TopicNumber},
    world::{Mode, Random, Record, World, id, lock},
};

const TICK: Duration = Duration::from_millis(50);

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) number: usize,
    /// The node that it begins at.
    pub(crate) home: usize,
    pub(crate) topics: Vec<TopicNumber>,
    /// Time without an answer after which it goes to another node. `None` stays.
    pub(crate) patience: Option<Duration>,
    /// About the time after which it goes to another node without a reason.
    pub(crate) churn: Option<Duration>,
    /// About the time between two topics that it leaves or joins again.
    pub(crate) storm: Option<Duration>,
    pub(crate) can_be_away: bool,
}

pub(crate) struct Client {
    plan: Plan,
    world: Arc<World>,
    rooms: Vec<Room>,
    random: Random,
}

/// One topic of a client.
pub(crate) struct Room {
    topic: TopicNumber,
    pub(crate) record: Arc<Record>,
    /// The last place that it got.
    last: Option<Position>,
    state: State,
}

enum State {
    Out {
        since: Instant,
    },
    /// What came before the answer.
    Joining {
        number: u64,
        early: Vec<(Option<Position>, Event)>,
    },
    In,
    Leaving {
        number: u64,
    },
}

enum End {
    /// Another node, or the same one again.
    Moved,
    Lost,
    Over,
}

impl Client {
    pub(crate) fn new(plan: Plan, world: Arc<World>) -> Self {
        let out = |&topic: &TopicNumber| Room {
            topic,
            record: Arc::default(),
            last: None,
            state: State::Out { since: Instant::now() },
        };
        let rooms = plan.topics.iter().map(out).collect();
        let random = Random::new(plan.number as u64 + 1);
        Self { plan, world, rooms, random }
    }

    pub(crate) fn records(&self) -> Vec<(usize, TopicNumber, Arc<Record>)> {
        let number = self.plan.number;
        self.rooms.iter().map(|room| (number, room.topic, Arc::clone(&room.record))).collect()
    }

    pub(crate) async fn run(mut self) {
        let mut node = self.plan.home;
        let mut mode = self.world.mode.subscribe();
        loop {
            if self.plan.can_be_away {
                // The world outlives its clients.
                mode.wait_for(|mode| *mode != Mode::SomeAway).await.ok();
            }
            if self.world.mode() == Mode::Over {
                return;
            }
            let Some((found, url)) = self.world.node(node) else {
                sleep(TICK).await;
                continue;
            };
            node = found;
            let Some(mut connection) = Connection::open(&url).await else {
                node += 1;
                sleep(TICK).await;
                continue;
            };
            let end = self.stay(&mut connection).await;
            for room in &mut self.rooms {
                room.left();
            }
            match end {
                End::Over => return,
                End::Lost => node += 1,
                End::Moved if self.world.mode() == Mode::SomeAway => node += 1,
                End::Moved => {
                    node += 1;
                    sleep(Duration::from_millis(self.random.below(800))).await;
                }
            }
        }
    }

    /// Until the connection is lost, or it wants to go.
    async fn stay(&mut self, connection: &mut Connection) -> End {
        for index in 0..self.rooms.len() {
            if self.join(index, connection).await.is_none() {
                return End::Lost;
            }
        }
        // In the first of its topics it says who it is.
        let topic = &self.world.topics[self.plan.topics[0]];
        let said = format!("{topic} client-{}", self.plan.number);
        if connection.say("appear", &said).await.is_none() {
            return End::Lost;
        }
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let came = Instant::now();
        let churn = self.about(self.plan.churn);
        let mut storm = Instant::now();
        let mut storm_after = self.about(self.plan.storm);
        let mut leaves = None;
        let mut heard = Instant::now();
        let mut asked = Instant::now();
        loop {
            tokio::select! {
                said = connection.hear() => {
                    let Some(said) = said else { return End::Lost };
                    heard = Instant::now();
                    self.said(said);
                }
                _ = ticks.tick() => {
                    let mode = self.world.mode();
                    match mode {
                        Mode::Over => return End::Over,
                        // Not all at once, so that each has another past.
                        Mode::SomeAway if self.plan.can_be_away => {
                            let after = Duration::from_millis(self.plan.number as u64 * 61 % 500);
                            if leaves.get_or_insert_with(Instant::now).elapsed() >= after {
                                return End::Moved;
                            }
                        }
                        _ => {}
                    }
                    if mode != Mode::Quiet && churn.is_some_and(|after| came.elapsed() > after) {
                        return End::Moved;
                    }
                    if let Some(patience) = self.plan.patience {
                        if heard.elapsed() > patience {
                            return End::Lost;
                        }
                        if asked.elapsed() > patience / 3 {
                            asked = Instant::now();
                            if connection.say("ping", "").await.is_none() {
                                return End::Lost;
                            }
                        }
                    }
                    if mode != Mode::Quiet && storm_after.is_some_and(|after| storm.elapsed() > after) {
                        storm = Instant::now();
                        storm_after = self.about(self.plan.storm);
                        let index = self.random.below(self.rooms.len() as u64) as usize;
                        if self.toggle(index, connection).await.is_none() {
                            return End::Lost;
                        }
                    }
                    if self.come_back(connection).await.is_none() {
                        return End::Lost;
                    }
                }
            }
        }
    }

    fn about(&mut self, time: Option<Duration>) -> Option<Duration> {
        let time = time?;
        Some(time / 2 + Duration::from_millis(self.random.below(time.as_millis() as u64 + 1)))
    }

    async fn join(&mut self, index: usize, connection: &mut Connection) -> Option<()> {
        let room = &mut self.rooms[index];
        let since = room.last.as_ref().map_or("-", |position| &position.text);
        let topic = &self.world.topics[room.topic];
        let number = connection.say("join", &format!("{topic} {since}")).await?;
        room.state = State::Joining { number, early: Vec::new() };
        Some(())
    }

    async fn toggle(&mut self, index: usize, connection: &mut Connection) -> Option<()> {
        let room = &mut self.rooms[index];
        match room.state {
            State::In => {
                let topic = &self.world.topics[room.topic];
                let number = connection.say("leave", topic).await?;
                room.state = State::Leaving { number };
            }
            State::Out { .. } => {
                if self.random.below(4) == 0 {
                    room.last = None;
                }
                self.join(index, connection).await?;
            }
            _ => {}
        }
        Some(())
    }

    /// Joins what could not be joined, and what was left for long enough.
    async fn come_back(&mut self, connection: &mut Connection) -> Option<()> {
        let storms = self.plan.storm.is_some() && self.world.mode() != Mode::Quiet;
        let pause = Duration::from_millis(if storms { 500 } else { 200 });
        for index in 0..self.rooms.len() {
            let is_due =
                |state: &State| matches!(state, State::Out { since } if since.elapsed() > pause);
            if is_due(&self.rooms[index].state) {
                self.join(index, connection).await?;
            }
        }
        Some(())
    }

    fn said(&mut self, said: Said) {
        match said {
            Said::Message { topic, at, body } => {
                // One that is not whole is none that was published.
                let id = id(&body).unwrap_or(Id::MAX);
                let event = Event::Message { at: at.place, id };
                self.happened(&topic, Some(at), event);
            }
            Said::Gap { topic, from, to } => {
                // A client goes on from the last message that it got.
                self.happened(&topic, None, Event::Gap { from: from.place, to: to.place });
            }
            Said::Answer { number, words } => {
                for room in &mut self.rooms {
                    room.answered(number, &words);
                }
            }
            Said::Plain(_) => {}
        }
    }

    fn happened(&mut self, topic: &str, at: Option<Position>, event: Event) {
        let Some(topic) = self.world.topic(topic) else { return };
        let Some(room) = self.rooms.iter_mut().find(|room| room.topic == topic) else { return };
        match &mut room.state {
            State::In | State::Leaving { .. } => room.write(at, event),
            State::Joining { early, .. } => early.push((at, event)),
            State::Out { .. } => {}
        }
    }
}

impl Room {
    fn write(&mut self, at: Option<Position>, event: Event) {
        self.last = at.or(self.last.take());
        lock(&self.record.events).push(event);
    }

    fn answered(&mut self, answered: u64, words: &str) {
        match &mut self.state {
            State::Joining { number, early } if *number == answered => {
                let early = std::mem::take(early);
                let mut words = words.split(' ');
                if words.next() != Some("joined") {
                    self.state = State::Out { since: Instant::now() };
                    return;
                }
                let at = Position::parse(words.next().unwrap());
                let past = match words.next().unwrap() {
                    "fresh" => Past::Fresh,
                    "lost" => Past::Lost,
                    all => Past::All(all.strip_prefix("all:").unwrap().parse().unwrap()),
                };
                let since = self.last.as_ref().map(|last| last.place);
                lock(&self.record.events).push(Event::Joined { since, at: at.place, past });
                if past == Past::All(0) || matches!(past, Past::Fresh | Past::Lost) {
                    self.last = Some(at);
                }
                self.state = State::In;
                for (at, event) in early {
                    self.write(at, event);
                }
            }
            State::Leaving { number } if *number == answered => self.left(),
            _ => {}
        }
    }

    fn left(&mut self) {
        if matches!(self.state, State::In | State::Leaving { .. }) {
            lock(&self.record.events).push(Event::Left);
        }
        self.state = State::Out { since: Instant::now() };
    }
}
